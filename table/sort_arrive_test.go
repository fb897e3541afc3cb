package table

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"
)

// arrival is a row of the tests below: where it goes, what it is sorted by, and when it came.
type arrival struct{ part, rank, seq int64 }

func arrivalSchema() *iceberg.Schema {
	types := iceberg.PrimitiveTypes
	return iceberg.NewSchema(0, required(1, "part", types.Int64), required(2, "rank", types.Int64),
		required(3, "seq", types.Int64), required(4, "load", types.String))
}

// arrivalBatch makes rows of about a kilobyte.
func arrivalBatch(t testing.TB, mem memory.Allocator, rows []arrival) arrow.RecordBatch {
	t.Helper()
	schema, err := ArrowSchema(arrivalSchema())
	require.NoError(t, err)
	builder := array.NewRecordBuilder(mem, schema)
	defer builder.Release()
	for _, row := range rows {
		for i, v := range []int64{row.part, row.rank, row.seq} {
			builder.Field(i).(*array.Int64Builder).Append(v)
		}
		builder.Field(3).(*array.StringBuilder).Append(strings.Repeat(fmt.Sprint(row.seq, " "), 150))
	}
	return builder.NewRecordBatch()
}

// TestRowsAreInOrderHoweverTheyCome compares files with a stable sort, for rows that come in batches of
// all sizes, to few partitions and to more than a batch has rows, in stretches and mixed.
func TestRowsAreInOrderHoweverTheyCome(t *testing.T) {
	byRank := byColumn(t, 2, icetable.SortASC, icetable.NullsFirst)
	byText := sortBy(t, icetable.SortField{SourceIDs: []int{2}, Transform: iceberg.IdentityTransform{},
		Direction: icetable.SortDESC, NullOrder: icetable.NullsFirst},
		icetable.SortField{SourceIDs: []int{1}, Transform: iceberg.IdentityTransform{},
			Direction: icetable.SortASC, NullOrder: icetable.NullsFirst})
	for _, c := range []struct {
		name              string
		partitions, batch int64
		stretch           int64 // rows that follow one another into a partition
		order             icetable.SortOrder
		flat, spilled     bool
	}{
		{name: "large batches", partitions: 7, batch: 3000, stretch: 1},
		{name: "small batches", partitions: 7, batch: 40, stretch: 1},
		{name: "many partitions", partitions: 700, batch: 500, stretch: 1},
		{name: "stretches", partitions: 3, batch: 1500, stretch: 900},
		{name: "long stretches", partitions: 2, batch: 5000, stretch: 4000},
		{name: "stretches over batches", partitions: 3, batch: 300, stretch: 900},
		{name: "small stretches", partitions: 3, batch: 40, stretch: 900},
		{name: "spilled", partitions: 30, batch: 300, stretch: 1, spilled: true},
		{name: "sorted", partitions: 7, batch: 300, stretch: 1, order: byRank},
		{name: "sorted alone", partitions: 1, batch: 700, stretch: 1, order: byRank, flat: true},
		{name: "sorted, spilled", partitions: 7, batch: 700, stretch: 1, order: byRank, spilled: true},
		{name: "sorted by two", partitions: 9, batch: 700, stretch: 1, order: byText, flat: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
			defer mem.AssertSize(t, 0)
			opts := WriterOptions{Schema: arrivalSchema(), Sort: c.order, Allocator: mem,
				SpillDir: t.TempDir(), Spec: partitionBy(1, iceberg.IdentityTransform{})}
			if c.flat {
				opts.Spec = iceberg.PartitionSpec{}
			}
			r := rand.New(rand.NewPCG(5, 5))
			store := newStore()
			w := testWriter(t, store, opts)
			want := map[int64][]arrival{}
			const total = 7000
			for seq := int64(0); seq < total; {
				var rows []arrival
				for range min(c.batch, total-seq) {
					part := seq / c.stretch % c.partitions
					if c.stretch == 1 {
						part = r.Int64N(c.partitions)
					}
					row := arrival{part, r.Int64N(500) - 250, seq}
					rows = append(rows, row)
					if c.flat {
						part = 0
					}
					want[part] = append(want[part], row)
					seq++
				}
				batch := arrivalBatch(t, mem, rows)
				if c.spilled && r.IntN(3) == 0 {
					starve(w)
				}
				require.NoError(t, w.Write(t.Context(), batch))
				batch.Release()
			}
			require.Equal(t, c.spilled, len(w.sorter.spill.runs) > 0)
			if c.batch == 40 {
				require.Less(t, len(w.pending), total/40, "small batches were put together")
			}
			files, err := w.Close(t.Context())
			require.NoError(t, err)
			require.Len(t, files, len(want))
			for _, f := range files {
				part, _ := f.Partition()[1000].(int64)
				if c.order.Len() > 0 {
					slices.SortStableFunc(want[part], func(a, b arrival) int {
						if c.order.Len() == 2 {
							return cmp.Or(cmp.Compare(b.rank, a.rank), cmp.Compare(a.part, b.part))
						}
						return cmp.Compare(a.rank, b.rank)
					})
				}
				var lines []string
				for _, row := range want[part] {
					lines = append(lines, fmt.Sprintf("%d|%d|%d|%s|", row.part, row.rank, row.seq,
						strings.Repeat(fmt.Sprint(row.seq, " "), 150)))
				}
				require.True(t, slices.Equal(lines, readFile(t, store, f.FilePath())))
			}
			require.Zero(t, w.opts.Memory.Used())
		})
	}
}

