package decode

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// Finish returns the values as an array, which the caller releases, and leaves the column empty for
// the next batch.
func (c *Column) Finish() arrow.Array {
	data := c.finish()
	defer data.Release()
	return array.MakeFromData(data)
}

// Release drops what the column holds.
func (c *Column) Release() {
	for _, child := range c.children {
		child.Release()
	}
	c.reset()
}

func (c *Column) finish() arrow.ArrayData {
	buffers := []*memory.Buffer{c.validity()}
	var children []arrow.ArrayData
	switch c.layout {
	case layoutBool:
		buffers = append(buffers, c.packBools())
	case layout32:
		buffers = append(buffers, cut(c.values, 4*c.rows))
	case layout64:
		buffers = append(buffers, cut(c.values, 8*c.rows))
	case layoutFixed:
		buffers = append(buffers, cut(c.values, c.width*c.rows))
	case layoutBytes:
		buffers = append(buffers, c.cutOffsets(), cut(c.values, c.used))
	case layoutList:
		buffers = append(buffers, c.cutOffsets())
		children = c.finishList()
	case layoutStruct:
		for _, child := range c.children {
			children = append(children, child.finish())
		}
	case layoutNull:
	}
	data := array.NewData(c.dataType, c.rows, buffers, children, c.nullCount(), 0)
	for _, child := range children {
		child.Release()
	}
	if buffers[0] != nil {
		buffers[0].Release()
	}
	if c.layout == layoutBool {
		buffers[1].Release()
	}
	c.reset()
	return data
}

// finishList returns the child of a list, and the struct of keys and values that a map has instead.
func (c *Column) finishList() []arrow.ArrayData {
	mapType, ok := c.dataType.(*arrow.MapType)
	if !ok {
		return []arrow.ArrayData{c.children[0].finish()}
	}
	length := c.children[0].rows
	fields := []arrow.ArrayData{c.children[0].finish(), c.children[1].finish()}
	entries := array.NewData(mapType.Elem(), length, []*memory.Buffer{nil}, fields, 0, 0)
	for _, field := range fields {
		field.Release()
	}
	return []arrow.ArrayData{entries}
}

func (c *Column) nullCount() int {
	if c.layout == layoutNull {
		return c.rows
	}
	return len(c.nulls)
}

// validity returns the bitmap of values that are there, or nil when all are.
func (c *Column) validity() *memory.Buffer {
	if len(c.nulls) == 0 || c.layout == layoutNull {
		return nil
	}
	bits := memory.NewResizableBuffer(c.mem)
	bits.Resize(int(bitutil.BytesForBits(int64(c.rows))))
	memory.Set(bits.Bytes(), 0xff)
	for _, at := range c.nulls {
		bitutil.ClearBit(bits.Bytes(), int(at))
	}
	return bits
}

// packBools returns the bytes of a boolean column as bits.
func (c *Column) packBools() *memory.Buffer {
	bits := memory.NewResizableBuffer(c.mem)
	bits.Resize(int(bitutil.BytesForBits(int64(c.rows))))
	out := bits.Bytes()
	clear(out)
	for i, b := range c.bytes[:c.rows] {
		out[i>>3] |= b << (i & 7)
	}
	return bits
}

// cut sets the length of a buffer to what is used of it.
func cut(buffer *memory.Buffer, length int) *memory.Buffer {
	if buffer != nil {
		buffer.ResizeNoShrink(length)
	}
	return buffer
}

func (c *Column) cutOffsets() *memory.Buffer {
	if c.offsets == nil {
		c.growOffsets()
	}
	return cut(c.offsets, 4*(c.rows+1))
}

// reset gives up the buffers and remembers how large they were.
func (c *Column) reset() {
	c.rowsBefore, c.usedBefore = c.rows, c.used
	if c.values != nil {
		c.values.Release()
	}
	if c.offsets != nil {
		c.offsets.Release()
	}
	c.values, c.offsets = nil, nil
	c.int32s, c.int64s = nil, nil
	if c.layout != layoutBool {
		c.bytes = nil
	}
	c.nulls = c.nulls[:0]
	c.rows, c.used = 0, 0
}
