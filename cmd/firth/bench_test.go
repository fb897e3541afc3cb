package main

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/cmd/firth/stage"
	"github.com/firthlake/firth/ingest/gen"
	"github.com/firthlake/firth/ingest/source"
)

func TestIngestBenchmarkMeasuresAProvenProcess(t *testing.T) {
	t.Setenv("FIRTH_TEST_RUN_MAIN", "1") // the measured process is this test binary
	profile := filepath.Join(t.TempDir(), "cpu.pprof")
	for _, args := range [][]string{
		{"--format", "json", "--tables", "3", "--cpuprofile", profile},
		{"--format", "avro", "--workload", "wide50", "--partitions", "3"},
		{"--format", "protobuf", "--partition-by", "bucket(4, user_id)"},
		{"--format", "csv", "--history", "3", "--tables", "2"},
	} {
		out := firth(t, append([]string{"bench", "ingest", "--rows", "4000", "--json"}, args...)...)
		require.Zero(t, out.code, out.stderr)
		var result ingestBenchResult
		require.NoError(t, json.Unmarshal([]byte(out.stdout), &result), out.stdout)
		require.True(t, result.Proven)
		require.Equal(t, int64(4_000), result.Rows)
		require.Positive(t, result.RowsPerCPU)
		require.Positive(t, result.MBPerCPU)
		require.Positive(t, result.RSSBytesMax)
		require.Equal(t, slices.Sorted(slices.Values(stage.Shares())),
			slices.Sorted(maps.Keys(result.CPUShare)))
	}
	written, err := os.Stat(profile)
	require.NoError(t, err)
	require.Positive(t, written.Size())
}

func TestStagesAreMeasuredOnTheirOwn(t *testing.T) {
	t.Setenv("FIRTH_TEST_RUN_MAIN", "1")
	for _, args := range [][]string{
		{"fetch", "--workload", "nested", "--partitions", "3"}, {"decode", "--format", "avro"},
		{"encode", "--workload", "wide50"}, {"upload", "--dir", t.TempDir()},
	} {
		out := firth(t, append([]string{"bench", "--rows", "4000", "--json"}, args...)...)
		require.Zero(t, out.code, out.stderr)
		var result stage.Result
		require.NoError(t, json.Unmarshal([]byte(out.stdout), &result), out.stdout)
		require.Equal(t, args[0], result.Stage)
		require.Equal(t, int64(4_000), result.Rows)
		require.Positive(t, result.MBPerCPU)
		require.Len(t, result.CPUShare, len(stage.Shares()))

		out = firth(t, append([]string{"bench", "--rows", "1000"}, args...)...)
		require.Zero(t, out.code, out.stderr)
		require.Contains(t, out.stdout, args[0]+" of ")
		require.Contains(t, out.stdout, ": 1,000 rows, ")
	}
	out := firth(t, "bench", "commit", "--commits", "5", "--json")
	require.Zero(t, out.code, out.stderr)
	require.Contains(t, out.stdout, `"rows": 50000`)
}

func TestBenchmarksRefuseWhatTheyCannotMeasure(t *testing.T) {
	for args, told := range map[string][]string{
		"--rows 0":      {"bench", "decode", "--rows", "0"},
		"no workload":   {"bench", "encode", "--workload", "nothing"},
		"no format":     {"bench", "fetch", "--format", "morse"},
		"--partitions":  {"bench", "fetch", "--partitions", "0"},
		"--history -1":  {"bench", "ingest", "--history", "-1"},
		"--commits 0":   {"bench", "commit", "--commits", "0"},
		"bucket(0":      {"bench", "ingest", "--partition-by", "bucket(0, user_id)"},
		"configuration": {"bench", "upload", "-c", filepath.Join(t.TempDir(), "none.yaml")},
	} {
		out := firth(t, told...)
		require.Equal(t, exitCouldNot, out.code, told)
		require.Contains(t, out.stderr, args)
	}
}

func TestBenchmarksTakeAFolderFromWhereTheyAre(t *testing.T) {
	t.Chdir(t.TempDir())
	require.NoError(t, inFolder("here", func(dir string) error {
		require.True(t, filepath.IsAbs(dir))
		require.DirExists(t, dir)
		return nil
	}))
}

// The first cluster of a configuration is read, and what was made on it is removed.
func TestBenchmarksUseTheConfiguration(t *testing.T) {
	t.Setenv("FIRTH_TEST_RUN_MAIN", "1")
	f := newLakeFolder(t)
	for _, args := range [][]string{{"fetch"}, {"ingest", "--format", "protobuf"}, {"upload"}} {
		out := f.firth(t, append([]string{"bench", "--rows", "5000"}, args...)...)
		require.Zero(t, out.code, out.stderr)
		require.Contains(t, out.stdout, "5,000 rows")
	}
	admin, err := source.OpenAdmin(t.Context(), f.broker.Connection())
	require.NoError(t, err)
	defer admin.Close()
	topics, err := admin.Topics(t.Context())
	require.NoError(t, err)
	for _, each := range topics {
		require.NotContains(t, each.Name, "firth-bench")
	}
	left, err := filepath.Glob(filepath.Join(f.dir, "warehouse", "*"))
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestShellCompletesWorkloadsAndFormats(t *testing.T) {
	out := firth(t, "__complete", "bench", "decode", "--workload", "")
	require.Zero(t, out.code)
	for _, name := range gen.Workloads() {
		require.Contains(t, out.stdout, name)
	}
	out = firth(t, "__complete", "bench", "")
	for _, name := range []string{"ingest", "fetch", "decode", "encode", "upload", "commit"} {
		require.Contains(t, out.stdout, name)
	}
	require.NotContains(t, out.stdout, "process")
}
