package keyindex

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// column is a column of a batch under test: its type in the table and in the batch, and its values.
type column struct {
	iceberg iceberg.Type
	arrow   arrow.DataType
	values  []any // nil is null
}

var (
	micros = &arrow.TimestampType{Unit: arrow.Microsecond}
	nanos  = &arrow.TimestampType{Unit: arrow.Nanosecond}
	fixed4 = &arrow.FixedSizeBinaryType{ByteWidth: 4}
	uuid16 = &arrow.FixedSizeBinaryType{ByteWidth: 16}
)

func longs(values ...any) column {
	return column{iceberg.PrimitiveTypes.Int64, arrow.PrimitiveTypes.Int64, values}
}

func texts(values ...any) column {
	return column{iceberg.PrimitiveTypes.String, arrow.BinaryTypes.String, values}
}

func appendValue(b array.Builder, v any) {
	if v == nil {
		b.AppendNull()
		return
	}
	switch b := b.(type) {
	case *array.Int32Builder:
		b.Append(int32(v.(int)))
	case *array.Int64Builder:
		b.Append(int64(v.(int)))
	case *array.BooleanBuilder:
		b.Append(v.(bool))
	case *array.Time64Builder:
		b.Append(arrow.Time64(v.(int)))
	case *array.Date32Builder:
		b.Append(arrow.Date32(v.(int)))
	case *array.TimestampBuilder:
		b.Append(arrow.Timestamp(v.(int)))
	case *array.Decimal128Builder:
		b.Append(decimal128.FromI64(int64(v.(int))))
	case *array.StringBuilder:
		b.Append(v.(string))
	case *array.LargeStringBuilder:
		b.Append(v.(string))
	case *array.BinaryBuilder:
		b.Append([]byte(v.(string)))
	case *array.FixedSizeBinaryBuilder:
		b.Append([]byte(v.(string)))
	case *array.Float64Builder:
		b.Append(v.(float64))
	case *extensions.UUIDBuilder:
		b.Append(uuid.UUID([]byte(v.(string))))
	default:
		panic(fmt.Sprintf("BUG: no builder for %T", b))
	}
}

func arrowField(id int, name string, typ arrow.DataType) arrow.Field {
	return arrow.Field{Name: name, Type: typ, Nullable: true,
		Metadata: arrow.NewMetadata([]string{icetable.ArrowParquetFieldIDKey}, []string{strconv.Itoa(id)})}
}

// table makes a schema whose identifier are the columns, with ids from 1 on, and a batch of them.
func table(t testing.TB, columns ...column) (*iceberg.Schema, arrow.RecordBatch) {
	t.Helper()
	var fields []iceberg.NestedField
	var arrowFields []arrow.Field
	var ids []int
	var arrays []arrow.Array
	allocator := memory.NewCheckedAllocator(memory.DefaultAllocator)
	for i, c := range columns {
		name := string(rune('a' + i))
		fields = append(fields, iceberg.NestedField{ID: i + 1, Name: name, Type: c.iceberg, Required: true})
		arrowFields = append(arrowFields, arrowField(i+1, name, c.arrow))
		ids = append(ids, i+1)
		b := array.NewBuilder(allocator, c.arrow)
		for _, v := range c.values {
			appendValue(b, v)
		}
		arrays = append(arrays, b.NewArray())
		b.Release()
	}
	batch := array.NewRecordBatch(arrow.NewSchema(arrowFields, nil), arrays, int64(arrays[0].Len()))
	for _, a := range arrays {
		a.Release()
	}
	t.Cleanup(func() { allocator.AssertSize(t, 0) })
	t.Cleanup(batch.Release)
	return iceberg.NewSchemaWithIdentifiers(0, ids, fields...), batch
}

var testSeed = Seed{High: 0x0123456789abcdef, Low: 0xfedcba9876543210}

func hasherOf(t testing.TB, schema *iceberg.Schema) *Hasher {
	t.Helper()
	fields, err := identifierFields(schema)
	require.NoError(t, err)
	return newHasher(fields, testSeed)
}

func keysOfColumns(t testing.TB, columns ...column) []Key {
	t.Helper()
	schema, batch := table(t, columns...)
	keys, nulls, err := hasherOf(t, schema).Keys(nil, batch)
	require.NoError(t, err)
	require.Empty(t, nulls)
	return keys
}

