package main

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestMain lets the test binary be firth itself, for the tests that kill it.
func TestMain(m *testing.M) {
	if os.Getenv("FIRTH_TEST_RUN_MAIN") == "1" {
		main()
		return
	}
	os.Exit(m.Run())
}

// process starts this binary as firth.
func process(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), "FIRTH_TEST_RUN_MAIN=1")
	return cmd
}

func demoOnce(t *testing.T, dir string, rows string) demoReport {
	t.Helper()
	out := firth(t, "demo", "--dir", dir, "--rows", rows, "--once", "--json")
	require.Zero(t, out.code, out.stderr)
	var report demoReport
	require.NoError(t, json.Unmarshal([]byte(out.stdout), &report), out.stdout)
	return report
}

func TestDemoIsProvenAndGoesOnInItsFolder(t *testing.T) {
	dir := t.TempDir()
	first := demoOnce(t, dir, "20000")
	require.Equal(t, "db.events", first.Table)
	require.EqualValues(t, 20000, first.RowsProduced)
	require.EqualValues(t, 20000, first.RowsCommitted)
	require.EqualValues(t, 20000, first.RowsInTable)
	require.Equal(t, ledgerProof{Proven: true}, first.Ledger)
	require.Positive(t, first.Snapshots)
	require.Positive(t, first.DataFiles)
	require.Positive(t, first.CPUSeconds)
	require.Positive(t, first.RSSBytesMax)

	second := demoOnce(t, dir, "5000")
	require.EqualValues(t, 5000, second.RowsProduced)
	require.EqualValues(t, 5000, second.RowsCommitted)
	require.EqualValues(t, 25000, second.RowsInTable)
	require.True(t, second.Ledger.Proven)
	require.Empty(t, repeatedIDs(t, dir), "the generator must not repeat a row")
	t.Run("commands", func(t *testing.T) { checkCommandsOnFolder(t, dir) })
}

// repeatedIDs are the event ids that the table of a demo holds more than once.
func repeatedIDs(t *testing.T, dir string) []string {
	t.Helper()
	out := firth(t, "read", "db.events", "--dir", dir, "--columns", "event_id", "--output", "csv")
	require.Zero(t, out.code, out.stderr)
	seen := map[string]bool{}
	var repeated []string
	for _, id := range strings.Fields(out.stdout)[1:] {
		if seen[id] {
			repeated = append(repeated, id)
		}
		seen[id] = true
	}
	return repeated
}

// checkCommandsOnFolder looks at a table of 25,000 rows with every command that reads a folder.
func checkCommandsOnFolder(t *testing.T, dir string) {
	out := firth(t, "tables", "--dir", dir, "--json")
	require.Zero(t, out.code, out.stderr)
	var tables []tableSummary
	require.NoError(t, json.Unmarshal([]byte(out.stdout), &tables))
	require.Equal(t, "db.events", tables[0].Table)
	require.EqualValues(t, 25000, tables[0].Rows)

	out = firth(t, "describe", "db.events", "--dir", dir, "--json")
	require.Zero(t, out.code, out.stderr)
	var described tableReport
	require.NoError(t, json.Unmarshal([]byte(out.stdout), &described))
	require.Len(t, described.Offsets, demoPartitions)
	var offsets int64
	for _, o := range described.Offsets {
		offsets += int64(o.Next)
	}
	require.EqualValues(t, 25000, offsets)
	require.Contains(t, firth(t, "describe", "db.events", "--dir", dir).stdout, "_kafka_offset")

	out = firth(t, "verify", "db.events", "--dir", dir, "--deep", "--json")
	require.Zero(t, out.code, out.stderr)
	var proof struct{ Proven, Deep bool }
	require.NoError(t, json.Unmarshal([]byte(out.stdout), &proof))
	require.True(t, proof.Proven && proof.Deep)

	out = firth(t, "read", "db.events", "--dir", dir, "--json", "--limit", "3",
		"--where", "country = 'DE' and amount > 10.5", "--columns", "country,amount,ts")
	require.Zero(t, out.code, out.stderr)
	var rows []struct {
		Country string
		Amount  float64
		TS      time.Time
	}
	require.NoError(t, json.Unmarshal([]byte(out.stdout), &rows))
	require.Len(t, rows, 3)
	for _, row := range rows {
		require.Equal(t, "DE", row.Country)
		require.Greater(t, row.Amount, 10.5)
		require.Equal(t, 2026, row.TS.Year())
	}
	out = firth(t, "read", "db.events", "--dir", dir, "--columns", "", "--limit", "1", "--output", "csv")
	require.Greater(t, len(strings.TrimSpace(strings.Split(out.stdout, "\n")[1])), 50, "all columns")
	out = firth(t, "read", "db.events", "--dir", dir, "--snapshot", "1")
	require.Equal(t, exitCouldNot, out.code)
	require.Contains(t, out.stderr, "'firth describe db.events'")
	out = firth(t, "plan", "--dir", dir, "--json")
	require.Contains(t, out.stdout, `"steps": []`)

	old := firth(t, "read", "db.events", "--dir", dir, "--output", "ndjson", "--columns", "user_id",
		"--snapshot",
		json.Number(jsonInt(described.History[len(described.History)-1].ID)).String())
	require.Zero(t, old.code, old.stderr)
	require.Less(t, strings.Count(old.stdout, "\n"), 25000)

	require.Zero(t, firth(t, "plan", "--dir", dir).code)
	require.Equal(t, exitCouldNot, firth(t, "describe", "db.nope", "--dir", dir).code)
	require.Equal(t, exitCouldNot, firth(t, "read", "db.events", "--dir", dir, "--where", "nope = 1").code)
	require.Equal(t, exitCouldNot, firth(t, "verify", "db.nope", "--dir", dir).code)
}

