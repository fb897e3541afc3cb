package upsert

import (
	"slices"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/google/uuid"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/table/keyindex"
)

// Chunk is versions of rows of a keyed table that were read one after the other, in a file that has the rows of those
// that do not delete. It does not change.
type Chunk struct {
	// Change is the checkpoint that they are of.
	Change uuid.UUID
	// Set has the versions, and Keys their keys.
	Set  *Set
	Keys []keyindex.Key
}

// Rolling follows which rows are seen while chunks come: rows that the table holds, and rows of chunks. It begins
// at a snapshot of the table, and comes at every chunk to what Set.Fold decides for the checkpoints so far: a
// checkpoint that goes on is one of all its versions until now.
//
//	table's rows ─► Need, Found ─┐
//	chunks ─────────────────────┴► Add ─► Hidden, HiddenIn
//
// It belongs to one goroutine.
type Rolling struct {
	first bool
	lines []line
	byKey map[keyindex.Key]int32
	// chunks came one after the other; ids are their topic partitions.
	chunks []chunkRows
	ids    []commit.TopicPartition
	// linked are the versions of lines, in lists.
	linked []linked
	change uuid.UUID
	number uint32 // of the checkpoint
	hidden map[uint32]*rows
}

// rows are those of a file that are hidden. What was given out does not change.
type rows struct {
	now   *roaring.Bitmap
	given *roaring.Bitmap // a copy; nil once now is another
}

func (r *rows) give() *roaring.Bitmap {
	if r.given == nil {
		r.given = r.now.Clone()
	}
	return r.given
}

type chunkRows struct {
	Chunk
	at     []uint32 // of each version its row in the file; without meaning for one that deletes
	parts  []uint32 // of each version the number of its topic partition
	seen   uint32   // versions that do not delete
	hidden rows
}

// ref is a version, by chunk and row in its set, or one of the constants.
type ref struct{ chunk, row uint32 }

// What a key can have beside a version.
const (
	chunkNone  = 1<<32 - 1
	chunkTable = 1<<32 - 2
)

var (
	noRow    = ref{chunk: chunkNone}
	tableRow = ref{chunk: chunkTable}
)

// line is a key.
type line struct {
	// place is its row in the table, sequence that of the row when it was Found.
	place    keyindex.Place
	sequence []int64
	found    bool
	// ordered says that some version has a sequence, so that the table's is known or below.
	ordered bool
	// number is that of the checkpoint of its versions, begun what it had when that began.
	number     uint32
	begun, now ref
	at         standing
	head, tail int32 // of its versions in the checkpoint, -1 for none
}

// linked is a version in the list of its line.
type linked struct {
	ref
	part uint32
	next int32
}

// NewRolling begins at a snapshot. Versions must not be merged: opts.Columns is nil.
func NewRolling(opts Options) *Rolling {
	if opts.Columns != nil {
		panic("BUG: rows that are merged cannot be shown before they are")
	}
	return &Rolling{first: opts.First, byKey: map[keyindex.Key]int32{}, hidden: map[uint32]*rows{}}
}

// Unknown are the keys of a chunk's rows from one on that are not known, each once.
func (r *Rolling) Unknown(p Chunk, from int) []keyindex.Key {
	var out []keyindex.Key
	seen := map[keyindex.Key]bool{}
	for _, key := range p.Keys[from:] {
		if _, known := r.byKey[key]; !known && !seen[key] {
			seen[key] = true
			out = append(out, key)
		}
	}
	return out
}

// Know tells where the table's rows of keys that were Unknown are; the zero Place is nowhere. Files are numbered by
// the caller.
func (r *Rolling) Know(keys []keyindex.Key, places []keyindex.Place) {
	for i, key := range keys {
		l := line{place: places[i], begun: noRow, now: noRow, head: -1, tail: -1}
		if places[i].File != 0 {
			l.begun, l.now, l.at.live = tableRow, tableRow, true
		}
		r.byKey[key] = int32(len(r.lines))
		r.lines = append(r.lines, l)
	}
}

// Need yields the lines of a chunk's rows from one on, whose keys are known, for which the sequence of the table's row
// decides, or may do so later. isBelow says that all sequences of a file are below a value.
func (r *Rolling) Need(p Chunk, from int, isBelow func(file uint32, value int64) bool,
) (numbers []int, places []keyindex.Place) {
	asked := map[int32]bool{}
	for i, key := range p.Keys[from:] {
		number := r.byKey[key]
		l := &r.lines[number]
		own := p.Set.Sequence(from + i)
		// Behind a version that is above the table's row, that row decides nothing: what is below it is below the
		// version too. Only a version that came first leaves the row as it is.
		if own == nil || l.found || l.place.File == 0 || l.ordered && !r.first || asked[number] {
			continue
		}
		if !r.first && isBelow(l.place.File, own[0]) {
			l.ordered = true
			continue
		}
		asked[number] = true
		numbers, places = append(numbers, int(number)), append(places, l.place)
	}
	return numbers, places
}

// Found tells the sequence of the table's row of a line, nil for none.
func (r *Rolling) Found(number int, sequence []int64) {
	l := &r.lines[number]
	l.sequence, l.found = sequence, true
	if l.begun == tableRow {
		r.refold(l)
	}
}

// Add takes in the next chunk. Its keys are known, and sequences that it needs were found.
func (r *Rolling) Add(p Chunk) {
	if r.number == 0 || p.Change != r.change {
		r.change = p.Change
		r.number++
	}
	rows := chunkRows{}
	rows.hidden.now = roaring.New()
	r.chunks = append(r.chunks, rows)
	r.Grow(p)
}

