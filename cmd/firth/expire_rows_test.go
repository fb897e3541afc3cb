package main

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestOldRowsLeaveAndTheTableIsProven takes all rows out of a table between two runs that feed it.
func TestOldRowsLeaveAndTheTableIsProven(t *testing.T) {
	f := newIngestedFolder(t)
	expire := func(flags ...string) rowExpiryReport {
		t.Helper()
		out := f.firth(t, append([]string{"expire", "db.events", "--rows", "--column", "_kafka_timestamp",
			"--json"}, flags...)...)
		require.Zero(t, out.code, out.stderr)
		var report rowExpiryReport
		require.NoError(t, json.Unmarshal([]byte(out.stdout), &report))
		return report
	}
	require.Zero(t, expire("--older-than", "1d").Rows)
	shown := expire("--older-than", "1ns", "--dry-run")
	require.EqualValues(t, 1000, shown.Rows)
	require.Positive(t, shown.Files)
	require.EqualValues(t, 1000, expire("--older-than", "1ns").Rows)
	r := f.run(t)
	f.produce(t, 500)
	f.committed(t, 1500)
	r.end(t)
	report := f.report(t)
	require.True(t, report.Proven, report.Faults)
	require.EqualValues(t, 1000, report.Foreign.Expired)
	require.EqualValues(t, 500, report.Files.Rows-report.Files.DeletedRows)
}

func TestExpireRowsRefusesWhatItDoesNotUnderstand(t *testing.T) {
	f := newIngestedFolder(t)
	for want, flags := range map[string][]string{
		"goes with --column and --older-than": {"--rows"},
		"which has no age":                    {"--rows", "--column", "_kafka_offset", "--older-than", "1d"},
		"there is no column when":             {"--rows", "--column", "when", "--older-than", "1d"},
		"it is no age":                        {"--rows", "--column", "_kafka_timestamp", "--older-than", "0s"},
	} {
		out := f.firth(t, append([]string{"expire", "db.events"}, flags...)...)
		require.Equal(t, 2, out.code, out.stdout)
		require.Contains(t, out.stderr, want)
	}
}