func TestRowsThatArePutInOrderStayOnTheAccount(t *testing.T) {
	w := testWriter(t, newStore(), WriterOptions{Schema: arrivalSchema(),
		Spec: partitionBy(1, iceberg.BucketTransform{NumBuckets: 16})})
	var bytes int64
	for i := range int64(40) {
		var rows []arrival
		for seq := range int64(200) {
			rows = append(rows, arrival{i*seq + seq, 0, seq})
		}
		batch := arrivalBatch(t, memory.DefaultAllocator, rows)
		bytes += batchBytes(batch)
		require.NoError(t, w.Write(t.Context(), batch))
		batch.Release()
	}
	require.Less(t, len(w.pending), 40)
	require.Equal(t, bytes, w.Bytes())
	require.Equal(t, bytes, w.opts.Memory.Used())
	require.NoError(t, w.Abort(t.Context()))
	require.Zero(t, w.opts.Memory.Used())
}

// TestEncodingsAreChosenByRowsAsTheyCome has a column that repeats inside a partition and nowhere else.
func TestEncodingsAreChosenByRowsAsTheyCome(t *testing.T) {
	store := newStore()
	w := testWriter(t, store, WriterOptions{Schema: arrivalSchema(),
		Spec: partitionBy(1, iceberg.BucketTransform{NumBuckets: 4})})
	var rows []arrival
	for seq := range int64(4000) {
		rows = append(rows, arrival{seq % 2000, seq % 2000, seq})
	}
	batch := arrivalBatch(t, memory.DefaultAllocator, rows)
	defer batch.Release()
	for _, f := range write(t, w, batch) {
		reader, err := file.NewParquetReader(strings.NewReader(string(objectBytes(t, store, f.FilePath()))))
		require.NoError(t, err)
		chunk, err := reader.MetaData().RowGroup(0).ColumnChunk(1)
		require.NoError(t, err)
		require.False(t, chunk.HasDictionaryPage())
		require.NoError(t, reader.Close())
	}
}

func TestSortByOrdinalIsStableForAnyNumberOfPartitions(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	for _, count := range []int{1, 2, 200, 256, 257, 70_000, 20_000_000} {
		ordinals, rows := make([]uint32, 3000), make([]uint32, 3000)
		for i := range rows {
			ordinals[i], rows[i] = uint32(r.IntN(count)), uint32(i)
		}
		ordinals[17] = uint32(count - 1)
		want := slices.Clone(rows)
		slices.SortStableFunc(want, func(a, b uint32) int { return cmp.Compare(ordinals[a], ordinals[b]) })
		require.Equal(t, want, sortByOrdinal(rows, make([]uint32, len(rows)), ordinals, count))
	}
}

func TestSortItemsIsStable(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	for _, spread := range []uint64{1, 3, 300, 1 << 40, 1 << 63} {
		items := make([]sortItem, 2000)
		for i := range items {
			low := r.Uint64N(spread) << r.IntN(3)
			items[i] = sortItem{low: low, marker: uint32(r.IntN(2)), row: uint32(i)}
		}
		want := slices.Clone(items)
		slices.SortStableFunc(want, func(a, b sortItem) int {
			return cmp.Or(cmp.Compare(a.marker, b.marker), cmp.Compare(a.low, b.low))
		})
		require.Equal(t, want, sortItems(items, make([]sortItem, len(items))))
	}
}
