package table

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// rowRef points to a row of one of several batches.
type rowRef struct{ batch, row uint32 }

// gatherer copies rows out of several batches into new ones. It looks at the batches once, and lives
// as long as they do; gather may run on many goroutines.
type gatherer struct {
	sources []arrow.RecordBatch
	columns []*sourceColumn
}

// sourceColumn is one column, or what is below it, over all batches.
type sourceColumn struct {
	typ      arrow.DataType
	arrays   []arrow.Array
	nullable bool        // some array has nulls
	fixed    [][]byte    // values of fixed width
	texts    []varBinary // values of strings and binaries
	children []*sourceColumn
}

// varBinary is what String and Binary arrays have in common.
type varBinary struct {
	offsets []int32
	values  []byte
}

func newGatherer(sources []arrow.RecordBatch) *gatherer {
	g := &gatherer{sources: sources}
	for i := range int(sources[0].NumCols()) {
		arrays := make([]arrow.Array, len(sources))
		for s, source := range sources {
			arrays[s] = source.Column(i)
		}
		g.columns = append(g.columns, newSourceColumn(arrays))
	}
	return g
}

func newSourceColumn(arrays []arrow.Array) *sourceColumn {
	c := &sourceColumn{typ: arrays[0].DataType(), arrays: arrays}
	for _, a := range arrays {
		c.nullable = c.nullable || a.NullN() > 0
	}
	switch t := c.typ.(type) {
	case *arrow.BooleanType:
	case *arrow.StringType, *arrow.BinaryType:
		c.texts = make([]varBinary, len(arrays))
		for i, a := range arrays {
			c.texts[i] = textBuffers(a.Data())
		}
	case *arrow.StructType:
		for f := range t.NumFields() {
			c.addChild(func(a arrow.Array) arrow.Array { return a.(*array.Struct).Field(f) })
		}
	case *arrow.ListType, *arrow.MapType:
		c.addChild(func(a arrow.Array) arrow.Array { return a.(array.ListLike).ListValues() })
	case arrow.FixedWidthDataType:
		c.fixed = make([][]byte, len(arrays))
		for i, a := range arrays {
			if values := a.Data().Buffers()[1]; values != nil && a.Len() > 0 {
				start := a.Data().Offset() * t.Bytes()
				c.fixed[i] = values.Bytes()[start : start+a.Len()*t.Bytes()]
			}
		}
	}
	return c
}

func (c *sourceColumn) addChild(of func(arrow.Array) arrow.Array) {
	below := make([]arrow.Array, len(c.arrays))
	for i, a := range c.arrays {
		below[i] = of(a)
	}
	c.children = append(c.children, newSourceColumn(below))
}

func textBuffers(data arrow.ArrayData) varBinary {
	buffers := data.Buffers()
	if buffers[1] == nil || data.Len() == 0 {
		return varBinary{}
	}
	v := varBinary{offsets: arrow.Int32Traits.CastFromBytes(buffers[1].Bytes())[data.Offset():]}
	if buffers[2] != nil {
		v.values = buffers[2].Bytes()
	}
	return v
}

// gather copies the rows that refs point to into a new batch, which the caller releases.
func (g *gatherer) gather(mem memory.Allocator, refs []rowRef) arrow.RecordBatch {
	columns := make([]arrow.Array, len(g.columns))
	for i, column := range g.columns {
		data := column.gather(mem, refs)
		columns[i] = array.MakeFromData(data)
		data.Release()
		defer columns[i].Release()
	}
	return array.NewRecordBatch(g.sources[0].Schema(), columns, int64(len(refs)))
}

