package rewrite

import (
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/apache/iceberg-go/table/dv"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table"
)

// TestPlacesFindRowsThatWereDeletedMeanwhile deletes rows of sources behind a rewrite, and wants the new
// files without the places of these rows to hold what the sources hold without them.
func TestPlacesFindRowsThatWereDeletedMeanwhile(t *testing.T) {
	order, err := icetable.NewSortOrder(1, []icetable.SortField{{SourceIDs: []int{5},
		Transform: iceberg.IdentityTransform{}, Direction: icetable.SortDESC, NullOrder: icetable.NullsFirst}})
	require.NoError(t, err)
	small := table.ParquetOptions{FileBytesTarget: 9000}
	spec := iceberg.NewPartitionSpecID(0, iceberg.PartitionField{SourceIDs: []int{1}, FieldID: 1000, Name: "p",
		Transform: iceberg.BucketTransform{NumBuckets: 3}})
	for name, c := range map[string]struct {
		opts    table.WriterOptions
		copied  bool
		spilled bool
	}{
		"copied":                {copied: true},
		"as they came":          {},
		"on several lanes":      {opts: table.WriterOptions{Parallel: 2}},
		"sorted":                {opts: table.WriterOptions{Sort: order}},
		"sorted, map on disk":   {opts: table.WriterOptions{Sort: order}, spilled: true},
		"sorted and sliced":     {opts: table.WriterOptions{Sort: order, Parquet: small}},
		"into other partitions": {opts: table.WriterOptions{Spec: spec, Parallel: 2}, spilled: true},
	} {
		t.Run(name, func(t *testing.T) {
			store, d := newStore(), newDice(9)
			schema, opts := everyType(), table.WriterOptions{Schema: everyType()}
			var files []iceberg.DataFile
			for i, rows := range []int{300, 200, 64, 1} {
				opts.ChangeID = change(i)
				files = append(files, written(t, store, opts, d.batch(t, schema, rows))...)
			}
			tasks := tasksOf(schema, -1, files...)
			early := make([][]int64, len(tasks))
			if !c.copied {
				early[0], early[1] = []int64{0, 7, 8, 299}, []int64{100}
				tasks[0] = deleting(t, store, tasks[0], early[0]...)
				tasks[1] = deleting(t, store, tasks[1], early[1]...)
			}
			folder := t.TempDir()
			places := NewPlaces(len(tasks), folder)
			if c.spilled {
				places.limit = 20
			}
			var got []iceberg.DataFile
			if c.copied {
				file, err := Copy(t.Context(), store, tasks, Options{Schema: schema, Location: lake,
					ChangeID: change(9), Places: places})
				require.NoError(t, err)
				got = append(got, file)
			} else {
				c.opts.Schema, c.opts.Location, c.opts.ChangeID = schema, lake, change(9)
				got, err = Decode(t.Context(), store, tasks, c.opts, Decoding{Places: places})
				require.NoError(t, err)
			}
			require.Equal(t, c.spilled, places.spilled != nil)

			random := rand.New(rand.NewPCG(1, 2))
			for round := range 3 { // a map may be asked again and again
				now := slices.Clone(tasks)
				stays := make([][]byte, len(tasks))
				for i := range tasks {
					all := dv.NewRoaringPositionBitmap()
					positions := slices.Clone(early[i])
					for pos := range tasks[i].File.Count() {
						if random.IntN(4) < round && !slices.Contains(positions, pos) {
							positions = append(positions, pos)
						}
					}
					slices.Sort(positions)
					for _, pos := range positions {
						all.Set(uint64(pos))
					}
					if len(positions) > 0 {
						now[i] = deleting(t, store, now[i], positions...)
						stays[i] = all.KeepMaskBytes(tasks[i].File.Count())
					}
				}
				gone, bySource, err := places.Move(stays)
				require.NoError(t, err)
				moved, want := 0, rowsOf(t, store, now...)
				after := tasksOf(schema, -1, got...)
				for i := range after {
					rows := gone[after[i].File.FilePath()]
					moved += len(rows)
					require.True(t, slices.IsSorted(rows))
					if len(rows) > 0 {
						after[i] = deleting(t, store, after[i], rows...)
					}
				}
				left := rowsOf(t, store, after...)
				slices.Sort(want)
				slices.Sort(left)
				require.Equal(t, want, left)
				sum := int64(0)
				for i, n := range bySource {
					require.Equal(t, tasks[i].File.Count()-int64(len(early[i])), places.Kept(i))
					sum += n
				}
				require.EqualValues(t, moved, sum)
			}
			require.NoError(t, places.Close())
			require.NoError(t, places.Close())
			rest, err := os.ReadDir(folder)
			require.NoError(t, err)
			require.Empty(t, rest)
		})
	}
}