func jsonInt(n int64) string {
	text, err := json.Marshal(n)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return string(text)
}

func TestVerifyFallsShortOfAMissingFile(t *testing.T) {
	dir := t.TempDir()
	demoOnce(t, dir, "2000")
	files, err := filepath.Glob(filepath.Join(dir, "warehouse/db/events/data/*.parquet"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	require.NoError(t, os.Remove(files[0]))
	out := firth(t, "verify", "db.events", "--dir", dir, "--json")
	require.Equal(t, exitFallsShort, out.code)
	require.Contains(t, out.stdout, filepath.Base(files[0]))
	require.Contains(t, out.stdout, `"proven": false`)
}

func TestKilledDemoLosesAndRepeatsNothing(t *testing.T) {
	dir := t.TempDir()
	for _, commits := range []int{0, 1} {
		cmd := process(t.Context(), "demo", "--dir", dir, "--rate", "20000", "--listen", "127.0.0.1:0",
			"--json")
		require.NoError(t, cmd.Start())
		require.Eventually(t, func() bool { return dataFiles(dir) > commits }, patience,
			5*time.Millisecond)
		require.NoError(t, cmd.Process.Kill())
		require.Error(t, cmd.Wait())
	}
	report := demoOnce(t, dir, "20000")
	require.EqualValues(t, 20000, report.RowsProduced)
	require.GreaterOrEqual(t, report.RowsCommitted, report.RowsProduced)
	require.Equal(t, ledgerProof{Proven: true}, report.Ledger)
	require.Empty(t, repeatedIDs(t, dir))
	require.Zero(t, firth(t, "verify", "db.events", "--dir", dir, "--deep").code)
}

// dataFiles counts the data files under a demo's folder, committed or not.
func dataFiles(dir string) int {
	files, err := filepath.Glob(filepath.Join(dir, "warehouse/db/events/data/*.parquet"))
	if err != nil {
		return 0
	}
	return len(files)
}

func TestInterruptedDemoEndsCleanly(t *testing.T) {
	dir := t.TempDir()
	cmd := process(t.Context(), "demo", "--dir", dir, "--rate", "2000", "--listen", "127.0.0.1:0")
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	require.NoError(t, cmd.Start())
	require.Eventually(t, func() bool { return dataFiles(dir) > 0 }, patience, 10*time.Millisecond)
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	require.NoError(t, cmd.Wait(), stderr.String())
	require.Contains(t, stdout.String(), "DuckDB")
	require.Contains(t, stdout.String(), "PyIceberg")
	require.Contains(t, stdout.String(), "Spark")
	require.Contains(t, stderr.String(), "stopped: db.events holds")
	require.Zero(t, firth(t, "verify", "db.events", "--dir", dir, "--deep").code)
}

func TestFolderHasOneDemoAtATime(t *testing.T) {
	dir := t.TempDir()
	folder, err := openDemoFolder(dir)
	require.NoError(t, err)
	defer folder.close()
	out := firth(t, "demo", "--dir", dir, "--rows", "10", "--once")
	require.Equal(t, exitCouldNot, out.code)
	require.Contains(t, out.stderr, "in use by another demo")
}
