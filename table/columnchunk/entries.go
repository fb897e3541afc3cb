package columnchunk

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// entries are what a leaf below structs, lists and maps has for the rows of a batch: one for each
// element, and one where a struct or list is null or a list is empty (Dremel's striping). The path to
// the leaf is walked once; at each field the entries know where they are in its array.
//
//	rows            [1 2]  null  []   [3]
//	slots           0  1   -     -    2      place in the leaf's array, dead without one
//	levels          3  3   0     1    3      how much of the path is there
//	repeats         0  1   0     0    0      0 begins a row
type entries struct {
	slots           []int32
	levels, repeats []byte
}

const dead = -1

// begin has one entry for each row.
func (e *entries) begin(rows int) {
	e.slots, e.levels, e.repeats = e.slots[:0], e.levels[:0], e.repeats[:0]
	for row := range rows {
		e.slots = append(e.slots, int32(row))
		e.levels = append(e.levels, 0)
		e.repeats = append(e.repeats, 0)
	}
}

// enter goes into an optional field: entries that are null there end.
func (e *entries) enter(field arrow.Array) {
	whole := field.NullN() == 0
	for i, slot := range e.slots {
		switch {
		case slot == dead:
		case whole || field.IsValid(int(slot)):
			e.levels[i]++
		default:
			e.slots[i] = dead
		}
	}
}

// expand makes e the elements of the lists that the entries of above stand for. Offsets are the
// lists', depth is how many lists there are, this one included.
func (e *entries) expand(above *entries, offsets []int32, depth byte) {
	e.slots, e.levels, e.repeats = e.slots[:0], e.levels[:0], e.repeats[:0]
	for i, slot := range above.slots {
		level, repeat := above.levels[i], above.repeats[i]
		if slot == dead || offsets[slot] == offsets[slot+1] {
			e.slots = append(e.slots, dead)
			e.levels = append(e.levels, level)
			e.repeats = append(e.repeats, repeat)
			continue
		}
		for element := offsets[slot]; element < offsets[slot+1]; element++ {
			e.slots = append(e.slots, element)
			e.levels = append(e.levels, level+1)
			e.repeats = append(e.repeats, repeat)
			repeat = depth
		}
	}
}

// readEntries walks to the leaf of c and puts its values into the order of the entries.
func (s *source) readEntries(c *column, batch arrow.RecordBatch, work *scratch) error {
	now, next := &work.entries, &work.entriesNext
	now.begin(int(batch.NumRows()))
	var field arrow.Array
	depth := byte(0)
	for i, step := range c.steps {
		if step.repeated {
			offsets, err := listOffsets(c, field)
			if err != nil {
				return err
			}
			depth++
			next.expand(now, offsets, depth)
			now, next = next, now
			continue
		}
		if i == 0 {
			field = batch.Column(step.field)
		} else {
			child, err := childOf(c, field, step.field)
			if err != nil {
				return err
			}
			field = child
		}
		if step.optional {
			now.enter(field)
		}
	}
	if err := s.readValues(c, field); err != nil {
		return err
	}
	s.entries, s.levels = len(now.slots), now.levels
	if c.repeats > 0 {
		s.repeats = now.repeats
	}
	s.align(c, now.slots, field.Len(), work)
	return nil
}

func childOf(c *column, above arrow.Array, i int) (arrow.Array, error) {
	switch a := above.(type) {
	case *array.Struct:
		return a.Field(i), nil
	case *array.Map:
		if i == 0 {
			return a.Keys(), nil
		}
		return a.Items(), nil
	case *array.List:
		return a.ListValues(), nil
	}
	return nil, fmt.Errorf("column %s: batch holds %s, which has no fields", c.name, above.DataType())
}

func listOffsets(c *column, lists arrow.Array) ([]int32, error) {
	switch lists.(type) {
	case *array.List, *array.Map:
	default:
		return nil, fmt.Errorf("column %s: batch holds %s, not a list or map", c.name, lists.DataType())
	}
	data := lists.Data()
	if data.Len() == 0 {
		return nil, nil
	}
	offsets := arrow.Int32Traits.CastFromBytes(data.Buffers()[1].Bytes())
	return offsets[data.Offset() : data.Offset()+data.Len()+1], nil
}

// align makes value i of the source that of entry i. The buffers stay as they are when only a stretch
// of them is wanted, as below structs and in lists that are neither null nor empty.
func (s *source) align(c *column, slots []int32, length int, work *scratch) {
	n := len(slots)
	shift, straight, whole := 0, true, true
	first := true
	for i, slot := range slots {
		switch {
		case slot == dead:
			whole = false
		case first:
			shift, first = int(slot)-i, false
		case int(slot)-i != shift:
			straight = false
		}
	}
	if !whole {
		work.valid = append(work.valid[:0], make([]byte, (n+7)/8)...)
		for i, slot := range slots {
			if slot != dead {
				work.valid[i>>3] |= 1 << (i & 7)
			}
		}
		s.valid, s.validAt = work.valid, 0
	}
	if straight && shift >= 0 && shift+n <= length {
		s.slice(c, shift, n)
		return
	}
	s.gather(c, slots, work)
}

// slice narrows the values to n from first on.
func (s *source) slice(c *column, first, n int) {
	switch {
	case s.bits != nil:
		s.bitsAt += first
	case s.offsets != nil:
		s.offsets = s.offsets[first : first+n+1]
	case s.decimals != nil:
		s.decimals = s.decimals[first : first+n]
	default:
		s.fixed = s.fixed[first*c.width : (first+n)*c.width]
	}
}

// gather copies the values into the order of slots, with any value for entries that have none.
func (s *source) gather(c *column, slots []int32, work *scratch) {
	if c.kind == kindBytes {
		s.gatherText(slots, work)
		return
	}
	if c.kind == kindBool {
		bits := append(work.gathered[:0], make([]byte, (len(slots)+7)/8)...)
		for i, slot := range slots {
			if slot != dead {
				at := s.bitsAt + int(slot)
				bits[i>>3] |= s.bits[at>>3] >> (at & 7) & 1 << (i & 7)
			}
		}
		work.gathered, s.bits, s.bitsAt = bits, bits, 0
		return
	}
	width, from := c.width, s.fixed
	if s.decimals != nil {
		width, from = arrow.Decimal128SizeBytes, arrow.Decimal128Traits.CastToBytes(s.decimals)
	}
	size := len(slots) * width
	if cap(work.gathered) < size {
		work.gathered = make([]byte, size)
	}
	values := work.gathered[:size]
	for i, slot := range slots {
		if slot != dead {
			copy(values[i*width:(i+1)*width], from[int(slot)*width:])
		}
	}
	if s.decimals != nil {
		s.decimals = arrow.Decimal128Traits.CastFromBytes(values)
	} else {
		s.fixed = values
	}
}

func (s *source) gatherText(slots []int32, work *scratch) {
	text, ends := work.gathered[:0], append(work.offsets[:0], 0)
	for _, slot := range slots {
		if slot != dead {
			text = append(text, s.text[s.offsets[slot]:s.offsets[slot+1]]...)
		}
		ends = append(ends, int32(len(text)))
	}
	work.gathered, work.offsets = text, ends
	s.text, s.offsets = text, ends
}
