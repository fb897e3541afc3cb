package decode

import "encoding/binary"

// objectReader walks the fields of the object at the decoder's position. Between calls of next the
// caller reads the value that the position is at.
type objectReader struct {
	d       *jsonDecoder
	field   int    // index of the field in the table, or skipColumn
	key     []byte // of an unknown field; valid until the decoder reads another string
	broken  bool
	started bool

	// order knows where plain values go; nil makes next stop at each field, with its value unread.
	order *order
	at    *step // the field that was met last; nil: what follows is not guessed
	row   int   // that the columns of the fields are filling
	depth int   // of the object
	// guesses says that the order of this object's fields is learned.
	guesses bool
}

// enter starts the object at pos, whose order is known by index.
func (r *objectReader) enter(index, row, depth int) {
	r.row, r.depth = row, depth
	if r.d.orders == nil {
		return
	}
	if r.order = &r.d.orders[index]; r.order.guesses() {
		r.at, r.guesses = &r.order.first, true
	}
}

// next moves to the next field whose value the caller must read and tells whether there is one.
// Plain values of the fields before it go straight into their columns. At the end of the object the
// position is behind it.
func (r *objectReader) next(fields *fieldTable) bool {
	for {
		if r.run() {
			if !r.leaveOut() {
				return !r.broken
			}
			continue
		}
		if r.open('{', '}') {
			return false
		}
		d := r.d
		if d.peek() != '"' {
			return r.fail()
		}
		key, ok := d.keyText()
		if !ok {
			return r.fail()
		}
		r.key, r.field = key, fields.find(key)
		if r.guesses {
			r.at = r.order.learn(r.at, r.field, key)
		}
		if !r.colon() {
			return false
		}
		if !r.readPlain() {
			return true
		}
	}
}

// leaveOut skips the value at pos if no column takes it and the policy is to leave it out.
func (r *objectReader) leaveOut() bool {
	if r.field != skipColumn {
		return false
	}
	r.broken = !r.d.skip(r.depth + 1)
	return !r.broken
}

// readPlain reads the value at pos if it can be done at once.
func (r *objectReader) readPlain() bool {
	if r.order == nil || r.field == skipColumn {
		return false
	}
	s, d := &r.order.steps[r.field], r.d
	if s.node == nil || s.column.rows > r.row {
		return false
	}
	end := readStraight(s.column, s.node, d.data, d.pos)
	if end < 0 {
		return false
	}
	d.pos = end
	return true
}

// run reads fields as long as they are guessed right and their values plain. It stops at a value
// that is not, which is true, or before a field that is not the one guessed.
func (r *objectReader) run() bool {
	if r.at == nil {
		return false
	}
	d, s, row, mark := r.d, r.at, r.row, byte(',')
	if !r.started {
		mark = '{'
	}
	data, pos, fields, stopped := d.data, d.pos, int64(0), false
	for pos+1 < len(data) && data[pos] == mark {
		next, value := s.follows(data, pos+1)
		if next == nil {
			break
		}
		s, mark, pos = next, ',', value
		if pos >= len(data) || s.node == nil || s.column.rows > row {
			stopped = true
			break
		}
		var end int
		if s.isString && data[pos] == '"' { // the most frequent value
			end = readString(s.column, data, pos+1)
		} else {
			end = readStraight(s.column, s.node, data, pos)
		}
		if end < 0 {
			stopped = true
			break
		}
		pos = end
		fields++
	}
	d.pos = pos
	if r.order.hits += fields; s != r.at {
		r.at, r.field, r.started = s, s.field, true
	}
	return stopped
}

// follows returns the step that s guesses, if its key is next in data, and the place of its value;
// nil if another key comes. There is a byte at pos.
func (s *step) follows(data []byte, pos int) (*step, int) {
	if data[pos] <= ' ' {
		pos = spaceEnd(data, pos)
	}
	next := s.next[0]
	if next == nil {
		return nil, 0
	}
	end := pos + len(next.text)
	if pos+16 > len(data) || len(next.text) > 16 ||
		(binary.LittleEndian.Uint64(data[pos:])^next.words[0])&next.masks[0]|
			(binary.LittleEndian.Uint64(data[pos+8:])^next.words[1])&next.masks[1] != 0 {
		if next, end = s.followsSlowly(data, pos); next == nil {
			return nil, 0
		}
	}
	if end < len(data) && data[end] <= ' ' {
		end = spaceEnd(data, end)
	}
	return next, end
}

// followsSlowly is follows for the second guess, long keys, and near the end of the record.
func (s *step) followsSlowly(data []byte, pos int) (*step, int) {
	for _, next := range s.next {
		if next == nil {
			break
		}
		if end := next.end(data, pos); end >= 0 {
			return next, end
		}
	}
	return nil, 0
}

// open moves behind the opening byte of a container, or the comma between its values; true means
// that the container ended, or that it is broken.
func (r *objectReader) open(first, last byte) bool {
	d := r.d
	if !r.started {
		r.started = true
		d.pos++
		d.skipSpace()
		if d.peek() == last {
			d.pos++
			return true
		}
		return false
	}
	d.skipSpace()
	switch d.peek() {
	case ',':
		d.pos++
		d.skipSpace()
		return false
	case last:
		d.pos++
		return true
	}
	r.fail()
	return true
}

// colon moves over the colon to the value.
func (r *objectReader) colon() bool {
	d := r.d
	if d.peek() != ':' {
		d.skipSpace()
		if d.peek() != ':' {
			return r.fail()
		}
	}
	d.pos++
	if d.peek() <= ' ' {
		d.skipSpace()
	}
	return true
}

func (r *objectReader) fail() bool {
	r.d.fail(ClassSyntax)
	r.broken = true
	return false
}