func TestPromotedValuesHaveTheSameKey(t *testing.T) {
	const day = 86_400
	sixteen := "0123456789abcdef"
	primitives := iceberg.PrimitiveTypes
	for name, same := range map[string][]column{
		"int to long": {
			{primitives.Int32, arrow.PrimitiveTypes.Int32, []any{0, -1, math.MaxInt32, math.MinInt32}},
			longs(0, -1, math.MaxInt32, math.MinInt32),
		},
		"decimal": {
			{iceberg.DecimalTypeOf(9, 2), &arrow.Decimal128Type{Precision: 9, Scale: 2}, []any{1, -1, 0}},
			{iceberg.DecimalTypeOf(38, 2), &arrow.Decimal128Type{Precision: 38, Scale: 2}, []any{1, -1, 0}},
		},
		"date to timestamp": {
			{primitives.Date, arrow.FixedWidthTypes.Date32, []any{0, 1, -1, 20_000, -20_000}},
			{primitives.Timestamp, micros, []any{
				0, day * 1_000_000, -day * 1_000_000, 20_000 * day * 1_000_000, -20_000 * day * 1_000_000}},
			{primitives.TimestampNs, nanos, []any{
				0, day * 1_000_000_000, -day * 1_000_000_000, 20_000 * day * 1_000_000_000,
				-20_000 * day * 1_000_000_000}},
		},
		"timestamp before the epoch": {
			{primitives.Timestamp, micros, []any{-1, -1_000_001, 1_999_999}},
			{primitives.TimestampNs, nanos, []any{-1000, -1_000_001_000, 1_999_999_000}},
		},
		"string": {texts("", "a", "ä"), {primitives.String, arrow.BinaryTypes.LargeString, []any{"", "a", "ä"}}},
		"uuid": {
			{primitives.UUID, uuid16, []any{sixteen}},
			{primitives.UUID, extensions.NewUUIDType(), []any{sixteen}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			want := keysOfColumns(t, same[0])
			first, _ := table(t, same[0])
			identifier, err := Identifier(first)
			require.NoError(t, err)
			require.Len(t, slices.Compact(slices.SortedFunc(slices.Values(want), Key.Compare)), len(want))
			for _, c := range same[1:] {
				require.Equal(t, want, keysOfColumns(t, c))
				schema, _ := table(t, c)
				other, err := Identifier(schema)
				require.NoError(t, err)
				require.Equal(t, identifier, other)
			}
		})
	}
}

// TestDifferentValuesHaveDifferentKeys holds values against each other that a careless hash takes for one.
func TestDifferentValuesHaveDifferentKeys(t *testing.T) {
	primitives := iceberg.PrimitiveTypes
	seen := map[Key]string{}
	for _, columns := range [][]column{
		{texts("a", "ab", "", "abc"), texts("bc", "c", "abc", "")},
		{texts("a\x00", "", "\x00"), texts("", "a\x00", "\x00\x00")},
		{longs(1, 2, 0), longs(2, 1, 0)},
		{longs(0, 1, 1<<32, -1, math.MinInt64)},
		{longs(5, 5), {primitives.Bool, arrow.FixedWidthTypes.Boolean, []any{true, false}}},
		// Dates whose microseconds are out of the range of 64 bits, 2^64 microseconds apart but for a few.
		{{primitives.Date, arrow.FixedWidthTypes.Date32, []any{math.MaxInt32, math.MinInt32, 213_503_982}}},
	} {
		for i, k := range keysOfColumns(t, columns...) {
			name := fmt.Sprint(columns, i)
			require.Empty(t, seen[k], name)
			seen[k] = name
		}
	}
}

