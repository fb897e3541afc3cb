package cell

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// Text is a cell as people read it: null is empty, nested values are JSON.
func Text(column arrow.Array, row int) string {
	switch v := Value(column, row).(type) {
	case nil:
		return ""
	case string:
		return v
	default:
		text, err := json.Marshal(v)
		if err != nil {
			return err.Error()
		}
		return string(text)
	}
}

// Value is a cell as JSON takes it. Times are ISO 8601, decimals texts so that no digit is lost, bytes
// base64.
func Value(column arrow.Array, row int) any {
	if column.IsNull(row) {
		return nil
	}
	switch c := column.(type) {
	case *array.Timestamp:
		kind := c.DataType().(*arrow.TimestampType)
		at := c.Value(row).ToTime(kind.Unit)
		if kind.TimeZone == "" {
			return at.UTC().Format("2006-01-02T15:04:05.999999999")
		}
		return at.UTC().Format("2006-01-02T15:04:05.999999999Z")
	case *array.Binary:
		return base64.StdEncoding.EncodeToString(c.Value(row))
	case *array.FixedSizeBinary:
		return base64.StdEncoding.EncodeToString(c.Value(row))
	case *array.Decimal128:
		return c.ValueStr(row)
	case *array.Float64:
		return float(c.Value(row))
	case *array.Float32:
		return float(float64(c.Value(row)))
	case *array.Struct:
		return structValue(c, row)
	case *array.Map:
		return mapValue(c, row)
	case array.ListLike:
		from, to := c.ValueOffsets(row)
		list := make([]any, 0, to-from)
		for i := from; i < to; i++ {
			list = append(list, Value(c.ListValues(), int(i)))
		}
		return list
	}
	return column.GetOneForMarshal(row)
}

// float is a number, or its name where JSON has none.
func float(v float64) any {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	return v
}

func structValue(c *array.Struct, row int) any {
	kind := c.DataType().(*arrow.StructType)
	object := make(map[string]any, c.NumField())
	for i := range c.NumField() {
		object[kind.Field(i).Name] = Value(c.Field(i), row)
	}
	return object
}

func mapValue(c *array.Map, row int) any {
	from, to := c.ValueOffsets(row)
	object := make(map[string]any, to-from)
	for i := from; i < to; i++ {
		object[Text(c.Keys(), int(i))] = Value(c.Items(), int(i))
	}
	return object
}
