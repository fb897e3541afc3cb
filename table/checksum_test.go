package table

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"
)

// fromJSON makes a batch of schema from rows of JSON.
func fromJSON(t testing.TB, schema *iceberg.Schema, rows ...string) arrow.RecordBatch {
	t.Helper()
	arrowSchema, err := ArrowSchema(schema)
	require.NoError(t, err)
	batch, _, err := array.RecordFromJSON(memory.DefaultAllocator, arrowSchema,
		strings.NewReader("["+strings.Join(rows, ",")+"]"))
	require.NoError(t, err)
	t.Cleanup(batch.Release)
	return batch
}

func sumOf(t testing.TB, schema *iceberg.Schema, rows ...string) uint64 {
	t.Helper()
	sum, err := Checksum(schema, fromJSON(t, schema, rows...))
	require.NoError(t, err)
	return sum
}

// TestChecksumGoldenValues holds still what ledgers have stored. A failure here means that every
// table out there would fail its proof: change the code back, never the values.
func TestChecksumGoldenValues(t *testing.T) {
	types := iceberg.PrimitiveTypes
	list := &iceberg.ListType{ElementID: 5, Element: types.Int32}
	dict := &iceberg.MapType{KeyID: 5, KeyType: types.String, ValueID: 6, ValueType: types.Int64}
	group := &iceberg.StructType{FieldList: []iceberg.NestedField{optional(5, "a", types.Int32)}}
	for _, c := range []struct {
		typ   iceberg.Type
		value string
		want  string
	}{
		{types.Bool, `true`, `40329e657a69cfdf`},
		{types.Bool, `false`, `a63b34d5b5b65913`},
		{types.Bool, `null`, `8cb9463e7cde12e7`},
		{types.Int32, `1`, `40329e657a69cfdf`},
		{types.Int32, `0`, `a63b34d5b5b65913`},
		{types.Int32, `-1`, `ba89d207a7bc4f6c`},
		{types.Int32, `2147483647`, `6ab956f5451b686e`},
		{types.Int64, `1`, `40329e657a69cfdf`},
		{types.Int64, `-9223372036854775808`, `15a7cd4389ce6d57`},
		{types.Float32, `1.5`, `b1f126c43a498792`},
		{types.Float32, `-2.25`, `4e7fb105b23d265d`},
		{types.Float64, `1.5`, `b1f126c43a498792`},
		{types.Float64, `0.1`, `3a878914d64180cc`},
		{types.Date, `"1970-01-01"`, `a63b34d5b5b65913`},
		{types.Date, `"1969-12-31"`, `60dfcb42eeb9d00f`},
		{types.Date, `"2026-11-21"`, `61a4d0601d93d9da`},
		{types.Time, `"12:34:56.789012"`, `29ccc27989e64758`},
		{types.Timestamp, `"1969-12-31 23:59:59.999999"`, `ba89d207a7bc4f6c`},
		{types.TimestampTz, `"2026-11-21 05:06:07.000008Z"`, `a8a287d60083a484`},
		{types.TimestampNs, `"2026-11-21 05:06:07.000008"`, `a8a287d60083a484`},
		{types.TimestampNs, `"1969-12-31 23:59:59.999999999"`, `595c26cb0b88fc1b`},
		{types.String, `""`, `daa0fa73be3cbedb`},
		{types.String, `"x"`, `67193562baf28d23`},
		{types.String, `"Grüße, 世界"`, `bbd50fba1c0d2688`},
		{types.String, `"0123456789abcdef0123456789abcdef0"`, `c092afafda08b379`},
		{types.Binary, `"AAEC/w=="`, `33276fccf4e659ec`},
		{types.UUID, `"AAECAwQFBgcICQoLDA0ODw=="`, `2e1886618ddce8e1`},
		{iceberg.FixedTypeOf(3), `"AQID"`, `10130668caf418a2`},
		{iceberg.DecimalTypeOf(9, 2), `"1.25"`, `649a9c2e9c4ce4df`},
		{iceberg.DecimalTypeOf(9, 2), `"-1.25"`, `6f98c42885d9227e`},
		{iceberg.DecimalTypeOf(38, 0), `"99999999999999999999999999999999999999"`, `6596c7deab1d54a6`},
		{list, `[1,null,3]`, `5e199b6b106eae76`},
		{list, `[]`, `8fe4d192cedcf47d`},
		{list, `null`, `8cb9463e7cde12e7`},
		{dict, `[{"key":"a","value":1},{"key":"b","value":null}]`, `6d2aa4eef6cde1aa`},
		{dict, `[]`, `48f646ae14c77f48`},
		{group, `{"a":1}`, `90c08e7e74cdc080`},
		{group, `{"a":null}`, `0a53ecfa56a99017`},
	} {
		t.Run(fmt.Sprintf("%s/%s", c.typ, c.value), func(t *testing.T) {
			schema := iceberg.NewSchema(0, optional(4, "v", c.typ))
			sum := sumOf(t, schema, `{"v":`+c.value+`}`)
			require.Equal(t, c.want, fmt.Sprintf("%016x", sum))
		})
	}
}

