package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// expired runs expire with --json.
func (f *lakeFolder) expired(t *testing.T, flags ...string) expiryReport {
	t.Helper()
	out := f.firth(t, append([]string{"expire", "db.events", "--json"}, flags...)...)
	require.Zero(t, out.code, out.stderr)
	var report expiryReport
	require.NoError(t, json.Unmarshal([]byte(out.stdout), &report))
	return report
}

// TestExpireBesideRunLosesNothing compacts and expires while records come, and recounts them from files and topic.
func TestExpireBesideRunLosesNothing(t *testing.T) {
	f := newLakeFolder(t)
	f.spec(t, "", "")
	require.Zero(t, f.firth(t, "apply", "--yes").code)
	r := f.run(t)
	files := 0
	for range 5 {
		f.produce(t, 300)
		f.committed(t, f.produced)
		f.compacted(t)
		files += f.expired(t, "--keep", "1", "--older-than", "0s").Files
	}
	r.end(t)
	require.Positive(t, files)
	shown := f.firth(t, "expire", "db.events", "--keep", "1", "--older-than", "0s", "--dry-run")
	require.Zero(t, shown.code, shown.stderr)
	f.expired(t, "--keep", "1", "--older-than", "0s")
	require.Contains(t, f.firth(t, "expire", "db.events", "--keep", "1", "--older-than", "0s").stdout,
		"nothing to expire, snapshots that stay: 1 (younger than 0s, among the newest 1 of a branch")
	report := f.report(t)
	require.True(t, report.Proven, report.Faults)
	require.EqualValues(t, 1500, report.Files.Rows)
}

func TestExpireShowsWhatItWouldDo(t *testing.T) {
	f := newIngestedFolder(t)
	r := f.run(t)
	f.produce(t, 1000)
	f.committed(t, 2000)
	r.end(t)
	shown := f.firth(t, "expire", "db.events", "--dry-run", "--keep", "1", "--older-than", "0s")
	require.Zero(t, shown.code, shown.stderr)
	require.Contains(t, shown.stdout, "would leave, 1 stay")
	planned := f.expired(t, "--dry-run", "--keep", "1", "--older-than", "0s")
	done := f.expired(t, "--keep", "1", "--older-than", "0s")
	require.True(t, planned.DryRun)
	require.Equal(t, planned.Expired, done.Expired)
	require.NotEmpty(t, done.Snapshots)
	require.Contains(t, f.firth(t, "expire", "db.events").stdout, "nothing to expire")
	require.True(t, f.report(t).Proven)
}

func TestExpireSaysWhatIsWrong(t *testing.T) {
	f := newIngestedFolder(t)
	for want, args := range map[string][]string{
		"there is no table db.nothing": {"expire", "db.nothing"},
		"TABLE is missing":             {"expire"},
		"--keep -1":                    {"expire", "db.events", "--keep", "-1"},
		"--keep 0 is no number":        {"expire", "db.events", "--keep", "0"},
		"--older-than yesterday":       {"expire", "db.events", "--older-than", "yesterday"},
		"--older-than -5m":             {"expire", "db.events", "--older-than", "-5m"},
	} {
		out := f.firth(t, args...)
		require.Equal(t, exitCouldNot, out.code, want)
		require.Contains(t, out.stderr, want)
	}
}

func TestSpansMayBeDays(t *testing.T) {
	for text, want := range map[string]time.Duration{"7d": 168 * time.Hour, "90m": 90 * time.Minute, "0s": 0} {
		got, err := parseSpan(text)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, text := range []string{"", "d", "-1d", "1.5d", "9999999d", "-1s", "7"} {
		_, err := parseSpan(text)
		require.Error(t, err, text)
	}
}
