package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/ingest/gen"
)

func TestRatioIsTheMedianOfRatiosWithinRounds(t *testing.T) {
	c := comparison{of: measurement{name: "a"}, to: measurement{name: "b"}}
	rounds := []map[string]figure{
		{"a": {RowsPerCPU: 10, RowsPerSecond: 1}, "b": {RowsPerCPU: 5, RowsPerSecond: 4}},
		{"a": {RowsPerCPU: 30, RowsPerSecond: 1}, "b": {RowsPerCPU: 10, RowsPerSecond: 4}},
		{"a": {RowsPerCPU: 100, RowsPerSecond: 1}, "b": {RowsPerCPU: 100, RowsPerSecond: 4}},
	}
	require.InDelta(t, 2, c.ratio(rounds), 0)
	c.wall = true
	require.InDelta(t, 0.25, c.ratio(rounds), 0)
	require.InDelta(t, 2.5, median([]float64{4, 1, 3, 2}), 0)
}

func TestEveryMeasurementIsTakenOnceARound(t *testing.T) {
	seen := map[string]bool{}
	for _, m := range measurements(comparisons()) {
		require.False(t, seen[m.name], m.name)
		seen[m.name] = true
	}
}

func TestDuckDBReadsTheWorkloadsTypes(t *testing.T) {
	g, err := gen.New(gen.Options{Workload: "nested", Format: gen.JSON, Seed: 1})
	require.NoError(t, err)
	columns := duckdbColumns(g.Schema().Fields())
	require.Contains(t, columns, "event_id: 'VARCHAR'")
	require.Contains(t, columns, "geo STRUCT(lat DOUBLE, lon DOUBLE)")
}

func TestChooseTakesGroupsAndNamesThoseItDoesNotKnow(t *testing.T) {
	all, err := choose("")
	require.NoError(t, err)
	require.Len(t, all, len(comparisons())-5, "three groups have to be named")
	some, err := choose("history,cores")
	require.NoError(t, err)
	require.Len(t, some, 4)
	_, err = choose("history,minoi")
	require.ErrorContains(t, err, `no group "minoi": --only takes duckdb, minio,`)
}

func TestWhatNeedsMoreCoresThanThereAreIsLeftOut(t *testing.T) {
	kept, left := measurable(comparisons(), 1)
	require.Len(t, left, 2)
	require.Len(t, kept, len(comparisons())-2)
	_, left = measurable(comparisons(), 2)
	require.Empty(t, left)
}