func TestChecksumOfFloatSpecials(t *testing.T) {
	schema := iceberg.NewSchema(0, optional(4, "v", iceberg.PrimitiveTypes.Float64))
	narrow := iceberg.NewSchema(0, optional(4, "v", iceberg.PrimitiveTypes.Float32))
	of := func(v float64) uint64 {
		b := array.NewFloat64Builder(memory.DefaultAllocator)
		b.Append(v)
		return columnSum(t, schema, b.NewArray())
	}
	of32 := func(v float32) uint64 {
		b := array.NewFloat32Builder(memory.DefaultAllocator)
		b.Append(v)
		return columnSum(t, narrow, b.NewArray())
	}
	payload := math.Float64frombits(0xfff8dead00000001)
	require.Equal(t, of(math.NaN()), of(payload), "all NaNs are one")
	require.Equal(t, of(math.NaN()), of32(math.Float32frombits(0x7fc00001)))
	require.NotEqual(t, of(0), of(math.Copysign(0, -1)), "the zeros are two")
	require.Equal(t, of(math.Copysign(0, -1)), of32(float32(math.Copysign(0, -1))))
	require.Equal(t, of(float64(float32(1.1))), of32(1.1))
	require.Equal(t, of(math.Inf(-1)), of32(float32(math.Inf(-1))))
	require.Equal(t, "e2a316cf11f38cff", fmt.Sprintf("%016x", of(math.NaN())))
}

func columnSum(t testing.TB, schema *iceberg.Schema, column arrow.Array) uint64 {
	t.Helper()
	arrowSchema, err := ArrowSchema(schema)
	require.NoError(t, err)
	batch := array.NewRecordBatch(arrowSchema, []arrow.Array{column}, int64(column.Len()))
	sum, err := Checksum(schema, batch)
	require.NoError(t, err)
	return sum
}

func TestChecksumIgnoresOrderAndSplitOfBatches(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	d := newDice(11, mem)
	batch := d.batch(t, everyType(), 500)
	defer batch.Release()
	sums, err := NewChecksummer(everyType())
	require.NoError(t, err)
	rows, err := sums.Rows([]uint64{42}, batch)
	require.NoError(t, err)
	require.Len(t, rows, 501)
	require.Equal(t, uint64(42), rows[0])
	var total uint64
	for _, row := range rows[1:] {
		total += row
	}
	whole, err := sums.Sum(batch)
	require.NoError(t, err)
	require.Equal(t, total, whole)
	for range 20 {
		var split uint64
		for from := int64(0); from < 500; {
			to := min(500, from+1+d.Int64N(100))
			slice := batch.NewSlice(from, to)
			again, err := sums.Rows(nil, slice)
			require.NoError(t, err)
			require.Equal(t, rows[1+from:1+to], again, "a row's checksum is its own")
			for _, row := range again {
				split += row
			}
			slice.Release()
			from = to
		}
		require.Equal(t, whole, split)
	}
}

func TestChecksumSurvivesSafeWidening(t *testing.T) {
	types := iceberg.PrimitiveTypes
	structOf := func(fields ...iceberg.NestedField) iceberg.Type {
		return &iceberg.StructType{FieldList: fields}
	}
	for name, c := range map[string]struct{ narrow, wide iceberg.Type }{
		"int to long":               {types.Int32, types.Int64},
		"decimal precision":         {iceberg.DecimalTypeOf(9, 2), iceberg.DecimalTypeOf(38, 2)},
		"date to timestamp":         {types.Date, types.Timestamp},
		"timestamp to timestamp_ns": {types.Timestamp, types.TimestampNs},
		"in a struct": {structOf(optional(5, "a", types.Int32)),
			structOf(optional(5, "a", types.Int64))},
		"in a list": {&iceberg.ListType{ElementID: 5, Element: types.Int32},
			&iceberg.ListType{ElementID: 5, Element: types.Int64}},
		"in a map": {
			&iceberg.MapType{KeyID: 5, KeyType: types.String, ValueID: 6, ValueType: types.Int32},
			&iceberg.MapType{KeyID: 5, KeyType: types.String, ValueID: 6, ValueType: types.Int64}},
	} {
		t.Run(name, func(t *testing.T) {
			values := map[string][]string{
				"int to long":               {`1`, `-1`, `0`, `2147483647`, `-2147483648`, `null`},
				"decimal precision":         {`"1.25"`, `"-1.25"`, `"0.00"`, `"9999999.99"`, `null`},
				"date to timestamp":         {`"1970-01-01"`, `"1969-12-31"`, `"2026-11-21"`, `null`},
				"timestamp to timestamp_ns": {`"1970-01-01 00:00:00.000001"`, `"1969-12-31 23:59:59.999999"`},
				"in a struct":               {`{"a":1}`, `{"a":-5}`, `{"a":null}`, `null`},
				"in a list":                 {`[1,-2,null]`, `[]`, `null`},
				"in a map":                  {`[{"key":"x","value":1},{"key":"y","value":-2}]`, `[]`, `null`},
			}[name]
			for _, v := range values {
				row := `{"v":` + v + `}`
				require.Equal(t, sumOf(t, iceberg.NewSchema(0, optional(4, "v", c.narrow)), row),
					sumOf(t, iceberg.NewSchema(1, optional(4, "v", c.wide)), row), v)
			}
		})
	}
}

