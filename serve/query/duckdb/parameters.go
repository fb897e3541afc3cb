//go:build duckdb_arrow

package duckdb

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	bindings "github.com/duckdb/duckdb-go-bindings"

	"github.com/firthlake/firth/serve/query"
)

// bind gives a statement the values of its parameters: the columns of one row, in order.
func bind(prepared bindings.PreparedStatement, row arrow.RecordBatch) error {
	want, have := int64(bindings.NParams(prepared)), int64(0)
	if row != nil {
		if row.NumRows() != 1 {
			return fmt.Errorf("%w: there are %d rows of parameters: send one", query.ErrInvalid, row.NumRows())
		}
		have = row.NumCols()
	}
	if want != have {
		return fmt.Errorf("%w: it has %d parameters, and %d values came", query.ErrInvalid, want, have)
	}
	for i := range int(have) {
		if err := bindOne(prepared, bindings.IdxT(i+1), row.Column(i)); err != nil {
			return fmt.Errorf("%w: parameter %d: %w", query.ErrInvalid, i+1, err)
		}
	}
	return nil
}

func bindOne(prepared bindings.PreparedStatement, at bindings.IdxT, column arrow.Array) error {
	value, err := valueOf(column)
	if err != nil {
		return err
	}
	defer bindings.DestroyValue(&value)
	if bindings.BindValue(prepared, at, value) == bindings.StateError {
		return faultOf(bindings.PrepareError(prepared))
	}
	return nil
}

// valueOf is the first value of a column. Types that DuckDB has under another name go as texts, which it casts.
func valueOf(column arrow.Array) (bindings.Value, error) {
	if column.IsNull(0) {
		return bindings.CreateNullValue(), nil
	}
	switch c := column.(type) {
	case *array.Boolean:
		return bindings.CreateBool(c.Value(0)), nil
	case *array.Int8:
		return bindings.CreateInt64(int64(c.Value(0))), nil
	case *array.Int16:
		return bindings.CreateInt64(int64(c.Value(0))), nil
	case *array.Int32:
		return bindings.CreateInt64(int64(c.Value(0))), nil
	case *array.Int64:
		return bindings.CreateInt64(c.Value(0)), nil
	case *array.Float32:
		return bindings.CreateDouble(float64(c.Value(0))), nil
	case *array.Float64:
		return bindings.CreateDouble(c.Value(0)), nil
	case *array.String:
		return bindings.CreateVarchar(c.Value(0)), nil
	case *array.LargeString:
		return bindings.CreateVarchar(c.Value(0)), nil
	case *array.Binary:
		return bindings.CreateBlob(c.Value(0)), nil
	case *array.Date32:
		return bindings.CreateDate(bindings.NewDate(int32(c.Value(0)))), nil
	case *array.Timestamp:
		return timestampOf(c), nil
	case *array.Uint8, *array.Uint16, *array.Uint32, *array.Uint64, *array.Decimal128, *array.Date64, *array.Time32,
		*array.Time64:
		return bindings.CreateVarchar(c.ValueStr(0)), nil
	case array.Union:
		return valueOf(array.NewSlice(c.Field(c.ChildID(0)), 0, 1))
	}
	return bindings.Value{}, fmt.Errorf("values of %s are not taken: send a text", column.DataType())
}

// timestampOf is a moment, with a zone or without.
func timestampOf(c *array.Timestamp) bindings.Value {
	kind := c.DataType().(*arrow.TimestampType)
	micros := bindings.NewTimestamp(c.Value(0).ToTime(kind.Unit).UnixMicro())
	if kind.TimeZone != "" {
		return bindings.CreateTimestampTZ(micros)
	}
	return bindings.CreateTimestamp(micros)
}
