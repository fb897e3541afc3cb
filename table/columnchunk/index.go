package columnchunk

import (
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/parquet/metadata"
)

const (
	// sizeIndexBound is where bounds in the page index are cut: there is a pair for each page.
	sizeIndexBound = 64
	// sizeChunkBound is the longest bound of a chunk; longer ones are left out, since a bound of a
	// chunk may be taken for a value.
	sizeChunkBound = 4096
)

// keepBounds puts the bounds of a page into its record, cut, and widens those of the chunk.
func (c *column) keepBounds(record *pageRecord, b *bounds) {
	if !b.known {
		return
	}
	least, top := b.least, b.top
	if !c.chunk.bounded || c.compare(least, c.least) < 0 {
		c.least = append(c.least[:0], c.told(least)...)
	}
	if !c.chunk.bounded || c.compare(top, c.top) > 0 {
		c.top = append(c.top[:0], c.told(top)...)
	}
	c.chunk.bounded = true

	record.known = true
	from := len(c.bounds)
	if c.kind != kindBytes {
		c.bounds = append(append(c.bounds, least...), top...)
		middle := from + len(least)
		record.least, record.top = extent{from, middle}, extent{middle, len(c.bounds)}
		return
	}
	c.bounds = append(c.bounds, least[:cut(least, c.text)]...)
	middle := len(c.bounds)
	c.bounds = appendAbove(c.bounds, top, c.text)
	record.least, record.top = extent{from, middle}, extent{middle, len(c.bounds)}
}

// told is as much of a value as must be known of a bound of the chunk. Two values that differ only behind
// that are both too long to be told, so it does not matter which is the bound.
func (c *column) told(value []byte) []byte {
	if c.kind != kindBytes {
		return value
	}
	return value[:min(len(value), sizeChunkBound+1)]
}

// cut is how much of value a bound keeps: whole characters of text.
func cut(value []byte, text bool) int {
	if len(value) <= sizeIndexBound {
		return len(value)
	}
	end := sizeIndexBound
	if text {
		for end > sizeIndexBound-utf8.UTFMax && !utf8.RuneStart(value[end]) {
			end--
		}
	}
	return end
}

// appendAbove appends a short bound that is not below value: value cut, and the last character or byte
// that can be raised raised. Where none can, it is value itself.
func appendAbove(dst, value []byte, text bool) []byte {
	end := cut(value, text)
	if end == len(value) {
		return append(dst, value...)
	}
	if text && utf8.Valid(value[:end]) {
		for end > 0 {
			last, size := utf8.DecodeLastRune(value[:end])
			end -= size
			switch last {
			case utf8.MaxRune:
				continue
			case 0xd7ff: // what follows are surrogates, which are no characters
				last = 0xe000
			default:
				last++
			}
			return utf8.AppendRune(append(dst, value[:end]...), last)
		}
		return append(dst, value...)
	}
	for ; end > 0; end-- {
		if last := value[end-1]; last != 0xff {
			return append(append(dst, value[:end-1]...), last+1)
		}
	}
	return append(dst, value...)
}

// describe gives the pages of a chunk, whose data pages begin at offset, to the page index.
func (c *column) describe(index *metadata.PageIndexBuilder, ordinal int, offset int64) error {
	columns, err := index.GetColumnIndexBuilder(ordinal)
	if err != nil {
		return err
	}
	offsets, err := index.GetOffsetIndexBuilder(ordinal)
	if err != nil {
		return err
	}
	kept := keep(c.bounds) // the index keeps views until the end of the file
	row := int64(0)
	for _, r := range c.records {
		stats := metadata.EncodedStatistics{AllNullValue: r.nulls == r.entries}
		stats.SetNullCount(int64(r.nulls))
		if r.known {
			stats.SetMin(kept[r.least.from:r.least.to:r.least.to])
			stats.SetMax(kept[r.top.from:r.top.to:r.top.to])
		}
		if err := columns.AddPage(&stats); err != nil {
			return err
		}
		if err := offsets.AddPage(offset, row, int32(r.size)); err != nil {
			return err
		}
		offset += int64(r.size)
		row += int64(r.rows)
	}
	if err := columns.Finish(); err != nil {
		return err
	}
	return offsets.Finish(0)
}
