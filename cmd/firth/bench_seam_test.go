package main

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReadersFindEachOffsetOnceWhileTheServiceIsKilled(t *testing.T) {
	t.Setenv("FIRTH_TEST_RUN_MAIN", "1") // for the process that is killed
	out := firth(t, "bench", "seam", "--seconds", "12", "--rate", "2000", "--readers", "3", "--kills", "3",
		"--checkpoint", "1s", "--json")
	require.Zero(t, out.code, out.stderr+out.stdout)
	var result seamResult
	require.NoError(t, json.Unmarshal([]byte(out.stdout), &result), out.stdout)
	require.Positive(t, result.Reads)
	require.Zero(t, result.Gaps+result.Duplicates+result.Regressions, out.stdout)
	require.GreaterOrEqual(t, len(result.Doors), 2)
	for name, door := range result.Doors {
		require.Positive(t, door.AgeP50, name)
		require.Positive(t, door.Rows, name)
	}
}

func TestReadersFindTheNewestOfEachKeyWhileTheServiceIsKilled(t *testing.T) {
	t.Setenv("FIRTH_TEST_RUN_MAIN", "1") // for the process that is killed
	out := firth(t, "bench", "seam", "--keyed", "--seconds", "12", "--rate", "2000", "--readers", "4", "--kills", "2",
		"--checkpoint", "1s", "--keys", "600", "--distribution", "zipf", "--json")
	require.Zero(t, out.code, out.stderr+out.stdout)
	var result seamResult
	require.NoError(t, json.Unmarshal([]byte(out.stdout), &result), out.stdout)
	require.Positive(t, result.Reads)
	require.Zero(t, result.Gaps+result.Duplicates+result.Regressions, out.stdout)
	require.GreaterOrEqual(t, len(result.Doors), 3)
	for name, door := range result.Doors {
		require.Positive(t, door.AgeP50, name)
		require.Positive(t, door.Rows, name)
	}
}

func TestKeyedSeamRefusesWhatItCannotRead(t *testing.T) {
	for text, told := range map[string][]string{
		"--keys 1 ":      {"bench", "seam", "--keyed", "--keys", "1"},
		"--distribution": {"bench", "live", "--keyed", "--distribution", "even"},
	} {
		out := firth(t, told...)
		require.Equal(t, exitCouldNot, out.code, told)
		require.Contains(t, out.stderr, text)
	}
}