// TestKeysStayAsTheyAre: keys lie on disk. When they have to change, identifierVersion does too.
func TestKeysStayAsTheyAre(t *testing.T) {
	primitives := iceberg.PrimitiveTypes
	keys := keysOfColumns(t,
		longs(1, -7),
		texts("", "a longer text, of more than one block of the hash, and then some: 0123456789"),
		column{primitives.Bool, arrow.FixedWidthTypes.Boolean, []any{true, false}},
		column{primitives.Time, arrow.FixedWidthTypes.Time64us, []any{1, 2}},
		column{primitives.TimestampTz, arrow.FixedWidthTypes.Timestamp_us, []any{1, -2}},
		column{iceberg.DecimalTypeOf(9, 2), &arrow.Decimal128Type{Precision: 9, Scale: 2}, []any{-1, 12345}},
		column{primitives.UUID, uuid16, []any{"0123456789abcdef", strings.Repeat("\x00", 15) + "\x01"}},
		column{iceberg.FixedTypeOf(4), fixed4, []any{"abcd", "dcba"}},
		column{primitives.Binary, arrow.BinaryTypes.Binary, []any{"\xff", "\x00"}},
	)
	require.Equal(t, []Key{
		{0x8ca5cd021388db5f, 0x01e6dd10c279e872}, {0xd4f714df354860a4, 0xce511fbbf485e3dd},
	}, keys)
}

func TestRowsWithNullsAreListed(t *testing.T) {
	schema, batch := table(t, longs(1, nil, 3, 4, nil), texts("a", "b", nil, "d", nil))
	h := hasherOf(t, schema)
	keys, nulls, err := h.Keys(nil, batch)
	require.NoError(t, err)
	require.Equal(t, []Null{{1, "a"}, {2, "b"}, {4, "a"}}, nulls)
	require.ErrorIs(t, nulls[0], ErrNull)
	require.ErrorContains(t, nulls[1], "row 2 has no key: column b")
	whole := keysOfColumns(t, longs(1, 4), texts("a", "d"))
	require.Equal(t, []Key{whole[0], {}, {}, whole[1], {}}, keys)

	slice := batch.NewSlice(2, 4)
	defer slice.Release()
	keys, nulls, err = h.Keys(keys, slice)
	require.NoError(t, err)
	require.Equal(t, []Null{{0, "b"}}, nulls)
	require.Equal(t, []Key{{}, whole[1]}, keys)

	all, batch := table(t, column{iceberg.PrimitiveTypes.UUID, uuid16, []any{nil, nil}},
		column{iceberg.FixedTypeOf(4), fixed4, []any{nil, nil}})
	_, nulls, err = hasherOf(t, all).Keys(nil, batch)
	require.NoError(t, err)
	require.Len(t, nulls, 2)
}

// TestColumnsAreFoundByID reads keys from a struct, among other columns, under other names, in another order.
func TestColumnsAreFoundByID(t *testing.T) {
	primitives := iceberg.PrimitiveTypes
	user := &iceberg.StructType{FieldList: []iceberg.NestedField{
		{ID: 11, Name: "id", Type: primitives.Int64, Required: true},
		{ID: 12, Name: "note", Type: primitives.String},
	}}
	schema := iceberg.NewSchemaWithIdentifiers(0, []int{30, 11},
		iceberg.NestedField{ID: 10, Name: "user", Type: user, Required: true},
		iceberg.NestedField{ID: 30, Name: "day", Type: primitives.Date, Required: true})
	identifier, err := Identifier(schema)
	require.NoError(t, err)
	require.Equal(t, "1, 11 integer, 30 instant", identifier)

	allocator := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer allocator.AssertSize(t, 0)
	build := func(typ arrow.DataType, values ...any) arrow.Array {
		b := array.NewBuilder(allocator, typ)
		defer b.Release()
		for _, v := range values {
			appendValue(b, v)
		}
		return b.NewArray()
	}
	notes := build(arrow.BinaryTypes.String, nil, nil, nil, nil)
	days := build(arrow.FixedWidthTypes.Date32, 0, 1, 2, 3)
	numbers := build(arrow.PrimitiveTypes.Int64, 100, 101, 102, 103)
	// The struct is null in the second row, the number in it is not.
	valid := memory.NewBufferBytes([]byte{0b1101})
	people, err := array.NewStructArrayWithFieldsAndNulls([]arrow.Array{notes, numbers}, []arrow.Field{
		arrowField(12, "note", notes.DataType()), arrowField(11, "number", numbers.DataType())}, valid, 1, 0)
	require.NoError(t, err)
	batch := array.NewRecordBatch(arrow.NewSchema([]arrow.Field{
		arrowField(50, "new", notes.DataType()), arrowField(30, "renamed", days.DataType()),
		arrowField(10, "person", people.DataType()),
	}, nil), []arrow.Array{notes, days, people}, 4)
	defer batch.Release()
	for _, a := range []arrow.Array{notes, days, numbers, people} {
		a.Release()
	}
	slice := batch.NewSlice(1, 4)
	defer slice.Release()
	h := hasherOf(t, schema)
	want := keysOfColumns(t, longs(100, 102, 103),
		column{primitives.Date, arrow.FixedWidthTypes.Date32, []any{0, 2, 3}})

	keys, nulls, err := h.Keys(nil, batch)
	require.NoError(t, err)
	require.Equal(t, []Null{{1, "user.id"}}, nulls)
	require.Equal(t, []Key{want[0], {}, want[1], want[2]}, keys)
	keys, nulls, err = h.Keys(keys, slice)
	require.NoError(t, err)
	require.Equal(t, []Null{{0, "user.id"}}, nulls)
	require.Equal(t, []Key{{}, want[1], want[2]}, keys)

	_, other := table(t, longs(1))
	_, _, err = h.Keys(nil, other)
	require.ErrorContains(t, err, "no column with id 11: it is user.id")
	_, _, err = h.Keys(nil, batch)
	require.NoError(t, err, "a batch that was refused is forgotten")
}