func (c *sourceColumn) gather(mem memory.Allocator, refs []rowRef) arrow.ArrayData {
	valid, nulls := c.gatherValidity(mem, refs)
	buffers := []*memory.Buffer{valid}
	var children []arrow.ArrayData
	switch t := c.typ.(type) {
	case *arrow.BooleanType:
		buffers = append(buffers, c.gatherBits(mem, refs))
	case *arrow.StringType, *arrow.BinaryType:
		buffers = append(buffers, c.gatherTexts(mem, refs)...)
	case *arrow.StructType:
		for _, child := range c.children {
			children = append(children, child.gather(mem, refs))
		}
	case *arrow.ListType, *arrow.MapType:
		offsets, below := c.gatherOffsets(mem, refs)
		buffers = append(buffers, offsets)
		children = append(children, c.children[0].gather(mem, below))
	case arrow.FixedWidthDataType:
		buffers = append(buffers, c.gatherFixed(mem, refs, t.Bytes()))
	default:
		panic(fmt.Sprintf("BUG: rows with a column of type %s cannot be sorted", c.typ))
	}
	data := array.NewData(c.typ, len(refs), buffers, children, nulls, 0)
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

func newBuffer(mem memory.Allocator, bytes int) *memory.Buffer {
	buffer := memory.NewResizableBuffer(mem)
	buffer.Resize(bytes)
	return buffer
}

func (c *sourceColumn) gatherValidity(mem memory.Allocator, refs []rowRef) (*memory.Buffer, int) {
	if !c.nullable {
		return nil, 0
	}
	buffer := newBuffer(mem, int(bitutil.BytesForBits(int64(len(refs)))))
	bits := buffer.Bytes()
	clear(bits)
	nulls := 0
	for i, ref := range refs {
		if c.arrays[ref.batch].IsValid(int(ref.row)) {
			bitutil.SetBit(bits, i)
		} else {
			nulls++
		}
	}
	return buffer, nulls
}

func (c *sourceColumn) gatherBits(mem memory.Allocator, refs []rowRef) *memory.Buffer {
	buffer := newBuffer(mem, int(bitutil.BytesForBits(int64(len(refs)))))
	bits := buffer.Bytes()
	clear(bits)
	for i, ref := range refs {
		if c.arrays[ref.batch].(*array.Boolean).Value(int(ref.row)) {
			bitutil.SetBit(bits, i)
		}
	}
	return buffer
}

func (c *sourceColumn) gatherFixed(mem memory.Allocator, refs []rowRef, width int) *memory.Buffer {
	buffer := newBuffer(mem, len(refs)*width)
	out := buffer.Bytes()
	switch width {
	case 4:
		for i, ref := range refs {
			*(*[4]byte)(out[i*4:]) = [4]byte(c.fixed[ref.batch][int(ref.row)*4:])
		}
	case 8:
		for i, ref := range refs {
			*(*[8]byte)(out[i*8:]) = [8]byte(c.fixed[ref.batch][int(ref.row)*8:])
		}
	default:
		for i, ref := range refs {
			copy(out[i*width:(i+1)*width], c.fixed[ref.batch][int(ref.row)*width:])
		}
	}
	return buffer
}

func (c *sourceColumn) gatherTexts(mem memory.Allocator, refs []rowRef) []*memory.Buffer {
	offsets := newBuffer(mem, (len(refs)+1)*arrow.Int32SizeBytes)
	ends := arrow.Int32Traits.CastFromBytes(offsets.Bytes())
	ends[0] = 0
	for i, ref := range refs {
		source := &c.texts[ref.batch]
		ends[i+1] = ends[i] + source.offsets[ref.row+1] - source.offsets[ref.row]
	}
	values := newBuffer(mem, int(ends[len(refs)]))
	out := values.Bytes()
	for i, ref := range refs {
		source := &c.texts[ref.batch]
		copy(out[ends[i]:], source.values[source.offsets[ref.row]:source.offsets[ref.row+1]])
	}
	return []*memory.Buffer{offsets, values}
}

// gatherOffsets makes the offsets of gathered lists and the refs of their elements.
func (c *sourceColumn) gatherOffsets(
	mem memory.Allocator, refs []rowRef,
) (*memory.Buffer, []rowRef) {
	buffer := newBuffer(mem, (len(refs)+1)*arrow.Int32SizeBytes)
	ends := arrow.Int32Traits.CastFromBytes(buffer.Bytes())
	ends[0] = 0
	var below []rowRef
	for i, ref := range refs {
		a := c.arrays[ref.batch].(array.ListLike)
		if a.IsValid(int(ref.row)) {
			start, end := a.ValueOffsets(int(ref.row))
			for e := start; e < end; e++ {
				below = append(below, rowRef{ref.batch, uint32(e)})
			}
		}
		ends[i+1] = int32(len(below))
	}
	return buffer, below
}
