package main

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestIngestBenchmarkMeasuresAProvenProcess(t *testing.T) {
	t.Setenv("FIRTH_TEST_RUN_MAIN", "1") // the measured process is this test binary
	profile := filepath.Join(t.TempDir(), "cpu.pprof")
	for _, args := range [][]string{
		{"--format", "json", "--tables", "3", "--cpuprofile", profile},
		{"--format", "avro", "--workload", "wide50", "--partitions", "3"},
		{"--format", "protobuf", "--partition-by", "bucket(4, user_id)"},
	} {
		out := firth(t, append([]string{"bench", "ingest", "--rows", "20000", "--json"}, args...)...)
		require.Zero(t, out.code, out.stderr)
		var result ingestBenchResult
		require.NoError(t, json.Unmarshal([]byte(out.stdout), &result), out.stdout)
		require.True(t, result.Proven)
		require.Equal(t, int64(20_000), result.Rows)
		require.Positive(t, result.RowsPerCPU)
		require.Positive(t, result.RSSBytesMax)
		require.Equal(t, slices.Sorted(slices.Values(benchStages())),
			slices.Sorted(maps.Keys(result.CPUShare)))
	}
	written, err := os.Stat(profile)
	require.NoError(t, err)
	require.Positive(t, written.Size())
}
