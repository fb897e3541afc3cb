package table

import (
	"context"
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/compute"
	"github.com/apache/iceberg-go"
	"github.com/google/uuid"
)

// newFill makes the function that fills a column which the file lacks: with its initial default,
// else with nulls.
func newFill(to arrow.Field, field iceberg.NestedField) (fillFunc, error) {
	if field.InitialDefault == nil {
		if field.Required {
			return nil, errors.New("it is required, and the file lacks it")
		}
		return func(ctx context.Context, _ int64, rows int) (arrow.ArrayData, error) {
			return takeData(array.MakeArrayOfNull(compute.GetAllocator(ctx), to.Type, rows)), nil
		}, nil
	}
	appendOne, err := appender(to.Type, field)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, _ int64, rows int) (arrow.ArrayData, error) {
		builder := array.NewBuilder(compute.GetAllocator(ctx), to.Type)
		defer builder.Release()
		builder.Reserve(rows)
		for range rows {
			appendOne(builder)
		}
		return takeData(builder.NewArray()), nil
	}, nil
}

// appender makes the function that appends the initial default of field to a builder of its type.
func appender(to arrow.DataType, field iceberg.NestedField) (func(array.Builder), error) {
	switch v := field.InitialDefault.(type) {
	case bool:
		if to.ID() == arrow.BOOL {
			return func(b array.Builder) { b.(*array.BooleanBuilder).Append(v) }, nil
		}
	case string:
		if to.ID() == arrow.STRING {
			return func(b array.Builder) { b.(*array.StringBuilder).Append(v) }, nil
		}
	case []byte:
		return bytesAppender(to, field, v)
	case iceberg.FixedLiteral:
		return bytesAppender(to, field, v)
	case iceberg.BinaryLiteral:
		return bytesAppender(to, field, v)
	case uuid.UUID:
		return bytesAppender(to, field, v[:])
	case iceberg.Decimal:
		if to.ID() == arrow.DECIMAL128 {
			return func(b array.Builder) { b.(*array.Decimal128Builder).Append(v.Val) }, nil
		}
	case float32:
		return floatAppender(to, field, float64(v))
	case float64:
		return floatAppender(to, field, v)
	case int:
		return wholeAppender(to, field, int64(v))
	case int32:
		return wholeAppender(to, field, int64(v))
	case int64:
		return wholeAppender(to, field, v)
	case iceberg.Date:
		return wholeAppender(to, field, int64(v))
	case iceberg.Time:
		return wholeAppender(to, field, int64(v))
	case iceberg.Timestamp:
		return wholeAppender(to, field, int64(v))
	case iceberg.TimestampNano:
		return wholeAppender(to, field, int64(v))
	}
	return nil, errDefault(field)
}

func errDefault(field iceberg.NestedField) error {
	return fmt.Errorf("cannot read the initial default %v (%T) of type %s",
		field.InitialDefault, field.InitialDefault, field.Type)
}

func bytesAppender(
	to arrow.DataType, field iceberg.NestedField, v []byte,
) (func(array.Builder), error) {
	switch t := to.(type) {
	case *arrow.BinaryType:
		return func(b array.Builder) { b.(*array.BinaryBuilder).Append(v) }, nil
	case *arrow.FixedSizeBinaryType:
		if t.ByteWidth == len(v) {
			return func(b array.Builder) { b.(*array.FixedSizeBinaryBuilder).Append(v) }, nil
		}
	}
	return nil, errDefault(field)
}

func floatAppender(
	to arrow.DataType, field iceberg.NestedField, v float64,
) (func(array.Builder), error) {
	switch to.ID() {
	case arrow.FLOAT64:
		return func(b array.Builder) { b.(*array.Float64Builder).Append(v) }, nil
	case arrow.FLOAT32:
		return func(b array.Builder) { b.(*array.Float32Builder).Append(float32(v)) }, nil
	}
	return nil, errDefault(field)
}

func wholeAppender(
	to arrow.DataType, field iceberg.NestedField, v int64,
) (func(array.Builder), error) {
	switch to.ID() {
	case arrow.INT32:
		return func(b array.Builder) { b.(*array.Int32Builder).Append(int32(v)) }, nil
	case arrow.INT64:
		return func(b array.Builder) { b.(*array.Int64Builder).Append(v) }, nil
	case arrow.DATE32:
		return func(b array.Builder) { b.(*array.Date32Builder).Append(arrow.Date32(v)) }, nil
	case arrow.TIME64:
		return func(b array.Builder) { b.(*array.Time64Builder).Append(arrow.Time64(v)) }, nil
	case arrow.TIMESTAMP:
		return func(b array.Builder) { b.(*array.TimestampBuilder).Append(arrow.Timestamp(v)) }, nil
	case arrow.FLOAT32, arrow.FLOAT64:
		return floatAppender(to, field, float64(v))
	}
	return nil, errDefault(field)
}

// fill makes the function that fills a metadata column, if id is one.
func (c constants) fill(id int) (fillFunc, bool) {
	switch id {
	case fieldIDFile:
		return c.fillFile, true
	case fieldIDPos:
		return c.wholes(func(pos int64) (int64, bool) { return pos, true }), true
	case fieldIDRowID:
		return c.wholes(func(pos int64) (int64, bool) {
			if c.firstRowID == nil {
				return 0, false
			}
			return *c.firstRowID + pos, true
		}), true
	case fieldIDLastUpdated:
		return c.wholes(func(int64) (int64, bool) { return c.sequence, c.firstRowID != nil }), true
	}
	return nil, false
}

func (c constants) fillFile(ctx context.Context, _ int64, rows int) (arrow.ArrayData, error) {
	builder := array.NewStringBuilder(compute.GetAllocator(ctx))
	defer builder.Release()
	for range rows {
		builder.Append(c.file)
	}
	return takeData(builder.NewArray()), nil
}

func (c constants) wholes(value func(pos int64) (int64, bool)) fillFunc {
	return func(ctx context.Context, start int64, rows int) (arrow.ArrayData, error) {
		builder := array.NewInt64Builder(compute.GetAllocator(ctx))
		defer builder.Release()
		builder.Reserve(rows)
		for i := range rows {
			v, ok := value(start + int64(i))
			if ok {
				builder.Append(v)
			} else {
				builder.AppendNull()
			}
		}
		return takeData(builder.NewArray()), nil
	}
}
