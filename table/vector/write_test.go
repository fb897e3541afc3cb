package vector_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
	"github.com/firthlake/firth/table/vector"
)

// lake is a table without files, whose only partition is a day.
type lake struct {
	store *objstore.Memory
	opts  vector.Options
}

func newLake(t testing.TB, version int) *lake {
	schema := iceberg.NewSchema(0,
		iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64},
		iceberg.NestedField{ID: 2, Name: "at", Type: iceberg.PrimitiveTypes.TimestampTz})
	spec := iceberg.NewPartitionSpec(iceberg.PartitionField{
		SourceIDs: []int{2}, FieldID: 1000, Name: "at_day", Transform: iceberg.DayTransform{}})
	meta, err := icetable.NewMetadata(schema, &spec, icetable.UnsortedSortOrder, "mem://lake/t",
		iceberg.Properties{"format-version": strconv.Itoa(version)})
	require.NoError(t, err)
	return &lake{store: objstore.NewMemory(time.Now), opts: vector.Options{Metadata: meta, Read: table.ReadDeletes}}
}

// file describes a data file of rows that nobody reads.
func (l *lake) file(t testing.TB, n int, rows int64) iceberg.DataFile {
	b, err := iceberg.NewDataFileBuilder(l.opts.Metadata.PartitionSpec(), iceberg.EntryContentData,
		fmt.Sprintf("mem://lake/t/data/%d.parquet", n), iceberg.ParquetFile, map[int]any{1000: iceberg.Date(19000)},
		nil, nil, rows, 100)
	require.NoError(t, err)
	return b.Build()
}

func (l *lake) write(ctx context.Context, targets ...vector.Target) ([]iceberg.DataFile, error) {
	opts := l.opts
	opts.ChangeID = uuid.New()
	return vector.Write(ctx, l.store, opts, targets)
}

func (l *lake) read(t testing.TB, file iceberg.DataFile, deletes ...iceberg.DataFile) []int64 {
	positions, err := table.ReadDeletes(t.Context(), l.store, file.FilePath(), deletes)
	require.NoError(t, err)
	var out []int64
	for pos := range positions.Positions() {
		out = append(out, int64(pos))
	}
	return out
}

func versions(t *testing.T, run func(t *testing.T, l *lake)) {
	for _, version := range []int{2, 3} {
		t.Run(fmt.Sprintf("v%d", version), func(t *testing.T) { run(t, newLake(t, version)) })
	}
}

func TestDeletesAreMergedRoundByRound(t *testing.T) {
	versions(t, func(t *testing.T, l *lake) {
		random := rand.New(rand.NewPCG(1, 2))
		const files = 20
		rows := []int64{1, 7, 4096, 70_000, 1 << 20}
		want := make([]map[int64]bool, files)
		held := make([]iceberg.DataFile, files)
		for range 4 {
			var targets []vector.Target
			for n := range files {
				if want[n] == nil {
					want[n] = map[int64]bool{}
				}
				count := rows[n%len(rows)]
				now := map[int64]bool{}
				from := random.Int64N(count)
				for i := range min(count, 500) {
					if n%2 == 0 { // runs, and places far from each other
						now[(from+i)%count] = true
					} else {
						now[random.Int64N(count)] = true
					}
				}
				target := vector.Target{File: l.file(t, n, count)}
				for pos := range now {
					target.Positions = append(target.Positions, pos)
					want[n][pos] = true
				}
				slices.Sort(target.Positions)
				if held[n] != nil {
					target.Before = []iceberg.DataFile{held[n]}
				}
				targets = append(targets, target)
			}
			got, err := l.write(t.Context(), targets...)
			require.NoError(t, err)
			require.Len(t, got, files)
			held = got
			for n, d := range held {
				file := targets[n].File
				require.Equal(t, file.FilePath(), vector.DataFile(d))
				require.Equal(t, iceberg.EntryContentPosDeletes, d.ContentType())
				require.Equal(t, int64(len(want[n])), d.Count())
				require.Equal(t, file.Partition(), d.Partition())
				read := l.read(t, file, d)
				require.Len(t, read, len(want[n]))
				for _, pos := range read {
					require.True(t, want[n][pos], "%d of file %d", pos, n)
				}
				object, err := l.store.Stat(t.Context(), d.FilePath())
				require.NoError(t, err)
				require.Equal(t, object.Size, d.FileSizeBytes())
			}
		}
	})
}

func TestEachVectorHasAFileOfItsOwn(t *testing.T) {
	l := newLake(t, 3)
	got, err := l.write(t.Context(), vector.Target{File: l.file(t, 0, 10), Positions: []int64{1}},
		vector.Target{File: l.file(t, 1, 10), Positions: []int64{2, 3}})
	require.NoError(t, err)
	require.NotEqual(t, got[0].FilePath(), got[1].FilePath())
	require.True(t, icetable.IsDeletionVector(got[0]))
	require.Equal(t, *got[0].ContentOffset(), *got[1].ContentOffset())
	require.Equal(t, []int64{1}, l.read(t, l.file(t, 0, 10), got[0]))
	require.Equal(t, []int64{2, 3}, l.read(t, l.file(t, 1, 10), got[1]))
}

