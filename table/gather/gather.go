package gather

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// Run is a range of rows of one of several batches.
type Run struct{ Batch, Row, Rows uint32 }

// Batches are batches of one schema that rows are taken out of. It looks at them once and lives no
// longer than they do; many goroutines may use it.
type Batches struct {
	schema  *arrow.Schema
	columns []*column
}

// New returns batches to take rows out of; there is at least one. It retains none of them.
func New(batches []arrow.RecordBatch) *Batches {
	b := &Batches{schema: batches[0].Schema()}
	for i := range int(batches[0].NumCols()) {
		arrays := make([]arrow.Array, len(batches))
		for at, batch := range batches {
			arrays[at] = batch.Column(i)
		}
		b.columns = append(b.columns, newColumn(arrays))
	}
	return b
}

// Runs copies the rows of runs, in their order, into a new batch, which the caller releases.
func (b *Batches) Runs(mem memory.Allocator, runs []Run) arrow.RecordBatch {
	c := choice{runs: runs}
	for _, run := range runs {
		c.count += int(run.Rows)
	}
	return b.take(mem, c)
}

// Rows copies rows of batch, in their order, into a new batch, which the caller releases. It is
// cheaper the more of them are neighbours.
func Rows(mem memory.Allocator, batch arrow.RecordBatch, rows []uint32) arrow.RecordBatch {
	return New([]arrow.RecordBatch{batch}).take(mem, choose(rows))
}

// rowsPerRun is how many rows a run must have on average before copying runs is cheaper than
// copying rows.
const rowsPerRun = 4

func choose(rows []uint32) choice {
	count := 0
	for i, row := range rows {
		if i == 0 || row != rows[i-1]+1 {
			count++
		}
	}
	if count*rowsPerRun > len(rows) {
		return choice{rows: rows, count: len(rows)}
	}
	runs := make([]Run, 0, count)
	for _, row := range rows {
		runs = AppendRun(runs, Run{Row: row, Rows: 1})
	}
	return choice{runs: runs, count: len(rows)}
}

// AppendRun appends next to runs, or makes the last one longer where next goes on with it.
func AppendRun(runs []Run, next Run) []Run {
	if n := len(runs); n > 0 {
		last := &runs[n-1]
		if last.Batch == next.Batch && last.Row+last.Rows == next.Row {
			last.Rows += next.Rows
			return runs
		}
	}
	return append(runs, next)
}

// choice is what is to be copied: runs, or when rows is set rows of the first batch.
type choice struct {
	runs  []Run
	rows  []uint32
	count int // of rows
}

func (b *Batches) take(mem memory.Allocator, c choice) arrow.RecordBatch {
	rows := NewGathered(mem, b.schema, 1)
	for i, column := range b.columns {
		rows.columns[i].take(column, c)
	}
	rows.count = c.count
	return rows.Batch()
}

// column is one column, or what is below it, over all batches.
type column struct {
	nullable bool // some source has nulls
	sources  []values
	children []*column
}

// values are the buffers of an array without its offset, as far as its type has them.
type values struct {
	valid   []byte // bitmap from validAt on; nil when all are valid
	validAt int
	bits    []byte // booleans from bitsAt on
	bitsAt  int
	fixed   []byte
	offsets []int32 // of text or elements, one more than rows
	text    []byte
}

func newColumn(arrays []arrow.Array) *column {
	c := &column{sources: make([]values, len(arrays))}
	for i, a := range arrays {
		for {
			extension, ok := a.(array.ExtensionArray)
			if !ok {
				break
			}
			a = extension.Storage()
		}
		arrays[i] = a
		if a.NullN() > 0 {
			c.nullable = true
			c.sources[i].valid, c.sources[i].validAt = a.NullBitmapBytes(), a.Data().Offset()
		}
	}
	for i, a := range arrays {
		c.sources[i].read(a)
	}
	switch t := arrays[0].DataType().(type) {
	case *arrow.StructType:
		for f := range t.NumFields() {
			c.addChild(arrays, func(a arrow.Array) arrow.Array { return a.(*array.Struct).Field(f) })
		}
	case *arrow.ListType, *arrow.MapType:
		c.addChild(arrays, func(a arrow.Array) arrow.Array { return a.(array.ListLike).ListValues() })
	}
	return c
}

func (c *column) addChild(arrays []arrow.Array, of func(arrow.Array) arrow.Array) {
	below := make([]arrow.Array, len(arrays))
	for i, a := range arrays {
		below[i] = of(a)
	}
	c.children = append(c.children, newColumn(below))
}

// read finds the values of a, whose buffers may be missing when it has none.
func (v *values) read(a arrow.Array) {
	from, rows, buffers := a.Data().Offset(), a.Len(), a.Data().Buffers()
	bytesOf := func(i int) []byte {
		if buffers[i] == nil {
			return nil
		}
		return buffers[i].Bytes()
	}
	if rows == 0 {
		v.offsets = []int32{0}
		return
	}
	switch t := a.DataType().(type) {
	case *arrow.BooleanType:
		v.bits, v.bitsAt = bytesOf(1), from
	case *arrow.StringType, *arrow.BinaryType:
		v.offsets = arrow.Int32Traits.CastFromBytes(bytesOf(1))[from : from+rows+1]
		v.text = bytesOf(2)
	case *arrow.ListType, *arrow.MapType:
		v.offsets = arrow.Int32Traits.CastFromBytes(bytesOf(1))[from : from+rows+1]
	case *arrow.StructType:
	case arrow.FixedWidthDataType:
		v.fixed = bytesOf(1)[from*t.Bytes() : (from+rows)*t.Bytes()]
	}
}