func TestChecksumIgnoresColumnOrderAndAddedNulls(t *testing.T) {
	types := iceberg.PrimitiveTypes
	inner := func(fields ...iceberg.NestedField) iceberg.Type {
		return &iceberg.ListType{ElementID: 9, Element: &iceberg.StructType{FieldList: fields}}
	}
	before := iceberg.NewSchema(0, optional(1, "a", types.Int64), optional(2, "b", types.String),
		optional(3, "c", inner(optional(4, "x", types.Int64))))
	after := iceberg.NewSchema(1,
		optional(3, "renamed", inner(optional(5, "added", types.UUID), optional(4, "x", types.Int64))),
		optional(6, "new", types.String), optional(2, "b", types.String), optional(1, "a", types.Int64))
	require.Equal(t,
		sumOf(t, before, `{"a":1,"b":"two","c":[{"x":3},null,{"x":null}]}`, `{"a":null,"b":"","c":null}`),
		sumOf(t, after, `{"b":"","renamed":null}`,
			`{"a":1,"b":"two","renamed":[{"x":3},null,{"x":null}]}`))
}

func TestChecksumSeesWhatChanged(t *testing.T) {
	types := iceberg.PrimitiveTypes
	schema := iceberg.NewSchema(0, optional(1, "a", types.Int64), optional(2, "b", types.Int64),
		optional(3, "l", &iceberg.ListType{ElementID: 4, Element: types.String}),
		optional(5, "m", &iceberg.MapType{
			KeyID: 6, KeyType: types.String, ValueID: 7, ValueType: types.String}),
		optional(8, "s", &iceberg.StructType{FieldList: []iceberg.NestedField{
			optional(9, "x", types.Int64), optional(10, "y", types.Int64)}}))
	differ := func(a, b []string) {
		t.Helper()
		require.NotEqual(t, sumOf(t, schema, a...), sumOf(t, schema, b...))
	}
	// A value moved to another row, or two swapped between rows.
	differ([]string{`{"a":1,"b":2}`, `{"a":3,"b":4}`}, []string{`{"a":3,"b":2}`, `{"a":1,"b":4}`})
	differ([]string{`{"a":1}`, `{"b":2}`}, []string{`{"a":1,"b":2}`, `{}`})
	// A value moved to another column.
	differ([]string{`{"a":1,"b":2}`}, []string{`{"a":2,"b":1}`})
	// A row doubled, dropped, or without any value.
	differ([]string{`{"a":1}`}, []string{`{"a":1}`, `{"a":1}`})
	differ([]string{`{"a":1}`}, []string{`{"a":1}`, `{}`})
	// Lists: order, nulls, empty and null, text moved across a border.
	differ([]string{`{"l":["x","y"]}`}, []string{`{"l":["y","x"]}`})
	differ([]string{`{"l":["x"]}`}, []string{`{"l":["x",null]}`})
	differ([]string{`{"l":[null,"x"]}`}, []string{`{"l":["x",null]}`})
	differ([]string{`{"l":[]}`}, []string{`{"l":null}`})
	differ([]string{`{"l":["xy",""]}`}, []string{`{"l":["x","y"]}`})
	differ([]string{`{"l":["x"]}`, `{"l":["y"]}`}, []string{`{"l":["x","y"]}`, `{"l":[]}`})
	// Maps: pairing counts, order does not.
	differ([]string{`{"m":[{"key":"x","value":"1"},{"key":"y","value":"2"}]}`},
		[]string{`{"m":[{"key":"x","value":"2"},{"key":"y","value":"1"}]}`})
	differ([]string{`{"m":[{"key":"x","value":"1"}]}`}, []string{`{"m":[{"key":"1","value":"x"}]}`})
	differ([]string{`{"m":[]}`}, []string{`{"m":null}`})
	require.Equal(t, sumOf(t, schema, `{"m":[{"key":"x","value":"1"},{"key":"y","value":"2"}]}`),
		sumOf(t, schema, `{"m":[{"key":"y","value":"2"},{"key":"x","value":"1"}]}`))
	// Structs: fields, nulls.
	differ([]string{`{"s":{"x":1,"y":2}}`}, []string{`{"s":{"x":2,"y":1}}`})
	differ([]string{`{"s":{"x":null,"y":null}}`}, []string{`{"s":null}`})
	differ([]string{`{"s":{"x":1}}`, `{"s":{"y":2}}`}, []string{`{"s":{"x":1,"y":2}}`, `{"s":{}}`})
}