// Grow takes in what the last chunk has behind the rows that it had: p has both.
func (r *Rolling) Grow(p Chunk) {
	rows := &r.chunks[len(r.chunks)-1]
	from := rows.grow(r, p)
	for i, key := range p.Keys[from:] {
		row := from + i
		l := &r.lines[r.byKey[key]]
		if l.number != r.number {
			l.number, l.begun, l.head, l.tail = r.number, l.now, -1, -1
			l.at = r.stands(l, l.begun)
		}
		v := ref{uint32(len(r.chunks) - 1), uint32(row)}
		if r.link(l, v, rows.parts[row]) {
			r.see(l, r.step(l, l.now, v))
		} else {
			r.refold(l)
		}
	}
}

// grow makes room for the rows that p has more, all of them hidden, and returns the first of them.
func (c *chunkRows) grow(r *Rolling, p Chunk) (from int) {
	from = len(c.at)
	c.Chunk = p
	c.at, c.parts = slices.Grow(c.at, len(p.Keys)-from), slices.Grow(c.parts, len(p.Keys)-from)
	for i := range p.Set.parts {
		part := &p.Set.parts[i]
		if part.First < from {
			continue // they come part by part
		}
		number := r.partition(part.TopicPartition)
		for range part.rows {
			c.parts = append(c.parts, number)
		}
	}
	first := c.seen
	for row := from; row < len(p.Keys); row++ {
		c.at = append(c.at, c.seen)
		if p.Set.ops[row]&Delete == 0 {
			c.seen++
		}
	}
	c.hidden.now.AddRange(uint64(first), uint64(c.seen))
	c.hidden.given = nil
	return from
}

func (r *Rolling) partition(id commit.TopicPartition) uint32 {
	for i := range r.ids {
		if r.ids[i] == id {
			return uint32(i)
		}
	}
	r.ids = append(r.ids, id)
	return uint32(len(r.ids) - 1)
}

// link puts a version into the list of its line, behind those of topic partitions that are not behind its own, and says
// whether it is the last one then.
func (r *Rolling) link(l *line, v ref, part uint32) (last bool) {
	number := int32(len(r.linked))
	r.linked = append(r.linked, linked{v, part, -1})
	behind := func(at int32) bool {
		other := r.linked[at].part
		return other != part && r.ids[other].Compare(r.ids[part]) > 0
	}
	switch {
	case l.head < 0:
		l.head, l.tail = number, number
		return true
	case !behind(l.tail):
		r.linked[l.tail].next, l.tail = number, number
		return true
	case behind(l.head):
		r.linked[number].next, l.head = l.head, number
		return false
	}
	at := l.head
	for !behind(r.linked[at].next) {
		at = r.linked[at].next
	}
	r.linked[number].next, r.linked[at].next = r.linked[at].next, number
	return false
}

// stands is what a line has with a row of which a checkpoint knows no more than the table would.
func (r *Rolling) stands(l *line, row ref) standing {
	switch row {
	case noRow:
		return standing{}
	case tableRow:
		return standing{true, l.sequence}
	}
	return standing{true, r.chunks[row.chunk].Set.Sequence(int(row.row))}
}

// step takes a version and returns the row that is seen then.
func (r *Rolling) step(l *line, now, v ref) ref {
	set := r.chunks[v.chunk].Set
	op := set.ops[v.row]
	own := set.Sequence(int(v.row))
	if l.at.take(own, op, r.first) != applies {
		return now
	}
	if op&Delete != 0 {
		return noRow
	}
	return v
}

// refold takes all versions of the line's checkpoint anew.
func (r *Rolling) refold(l *line) {
	l.at = r.stands(l, l.begun)
	now := l.begun
	for at := l.head; at >= 0; at = r.linked[at].next {
		now = r.step(l, now, r.linked[at].ref)
	}
	r.see(l, now)
}

// see makes a row the one of the line that is seen.
func (r *Rolling) see(l *line, row ref) {
	if l.now == row {
		return
	}
	switch l.now {
	case noRow:
	case tableRow:
		r.tableRows(l.place.File).Add(l.place.Row)
	default:
		r.chunkRows(l.now).Add(r.at(l.now))
	}
	switch l.now = row; row {
	case noRow:
	case tableRow:
		r.tableRows(l.place.File).Remove(l.place.Row)
	default:
		r.chunkRows(row).Remove(r.at(row))
	}
}

func (r *Rolling) at(row ref) uint32 { return r.chunks[row.chunk].at[row.row] }

func (r *Rolling) chunkRows(row ref) *roaring.Bitmap {
	hidden := &r.chunks[row.chunk].hidden
	hidden.given = nil
	return hidden.now
}

func (r *Rolling) tableRows(file uint32) *roaring.Bitmap {
	hidden := r.hidden[file]
	if hidden == nil {
		hidden = &rows{now: roaring.New()}
		r.hidden[file] = hidden
	}
	hidden.given = nil
	return hidden.now
}

// Chunks is how many there are.
func (r *Rolling) Chunks() int { return len(r.chunks) }

// HiddenIn are the rows of a chunk's file that are not seen. Nobody changes them.
func (r *Rolling) HiddenIn(chunk int) *roaring.Bitmap { return r.chunks[chunk].hidden.give() }

// Hidden yields the table's files of which rows are not seen, and these. Nobody changes them.
func (r *Rolling) Hidden(yield func(file uint32, rows *roaring.Bitmap) bool) {
	for file, hidden := range r.hidden {
		if !hidden.now.IsEmpty() && !yield(file, hidden.give()) {
			return
		}
	}
}
