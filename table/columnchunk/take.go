package columnchunk

import (
	"math"
	"sort"

	"github.com/apache/arrow-go/v18/arrow"
)

// room is how many entries from from on fit into the open page: whole rows, at least one in an empty
// page.
func (c *column) room(s *source, from, to int) int {
	n := c.roomOfEntries(s, from, to)
	if s.repeats == nil {
		return n
	}
	end := from + n
	for end > from && end < to && s.repeats[end] != 0 {
		end--
	}
	if end == from && c.open.entries == 0 {
		for end++; end < to && s.repeats[end] != 0; {
			end++
		}
	}
	return end - from
}

// roomOfEntries counts as if none were null.
func (c *column) roomOfEntries(s *source, from, to int) int {
	n := min(to-from, max(c.limits.pageEntries-c.open.entries, 0))
	if c.indexing || c.kind == kindBool {
		return n
	}
	left := c.limits.pageBytes - len(c.values) - 4*len(c.lengths)
	if c.kind == kindBytes {
		first := s.offsets[from]
		if int(s.offsets[from+n]-first)+4*n > left {
			n = sort.Search(n, func(i int) bool {
				return int(s.offsets[from+i+1]-first)+4*(i+1) > left
			})
		}
	} else {
		n = min(n, max(left, 0)/c.width)
	}
	if c.open.entries == 0 {
		n = max(n, 1)
	}
	return n
}

// take moves entries [from, to) into the open page, up to the row with a value that finds no room in
// the dictionary, where it stops.
func (c *column) take(s *source, from, to int, work *scratch) int {
	next, values := to, 0
	if s.valid == nil {
		next = from + c.takeValues(s, from, to, work)
		values = next - from
	} else {
		for at := s.validAt + from; at < s.validAt+to; {
			start, end := nextRun(s.valid, at, s.validAt+to)
			n := c.takeValues(s, start-s.validAt, end-s.validAt, work)
			values += n
			if n < end-start {
				next = start + n - s.validAt
				break
			}
			at = end
		}
	}
	if next < to && s.repeats != nil {
		next, values = c.untake(s, next, values)
	}
	c.takeLevels(s, from, next)
	c.open.entries += next - from
	c.open.values += values
	c.countRows(s, from, next)
	return next
}

// untake gives back the numbers of the row that entry next is in, since a page begins with a row.
func (c *column) untake(s *source, next, values int) (begin, left int) {
	begin = next
	for s.repeats[begin] != 0 {
		begin--
	}
	for i := begin; i < next; i++ {
		if s.valid == nil || s.valid[(s.validAt+i)>>3]>>((s.validAt+i)&7)&1 != 0 {
			values--
			c.indexes = c.indexes[:len(c.indexes)-1]
		}
	}
	return begin, values
}

func (c *column) countRows(s *source, from, to int) {
	if s.repeats == nil {
		c.open.rows += to - from
		return
	}
	for _, repeat := range s.repeats[from:to] {
		if repeat == 0 {
			c.open.rows++
		}
	}
}

func (c *column) takeLevels(s *source, from, to int) {
	if s.repeats != nil {
		c.repeatLevels = append(c.repeatLevels, s.repeats[from:to]...)
		c.levels = append(c.levels, s.levels[from:to]...)
		return
	}
	if c.greatest == 0 || s.valid == nil && len(c.levels) == 0 {
		return
	}
	c.fillLevels(c.open.entries - len(c.levels))
	switch {
	case s.valid == nil:
		c.fillLevels(to - from)
	case s.levels != nil:
		c.levels = append(c.levels, s.levels[from:to]...)
	default:
		c.levels = appendBits(c.levels, s.valid, s.validAt+from, s.validAt+to, byte(c.greatest-1))
	}
}

// fillLevels adds entries that have a value.
func (c *column) fillLevels(n int) {
	for range n {
		c.levels = append(c.levels, byte(c.greatest))
	}
}

// takeValues moves the values of rows [from, to), none of them null, and says how many the
// dictionary took; without one, all.
func (c *column) takeValues(s *source, from, to int, work *scratch) int {
	if c.indexing {
		return c.takeNumbers(s, from, to, work)
	}
	switch {
	case s.bits != nil:
		c.values = appendBits(c.values, s.bits, s.bitsAt+from, s.bitsAt+to, 0)
	case s.offsets != nil:
		c.takeText(s, from, to)
	case s.decimals != nil:
		c.values = appendDecimals(c.values, s.decimals[from:to], c.kind, c.width)
	default:
		c.values = append(c.values, s.fixed[from*c.width:to*c.width]...)
	}
	return to - from
}

func (c *column) takeText(s *source, from, to int) {
	if from == to {
		return
	}
	offsets := s.offsets[from : to+1]
	last := offsets[0]
	shortest, most := int32(math.MaxInt32), int32(0)
	for _, end := range offsets[1:] {
		n := end - last
		last = end
		shortest, most = min(shortest, n), max(most, n)
		c.lengths = append(c.lengths, uint32(n))
	}
	c.open.shortest = min(c.open.shortest, int(shortest))
	c.open.most = max(c.open.most, int(most))
	c.values = append(c.values, s.text[offsets[0]:last]...)
}

// takeNumbers is takeValues by way of the dictionary.
func (c *column) takeNumbers(s *source, from, to int, work *scratch) (taken int) {
	if s.offsets != nil {
		for row := from; row < to; row++ {
			number, ok := c.dictionary.addBytes(s.text[s.offsets[row]:s.offsets[row+1]])
			if !ok {
				return row - from
			}
			c.indexes = append(c.indexes, number)
		}
		return to - from
	}
	var values []byte
	if s.decimals != nil {
		work.decimals = appendDecimals(work.decimals[:0], s.decimals[from:to], c.kind, c.width)
		values = work.decimals
	} else {
		values = s.fixed[from*c.width : to*c.width]
	}
	switch c.kind.numberWidth() {
	case 4:
		c.indexes, taken = addNumbers(&c.dictionary, c.indexes, arrow.Uint32Traits.CastFromBytes(values))
	case 8:
		c.indexes, taken = addNumbers(&c.dictionary, c.indexes, arrow.Uint64Traits.CastFromBytes(values))
	default:
		for ; taken < to-from; taken++ {
			number, ok := c.dictionary.addBytes(values[taken*c.width : (taken+1)*c.width])
			if !ok {
				break
			}
			c.indexes = append(c.indexes, number)
		}
	}
	return taken
}
