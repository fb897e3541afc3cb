package table

import (
	"sync"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"
)

// tagged adds a column of tags from next on.
func tagged(t testing.TB, batch arrow.RecordBatch, next int64) arrow.RecordBatch {
	t.Helper()
	b := array.NewInt64Builder(memory.DefaultAllocator)
	defer b.Release()
	for row := range batch.NumRows() {
		b.Append(next + row)
	}
	tags := b.NewArray()
	defer tags.Release()
	columns := append(append([]arrow.Array{}, batch.Columns()...), tags)
	return array.NewRecordBatch(WithTags(batch.Schema()), columns, batch.NumRows())
}

// TestWriterTellsWhereRowsAre holds each row of each file against the one that had its tag.
func TestWriterTellsWhereRowsAre(t *testing.T) {
	spec := partitionBy(1, iceberg.BucketTransform{NumBuckets: 7})
	order := byColumn(t, 12, icetable.SortDESC, icetable.NullsFirst)
	for name, c := range map[string]struct {
		opts    WriterOptions
		spilled bool
	}{
		"plain":                           {},
		"parallel":                        {opts: WriterOptions{Parallel: 3}},
		"many files":                      {opts: WriterOptions{Parquet: ParquetOptions{FileBytesTarget: 30_000}}},
		"small row groups":                {opts: WriterOptions{Parquet: ParquetOptions{RowGroupRows: 33}}},
		"partitioned":                     {opts: WriterOptions{Spec: spec}},
		"partitioned, spilled":            {opts: WriterOptions{Spec: spec}, spilled: true},
		"sorted":                          {opts: WriterOptions{Sort: order}},
		"sorted, spilled":                 {opts: WriterOptions{Sort: order}, spilled: true},
		"partitioned, sorted, many lanes": {opts: WriterOptions{Spec: spec, Sort: order, Parallel: 2}},
	} {
		t.Run(name, func(t *testing.T) {
			mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
			defer mem.AssertSize(t, 0)
			store, d := newStore(), newDice(8, memory.DefaultAllocator)
			var mu sync.Mutex
			told := map[string][]int64{}
			opts := c.opts
			opts.Schema, opts.Allocator, opts.SpillDir = everyType(), mem, t.TempDir()
			opts.Placed = func(file string, first int64, tags []int64) error {
				mu.Lock()
				defer mu.Unlock()
				require.EqualValues(t, len(told[file]), first)
				told[file] = append(told[file], tags...)
				return nil
			}
			w := testWriter(t, store, opts)
			var want []string
			for i := range 5 {
				batch := d.batch(t, everyType(), 100+1100*(i/4))
				with := tagged(t, batch, int64(len(want)))
				want = append(want, rowsOf(batch)...)
				if c.spilled {
					starve(w)
				}
				require.NoError(t, w.Write(t.Context(), with))
				with.Release()
				batch.Release()
			}
			files, err := w.Close(t.Context())
			require.NoError(t, err)
			require.Len(t, told, len(files))
			seen := map[int64]bool{}
			for _, f := range files {
				rows := readFile(t, store, f.FilePath())
				require.Len(t, told[f.FilePath()], len(rows))
				for i, tag := range told[f.FilePath()] {
					require.Equal(t, want[tag], rows[i])
					require.False(t, seen[tag])
					seen[tag] = true
				}
			}
			require.Len(t, seen, len(want))
		})
	}
}

func TestWriterWithPlacesWantsTags(t *testing.T) {
	w := testWriter(t, newStore(), WriterOptions{Schema: everyType(),
		Placed: func(string, int64, []int64) error { return nil }})
	batch := newDice(1, memory.DefaultAllocator).batch(t, everyType(), 3)
	defer batch.Release()
	require.ErrorContains(t, w.Write(t.Context(), batch), "columns")
}
