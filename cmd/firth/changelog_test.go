package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit/verify"
)

// keyedSpec writes the spec of a keyed table, with more lines.
func (f *lakeFolder) keyedSpec(t *testing.T, more string) {
	t.Helper()
	write(t, f.dir, "tables/events.yaml", `
name: db.events
identifier: [user_id]
schema: {columns: [{name: user_id, type: long, required: true}, {name: amount, type: float}]}
sources: [{topics: [events]}]
freshness: {interval: 100ms}
`+more)
}

// proof is what verify says of a table.
func (f *lakeFolder) proof(t *testing.T, name string) (report verify.Report) {
	t.Helper()
	out := f.firth(t, "verify", name, "--deep", "--json")
	require.NoError(t, json.Unmarshal([]byte(out.stdout), &report), out.stderr)
	return report
}

// followed waits until the changelog makes the rows that the table has.
func (f *lakeFolder) followed(t *testing.T, r *running) (report verify.Report) {
	t.Helper()
	rows := func(name string) (rows int64) {
		for _, row := range f.rowsOf(t, name) {
			kind, _ := row["_change_type"].(string)
			if rows++; kind == "DELETE" || kind == "UPDATE_BEFORE" {
				rows -= 2
			}
		}
		return rows
	}
	require.Eventually(t, func() bool { return rows("db.events") == rows("db.events_changes") }, 60*time.Second,
		100*time.Millisecond, r.log)
	return f.proof(t, "db.events_changes")
}

func (f *lakeFolder) rowsOf(t *testing.T, name string) (rows []map[string]any) {
	t.Helper()
	out := f.firth(t, "read", name, "--output", "ndjson")
	require.Zero(t, out.code, out.stderr)
	for line := range strings.Lines(out.stdout) {
		var row map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &row))
		rows = append(rows, row)
	}
	return rows
}

func TestChangelogFollowsTheTable(t *testing.T) {
	f := newLakeFolder(t)
	f.keyedSpec(t, "changelog: true\n")
	require.Zero(t, f.firth(t, "apply", "--yes").code)
	f.produce(t, 300)
	r := f.run(t)
	f.committed(t, 300)
	for n := range 3 {
		f.produce(t, 200)
		f.committed(t, int64(500+200*n))
	}
	report := f.followed(t, r)
	require.True(t, report.Proven, report.Faults)
	r.end(t)
	report = f.proof(t, "db.events")
	require.True(t, report.Proven, report.Faults)

	// What was committed last before the end is followed by the next process.
	r = f.run(t)
	report = f.followed(t, r)
	require.True(t, report.Proven, report.Faults)
	require.Contains(t, strings.Join(report.Notes, "\n"), "its changes make the")
	kinds := map[string]int{}
	for _, row := range f.rowsOf(t, "db.events_changes") {
		kinds[row["_change_type"].(string)]++
	}
	require.Positive(t, kinds["INSERT"])
	require.Equal(t, kinds["UPDATE_BEFORE"], kinds["UPDATE_AFTER"])
	r.end(t)
}

func TestChangelogBeginsWithTheRowsThatAreThere(t *testing.T) {
	f := newLakeFolder(t)
	f.keyedSpec(t, "")
	require.Zero(t, f.firth(t, "apply", "--yes").code)
	f.produce(t, 300)
	r := f.run(t)
	f.committed(t, 300)
	f.keyedSpec(t, "changelog: true\n")
	out := f.firth(t, "apply", "--yes")
	require.Zero(t, out.code, out.stderr)
	require.Contains(t, out.stdout, "evolve changelog: becomes db.events_changes")
	report := f.followed(t, r)
	require.True(t, report.Proven, report.Faults)
	r.end(t)
}

func TestChangelogNeedsANameOfItsOwn(t *testing.T) {
	f := newLakeFolder(t)
	f.spec(t, "", "")
	require.Zero(t, f.firth(t, "apply", "--yes").code)
	write(t, f.dir, "tables/users.yaml", `
name: db.users
identifier: [user_id]
schema: {columns: [{name: user_id, type: long, required: true}]}
sources: [{topics: [events]}]
changelog: db.events
`)
	require.Contains(t, f.firth(t, "plan").stderr, "table db.events is specified in")
	require.NoError(t, os.Remove(filepath.Join(f.dir, "tables/events.yaml")))
	out := f.firth(t, "apply", "--yes")
	require.Equal(t, 2, out.code)
	require.Contains(t, out.stderr, "table db.events is not the changelog of db.users")
}
