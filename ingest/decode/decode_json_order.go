package decode

import "encoding/binary"

// order is what a decoder has learned about one object of its records: which field comes after
// which. Each field remembers the two that followed it last, so that fields which are sometimes
// missing, columns in another order and fields that no column takes cost no look-up by name. What it
// holds is a guess: a record that does otherwise is read by the names of its fields, and corrects it.
type order struct {
	first     step
	steps     []step  // of the fields of the object
	strangers []*step // fields that no column takes, where they are left out
	lessons   int     // strangers that may still be learned in this chunk
	ignores   bool    // strangers are left out

	// Where records have no order, guesses are dropped for a while, each time for longer.
	trial        int   // objects until the guesses are judged
	hits, misses int64 // fields guessed right with a plain value, fields that no guess found
	lead         int64 // of hits over misses when the trial began
	pause        int   // objects to be read without guesses
	nextPause    int
}

const (
	// strangersMax bounds the fields without a column that are kept of an object, and
	// lessonsMax how often a chunk may search them: keys that are data never come again.
	strangersMax = 32
	lessonsMax   = 64
)

const (
	// trialObjects is after how many objects guesses are judged. While more of them miss than
	// hit, pauses grow from pauseMin to pauseMax objects: trials then take less than a hundredth.
	trialObjects       = 32
	pauseMin, pauseMax = 64, 4096
)

// guesses tells whether the next object is to be read by guesses.
func (o *order) guesses() bool {
	if o.pause > 0 {
		o.pause--
		return false
	}
	if o.trial--; o.trial > 0 {
		return true
	}
	if o.hits-o.misses < o.lead {
		o.pause = max(o.nextPause, pauseMin)
		o.nextPause = min(2*o.pause, pauseMax)
	} else {
		o.nextPause = pauseMin
	}
	o.trial, o.lead = trialObjects, o.hits-o.misses
	return true
}

// step is one field of an object, as it is met in a record.
type step struct {
	text   string // the key with its quotes and colon; empty if it has escapes
	words  [2]uint64
	masks  [2]uint64
	field  int // index in the object's table, or skipColumn
	column *Column
	node   *node // nil: the value goes to no column, to several, or into an object on a path
	next   [2]*step
	// isString says that the column takes strings as they are.
	isString bool
}

// bind says where the value goes.
func (s *step) bind(c *Column, n *node) {
	s.column, s.node, s.isString = c, n, n.straight == straightString
}

func (s *step) setText(text string) {
	s.text = text
	var start [16]byte
	n := copy(start[:], text)
	for i := range s.words {
		s.words[i] = binary.LittleEndian.Uint64(start[8*i:])
		if used := min(max(n-8*i, 0), 8); used < 8 {
			s.masks[i] = 1<<(8*used) - 1
		} else {
			s.masks[i] = ^uint64(0)
		}
	}
}

// end is the place behind the key if it stands at pos, or -1.
func (s *step) end(data []byte, pos int) int {
	end := pos + len(s.text)
	if end > len(data) || string(data[pos:end]) != s.text {
		return -1
	}
	return end
}

// newOrders returns the order of every object of a plan, by its index. At first it is that of the
// columns.
func newOrders(plan *Plan, columns []*Column) []order {
	orders := make([]order, plan.objects)
	var structs func(n *node, c *Column)
	structs = func(n *node, c *Column) {
		if n.kind == kindStruct {
			orders[n.object].learnFields(n.fields, func(s *step) {
				s.bind(c.children[s.field], n.children[s.field])
			})
		}
		for i, child := range n.children {
			structs(child, c.children[i])
		}
	}
	for i, n := range plan.columns {
		structs(n, columns[i])
	}
	var paths func(o *jsonObject)
	paths = func(o *jsonObject) {
		orders[o.index].learnFields(o.fields, func(s *step) {
			if t := o.targets[s.field]; t.inner == nil && len(t.columns) == 1 {
				s.bind(columns[t.columns[0]], plan.columns[t.columns[0]])
			}
		})
		for _, t := range o.targets {
			if t.inner != nil {
				paths(t.inner)
			}
		}
	}
	paths(plan.object)
	for i := range orders {
		orders[i].ignores = plan.options.UnknownFields == UnknownIgnore
		orders[i].forget()
	}
	return orders
}

// learnFields makes the steps of an object's fields; bind says where the value of each goes.
func (o *order) learnFields(fields fieldTable, bind func(*step)) {
	o.steps = make([]step, len(fields.names))
	for i := range o.steps {
		s := &o.steps[i]
		s.field = i
		if fields.quoted[i] != "" {
			s.setText(fields.quoted[i])
		}
		bind(s)
	}
}

// forget goes back to the order of the columns.
func (o *order) forget() {
	clear(o.strangers)
	o.strangers, o.lessons = o.strangers[:0], lessonsMax
	before := &o.first
	for i := range o.steps {
		before.next = [2]*step{}
		if o.steps[i].text != "" {
			before.next[0] = &o.steps[i]
		}
		before = &o.steps[i]
	}
	before.next = [2]*step{}
}

// endChunk lets the next chunk learn anew if this one had to stop.
func (o *order) endChunk() {
	if o.lessons == 0 && len(o.strangers) == strangersMax {
		o.forget()
	}
	o.lessons = lessonsMax
}

// learn records that a field came after another and returns its step; nil if none is known. key is
// that of a field without a column, as the record writes it.
func (o *order) learn(before *step, field int, key []byte) *step {
	o.misses++
	var s *step
	if field != skipColumn {
		s = &o.steps[field]
	} else if s = o.stranger(key); s == nil {
		return nil
	}
	if before != nil && s.text != "" && before.next[0] != s {
		before.next[0], before.next[1] = s, before.next[0]
	}
	return s
}

// stranger is the step of a field that no column takes, or nil when it is not worth one.
func (o *order) stranger(key []byte) *step {
	if !o.ignores || o.lessons == 0 {
		return nil
	}
	o.lessons--
	for _, s := range o.strangers {
		if s.text[1:len(s.text)-2] == string(key) {
			return s
		}
	}
	text := quotedName(string(key))
	if len(o.strangers) == strangersMax || text == "" {
		return nil
	}
	s := &step{field: skipColumn}
	s.setText(text)
	o.strangers = append(o.strangers, s)
	return s
}
