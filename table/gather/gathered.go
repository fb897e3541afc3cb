package gather

import (
	"fmt"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// Gathered are rows that grow piece by piece into one batch. They belong to one goroutine and end in
// Batch.
type Gathered struct {
	schema  *arrow.Schema
	columns []*copied
	count   int
}

// NewGathered returns no rows of schema yet. Pieces is how many pieces of about one size will come.
func NewGathered(mem memory.Allocator, schema *arrow.Schema, pieces int) *Gathered {
	g := &Gathered{schema: schema, columns: make([]*copied, schema.NumFields())}
	for i, field := range schema.Fields() {
		g.columns[i] = newCopied(growth{mem, max(pieces, 1)}, field.Type)
	}
	return g
}

// Count is how many rows there are.
func (g *Gathered) Count() int { return g.count }

// Batch returns the rows, which the caller releases, and leaves none.
func (g *Gathered) Batch() arrow.RecordBatch {
	columns := make([]arrow.Array, len(g.columns))
	for i, column := range g.columns {
		data := column.end()
		columns[i] = array.MakeFromData(data)
		data.Release()
	}
	batch := array.NewRecordBatch(g.schema, columns, int64(g.count))
	for _, column := range columns {
		column.Release()
	}
	g.columns, g.count = nil, 0
	return batch
}

// growth says how memory grows.
type growth struct {
	mem    memory.Allocator
	pieces int
}

// room is memory of which a part is used.
type room struct {
	bytes []byte
	used  int
}

// extend returns what is used together with n bytes more, which hold anything.
func (r *room) extend(g growth, n int) []byte {
	need := r.used + n
	switch {
	case r.bytes == nil && g.pieces == 1:
		r.bytes = g.mem.Allocate(need)
	case r.bytes == nil: // pieces are of about one size
		r.bytes = g.mem.Allocate(g.pieces * (need + need/sparePart))
	case need > len(r.bytes):
		r.bytes = g.mem.Reallocate(need+need/2, r.bytes)
	}
	r.used = need
	return r.bytes[:need]
}

// sparePart of a piece is left for others to be larger.
const sparePart = 16

// end returns what is used, in a place of its size if pieces that were expected did not come: nobody
// counts the rest.
func (r *room) end(g growth) *memory.Buffer {
	bytes := r.bytes
	switch {
	case bytes == nil:
		bytes = g.mem.Allocate(0)
	case 4*r.used < 3*len(bytes):
		bytes = g.mem.Allocate(r.used)
		copy(bytes, r.bytes)
		g.mem.Free(r.bytes)
	case r.used != len(bytes):
		bytes = g.mem.Reallocate(r.used, bytes)
	}
	return memory.NewBufferWithAllocator(bytes, g.mem)
}

// copied is a column, or what is below it, that rows were copied to.
type copied struct {
	growth
	typ      arrow.DataType // with the extension, if it is one
	storage  arrow.DataType
	rows     int
	nullable bool // there is a bitmap
	valid    room
	values   room // of fixed width, or bits
	offsets  room // of text or elements
	text     room
	children []*copied
}

func newCopied(g growth, typ arrow.DataType) *copied {
	c := &copied{growth: g, typ: typ, storage: typ}
	for {
		extension, ok := c.storage.(arrow.ExtensionType)
		if !ok {
			break
		}
		c.storage = extension.StorageType()
	}
	switch t := c.storage.(type) {
	case *arrow.StructType:
		for _, field := range t.Fields() {
			c.children = append(c.children, newCopied(g, field.Type))
		}
	case *arrow.ListType:
		c.children = []*copied{newCopied(g, t.Elem())}
	case *arrow.MapType:
		c.children = []*copied{newCopied(g, t.Elem())}
	}
	return c
}

// take appends what from chooses.
func (c *copied) take(from *column, chosen choice) {
	c.takeValidity(from, chosen)
	switch t := c.storage.(type) {
	case *arrow.BooleanType:
		c.takeBits(from, chosen)
	case *arrow.StringType, *arrow.BinaryType:
		c.takeText(from, chosen)
	case *arrow.StructType:
		for i, child := range c.children {
			child.take(from.children[i], chosen)
		}
	case *arrow.ListType, *arrow.MapType:
		c.children[0].take(from.children[0], c.takeOffsets(from, chosen))
	case *arrow.DictionaryType:
		panic(fmt.Sprintf("BUG: rows of a column of type %s cannot be gathered", c.typ))
	case arrow.FixedWidthDataType:
		c.takeFixed(from, chosen, t.Bytes())
	default:
		panic(fmt.Sprintf("BUG: rows of a column of type %s cannot be gathered", c.typ))
	}
	c.rows += chosen.count
}

// end returns the column, which the caller releases.
func (c *copied) end() arrow.ArrayData {
	var held [3]*memory.Buffer // no type has more
	valid, nulls := c.endValidity()
	buffers := append(held[:0], valid)
	switch c.storage.(type) {
	case *arrow.StringType, *arrow.BinaryType:
		c.beginOffsets()
		buffers = append(buffers, c.offsets.end(c.growth), c.text.end(c.growth))
	case *arrow.ListType, *arrow.MapType:
		c.beginOffsets()
		buffers = append(buffers, c.offsets.end(c.growth))
	case *arrow.StructType:
	default:
		buffers = append(buffers, c.values.end(c.growth))
	}
	var children []arrow.ArrayData
	for _, child := range c.children {
		children = append(children, child.end())
	}
	data := array.NewData(c.typ, c.rows, buffers, children, nulls, 0)
	for _, buffer := range buffers {
		if buffer != nil {
			buffer.Release()
		}
	}
	for _, child := range children {
		child.Release()
	}
	return data
}

// moreBits returns the bits of r, which has some for all rows so far, with n clear ones behind them.
func (c *copied) moreBits(r *room, n int) []byte {
	before := r.used
	bits := r.extend(c.growth, int(bitutil.BytesForBits(int64(c.rows+n)))-before)
	clear(bits[before:])
	return bits
}

func (c *copied) takeValidity(from *column, chosen choice) {
	if from.nullable && !c.nullable {
		c.nullable = true
		bits := c.valid.extend(c.growth, int(bitutil.BytesForBits(int64(c.rows))))
		clear(bits)
		setBits(bits, 0, c.rows)
	}
	if !c.nullable {
		return
	}
	bits := c.moreBits(&c.valid, chosen.count)
	if chosen.rows != nil {
		source := &from.sources[0]
		pickBits(bits, c.rows, source.valid, source.validAt, chosen.rows)
	}
	at := c.rows
	for _, run := range chosen.runs {
		source := &from.sources[run.Batch]
		if source.valid == nil {
			setBits(bits, at, int(run.Rows))
		} else {
			copyBits(bits, at, source.valid, source.validAt+int(run.Row), int(run.Rows))
		}
		at += int(run.Rows)
	}
}

// endValidity returns the bitmap and how many rows are null; nil for none.
func (c *copied) endValidity() (*memory.Buffer, int) {
	if !c.nullable {
		return nil, 0
	}
	buffer := c.valid.end(c.growth)
	nulls := c.rows - bitutil.CountSetBits(buffer.Bytes(), 0, c.rows)
	if nulls == 0 {
		buffer.Release()
		return nil, 0
	}
	return buffer, nulls
}

func (c *copied) takeBits(from *column, chosen choice) {
	bits := c.moreBits(&c.values, chosen.count)
	if chosen.rows != nil {
		source := &from.sources[0]
		pickBits(bits, c.rows, source.bits, source.bitsAt, chosen.rows)
	}
	at := c.rows
	for _, run := range chosen.runs {
		source := &from.sources[run.Batch]
		copyBits(bits, at, source.bits, source.bitsAt+int(run.Row), int(run.Rows))
		at += int(run.Rows)
	}
}

func (c *copied) takeFixed(from *column, chosen choice, width int) {
	out := c.values.extend(c.growth, chosen.count*width)[c.rows*width:]
	switch width {
	case 1:
		takeNumbers[uint8](out, from.sources, chosen)
	case 2:
		takeNumbers[uint16](out, from.sources, chosen)
	case 4:
		takeNumbers[uint32](out, from.sources, chosen)
	case 8:
		takeNumbers[uint64](out, from.sources, chosen)
	case 16:
		takeNumbers[[16]byte](out, from.sources, chosen)
	default:
		takeWide(out, from.sources, chosen, width)
	}
}

// beginOffsets has the first offset.
func (c *copied) beginOffsets() {
	if c.offsets.used == 0 {
		clear(c.offsets.extend(c.growth, arrow.Int32SizeBytes))
	}
}

// moreOffsets returns the last offset and room for n behind it.
func (c *copied) moreOffsets(n int) []int32 {
	if c.offsets.used == 0 {
		offsets := arrow.Int32Traits.CastFromBytes(c.offsets.extend(c.growth, (n+1)*arrow.Int32SizeBytes))
		offsets[0] = 0
		return offsets
	}
	return arrow.Int32Traits.CastFromBytes(c.offsets.extend(c.growth, n*arrow.Int32SizeBytes))[c.rows:]
}

// takeText copies strings or binaries and makes their offsets.
func (c *copied) takeText(from *column, chosen choice) {
	ends := c.moreOffsets(chosen.count)
	var size int64
	if chosen.rows != nil {
		size = pickEnds(ends, from.sources[0].offsets, chosen.rows)
	} else {
		size = runEnds(ends, from.sources, chosen.runs)
	}
	if size > math.MaxInt32 {
		panic(fmt.Sprintf("BUG: %d bytes of text gathered into one column", size))
	}
	begin := int(ends[0])
	out := c.text.extend(c.growth, int(size)-begin)
	if chosen.rows != nil {
		pickText(out, ends, &from.sources[0], chosen.rows)
	} else {
		runText(out[begin:], from.sources, chosen.runs)
	}
}

// takeOffsets makes the offsets of the chosen lists and chooses their elements. What lies below a
// null is left out.
func (c *copied) takeOffsets(from *column, chosen choice) choice {
	ends := c.moreOffsets(chosen.count)
	begin := int(ends[0])
	below := choice{runs: []Run{}}
	at := 0
	take := func(batch, row, rows uint32) {
		source := &from.sources[batch]
		for row, to := row, row+rows; row < to; row++ {
			if source.valid == nil || bitutil.BitIsSet(source.valid, source.validAt+int(row)) {
				first, end := source.offsets[row], source.offsets[row+1]
				if end > first {
					below.runs = AppendRun(below.runs, Run{batch, uint32(first), uint32(end - first)})
					below.count += int(end - first)
				}
			}
			at++
			ends[at] = int32(begin + below.count)
		}
	}
	for _, row := range chosen.rows {
		take(0, row, 1)
	}
	for _, run := range chosen.runs {
		take(run.Batch, run.Row, run.Rows)
	}
	if begin+below.count > math.MaxInt32 {
		panic(fmt.Sprintf("BUG: %d elements gathered into one column", begin+below.count))
	}
	return below
}
