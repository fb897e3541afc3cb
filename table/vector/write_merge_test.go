package vector

import (
	"math/rand/v2"
	"testing"

	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"
)

func fileOf(t testing.TB, rows int64) iceberg.DataFile {
	made, err := iceberg.NewDataFileBuilder(*iceberg.UnpartitionedSpec, iceberg.EntryContentData, "mem://f.parquet",
		iceberg.ParquetFile, nil, nil, nil, rows, 1)
	require.NoError(t, err)
	return made.Build()
}

func TestMergedTakesRunsOfEveryLength(t *testing.T) {
	var positions []int64
	next := int64(0)
	for _, length := range []int64{1, 2, rangeMin - 1, rangeMin, rangeMin + 1, 70_000, 3} {
		for range length {
			positions = append(positions, next)
			next++
		}
		next += 2
	}
	var w writing
	all, err := w.merged(t.Context(), &Target{File: fileOf(t, next), Positions: positions})
	require.NoError(t, err)
	var got []int64
	for pos := range all.Positions() {
		got = append(got, int64(pos))
	}
	require.Equal(t, positions, got)
}

// BenchmarkMerge deletes three quarters of a million rows at random, as a checkpoint does that replaces them.
func BenchmarkMerge(b *testing.B) {
	const rows = 1_000_000
	random := rand.New(rand.NewPCG(1, 2))
	var positions []int64
	for pos := range int64(rows) {
		if random.IntN(4) > 0 {
			positions = append(positions, pos)
		}
	}
	file := fileOf(b, rows)
	var w writing
	for b.Loop() {
		all, err := w.merged(b.Context(), &Target{File: file, Positions: positions})
		require.NoError(b, err)
		require.EqualValues(b, len(positions), all.Cardinality())
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(positions)), "ns/position")
}
