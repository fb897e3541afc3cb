package columnchunk

import (
	"encoding/binary"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
)

// source is one leaf of a batch: its Arrow buffers without the offset of the array. Exactly one form
// of values is set.
type source struct {
	rows     int
	fixed    []byte           // values of the column's width
	decimals []decimal128.Num // to be written in the column's physical type
	bits     []byte           // booleans from bitsAt on
	bitsAt   int
	offsets  []int32 // of text, one more than rows
	text     []byte

	valid   []byte // bitmap of rows with a value, from validAt on; nil when all have one
	validAt int
	levels  []byte // definition level of each row; nil when it follows from valid
}

// read points s at the leaf of batch that c stands for. Work holds what must be computed.
func (s *source) read(c *column, batch arrow.RecordBatch, work *scratch) error {
	values := batch.Column(c.steps[0].field)
	*s = source{rows: values.Len()}
	hidden := false
	for _, step := range c.steps[1:] {
		group, ok := values.(*array.Struct)
		if !ok {
			return fmt.Errorf("column %s: batch holds %s, not a struct", c.name, values.DataType())
		}
		hidden = hidden || group.NullN() > 0
		values = group.Field(step.field)
	}
	if err := s.readValues(c, values); err != nil {
		return err
	}
	switch {
	case hidden:
		s.readNested(c, batch, work)
	case values.NullN() > 0:
		s.valid, s.validAt = values.NullBitmapBytes(), values.Data().Offset()
	}
	return nil
}

// readNested computes the levels of a leaf below structs that are null in some rows.
func (s *source) readNested(c *column, batch arrow.RecordBatch, work *scratch) {
	levels := append(work.levels[:0], make([]byte, s.rows)...)
	values := batch.Column(c.steps[0].field)
	reached := byte(0)
	for depth, step := range c.steps {
		if depth > 0 {
			values = values.(*array.Struct).Field(step.field)
		}
		if !step.optional {
			continue
		}
		for row := range levels {
			if levels[row] == reached && values.IsValid(row) {
				levels[row]++
			}
		}
		reached++
	}
	valid := append(work.valid[:0], make([]byte, (s.rows+7)/8)...)
	for row, level := range levels {
		if level == reached {
			valid[row>>3] |= 1 << (row & 7)
		}
	}
	work.levels, work.valid = levels, valid
	s.levels, s.valid, s.validAt = levels, valid, 0
}

func (s *source) readValues(c *column, values arrow.Array) error {
	if extension, ok := values.(array.ExtensionArray); ok {
		values = extension.Storage()
	}
	if !c.takes(values.DataType()) {
		return fmt.Errorf("column %s: batch holds %s, the file %s",
			c.name, values.DataType(), c.descr.PhysicalType())
	}
	data := values.Data()
	from, end := data.Offset(), data.Offset()+data.Len()
	bytesOf := func(i int) []byte {
		if buffer := data.Buffers()[i]; buffer != nil {
			return buffer.Bytes()
		}
		return nil
	}
	if s.rows == 0 {
		return nil
	}
	switch values.DataType().ID() {
	case arrow.BOOL:
		s.bits, s.bitsAt = bytesOf(1), from
	case arrow.STRING, arrow.BINARY:
		s.offsets = arrow.Int32Traits.CastFromBytes(bytesOf(1))[from : end+1]
		s.text = bytesOf(2)
	case arrow.DECIMAL128:
		s.decimals = arrow.Decimal128Traits.CastFromBytes(bytesOf(1))[from:end]
	default:
		s.fixed = bytesOf(1)[from*c.width : end*c.width]
	}
	return nil
}

// takes says whether values of an Arrow type can be written to the column.
func (c *column) takes(typ arrow.DataType) bool {
	switch t := typ.(type) {
	case *arrow.BooleanType:
		return c.kind == kindBool
	case *arrow.Int32Type, *arrow.Date32Type:
		return c.kind == kindInt32
	case *arrow.Int64Type, *arrow.Time64Type, *arrow.TimestampType:
		return c.kind == kindInt64
	case *arrow.Float32Type:
		return c.kind == kindFloat
	case *arrow.Float64Type:
		return c.kind == kindDouble
	case *arrow.StringType, *arrow.BinaryType:
		return c.kind == kindBytes
	case *arrow.FixedSizeBinaryType:
		return c.kind == kindFixed && t.ByteWidth == c.width
	case *arrow.Decimal128Type:
		return c.kind == kindInt32 || c.kind == kindInt64 || c.kind == kindFixed && c.width <= 16
	}
	return false
}

// appendDecimals appends values in the physical type of a column.
func appendDecimals(dst []byte, values []decimal128.Num, k kind, width int) []byte {
	switch k {
	case kindInt32:
		for _, v := range values {
			dst = binary.LittleEndian.AppendUint32(dst, uint32(v.LowBits()))
		}
	case kindInt64:
		for _, v := range values {
			dst = binary.LittleEndian.AppendUint64(dst, v.LowBits())
		}
	default:
		var whole [16]byte
		for _, v := range values {
			binary.BigEndian.PutUint64(whole[:], uint64(v.HighBits()))
			binary.BigEndian.PutUint64(whole[8:], v.LowBits())
			dst = append(dst, whole[16-width:]...)
		}
	}
	return dst
}
