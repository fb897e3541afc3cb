package main

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/compaction"
)

// compacted runs compact with --json.
func (f *lakeFolder) compacted(t *testing.T, flags ...string) compaction.Report {
	t.Helper()
	out := f.firth(t, append([]string{"compact", "db.events", "--json"}, flags...)...)
	require.Zero(t, out.code, out.stderr)
	var report compaction.Report
	require.NoError(t, json.Unmarshal([]byte(out.stdout), &report))
	return report
}

// TestCompactBesideRunLosesNothing compacts again and again while records come, and recounts them from the
// files and the topic.
func TestCompactBesideRunLosesNothing(t *testing.T) {
	f := newLakeFolder(t)
	f.spec(t, "", "")
	require.Zero(t, f.firth(t, "apply", "--yes").code)
	r := f.run(t)
	removed := 0
	for n := range int64(6) {
		f.produce(t, 500)
		if n%3 == 0 {
			f.committed(t, f.produced)
		}
		removed += f.compacted(t).FilesRemoved
	}
	f.committed(t, 3000)
	removed += f.compacted(t).FilesRemoved
	r.end(t)
	require.Positive(t, removed)
	report := f.report(t)
	require.True(t, report.Proven, report.Faults)
	require.EqualValues(t, 3000, report.Counts.Inserted)
	require.EqualValues(t, 3000, report.Files.Rows)
	require.Zero(t, report.Files.ForeignData)
	require.Equal(t, 1, report.Files.Data)
	require.Contains(t, f.firth(t, "compact", "db.events").stdout, "nothing to compact")
}

func TestCompactShowsWhatItWouldDo(t *testing.T) {
	f := newIngestedFolder(t)
	r := f.run(t)
	f.produce(t, 1000)
	f.committed(t, 2000)
	r.end(t)
	shown := f.firth(t, "compact", "db.events", "--dry-run")
	require.Zero(t, shown.code, shown.stderr)
	require.Contains(t, shown.stdout, "small files")
	require.Contains(t, shown.stdout, "decode")
	require.Contains(t, shown.stdout, "2,000")
	var plan struct {
		DryRun bool `json:"dry_run"`
		Groups []compactionGroup
	}
	out := f.firth(t, "compact", "db.events", "--dry-run", "--json", "--where", "user_id >= 0")
	require.NoError(t, json.Unmarshal([]byte(out.stdout), &plan))
	require.True(t, plan.DryRun)
	require.Len(t, plan.Groups, 1)
	require.EqualValues(t, 2000, plan.Groups[0].Rows)
	none := f.firth(t, "compact", "db.events", "--dry-run", "--where", "user_id < -5")
	require.Contains(t, none.stdout, "nothing to compact")
	require.Contains(t, f.firth(t, "compact", "db.events", "--dry-run", "--target-size", "1KiB").stdout,
		"nothing to compact")
	require.Greater(t, f.report(t).Files.Data, 1, "nothing was written")

	require.Contains(t, f.firth(t, "compact", "db.events").stdout, "became 1 of")
}

func TestCompactSaysWhatIsWrong(t *testing.T) {
	f := newIngestedFolder(t)
	for want, args := range map[string][]string{
		"there is no table db.nothing": {"compact", "db.nothing"},
		"TABLE is missing":             {"compact"},
		"--target-size 3 apples":       {"compact", "db.events", "--target-size", "3 apples"},
		"--target-size 0":              {"compact", "db.events", "--target-size", "0"},
		"--where":                      {"compact", "db.events", "--where", "nothing = 1"},
	} {
		out := f.firth(t, args...)
		require.Equal(t, exitCouldNot, out.code, want)
		require.Contains(t, out.stderr, want)
	}
}

// TestCompactBesideUpdatesLosesNothing compacts a keyed table again and again while its rows are replaced.
func TestCompactBesideUpdatesLosesNothing(t *testing.T) {
	f := newLakeFolder(t)
	write(t, f.dir, "tables/events.yaml", `
name: db.events
identifier: [user_id]
schema: {columns: [{name: user_id, type: long, required: true}, {name: amount, type: float}]}
sources: [{topics: [events]}]
freshness: {interval: 100ms}
`)
	require.Zero(t, f.firth(t, "apply", "--yes").code)
	r := f.run(t, "--roles", "catalog,ingest") // compaction by itself would be there first
	moved, groups := int64(0), 0
	for round := range 6 {
		f.produce(t, 500)
		report := f.compacted(t)
		moved, groups = moved+report.RowsMoved, groups+report.Groups
		f.committed(t, int64(500*(round+1))) // so that the next run finds files, however fast it comes
	}
	groups += f.compacted(t).Groups
	r.end(t)
	require.Positive(t, groups)
	t.Logf("%d groups, %d rows were replaced meanwhile", groups, moved)
	report := f.report(t, "--deep")
	require.True(t, report.Proven, report.Faults)
	require.EqualValues(t, 3000, report.Counts.Inserted+report.Counts.Updated+report.Counts.Superseded)
}
