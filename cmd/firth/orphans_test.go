package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func (f *lakeFolder) orphans(t *testing.T, flags ...string) orphansReport {
	t.Helper()
	out := f.firth(t, append([]string{"orphans", "db.events", "--json", "--grace", "0s", "--force"}, flags...)...)
	require.Zero(t, out.code, out.stderr)
	var report orphansReport
	require.NoError(t, json.Unmarshal([]byte(out.stdout), &report))
	return report
}

// TestOrphansGoAndTheTableStaysProven lists orphans once, removes them with the second run, and recounts the table.
func TestOrphansGoAndTheTableStaysProven(t *testing.T) {
	f := newIngestedFolder(t)
	require.Zero(t, f.orphans(t).Found)
	var summary []tableSummary
	require.NoError(t, json.Unmarshal([]byte(f.firth(t, "tables", "--json").stdout), &summary))
	var lost string
	for _, s := range summary {
		if s.Table == "db.events" {
			lost = filepath.Join(s.Location, "data", "lost.parquet")
		}
	}
	require.NoError(t, os.WriteFile(lost, []byte("x"), 0o600))
	require.EqualValues(t, 1, f.orphans(t).Found)
	require.FileExists(t, lost)
	require.EqualValues(t, 1, f.orphans(t, "--dry-run").Removed)
	require.FileExists(t, lost)
	shown := f.firth(t, "orphans", "db.events", "--dry-run")
	require.Zero(t, shown.code, shown.stderr)
	require.Contains(t, shown.stdout, "1 of 1 B wait")
	done := f.orphans(t)
	require.EqualValues(t, 1, done.Removed)
	require.NoFileExists(t, lost)
	report := f.report(t)
	require.True(t, report.Proven, report.Faults)
	require.EqualValues(t, 1000, report.Files.Rows)
}

func TestOrphansSaysWhatIsWrong(t *testing.T) {
	f := newIngestedFolder(t)
	for want, args := range map[string][]string{
		"there is no table db.nothing": {"orphans", "db.nothing"},
		"TABLE is missing":             {"orphans"},
		"--grace soon":                 {"orphans", "db.events", "--grace", "soon"},
		"--grace 5m is shorter":        {"orphans", "db.events", "--grace", "5m"},
	} {
		out := f.firth(t, args...)
		require.Equal(t, exitCouldNot, out.code, want)
		require.Contains(t, out.stderr, want)
	}
}
