package table

import (
	"bytes"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table/objstore"
)

func zFields() []iceberg.NestedField {
	var out []iceberg.NestedField
	for i, typ := range []iceberg.Type{iceberg.PrimitiveTypes.Int32, iceberg.PrimitiveTypes.Int64,
		iceberg.PrimitiveTypes.Date, iceberg.PrimitiveTypes.TimestampTz, iceberg.PrimitiveTypes.Float32,
		iceberg.PrimitiveTypes.Float64, iceberg.DecimalTypeOf(30, 2), iceberg.PrimitiveTypes.String,
		iceberg.PrimitiveTypes.UUID, iceberg.PrimitiveTypes.Bool, iceberg.PrimitiveTypes.Binary} {
		out = append(out, iceberg.NestedField{ID: i + 1, Name: string(rune('a' + i)), Type: typ})
	}
	return out
}

// fillRandom appends a value, often one at an end of its type or of a narrow span.
func fillRandom(b array.Builder, random *rand.Rand) {
	ends := []int64{0, 1, -1, math.MaxInt64, math.MinInt64, 1 << 40}
	whole := ends[random.IntN(len(ends))]
	if random.IntN(2) == 0 {
		whole = random.Int64N(1000)
	}
	text := []byte("https://lake/")[:random.IntN(14)]
	for range random.IntN(20) {
		text = append(text, byte(random.IntN(256)))
	}
	switch b := b.(type) {
	case *array.Int32Builder:
		b.Append(int32(whole))
	case *array.Int64Builder:
		b.Append(whole)
	case *array.Date32Builder:
		b.Append(arrow.Date32(whole))
	case *array.TimestampBuilder:
		b.Append(arrow.Timestamp(whole))
	case *array.Float32Builder:
		b.Append(math.Float32frombits(random.Uint32()))
	case *array.Float64Builder:
		b.Append(math.Float64frombits(random.Uint64()))
	case *array.Decimal128Builder:
		b.Append(decimal128.New(random.Int64N(1<<30)-1<<29, random.Uint64()))
	case *array.BooleanBuilder:
		b.Append(whole&1 == 0)
	case *array.FixedSizeBinaryBuilder:
		var id uuid.UUID
		copy(id[:], text)
		b.Append(id[:])
	case *array.BinaryBuilder:
		b.Append(text)
	case *array.StringBuilder:
		b.Append(string([]rune(string(bytes.ToValidUTF8(text, nil)))))
	case *array.ExtensionBuilder:
		fillRandom(b.Builder, random)
	default:
		panic("BUG: no random values for " + b.Type().String())
	}
}

// TestKeysOfAZOrderHaveTheOrderOfValues holds the keys of each type against the sort order of one column, which has
// its own test: a greater value never has a smaller key, and a null has the smallest.
func TestKeysOfAZOrderHaveTheOrderOfValues(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, field := range zFields() {
		schema := iceberg.NewSchema(0, field)
		form, err := ArrowSchema(schema)
		require.NoError(t, err)
		for range 20 {
			b := array.NewRecordBuilder(memory.DefaultAllocator, form)
			for range 200 {
				if random.IntN(10) == 0 {
					b.Field(0).AppendNull()
				} else {
					fillRandom(b.Field(0), random)
				}
			}
			batch := b.NewRecordBatch()
			c := zColumn{fieldID: field.ID, high: zPoint{math.MaxUint64, math.MaxUint64}}
			if random.IntN(4) > 0 { // as the files say, perhaps not of all rows
				batchOfFile := batch.NewSlice(0, 20+random.Int64N(180))
				c = newZColumn(field, writeForZ(t, schema, batchOfFile))
				batchOfFile.Release()
			}
			tr, err := compileTransform(schema, []int{field.ID}, iceberg.IdentityTransform{})
			require.NoError(t, err)
			plain := &sortField{transform: tr}
			require.NoError(t, tr.eval(&plain.keys, batch))
			type pair struct {
				plain []byte
				z     uint64
			}
			var rows []pair
			distinct := map[uint64]bool{}
			for row := range int(batch.NumRows()) {
				p := pair{plain: plain.append(nil, row)}
				if !plain.keys.isNull(row) {
					p.z = c.key(c.point(tr.kind, &plain.keys, row))
					require.GreaterOrEqual(t, p.z, uint64(1)<<63)
				}
				distinct[p.z] = true
				rows = append(rows, p)
			}
			slices.SortStableFunc(rows, func(a, b pair) int { return bytes.Compare(a.plain, b.plain) })
			for i := range rows[1:] {
				require.LessOrEqual(t, rows[i].z, rows[i+1].z, "%s, row %d", field.Type, i)
			}
			require.Greater(t, len(distinct), 1)
			batch.Release()
			b.Release()
		}
	}
}

func writeForZ(t testing.TB, schema *iceberg.Schema, batch arrow.RecordBatch) []iceberg.DataFile {
	w, err := NewWriter(objstore.NewMemory(time.Now), WriterOptions{Schema: schema, Location: "mem://lake/z",
		ChangeID: uuid.New()})
	require.NoError(t, err)
	require.NoError(t, w.Write(t.Context(), batch))
	files, err := w.Close(t.Context())
	require.NoError(t, err)
	return files
}

func TestBitsTakeTurns(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for columns := 2; columns <= zColumnsMax; columns++ {
		keys := make([]uint64, columns)
		for i := range keys {
			keys[i] = random.Uint64()
		}
		out := newZSpread(columns).append(nil, keys)
		require.Len(t, out, 8*columns)
		for bit := range 64 {
			for i, key := range keys {
				at := bit*columns + i
				require.Equal(t, byte(key>>(63-bit)&1), out[at/8]>>(7-at%8)&1, "%d columns, bit %d", columns, bit)
			}
		}
	}
}