func TestPositionDeletesNameTheirFileByBoundsToo(t *testing.T) {
	l := newLake(t, 2)
	got, err := l.write(t.Context(), vector.Target{File: l.file(t, 0, 10), Positions: []int64{1, 9}})
	require.NoError(t, err)
	path := []byte("mem://lake/t/data/0.parquet")
	require.Equal(t, path, got[0].LowerBoundValues()[2147483546])
	require.Equal(t, path, got[0].UpperBoundValues()[2147483546])
	require.Equal(t, []byte{1, 0, 0, 0, 0, 0, 0, 0}, got[0].LowerBoundValues()[2147483545])
	require.Equal(t, []byte{9, 0, 0, 0, 0, 0, 0, 0}, got[0].UpperBoundValues()[2147483545])
	require.Equal(t, []int64{1, 9}, l.read(t, l.file(t, 0, 10), got[0]))
	require.Empty(t, l.read(t, l.file(t, 1, 10), got[0]))
}

// A table that was of version 2 has position deletes, which the first vector of a data file takes up.
func TestVectorTakesUpPositionDeletes(t *testing.T) {
	l := newLake(t, 2)
	before, err := l.write(t.Context(), vector.Target{File: l.file(t, 0, 10), Positions: []int64{4}})
	require.NoError(t, err)
	upgraded := newLake(t, 3)
	upgraded.store = l.store
	after, err := upgraded.write(t.Context(),
		vector.Target{File: l.file(t, 0, 10), Positions: []int64{2}, Before: before})
	require.NoError(t, err)
	require.Equal(t, []int64{2, 4}, upgraded.read(t, l.file(t, 0, 10), after[0]))
}

func TestWrongTargetsAreRefusedAndLeaveNothing(t *testing.T) {
	versions(t, func(t *testing.T, l *lake) {
		wide, err := l.write(t.Context(), vector.Target{File: l.file(t, 0, 100), Positions: []int64{50}})
		require.NoError(t, err)
		before := l.objects(t)
		fine := vector.Target{File: l.file(t, 9, 10), Positions: []int64{1}}
		for name, c := range map[string]struct {
			target vector.Target
			want   string
		}{
			"at the number of rows": {vector.Target{File: l.file(t, 0, 10), Positions: []int64{3, 10}},
				"data file mem://lake/t/data/0.parquet has 10 rows: there is no position 10 to delete"},
			"negative":     {vector.Target{File: l.file(t, 0, 10), Positions: []int64{-1}}, "no position -1"},
			"out of order": {vector.Target{File: l.file(t, 0, 10), Positions: []int64{3, 2}}, "comes behind"},
			"twice":        {vector.Target{File: l.file(t, 0, 10), Positions: []int64{3, 3}}, "comes behind"},
			"none":         {vector.Target{File: l.file(t, 0, 10)}, "no position is deleted"},
			"same file":    {vector.Target{File: l.file(t, 9, 10), Positions: []int64{3}}, "in it twice"},
			"beyond before": {vector.Target{File: l.file(t, 0, 10), Positions: []int64{3}, Before: wide},
				"no position 50"},
		} {
			_, err := l.write(t.Context(), fine, c.target)
			require.ErrorContains(t, err, c.want, name)
			require.Equal(t, before, l.objects(t), name)
		}
	})
}

func (l *lake) objects(t testing.TB) (out []string) {
	for object, err := range l.store.List(t.Context(), "mem://") {
		require.NoError(t, err)
		out = append(out, object.Location)
	}
	return out
}

func TestFailedUploadsAreRemoved(t *testing.T) {
	versions(t, func(t *testing.T, l *lake) {
		memory := l.store
		for op := range int64(3) {
			for _, kind := range []objstore.FaultKind{objstore.ErrorBefore, objstore.AnswerLost} {
				faulty := objstore.NewFaulty(memory, objstore.FailAt(op, objstore.Fault{Kind: kind}))
				opts := l.opts
				opts.ChangeID = uuid.New()
				_, err := vector.Write(t.Context(), faulty, opts, []vector.Target{
					{File: l.file(t, 0, 10), Positions: []int64{1}}, {File: l.file(t, 1, 10), Positions: []int64{1}}})
				if err != nil {
					require.Empty(t, l.objects(t))
					continue
				}
				for _, location := range l.objects(t) {
					require.NoError(t, memory.Remove(t.Context(), location))
				}
			}
		}
	})
}
