package decode

import (
	"math"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// Column is an append-only buffer of the values of one field, written straight in Arrow's layout.
// It belongs to one goroutine.
//
// A struct, list or map is appended children first: append the values to Child(i), then close the
// parent's value with AppendStruct or AppendList. A value that turns out bad half way is taken back
// with Truncate, which also drops what the children hold beyond it. A null costs its parent one null
// in each child of a struct, and nothing in the children of a list or map.
type Column struct {
	dataType arrow.DataType
	layout   layout
	width    int // bytes a value, of layoutFixed
	rows     int
	nulls    []int32 // places of the nulls, ascending: a value that is there costs no bit
	children []*Column

	mem     memory.Allocator
	values  *memory.Buffer
	offsets *memory.Buffer

	// Views of the buffers above, as long as their capacity.
	int32s []int32 // layout32: values; layoutBytes and layoutList: offsets, one ahead of rows
	int64s []int64 // layout64
	bytes  []byte  // layoutFixed, layoutBool (one byte a value) and layoutBytes
	used   int     // bytes taken in bytes, of layoutBytes

	// rowsBefore and usedBefore are what the last batch needed; rowsHint and usedHint are what this
	// one is expected to need, so that it grows once.
	rowsBefore, usedBefore, rowsHint, usedHint int
}

// layout is how the values of a column lie in memory.
type layout uint8

const (
	layoutNull layout = iota
	layoutBool
	layout32
	layout64
	layoutFixed
	layoutBytes
	layoutStruct
	layoutList // a map is a list of structs
)

// rowsMin is the least number of values a buffer is made for: small enough for a chunk of one
// record, and a cache line of the widest common value.
const rowsMin = 64

// slack is the number of bytes that stay free behind the values of a buffer, so that a reader may
// load whole words at its end.
const slack = 64

// newColumn returns an empty column for values of the node. It allocates nothing from mem until the
// first value.
func newColumn(n *node, mem memory.Allocator) *Column {
	c := &Column{dataType: n.dataType, mem: mem, layout: n.kind.layout(), width: n.width}
	for _, child := range n.children {
		c.children = append(c.children, newColumn(child, mem))
	}
	return c
}

// Len is the number of values, nulls included.
func (c *Column) Len() int { return c.rows }

// Child is the column of the i-th field of a struct, of the elements of a list (0), and of the keys
// (0) and values (1) of a map.
func (c *Column) Child(i int) *Column { return c.children[i] }

// AppendNull appends a null.
func (c *Column) AppendNull() {
	c.nulls = append(c.nulls, int32(c.rows))
	switch c.layout {
	case layoutBool:
		c.AppendBool(false)
	case layout32:
		c.AppendInt32(0)
	case layout64:
		c.AppendInt64(0)
	case layoutFixed:
		clear(c.AppendFixed())
	case layoutBytes:
		c.AppendBytes(nil)
	case layoutStruct:
		for _, child := range c.children {
			child.AppendNull()
		}
		c.rows++
	case layoutList:
		c.AppendList()
	case layoutNull:
		c.rows++
	}
}

// AppendBool appends to a boolean column.
func (c *Column) AppendBool(v bool) {
	if c.rows == len(c.bytes) {
		c.grow()
	}
	var b byte
	if v {
		b = 1
	}
	c.bytes[c.rows] = b
	c.rows++
}

// AppendInt32 appends to an int or date column.
func (c *Column) AppendInt32(v int32) {
	if c.rows == len(c.int32s) {
		c.grow()
	}
	c.int32s[c.rows] = v
	c.rows++
}

// AppendInt64 appends to a long, time or timestamp column, in the column's unit.
func (c *Column) AppendInt64(v int64) {
	if c.rows == len(c.int64s) {
		c.grow()
	}
	c.int64s[c.rows] = v
	c.rows++
}

// AppendFloat32 appends to a float column.
func (c *Column) AppendFloat32(v float32) { c.AppendInt32(int32(math.Float32bits(v))) }

// AppendFloat64 appends to a double column.
func (c *Column) AppendFloat64(v float64) { c.AppendInt64(int64(math.Float64bits(v))) }

// AppendDecimal appends the unscaled value to a decimal column.
func (c *Column) AppendDecimal(v decimal128.Num) {
	arrow.Decimal128Traits.PutValue(c.AppendFixed(), v)
}

// AppendFixed appends a value of fixed width (uuid, fixed, decimal) and returns its bytes, for the
// caller to fill in at once.
func (c *Column) AppendFixed() []byte {
	at := c.rows * c.width
	if at+c.width > len(c.bytes) {
		c.grow()
	}
	c.rows++
	return c.bytes[at : at+c.width : at+c.width]
}

// AppendBytes appends a copy of v to a string or binary column. A string must be valid UTF-8.
func (c *Column) AppendBytes(v []byte) {
	copy(c.reserveBytes(len(v)), v)
	c.commitBytes(len(v))
}

// AppendString appends v to a string or binary column.
func (c *Column) AppendString(v string) {
	copy(c.reserveBytes(len(v)), v)
	c.commitBytes(len(v))
}

// reserveBytes returns n bytes behind the last value of a string or binary column, to be filled by
// the caller and made a value by commitBytes.
func (c *Column) reserveBytes(n int) []byte {
	if n > len(c.bytes)-c.used || c.rows+1 >= len(c.int32s) {
		c.growBytes(n)
	}
	return c.bytes[c.used : c.used+n]
}

// commitBytes makes the first n bytes that reserveBytes returned the next value.
func (c *Column) commitBytes(n int) {
	c.used += n
	c.rows++
	c.int32s[c.rows] = int32(c.used)
}

// AppendStruct closes a struct of which each child has got its value.
func (c *Column) AppendStruct() { c.rows++ }

// AppendList closes a list or map: its elements are what was appended to the children since the
// value before it.
func (c *Column) AppendList() {
	if c.rows+1 >= len(c.int32s) {
		c.growOffsets()
	}
	c.rows++
	c.int32s[c.rows] = int32(c.children[0].rows)
}

// Truncate takes back all values from the n-th on, and what was appended to the children for a value
// that was not closed.
func (c *Column) Truncate(n int) {
	c.rows = min(c.rows, n)
	for len(c.nulls) > 0 && int(c.nulls[len(c.nulls)-1]) >= n {
		c.nulls = c.nulls[:len(c.nulls)-1]
	}
	switch c.layout {
	case layoutBytes:
		c.used = c.offset()
	case layoutStruct:
		for _, child := range c.children {
			child.Truncate(c.rows)
		}
	case layoutList:
		for _, child := range c.children {
			child.Truncate(c.offset())
		}
	default:
	}
}

// offset is the end of the last value of a column with offsets.
func (c *Column) offset() int {
	if c.rows == 0 {
		return 0
	}
	return int(c.int32s[c.rows])
}

// expect makes room, once some is needed, for a batch that is so many times as large as the last.
func (c *Column) expect(times float64) {
	c.rowsHint, c.usedHint = expected(c.rowsBefore, times), expected(c.usedBefore, times)
	for _, child := range c.children {
		child.expect(times)
	}
}

// expected is so many times n, and an eighth more.
func expected(n int, times float64) int {
	return int(min(float64(n)*times*9/8, math.MaxInt32))
}

// grow makes room for more values of one width.
func (c *Column) grow() {
	rows := max(2*c.rows, c.rowsHint, rowsMin)
	if c.values == nil {
		c.values = memory.NewResizableBuffer(c.mem)
	}
	switch c.layout {
	case layout32:
		c.values.ResizeNoShrink(4 * rows)
		c.int32s = arrow.Int32Traits.CastFromBytes(c.values.Bytes())
	case layout64:
		c.values.ResizeNoShrink(8 * rows)
		c.int64s = arrow.Int64Traits.CastFromBytes(c.values.Bytes())
	case layoutFixed:
		c.values.ResizeNoShrink(c.width * rows)
		c.bytes = c.values.Bytes()
	case layoutBool:
		c.bytes = slices.Grow(c.bytes, rows-len(c.bytes))[:rows]
	default:
		panic("BUG: value of a fixed width appended to a column of " + c.dataType.String())
	}
}

// growBytes makes room for one more string of n bytes.
func (c *Column) growBytes(n int) {
	if c.rows+1 >= len(c.int32s) {
		c.growOffsets()
	}
	need := c.used + n
	if need > math.MaxInt32 {
		panic("BUG: more than 2 GiB of strings in one batch")
	}
	if need <= len(c.bytes) {
		return
	}
	if c.values == nil {
		c.values = memory.NewResizableBuffer(c.mem)
	}
	c.values.Reserve(max(need, min(2*c.used, math.MaxInt32), c.usedHint, rowsMin) + slack)
	c.values.ResizeNoShrink(c.values.Cap() - slack)
	c.bytes = c.values.Bytes()
}

// growOffsets makes room for more offsets.
func (c *Column) growOffsets() {
	rows := max(2*c.rows, c.rowsHint, rowsMin)
	first := c.offsets == nil
	if first {
		c.offsets = memory.NewResizableBuffer(c.mem)
	}
	c.offsets.ResizeNoShrink(4 * (rows + 2))
	c.int32s = arrow.Int32Traits.CastFromBytes(c.offsets.Bytes())
	if first {
		c.int32s[0] = 0
	}
}