// TestZOrderNarrowsTheBoundsOfAllColumns writes the same rows in z-order and sorted by two columns, and counts the
// row groups that a look-up by each column has to read.
func TestZOrderNarrowsTheBoundsOfAllColumns(t *testing.T) {
	schema := iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "customer", Type: iceberg.PrimitiveTypes.Int32},
		iceberg.NestedField{ID: 2, Name: "at", Type: iceberg.PrimitiveTypes.TimestampTz})
	form, err := ArrowSchema(schema)
	require.NoError(t, err)
	random := rand.New(rand.NewPCG(5, 6))
	const rows, files = 64_000, 64
	b := array.NewRecordBuilder(memory.DefaultAllocator, form)
	defer b.Release()
	for range rows {
		b.Field(0).(*array.Int32Builder).Append(random.Int32N(1000))
		b.Field(1).(*array.TimestampBuilder).Append(arrow.Timestamp(1_700_000_000_000_000 + random.Int64N(1e12)))
	}
	batch := b.NewRecordBatch()
	defer batch.Release()
	z, err := NewZOrder(schema, []string{"customer", "at"}, writeForZ(t, schema, batch))
	require.NoError(t, err)
	order, err := z.bind(schema)
	require.NoError(t, err)
	var k sortKeys
	require.NoError(t, order.encode(&k, batch))
	byZ, plain := make([]int, rows), make([]int, rows)
	customers, times := batch.Column(0).(*array.Int32), batch.Column(1).(*array.Timestamp)
	for i := range rows {
		byZ[i], plain[i] = i, i
	}
	slices.SortFunc(byZ, func(a, b int) int { return bytes.Compare(k.at(a), k.at(b)) })
	slices.SortFunc(plain, func(a, b int) int {
		return int(customers.Value(a)) - int(customers.Value(b))
	})
	// read is how many of the files hold a value of a column that lies between its bounds, on average.
	read := func(order []int, value func(int) int64) float64 {
		hits := 0
		for probe := range 200 {
			want := value(probe)
			for f := range files {
				least, most := int64(math.MaxInt64), int64(math.MinInt64)
				for _, row := range order[f*rows/files : (f+1)*rows/files] {
					least, most = min(least, value(row)), max(most, value(row))
				}
				if least <= want && want <= most {
					hits++
				}
			}
		}
		return float64(hits) / 200
	}
	byCustomer := func(row int) int64 { return int64(customers.Value(row)) }
	byTime := func(row int) int64 { return int64(times.Value(row)) }
	require.Greater(t, read(plain, byTime), 60.0, "sorted by customer, times are everywhere")
	require.Less(t, read(byZ, byCustomer), 12.0, "8 of 64 are the best there is")
	require.Less(t, read(byZ, byTime), 15.0)
}

// TestWriterPutsRowsInZOrder spills, so that runs are merged in the order too.
func TestWriterPutsRowsInZOrder(t *testing.T) {
	schema := iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "a", Type: iceberg.PrimitiveTypes.Int64},
		iceberg.NestedField{ID: 2, Name: "b", Type: iceberg.PrimitiveTypes.String})
	form, err := ArrowSchema(schema)
	require.NoError(t, err)
	z, err := NewZOrder(schema, []string{"a", "b"}, nil)
	require.NoError(t, err)
	store := objstore.NewMemory(time.Now)
	w, err := NewWriter(store, WriterOptions{Schema: schema, Location: "mem://lake/z", ChangeID: uuid.New(), ZOrder: z,
		Memory: NewBudget(1 << 20), SpillDir: t.TempDir()})
	require.NoError(t, err)
	random := rand.New(rand.NewPCG(7, 8))
	const rows = 200_000
	for range 20 {
		b := array.NewRecordBuilder(memory.DefaultAllocator, form)
		for range rows / 20 {
			b.Field(0).(*array.Int64Builder).Append(random.Int64())
			b.Field(1).(*array.StringBuilder).Append(uuid.NewString())
		}
		batch := b.NewRecordBatch()
		require.NoError(t, w.Write(t.Context(), batch))
		batch.Release()
		b.Release()
	}
	require.NotEmpty(t, w.sorter.spill.runs)
	files, err := w.Close(t.Context())
	require.NoError(t, err)
	order, err := z.bind(schema)
	require.NoError(t, err)
	var last []byte
	found := int64(0)
	for _, f := range files {
		if id := f.SortOrderID(); id != nil {
			require.Zero(t, *id)
		}
		for batch, err := range Read(t.Context(), store, Task{File: f, Schema: schema}) {
			require.NoError(t, err)
			var k sortKeys
			require.NoError(t, order.encode(&k, batch))
			for row := range int(batch.NumRows()) {
				require.LessOrEqual(t, bytes.Compare(last, k.at(row)), 0)
				last = append(last[:0], k.at(row)...)
			}
			found += batch.NumRows()
		}
	}
	require.EqualValues(t, rows, found)
}

func TestZOrderRefusesWhatItCannotPutInOrder(t *testing.T) {
	schema := iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "a", Type: iceberg.PrimitiveTypes.Int64},
		iceberg.NestedField{ID: 2, Name: "l", Type: &iceberg.ListType{ElementID: 3,
			Element: iceberg.PrimitiveTypes.Int64}})
	for want, columns := range map[string][]string{
		"z-order of 1 columns": {"a"}, "no column b": {"a", "b"}, "twice": {"a", "a"}, "does not take": {"a", "l"},
	} {
		_, err := NewZOrder(schema, columns, nil)
		require.ErrorContains(t, err, want)
	}
}