func TestHasherRefusesColumnsOfAnotherForm(t *testing.T) {
	for _, c := range []column{
		{iceberg.PrimitiveTypes.Int64, arrow.BinaryTypes.String, []any{"1"}},
		{iceberg.PrimitiveTypes.String, arrow.PrimitiveTypes.Int64, []any{1}},
		{iceberg.PrimitiveTypes.Bool, arrow.PrimitiveTypes.Int64, []any{1}},
		{iceberg.PrimitiveTypes.UUID, fixed4, []any{"abcd"}},
		{iceberg.DecimalTypeOf(9, 2), arrow.PrimitiveTypes.Int64, []any{1}},
		{iceberg.PrimitiveTypes.Date, arrow.PrimitiveTypes.Int64, []any{1}},
		{iceberg.PrimitiveTypes.Time, arrow.FixedWidthTypes.Time64ns, []any{1}},
		{iceberg.PrimitiveTypes.Timestamp, &arrow.TimestampType{Unit: arrow.Millisecond}, []any{1}},
	} {
		schema, batch := table(t, c)
		_, _, err := hasherOf(t, schema).Keys(nil, batch)
		require.ErrorContains(t, err, "key of column a: batch holds", c.iceberg)
	}
}

func TestIdentifierNamesWhatItCannotTake(t *testing.T) {
	primitives := iceberg.PrimitiveTypes
	id := iceberg.NestedField{ID: 2, Name: "id", Type: primitives.Int64, Required: true}
	optional := id
	optional.Required = false
	list := &iceberg.ListType{ElementID: 2, Element: primitives.Int64, ElementRequired: true}
	within := func(required bool, typ iceberg.Type) []iceberg.NestedField {
		return []iceberg.NestedField{{ID: 1, Name: "top", Type: typ, Required: required}}
	}
	for want, fields := range map[string][]iceberg.NestedField{
		"struct top is optional":    within(false, &iceberg.StructType{FieldList: []iceberg.NestedField{id}}),
		"column top.id is optional": within(true, &iceberg.StructType{FieldList: []iceberg.NestedField{optional}}),
		"field 2 is not a column":   within(true, list),
		"column id of type double":  {{ID: 2, Name: "id", Type: primitives.Float64, Required: true}},
		"column id of type float":   {{ID: 2, Name: "id", Type: primitives.Float32, Required: true}},
		"column id of type struct":  {{ID: 2, Name: "id", Type: &iceberg.StructType{}, Required: true}},
	} {
		_, err := Identifier(iceberg.NewSchemaWithIdentifiers(0, []int{2}, fields...))
		require.ErrorContains(t, err, want)
	}
	_, err := Identifier(iceberg.NewSchema(0, id))
	require.ErrorContains(t, err, "no identifier fields")
}

