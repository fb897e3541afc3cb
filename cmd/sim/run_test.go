package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// These are how many seeds every test run covers; docs/testing.md has the figures of long runs.
const (
	seedsInTest      = 2000
	keyedSeedsInTest = 150
)

func TestInvariantsHoldOnEverySeed(t *testing.T) {
	wantNoFailure(t, 1, seedsInTest)
}

func TestInvariantsHoldOnEverySeedOfAKeyedTable(t *testing.T) {
	wantNoFailure(t, keyedSeeds, keyedSeedsInTest)
}

func wantNoFailure(t *testing.T, first, seeds uint64) {
	t.Helper()
	if raceEnabled {
		seeds = 12 // nothing runs beside anything here, so the detector only slows it down
	}
	var counted tally
	done, steps, failed := runSeeds(t.Context(), run{first: first, seeds: seeds, failuresMax: 10, tally: &counted})
	t.Logf("%d seeds, %d steps, %s", done, steps, counted)
	for _, f := range failed {
		t.Errorf("seed %d: %v", f.seed, f.err)
	}
}

// TestOldFailuresStayMended runs the seeds that failed once.
func TestOldFailuresStayMended(t *testing.T) {
	files, err := filepath.Glob("testdata/seeds/*")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for field := range strings.FieldsSeq(string(text)) {
			seed, err := strconv.ParseUint(field, 10, 64)
			require.NoError(t, err, "%s", file)
			_, err = runSeed(t.Context(), seed, nil)
			require.NoError(t, err, "seed %d of %s", seed, file)
		}
	}
}

func TestASeedIsReplayedExactly(t *testing.T) {
	// In 28, 78, 192 and 267 a killed process unwinds in one of several ways.
	seeds := []uint64{28, 78, 192, 267, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
		keyedSeeds, keyedSeeds + 1, keyedSeeds + 2, keyedSeeds + 3, keyedSeeds + 4, keyedSeeds + 5}
	if raceEnabled {
		seeds = seeds[:2]
	}
	for _, seed := range seeds {
		var first, second bytes.Buffer
		_, err := runSeed(t.Context(), seed, &first)
		require.NoError(t, err)
		_, err = runSeed(t.Context(), seed, &second)
		require.NoError(t, err)
		require.Equal(t, first.String(), second.String(), "seed %d", seed)
	}
}

func BenchmarkSeed(b *testing.B) {
	for i := range b.N {
		if _, err := runSeed(b.Context(), uint64(i+1), nil); err != nil {
			b.Fatal(err)
		}
	}
}
