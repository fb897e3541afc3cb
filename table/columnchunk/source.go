package columnchunk

import (
	"encoding/binary"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
)

// source is one leaf of a batch: its Arrow buffers without the offset of the array, a value for each
// entry. Of a column outside lists the entries are the rows. Exactly one form of values is set.
type source struct {
	entries  int
	fixed    []byte           // values of the column's width
	decimals []decimal128.Num // to be written in the column's physical type
	bits     []byte           // booleans from bitsAt on
	bitsAt   int
	offsets  []int32 // of text, one more than entries
	text     []byte

	valid   []byte // bitmap of entries with a value, from validAt on; nil when all have one
	validAt int
	levels  []byte // definition level of each entry; nil when it follows from valid
	repeats []byte // repetition level of each entry; nil outside lists
}

// read points s at the leaf of batch that c stands for. Work holds what must be computed.
func (s *source) read(c *column, batch arrow.RecordBatch, work *scratch) error {
	*s = source{entries: int(batch.NumRows())}
	if c.repeats > 0 {
		return s.readEntries(c, batch, work)
	}
	values := batch.Column(c.steps[0].field)
	for _, step := range c.steps[1:] {
		if values.NullN() > 0 { // the nulls of a struct hide the leaf
			return s.readEntries(c, batch, work)
		}
		child, err := childOf(c, values, step.field)
		if err != nil {
			return err
		}
		values = child
	}
	if values.NullN() > 0 {
		if !c.steps[len(c.steps)-1].optional {
			return fmt.Errorf("column %s is required and the batch has nulls in it", c.name)
		}
		s.valid, s.validAt = values.NullBitmapBytes(), values.Data().Offset()
	}
	return s.readValues(c, values)
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
	if data.Len() == 0 {
		s.readNothing(c)
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

// readNothing is readValues for a leaf without values: its buffers may be missing.
func (s *source) readNothing(c *column) {
	switch c.kind {
	case kindBool:
		s.bits = []byte{}
	case kindBytes:
		s.offsets = []int32{0}
	}
}

// span is where the entries of rows [from, to) are.
func (s *source) span(from, to int) (first, end int) {
	if s.repeats == nil {
		return from, to
	}
	row := -1
	for i, repeat := range s.repeats {
		if repeat != 0 {
			continue
		}
		if row++; row == from {
			first = i
		} else if row == to {
			return first, i
		}
	}
	return first, s.entries
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
