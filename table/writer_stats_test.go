package table

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"
)

// describe writes rows of JSON into one file, a row group for every two rows, and returns its
// manifest entry.
func describe(t *testing.T, schema *iceberg.Schema, rows ...string) iceberg.DataFile {
	t.Helper()
	files := write(t, testWriter(t, newStore(), WriterOptions{Schema: schema,
		Parquet: ParquetOptions{RowGroupRows: 2}}), fromJSON(t, schema, rows...))
	require.Len(t, files, 1)
	return files[0]
}

// literal reads a bound; nil when there is none.
func literal(t *testing.T, schema *iceberg.Schema, id int, bounds map[int][]byte) any {
	t.Helper()
	raw, ok := bounds[id]
	if !ok {
		return nil
	}
	typ, _ := schema.FindTypeByID(id)
	value, err := iceberg.LiteralFromBytes(typ, raw)
	require.NoError(t, err)
	return value.Any()
}

func TestStatisticsOfFloats(t *testing.T) {
	types := iceberg.PrimitiveTypes
	schema := iceberg.NewSchema(0, optional(1, "d", types.Float64), optional(2, "f", types.Float32))
	arrowSchema, err := ArrowSchema(schema)
	require.NoError(t, err)
	nan, minus, plus := math.NaN(), math.Copysign(0, -1), math.Inf(1)
	for name, c := range map[string]struct {
		values        []float64
		nans          int64
		lower, upper  any
		lower32, up32 any
	}{
		"plain":       {[]float64{2, -1, 3}, 0, -1.0, 3.0, float32(-1), float32(3)},
		"nan only":    {[]float64{nan, nan, nan}, 3, nil, nil, nil, nil},
		"nan group":   {[]float64{nan, nan, 5, 4}, 2, 4.0, 5.0, float32(4), float32(5)},
		"nan between": {[]float64{nan, 1, nan}, 2, 1.0, 1.0, float32(1), float32(1)},
		"infinite":    {[]float64{plus, -plus}, 0, -plus, plus, float32(-plus), float32(plus)},
		"zeros":       {[]float64{0, 0}, 0, minus, 0.0, float32(minus), float32(0)},
		"minus zeros": {[]float64{minus, minus, minus}, 0, minus, 0.0, float32(minus), float32(0)},
	} {
		t.Run(name, func(t *testing.T) {
			b := array.NewRecordBuilder(memory.DefaultAllocator, arrowSchema)
			for _, v := range c.values {
				b.Field(0).(*array.Float64Builder).Append(v)
				b.Field(1).(*array.Float32Builder).Append(float32(v))
			}
			b.Field(0).AppendNull()
			b.Field(1).AppendNull()
			batch := b.NewRecordBatch()
			defer batch.Release()
			f := write(t, testWriter(t, newStore(), WriterOptions{Schema: schema,
				Parquet: ParquetOptions{RowGroupRows: 2}}), batch)[0]
			n := int64(len(c.values))
			require.Equal(t, map[int]int64{1: n + 1, 2: n + 1}, f.ValueCounts())
			require.Equal(t, map[int]int64{1: 1, 2: 1}, f.NullValueCounts())
			require.Equal(t, map[int]int64{1: c.nans, 2: c.nans}, f.NaNValueCounts())
			same(t, c.lower, literal(t, schema, 1, f.LowerBoundValues()))
			same(t, c.upper, literal(t, schema, 1, f.UpperBoundValues()))
			same(t, c.lower32, literal(t, schema, 2, f.LowerBoundValues()))
			same(t, c.up32, literal(t, schema, 2, f.UpperBoundValues()))
		})
	}
}

// same compares with the sign of zero.
func same(t *testing.T, want, got any) {
	t.Helper()
	require.Equal(t, want, got)
	switch w := want.(type) {
	case float64:
		require.Equal(t, math.Float64bits(w), math.Float64bits(got.(float64)))
	case float32:
		require.Equal(t, math.Float32bits(w), math.Float32bits(got.(float32)))
	}
}

func TestStatisticsShortenTextAndBinary(t *testing.T) {
	types := iceberg.PrimitiveTypes
	schema := iceberg.NewSchema(0, optional(1, "s", types.String))
	top, fifteen := string(utf8.MaxRune), strings.Repeat("a", 15)
	for _, c := range []struct{ value, lower, upper string }{
		{"short", "short", "short"},
		{"exactly 16 chars", "exactly 16 chars", "exactly 16 chars"},
		{"a bit over 16 chars", "a bit over 16 ch", "a bit over 16 ci"},
		{strings.Repeat("世", 17), strings.Repeat("世", 16), strings.Repeat("世", 15) + "丗"},
		{fifteen + "\u007fz", fifteen + "\u007f", fifteen + "\u0080"},
		{fifteen + "\ud7ffz", fifteen + "\ud7ff", fifteen + "\ue000"},
		{fifteen + top + "z", fifteen + top, strings.Repeat("a", 14) + "b"},
		{strings.Repeat(top, 17), strings.Repeat(top, 16), ""},
	} {
		f := describe(t, schema, `{"s":"`+c.value+`"}`)
		require.Equal(t, c.lower, literal(t, schema, 1, f.LowerBoundValues()))
		if c.upper == "" {
			require.NotContains(t, f.UpperBoundValues(), 1)
			continue
		}
		require.Equal(t, c.upper, literal(t, schema, 1, f.UpperBoundValues()))
	}
	require.Equal(t, []byte("aab"), truncateBinaryUp([]byte("aab")))
	require.Equal(t, append(bytes.Repeat([]byte{7}, 14), 8),
		truncateBinaryUp(append(bytes.Repeat([]byte{7}, 15), 255, 255)))
	require.Nil(t, truncateBinaryUp(bytes.Repeat([]byte{255}, 17)))
}

