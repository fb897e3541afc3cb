package gather

import (
	"fmt"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
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
	columns := make([]arrow.Array, len(b.columns))
	for i, column := range b.columns {
		columns[i] = column.takeArray(mem, c)
	}
	return newBatch(b.schema, columns, c.count)
}

// newBatch returns a batch of columns, which are its own then.
func newBatch(schema *arrow.Schema, columns []arrow.Array, rows int) arrow.RecordBatch {
	batch := array.NewRecordBatch(schema, columns, int64(rows))
	for _, column := range columns {
		column.Release()
	}
	return batch
}

// column is one column, or what is below it, over all batches.
type column struct {
	typ      arrow.DataType // with the extension, if it is one
	storage  arrow.DataType
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
	c := &column{typ: arrays[0].DataType(), sources: make([]values, len(arrays))}
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
	c.storage = arrays[0].DataType()
	for i, a := range arrays {
		c.sources[i].read(a)
	}
	switch t := c.storage.(type) {
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

// takeArray copies what is chosen into an array.
func (c *column) takeArray(mem memory.Allocator, chosen choice) arrow.Array {
	taken := c.take(mem, chosen)
	defer taken.Release()
	return array.MakeFromData(taken)
}

// take copies what c chooses.
func (c *column) take(mem memory.Allocator, chosen choice) arrow.ArrayData {
	var held [3]*memory.Buffer // no type has more
	valid, nulls := c.takeValidity(mem, chosen)
	buffers := append(held[:0], valid)
	var children []arrow.ArrayData
	switch t := c.storage.(type) {
	case *arrow.BooleanType:
		buffers = append(buffers, c.takeBits(mem, chosen))
	case *arrow.StringType, *arrow.BinaryType:
		offsets, text := c.takeText(mem, chosen)
		buffers = append(buffers, offsets, text)
	case *arrow.StructType:
		for _, child := range c.children {
			children = append(children, child.take(mem, chosen))
		}
	case *arrow.ListType, *arrow.MapType:
		offsets, below := c.takeOffsets(mem, chosen)
		buffers = append(buffers, offsets)
		children = append(children, c.children[0].take(mem, below))
	case *arrow.DictionaryType:
		panic(fmt.Sprintf("BUG: rows of a column of type %s cannot be gathered", c.typ))
	case arrow.FixedWidthDataType:
		buffers = append(buffers, c.takeFixed(mem, chosen, t.Bytes()))
	default:
		panic(fmt.Sprintf("BUG: rows of a column of type %s cannot be gathered", c.typ))
	}
	taken := array.NewData(c.typ, chosen.count, buffers, children, nulls, 0)
	for _, buffer := range buffers {
		if buffer != nil {
			buffer.Release()
		}
	}
	for _, child := range children {
		child.Release()
	}
	return taken
}

// newBuffer returns a buffer of size bytes with whatever the allocator left in them.
func newBuffer(mem memory.Allocator, size int) *memory.Buffer {
	return memory.NewBufferWithAllocator(mem.Allocate(size), mem)
}

// takeValidity returns the bitmap of the chosen rows and how many are null; nil for none.
func (c *column) takeValidity(mem memory.Allocator, chosen choice) (*memory.Buffer, int) {
	if !c.nullable {
		return nil, 0
	}
	buffer := newBuffer(mem, int(bitutil.BytesForBits(int64(chosen.count))))
	bits := buffer.Bytes()
	clear(bits)
	if chosen.rows != nil {
		source := &c.sources[0]
		pickBits(bits, source.valid, source.validAt, chosen.rows)
	}
	at := 0
	for _, run := range chosen.runs {
		source := &c.sources[run.Batch]
		if source.valid == nil {
			setBits(bits, at, int(run.Rows))
		} else {
			copyBits(bits, at, source.valid, source.validAt+int(run.Row), int(run.Rows))
		}
		at += int(run.Rows)
	}
	nulls := chosen.count - bitutil.CountSetBits(bits, 0, chosen.count)
	if nulls == 0 {
		buffer.Release()
		return nil, 0
	}
	return buffer, nulls
}

func (c *column) takeBits(mem memory.Allocator, chosen choice) *memory.Buffer {
	buffer := newBuffer(mem, int(bitutil.BytesForBits(int64(chosen.count))))
	bits := buffer.Bytes()
	clear(bits)
	if chosen.rows != nil {
		source := &c.sources[0]
		pickBits(bits, source.bits, source.bitsAt, chosen.rows)
	}
	at := 0
	for _, run := range chosen.runs {
		source := &c.sources[run.Batch]
		copyBits(bits, at, source.bits, source.bitsAt+int(run.Row), int(run.Rows))
		at += int(run.Rows)
	}
	return buffer
}

func (c *column) takeFixed(mem memory.Allocator, chosen choice, width int) *memory.Buffer {
	buffer := newBuffer(mem, chosen.count*width)
	out := buffer.Bytes()
	switch width {
	case 1:
		takeNumbers[uint8](out, c.sources, chosen)
	case 2:
		takeNumbers[uint16](out, c.sources, chosen)
	case 4:
		takeNumbers[uint32](out, c.sources, chosen)
	case 8:
		takeNumbers[uint64](out, c.sources, chosen)
	case 16:
		takeNumbers[[16]byte](out, c.sources, chosen)
	default:
		takeWide(out, c.sources, chosen, width)
	}
	return buffer
}

// takeText copies strings or binaries and makes their offsets.
func (c *column) takeText(mem memory.Allocator, chosen choice) (offsets, text *memory.Buffer) {
	offsets = newBuffer(mem, (chosen.count+1)*arrow.Int32SizeBytes)
	ends := arrow.Int32Traits.CastFromBytes(offsets.Bytes())
	var size int64
	if chosen.rows != nil {
		size = pickEnds(ends, c.sources[0].offsets, chosen.rows)
	} else {
		size = runEnds(ends, c.sources, chosen.runs)
	}
	if size > math.MaxInt32 {
		panic(fmt.Sprintf("BUG: %d bytes of text gathered into one column", size))
	}
	text = newBuffer(mem, int(size))
	out := text.Bytes()
	if chosen.rows != nil {
		pickText(out, ends, &c.sources[0], chosen.rows)
	} else {
		runText(out, c.sources, chosen.runs)
	}
	return offsets, text
}

// takeOffsets makes the offsets of the chosen lists and chooses their elements. What lies below a
// null is left out.
func (c *column) takeOffsets(mem memory.Allocator, chosen choice) (*memory.Buffer, choice) {
	buffer := newBuffer(mem, (chosen.count+1)*arrow.Int32SizeBytes)
	ends := arrow.Int32Traits.CastFromBytes(buffer.Bytes())
	ends[0] = 0
	below := choice{runs: []Run{}}
	at := 0
	take := func(batch, row, rows uint32) {
		source := &c.sources[batch]
		for row, to := row, row+rows; row < to; row++ {
			if source.valid == nil || bitutil.BitIsSet(source.valid, source.validAt+int(row)) {
				first, end := source.offsets[row], source.offsets[row+1]
				if end > first {
					below.runs = AppendRun(below.runs, Run{batch, uint32(first), uint32(end - first)})
					below.count += int(end - first)
				}
			}
			at++
			ends[at] = int32(below.count)
		}
	}
	for _, row := range chosen.rows {
		take(0, row, 1)
	}
	for _, run := range chosen.runs {
		take(run.Batch, run.Row, run.Rows)
	}
	if below.count > math.MaxInt32 {
		panic(fmt.Sprintf("BUG: %d elements gathered into one column", below.count))
	}
	return buffer, below
}
