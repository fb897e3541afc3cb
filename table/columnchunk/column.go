package columnchunk

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/schema"
)

// step is one node of the schema on the way from a batch to a leaf.
type step struct {
	field    int // of the batch or of the array above
	optional bool
	repeated bool // the elements of the list or map above
}

// column is one leaf of the file while a row group is open: its open page, and what is known of the
// finished pages of its chunk, which lie in the heap.
type column struct {
	descr    *schema.Column
	name     string
	kind     kind
	width    int // of a value; 0 for booleans and BYTE_ARRAY
	signed   bool
	text     bool // bounds must stay UTF-8
	steps    []step
	greatest int // definition level of a value
	repeats  int // greatest repetition level; 0 outside lists
	encoding Encoding
	limits   limits
	heap     *heap

	*storage
	filter     *bloomFilter // nil without one
	open       openPage
	chunk      chunk
	codec      *columnTrials
	indexing   bool // the open page holds numbers of the dictionary
	overflowed bool // the dictionary did not pay in this file
}

// limits end a page.
type limits struct {
	pageBytes, pageEntries, dictionaryBytes int
}

// openPage counts what the storage of a column holds for the page that is being filled.
type openPage struct {
	entries        int
	rows           int
	values         int // entries that are not null
	shortest, most int // lengths of BYTE_ARRAY values
}

// begin begins a chunk in store.
func (c *column) begin(store *storage, buffers *Buffers) {
	c.storage = store
	if c.encoding.Filter.BytesMax > 0 && c.kind != kindBool {
		c.filter = buffers.takeFilter()
		c.filter.reset(c.encoding.Filter.BytesMax)
	}
	c.chunk = chunk{}
	c.records, c.bounds = c.records[:0], c.bounds[:0]
	c.least, c.top = c.least[:0], c.top[:0]
	c.indexing = c.encoding.Dictionary && !c.overflowed && c.kind != kindBool
	if c.indexing {
		c.dictionary.reset(c.limits.dictionaryBytes, c.kind)
	}
	c.beginPage()
}

// end hands the memory of the chunk back, but for the storage.
func (c *column) end(buffers *Buffers) {
	c.storage = nil
	if c.filter != nil {
		buffers.giveFilter(c.filter)
		c.filter = nil
	}
}

func (c *column) heldBytes() int64 {
	size := c.storage.heldBytes()
	if c.filter != nil {
		size += 4 * int64(cap(c.filter.words))
	}
	return size
}

func (c *column) beginPage() {
	c.open = openPage{shortest: math.MaxInt}
	c.levels, c.repeatLevels = c.levels[:0], c.repeatLevels[:0]
	c.values, c.lengths, c.indexes = c.values[:0], c.lengths[:0], c.indexes[:0]
	if cap(c.values) > storageBytesMax {
		c.values = nil
	}
}

// appendRows takes in rows [from, to) of a batch.
func (c *column) appendRows(batch arrow.RecordBatch, from, to int, work *scratch) error {
	if err := work.source.read(c, batch, work); err != nil {
		return err
	}
	first, end := work.source.span(from, to)
	return c.append(&work.source, first, end, work)
}

// append takes in entries [from, to) of s, which are whole rows.
func (c *column) append(s *source, from, to int, work *scratch) error {
	for from < to {
		n := c.room(s, from, to)
		if n == 0 {
			if err := c.endPage(work); err != nil {
				return err
			}
			continue
		}
		next := c.take(s, from, from+n, work)
		if next < from+n { // the dictionary is full
			if c.open.entries > 0 {
				if err := c.endPage(work); err != nil {
					return err
				}
			}
			c.indexing, c.overflowed = false, true
		}
		from = next
	}
	return nil
}

// pageEncoding is how the open page is stored. A page of nulls has no values to encode: Iceberg's
// vectorised reader fails on one in DELTA_LENGTH_BYTE_ARRAY.
func (c *column) pageEncoding(work *scratch) parquet.Encoding {
	switch {
	case c.open.values == 0:
		return parquet.Encodings.Plain
	case c.indexing:
		return parquet.Encodings.RLEDict
	case !c.keepsApart(work):
		return parquet.Encodings.Plain
	}
	return c.encoding.Values
}

// appendPlain appends the values of the open page as PLAIN has them.
func (c *column) appendPlain(dst []byte) []byte {
	switch c.kind {
	case kindBool:
		return pack(dst, c.values, 1)
	case kindBytes:
		at := 0
		for _, n := range c.lengths {
			dst = binary.LittleEndian.AppendUint32(dst, n)
			dst = append(dst, c.values[at:at+int(n)]...)
			at += int(n)
		}
		return dst
	}
	return append(dst, c.values...)
}

// checkEncoding says whether a column can be stored so.
func (c *column) checkEncoding() error {
	if err := c.encoding.Filter.check(); err != nil {
		return fmt.Errorf("column %s: %w", c.name, err)
	}
	switch c.encoding.Values {
	case parquet.Encodings.Plain:
		return nil
	case parquet.Encodings.DeltaBinaryPacked:
		if c.kind == kindInt32 || c.kind == kindInt64 {
			return nil
		}
	case parquet.Encodings.DeltaLengthByteArray:
		if c.kind == kindBytes {
			return nil
		}
	case parquet.Encodings.ByteStreamSplit:
		if c.kind.isFloat() {
			return nil
		}
	}
	return fmt.Errorf("column %s: %s cannot be stored as %s",
		c.name, c.descr.PhysicalType(), c.encoding.Values)
}