func TestStatisticsOfTextTooLargeForTheFooter(t *testing.T) {
	schema := iceberg.NewSchema(0, optional(1, "s", iceberg.PrimitiveTypes.String))
	f := describe(t, schema, `{"s":"`+strings.Repeat("m", 10_000)+`"}`, `{"s":null}`, `{"s":"b"}`)
	require.NotContains(t, f.LowerBoundValues(), 1)
	require.NotContains(t, f.UpperBoundValues(), 1)
	require.Equal(t, map[int]int64{1: 1}, f.NullValueCounts())
}

func TestStatisticsOfNestedColumns(t *testing.T) {
	types := iceberg.PrimitiveTypes
	schema := iceberg.NewSchema(0,
		optional(1, "s", &iceberg.StructType{FieldList: []iceberg.NestedField{
			optional(2, "x", types.Int32), optional(3, "y", types.Float64)}}),
		optional(4, "l", &iceberg.ListType{ElementID: 5, Element: types.Int32}))
	f := describe(t, schema, `{"s":{"x":5,"y":1.5},"l":[1,2]}`, `{"s":null,"l":[]}`,
		`{"s":{"x":-7,"y":null},"l":null}`, `{"s":{"x":null,"y":2},"l":[null]}`)
	require.Equal(t, map[int]int64{2: 4, 3: 4}, f.ValueCounts())
	require.Equal(t, map[int]int64{2: 2, 3: 2}, f.NullValueCounts())
	require.Equal(t, map[int]int64{3: 0}, f.NaNValueCounts())
	require.Equal(t, int32(-7), literal(t, schema, 2, f.LowerBoundValues()))
	require.Equal(t, int32(5), literal(t, schema, 2, f.UpperBoundValues()))
	require.Equal(t, 2.0, literal(t, schema, 3, f.UpperBoundValues()))
	require.NotContains(t, f.LowerBoundValues(), 5)
	require.Contains(t, f.ColumnSizes(), 5)
}

// TestStatisticsHoldForRandomRows checks counts and bounds of all flat columns against the rows.
func TestStatisticsHoldForRandomRows(t *testing.T) {
	d := newDice(21, memory.DefaultAllocator)
	batch := d.batch(t, everyType(), 900)
	defer batch.Release()
	f := write(t, testWriter(t, newStore(), WriterOptions{Schema: everyType(),
		Parquet: ParquetOptions{RowGroupRows: 250}}), batch)[0]
	for i, field := range everyType().Fields()[:18] {
		column := batch.Column(i)
		require.EqualValues(t, 900, f.ValueCounts()[field.ID], field.Name)
		require.EqualValues(t, column.NullN(), f.NullValueCounts()[field.ID], field.Name)
		require.Positive(t, f.ColumnSizes()[field.ID])
		lower, upper := f.LowerBoundValues()[field.ID], f.UpperBoundValues()[field.ID]
		_, isText := field.Type.(iceberg.StringType)
		_, isBinary := field.Type.(iceberg.BinaryType)
		tight := isText || isBinary
		touchesLower, touchesUpper := tight, tight
		for row := range column.Len() {
			raw := singleValue(column, row)
			if raw == nil {
				continue
			}
			typ := field.Type.(iceberg.PrimitiveType)
			require.GreaterOrEqual(t, compareBound(typ, raw, lower), 0, field.Name)
			require.LessOrEqual(t, compareBound(typ, raw, upper), 0, field.Name)
			touchesLower = touchesLower || compareBound(typ, raw, lower) == 0
			touchesUpper = touchesUpper || compareBound(typ, raw, upper) == 0
		}
		require.True(t, touchesLower && touchesUpper, field.Name)
	}
}

// singleValue is a value in Iceberg's single-value form, nil for nulls and NaNs.
func singleValue(column arrow.Array, row int) []byte {
	if column.IsNull(row) {
		return nil
	}
	var value iceberg.Literal
	switch a := column.(type) {
	case *array.Boolean:
		value = iceberg.NewLiteral(a.Value(row))
	case *array.Int32:
		value = iceberg.NewLiteral(a.Value(row))
	case *array.Int64:
		value = iceberg.NewLiteral(a.Value(row))
	case *array.Float32:
		value = iceberg.NewLiteral(a.Value(row))
		if math.IsNaN(float64(a.Value(row))) {
			return nil
		}
	case *array.Float64:
		value = iceberg.NewLiteral(a.Value(row))
		if math.IsNaN(a.Value(row)) {
			return nil
		}
	case *array.Date32:
		value = iceberg.NewLiteral(iceberg.Date(a.Value(row)))
	case *array.Time64:
		value = iceberg.NewLiteral(iceberg.Time(a.Value(row)))
	case *array.Timestamp:
		value = iceberg.NewLiteral(iceberg.Timestamp(a.Value(row)))
	case *array.String:
		value = iceberg.NewLiteral(a.Value(row))
	case *array.Decimal128:
		scale := int(a.DataType().(*arrow.Decimal128Type).Scale)
		value = iceberg.NewLiteral(iceberg.Decimal{Val: a.Value(row), Scale: scale})
	case *array.Binary:
		return append([]byte{}, a.Value(row)...)
	case *array.FixedSizeBinary:
		return append([]byte{}, a.Value(row)...)
	}
	raw, err := value.MarshalBinary()
	if err != nil {
		panic(err)
	}
	return raw
}