func TestIdentifierDiffersWhenColumnsDo(t *testing.T) {
	seen := map[string]bool{}
	for _, columns := range [][]column{
		{longs()}, {texts()}, {longs(), longs()}, {longs(), texts()}, {texts(), longs()},
		{{iceberg.PrimitiveTypes.Binary, arrow.BinaryTypes.Binary, nil}},
		{{iceberg.PrimitiveTypes.UUID, uuid16, nil}},
		{{iceberg.FixedTypeOf(16), uuid16, nil}},
		{{iceberg.FixedTypeOf(4), fixed4, nil}},
		{{iceberg.PrimitiveTypes.Date, arrow.FixedWidthTypes.Date32, nil}},
		{{iceberg.PrimitiveTypes.TimestampTz, micros, nil}},
		{{iceberg.DecimalTypeOf(9, 2), &arrow.Decimal128Type{Precision: 9, Scale: 2}, nil}},
		{{iceberg.DecimalTypeOf(9, 3), &arrow.Decimal128Type{Precision: 9, Scale: 3}, nil}},
	} {
		schema, _ := table(t, columns...)
		text, err := Identifier(schema)
		require.NoError(t, err)
		require.False(t, seen[text], text)
		seen[text] = true
	}
}

// TestHasherLastsAsLongAsItsIndex: keys are the same after a restart and after a rebuild, others in
// another index, and none of another identifier.
func TestHasherLastsAsLongAsItsIndex(t *testing.T) {
	schema, batch := table(t, longs(1, 2, 3))
	opts := testOptions(t, 1, 1<<20)
	var err error
	opts.Identifier, err = Identifier(schema)
	require.NoError(t, err)
	keys := func(x *Index) []Key {
		h, err := x.Hasher(schema)
		require.NoError(t, err)
		keys, _, err := h.Keys(nil, batch)
		require.NoError(t, err)
		return keys
	}
	x, err := Open(t.Context(), opts)
	require.NoError(t, err)
	first := keys(x)
	require.NoError(t, x.Close())
	x, err = Open(t.Context(), opts)
	require.NoError(t, err)
	require.Equal(t, first, keys(x))
	_, err = x.Rebuild()
	require.NoError(t, err)
	require.Equal(t, first, keys(x))
	other, _ := table(t, texts("a"))
	_, err = x.Hasher(other)
	require.ErrorContains(t, err, "open it anew")
	require.NoError(t, x.Close())

	opts.Dir += "-other"
	x, err = Open(t.Context(), opts)
	require.NoError(t, err)
	require.NotEqual(t, first, keys(x))
	require.NoError(t, x.Close())
}

// TestKeysAreUniform counts keys of plain values by their leading and by other bits: counts of buckets
// must be as of chance, and no two keys share half of their bits.
func TestKeysAreUniform(t *testing.T) {
	const n = 1 << 18
	numbers, days, short, users, small := make([]any, n), make([]any, n), make([]any, n), make([]any, n), make([]any, n)
	for i := range n {
		numbers[i], days[i] = i, i<<40
		short[i], users[i] = strconv.FormatInt(int64(i), 36), fmt.Sprintf("user-%014d", i)
		small[i] = i % 512
	}
	high := make([]any, n)
	for i := range n {
		high[i] = i / 512
	}
	ids := make([]any, n)
	for i := range ids {
		ids[i] = string(binary.BigEndian.AppendUint64(make([]byte, 8), uint64(i)))
	}
	for name, columns := range map[string][]column{
		"sequence": {longs(numbers...)}, "high bits": {longs(days...)}, "short strings": {texts(short...)},
		"long strings": {texts(users...)}, "composite": {longs(small...), longs(high...)},
		"composite of strings": {texts(short...), longs(small...)},
		"uuid":                 {{iceberg.PrimitiveTypes.UUID, uuid16, ids}},
	} {
		t.Run(name, func(t *testing.T) {
			keys := keysOfColumns(t, columns...)
			for shift := 0; shift+10 <= 64; shift += 9 {
				var highs, lows [1 << 10]float64
				for _, k := range keys {
					highs[k.High>>shift&1023]++
					lows[k.Low>>shift&1023]++
				}
				for _, counts := range [][1 << 10]float64{highs, lows} {
					chi, want := 0.0, float64(n)/1024
					for _, c := range counts {
						chi += (c - want) * (c - want) / want
					}
					// 1023 degrees of freedom: six deviations of sqrt(2*1023).
					require.InDelta(t, 1023, chi, 6*math.Sqrt(2*1023), "shift %d", shift)
				}
			}
			for _, half := range []func(Key) uint64{
				func(k Key) uint64 { return k.High }, func(k Key) uint64 { return k.Low },
			} {
				halves := make([]uint64, n)
				for i, k := range keys {
					halves[i] = half(k)
				}
				slices.Sort(halves)
				require.Len(t, slices.Compact(halves), n)
			}
		})
	}
}

