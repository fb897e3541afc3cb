package filter

import (
	"fmt"
	"math/bits"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/firthlake/firth/table/gather"
)

// Selection is a set of rows of one batch. It belongs to one goroutine.
type Selection struct {
	words []uint64 // bits at and behind rows are zero
	rows  int
	list  []uint32 // scratch of Apply
}

// Reset makes it the set of all of rows rows, reusing its memory.
func (s *Selection) Reset(rows int) {
	s.resize(rows)
	fillOnes(s.words, rows)
}

func (s *Selection) resize(rows int) {
	words := (rows + 63) / 64
	if cap(s.words) < words {
		s.words = make([]uint64, words)
	}
	s.words, s.rows = s.words[:words], rows
}

// Rows is the number of rows of the batch.
func (s *Selection) Rows() int { return s.rows }

// Count is the number of rows in the set.
func (s *Selection) Count() int {
	count := 0
	for _, word := range s.words {
		count += bits.OnesCount64(word)
	}
	return count
}

// Contains says whether row is in the set.
func (s *Selection) Contains(row int) bool { return s.words[row>>6]>>(row&63)&1 == 1 }

// Remove takes row out of the set.
func (s *Selection) Remove(row int) { s.words[row>>6] &^= 1 << (row & 63) }

// Intersect keeps the rows that are in other too, which must be of the same batch.
func (s *Selection) Intersect(other *Selection) {
	if s.rows != other.rows {
		panic(fmt.Sprintf("BUG: selections of %d and %d rows", s.rows, other.rows))
	}
	for i, word := range other.words {
		s.words[i] &= word
	}
}

// Apply returns the rows of batch that are in the set, in their order: batch itself, retained,
// when all are. The caller releases it.
func (s *Selection) Apply(mem memory.Allocator, batch arrow.RecordBatch) arrow.RecordBatch {
	if int64(s.rows) != batch.NumRows() {
		panic(fmt.Sprintf("BUG: selection of %d rows for a batch of %d", s.rows, batch.NumRows()))
	}
	count := s.Count()
	if count == s.rows {
		batch.Retain()
		return batch
	}
	if count == 0 {
		return batch.NewSlice(0, 0)
	}
	s.list = s.AppendRows(s.list[:0])
	return gather.Rows(mem, batch, s.list)
}

// AppendRows appends the rows in the set, in their order, to dst.
func (s *Selection) AppendRows(dst []uint32) []uint32 {
	dst = slices.Grow(dst, s.Count())
	for i, word := range s.words {
		for first := uint32(i) << 6; word != 0; word &= word - 1 {
			dst = append(dst, first+uint32(bits.TrailingZeros64(word)))
		}
	}
	return dst
}

func (s *Selection) invert() {
	for i := range s.words {
		s.words[i] = ^s.words[i]
	}
	if tail := s.rows & 63; tail != 0 {
		s.words[len(s.words)-1] &= 1<<tail - 1
	}
}

func fillOnes(words []uint64, rows int) {
	for i := range words {
		words[i] = ^uint64(0)
	}
	if tail := rows & 63; tail != 0 {
		words[len(words)-1] = 1<<tail - 1
	}
}

// IntersectBitmap keeps the rows whose bit is set in bitmap, where row 0 has the bit at position
// at.
func (s *Selection) IntersectBitmap(bitmap []byte, at int) {
	for i := range s.words {
		s.words[i] &= bitsAt(bitmap, at+i*64)
	}
}
