package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// history writes files of 300 rows, of which the filter keeps those with an amount.
func (f *lakeFolder) history(t *testing.T) (pattern string) {
	t.Helper()
	csv, lines := "user_id,amount\n", ""
	for i := range 200 {
		csv += fmt.Sprintf("%d,%d.5\n", i, i%2)
	}
	for i := range 100 {
		lines += fmt.Sprintf("{\"user_id\": %d, \"amount\": %d}\n", i, i%2)
	}
	dir := filepath.Join(f.dir, "history")
	require.NoError(t, os.MkdirAll(dir, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a.csv"), []byte(csv), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "b.json"), []byte(lines), 0o600))
	return filepath.Join(dir, "*")
}

func (f *lakeFolder) backfill(t *testing.T, args ...string) (out backfillReport) {
	t.Helper()
	done := f.firth(t, append([]string{"backfill", "--json"}, args...)...)
	require.Zero(t, done.code, done.stderr)
	require.NoError(t, json.Unmarshal([]byte(done.stdout), &out))
	return out
}

// TestABackfillIsPromotedWhileTheStreamGoesOn loads files beside a process that ingests, twice, and recounts the
// table with its topics.
func TestABackfillIsPromotedWhileTheStreamGoesOn(t *testing.T) {
	f := newLakeFolder(t)
	f.spec(t, "", ", filter: 'amount > 0.75'")
	require.Zero(t, f.firth(t, "apply", "--yes").code)
	pattern := f.history(t)
	f.produce(t, 500)
	r := f.run(t)
	f.committed(t, 500)

	dry := f.firth(t, "backfill", "db.events", pattern, "--dry-run")
	require.Zero(t, dry.code, dry.stderr)
	require.Contains(t, dry.stdout, "would load 2 files")
	held := f.backfill(t, "db.events", pattern, "--promote", "manual", "--checks", "rows = 150")
	require.EqualValues(t, 150, held.Rows)
	require.EqualValues(t, 150, held.Filtered)
	require.False(t, held.Promoted)
	require.Contains(t, f.firth(t, "backfills").stdout, "waiting")
	f.produce(t, 500)
	require.NoError(t, os.RemoveAll(filepath.Dir(pattern)), "what is on the branch needs no source")
	done := f.backfill(t, "promote", held.ID)
	require.True(t, done.Promoted)
	require.True(t, f.backfill(t, "promote", held.ID).Before)
	f.history(t)
	f.produce(t, 500)
	f.committed(t, 1800) // offsets of files count too
	r.end(t)

	report := f.report(t)
	require.True(t, report.Proven, report.Faults)
	require.Contains(t, strings.Join(report.Notes, "\n"), "rows of files, which are not read again")
	require.EqualValues(t, 1800, report.Counts.Inserted+report.Counts.Filtered)
	require.Contains(t, f.firth(t, "backfills").stdout, "promoted")
}

func TestABackfillIsAbandoned(t *testing.T) {
	f := newIngestedFolder(t)
	pattern := f.history(t)
	failed := f.firth(t, "backfill", "db.events", pattern, "--checks", "amount is null")
	require.Equal(t, exitFallsShort, failed.code)
	require.Contains(t, failed.stderr, "not true for 300 of 300 rows")
	var list []backfillSummary
	require.NoError(t, json.Unmarshal([]byte(f.firth(t, "backfills", "--json").stdout), &list))
	require.Len(t, list, 1)
	require.True(t, f.backfill(t, "abandon", list[0].ID).Abandoned)
	require.Contains(t, f.firth(t, "backfills").stdout, "there is no backfill")
	require.EqualValues(t, 1000, f.report(t).Files.Rows)
}

func TestBackfillSaysWhatIsWrong(t *testing.T) {
	f := newIngestedFolder(t)
	pattern := f.history(t)
	for want, args := range map[string][]string{
		"PATTERN is missing":             {"backfill", "db.events"},
		"there is no table db.nothing":   {"backfill", "db.nothing", pattern},
		"only files can be loaded":       {"backfill", "db.events", pattern, "--from", "kafka"},
		"rows can only be appended":      {"backfill", "db.events", pattern, "--mode", "merge"},
		"--promote never is unknown":     {"backfill", "db.events", pattern, "--promote", "never"},
		"no file is called so":           {"backfill", "db.events", pattern + ".parquet"},
		"there is no backfill 123":       {"backfill", "resume", "123"},
		"write column=source":            {"backfill", "db.events", pattern, "--map", "x"},
		"branch main is where the strea": {"backfill", "db.events", pattern, "--branch", "main"},
		"unknown column nothing":         {"backfill", "db.events", pattern, "--checks", "nothing > 1"},
	} {
		out := f.firth(t, args...)
		require.Equal(t, exitCouldNot, out.code, want)
		require.Contains(t, out.stderr, want)
	}
}