func TestRowChecksumsDoNotCollide(t *testing.T) {
	schema := iceberg.NewSchema(0, optional(1, "a", iceberg.PrimitiveTypes.Int64),
		optional(2, "b", iceberg.PrimitiveTypes.Int64))
	arrowSchema, err := ArrowSchema(schema)
	require.NoError(t, err)
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrowSchema)
	for a := range int64(400) {
		for c := range int64(400) {
			b.Field(0).(*array.Int64Builder).Append(a - 200)
			b.Field(1).(*array.Int64Builder).Append(c - 200)
		}
	}
	rows, err := RowChecksums(nil, schema, b.NewRecordBatch())
	require.NoError(t, err)
	seen := map[uint64]bool{}
	for _, row := range rows {
		require.False(t, seen[row])
		seen[row] = true
	}
}

func TestChecksumAllocatesNothingPerRow(t *testing.T) {
	d := newDice(2, memory.DefaultAllocator)
	batch := d.batch(t, everyType(), 4000)
	defer batch.Release()
	sums, err := NewChecksummer(everyType())
	require.NoError(t, err)
	_, err = sums.Sum(batch)
	require.NoError(t, err)
	require.Less(t, testing.AllocsPerRun(5, func() { _, _ = sums.Sum(batch) }), 100.0)
}

func TestChecksumOfWrongBatchFails(t *testing.T) {
	schema := iceberg.NewSchema(0, optional(1, "a", iceberg.PrimitiveTypes.Int64))
	other := iceberg.NewSchema(0, optional(1, "a", iceberg.PrimitiveTypes.String))
	_, err := Checksum(schema, fromJSON(t, other, `{"a":"x"}`))
	require.ErrorContains(t, err, "row checksum of column a: batch holds utf8")
	_, err = Checksum(iceberg.NewSchema(0), fromJSON(t, other, `{"a":"x"}`))
	require.ErrorContains(t, err, "batch has 1 columns, the schema 0")
}

// BenchmarkRowChecksums hashes 20 fixed columns and 4 strings; see the metric per cell.
func BenchmarkRowChecksums(b *testing.B) {
	for _, c := range []struct {
		name string
		make func(r *rand.Rand) arrow.Array
		typ  iceberg.Type
	}{
		{"long", func(r *rand.Rand) arrow.Array {
			b := array.NewInt64Builder(memory.DefaultAllocator)
			for range 65536 {
				b.Append(r.Int64())
			}
			return b.NewArray()
		}, iceberg.PrimitiveTypes.Int64},
		{"double", func(r *rand.Rand) arrow.Array {
			b := array.NewFloat64Builder(memory.DefaultAllocator)
			for range 65536 {
				b.Append(r.Float64())
			}
			return b.NewArray()
		}, iceberg.PrimitiveTypes.Float64},
		{"decimal", func(r *rand.Rand) arrow.Array {
			b := array.NewDecimal128Builder(memory.DefaultAllocator,
				&arrow.Decimal128Type{Precision: 38, Scale: 2})
			for range 65536 {
				b.Append(decimal128.FromI64(r.Int64()))
			}
			return b.NewArray()
		}, iceberg.DecimalTypeOf(38, 2)},
		{"string36", func(r *rand.Rand) arrow.Array {
			b := array.NewStringBuilder(memory.DefaultAllocator)
			for range 65536 {
				b.Append(fmt.Sprintf("%036x", r.Int64()))
			}
			return b.NewArray()
		}, iceberg.PrimitiveTypes.String},
	} {
		b.Run(c.name, func(b *testing.B) {
			schema := iceberg.NewSchema(0, optional(1, "v", c.typ))
			arrowSchema, err := ArrowSchema(schema)
			require.NoError(b, err)
			column := c.make(rand.New(rand.NewPCG(1, 2)))
			batch := array.NewRecordBatch(arrowSchema, []arrow.Array{column}, 65536)
			sums, err := NewChecksummer(schema)
			require.NoError(b, err)
			var dst []uint64
			for b.Loop() {
				if dst, err = sums.Rows(dst[:0], batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/65536, "ns/cell")
		})
	}
}