// TestEveryBitOfAValueMovesEveryBitOfItsKey flips bits of values; each bit of the key must change in half
// of the cases.
func TestEveryBitOfAValueMovesEveryBitOfItsKey(t *testing.T) {
	const samples = 4096
	random := rand.New(rand.NewPCG(3, 4))
	s := newSchedule(testSeed)
	for _, plain := range []bool{true, false} {
		for bit := range 128 {
			var flips [128]int
			for i := range samples {
				k := Key{High: random.Uint64(), Low: random.Uint64()}
				if plain {
					k = Key{Low: uint64(i)}
				}
				changed := k
				if bit < 64 {
					changed.Low ^= 1 << bit
				} else {
					changed.High ^= 1 << (bit - 64)
				}
				a, b := s.permute(k), s.permute(changed)
				for high := a.High ^ b.High; high != 0; high &= high - 1 {
					flips[64+bits.TrailingZeros64(high)]++
				}
				for low := a.Low ^ b.Low; low != 0; low &= low - 1 {
					flips[bits.TrailingZeros64(low)]++
				}
			}
			for out, n := range flips {
				// Six deviations of a fair coin.
				require.InDelta(t, samples/2, n, 6*math.Sqrt(samples)/2, "bit %d to bit %d", bit, out)
			}
		}
	}
}

func TestSeedChangesEveryKey(t *testing.T) {
	a, b := newSchedule(Seed{1, 2}), newSchedule(Seed{1, 3})
	c := newSchedule(Seed{0, 2})
	require.NotEqual(t, a.bytes, b.bytes)
	for i := range a.rounds {
		require.NotEqual(t, a.rounds[i], b.rounds[i])
		require.NotEqual(t, a.rounds[i], c.rounds[i])
	}
}

func TestKeysAllocateNothing(t *testing.T) {
	schema, batch := table(t, longs(1, 2, 3), texts("a", "b", "c"),
		column{iceberg.PrimitiveTypes.UUID, uuid16, []any{"0123456789abcdef", "1123456789abcdef", "2123456789abcdef"}})
	h := hasherOf(t, schema)
	keys, _, err := h.Keys(nil, batch)
	require.NoError(t, err)
	// Not per row: a closure of a string column is all.
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() { keys, _, _ = h.Keys(keys, batch) }), 1.0)
}

func BenchmarkKeys(b *testing.B) {
	const n = 8192
	random := rand.New(rand.NewPCG(1, 2))
	numbers, ids, names := make([]any, n), make([]any, n), make([]any, n)
	for i := range n {
		numbers[i] = int(random.Uint64())
		ids[i] = string(binary.BigEndian.AppendUint64(
			binary.BigEndian.AppendUint64(nil, random.Uint64()), random.Uint64()))
		names[i] = fmt.Sprintf("%020d", random.Uint64())
	}
	id := column{iceberg.PrimitiveTypes.UUID, uuid16, ids}
	for _, c := range []struct {
		name    string
		columns []column
	}{
		{"long", []column{longs(numbers...)}},
		{"uuid", []column{id}},
		{"string20", []column{texts(names...)}},
		{"long+string20+uuid", []column{longs(numbers...), texts(names...), id}},
	} {
		b.Run(c.name, func(b *testing.B) {
			schema, batch := table(b, c.columns...)
			h := hasherOf(b, schema)
			var keys []Key
			for b.Loop() {
				var err error
				if keys, _, err = h.Keys(keys, batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/row")
			b.ReportAllocs()
		})
	}
}
