package cell_test

import (
	"math"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table/cell"
)

func TestCellsAreReadAsTextAndAsJSON(t *testing.T) {
	utc := &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}
	for _, c := range []struct {
		kind  arrow.DataType
		json  string // as array.FromJSON takes it
		value any
		text  string
	}{
		{arrow.PrimitiveTypes.Int64, `7`, int64(7), "7"},
		{arrow.BinaryTypes.String, `"a\tb"`, "a\tb", "a\tb"},
		{arrow.BinaryTypes.Binary, `"AQI="`, "AQI=", "AQI="},
		{utc, `"2026-01-31T12:00:00.5Z"`, "2026-01-31T12:00:00.5Z", "2026-01-31T12:00:00.5Z"},
		{arrow.ListOf(arrow.PrimitiveTypes.Int32), `[1,null]`, []any{int32(1), nil}, "[1,null]"},
		{arrow.StructOf(arrow.Field{Name: "x", Type: arrow.BinaryTypes.String, Nullable: true}), `{"x":"y"}`,
			map[string]any{"x": "y"}, `{"x":"y"}`},
		{arrow.PrimitiveTypes.Int64, `null`, nil, ""},
	} {
		column, _, err := array.FromJSON(memory.DefaultAllocator, c.kind, strings.NewReader("["+c.json+"]"))
		require.NoError(t, err)
		require.Equal(t, c.value, cell.Value(column, 0), c.kind)
		require.Equal(t, c.text, cell.Text(column, 0), c.kind)
	}
	floats := array.NewFloat64Builder(memory.DefaultAllocator)
	floats.AppendValues([]float64{1.5, math.NaN(), math.Inf(-1)}, nil)
	column := floats.NewArray()
	require.Equal(t, 1.5, cell.Value(column, 0))
	require.Equal(t, "NaN", cell.Value(column, 1))
	require.Equal(t, "-Inf", cell.Value(column, 2))
}
