package main

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestRunCompactsByItself has commits of few records each, until files are made one.
func TestRunCompactsByItself(t *testing.T) {
	f := newLakeFolder(t)
	f.spec(t, "", "")
	require.Zero(t, f.firth(t, "apply", "--yes").code)
	r := f.run(t, "--roles", "catalog,ingest")
	for n := range int64(10) {
		f.produce(t, 200)
		f.committed(t, 200*(n+1))
	}
	r.end(t)
	before := f.report(t)
	require.GreaterOrEqual(t, before.Files.Data, 10)

	alone := f.run(t, "--roles", "compaction")
	require.Eventually(t, func() bool { return strings.Contains(alone.log.String(), "files rewritten") },
		patience, 10*time.Millisecond, alone.log)
	alone.end(t)
	after := f.report(t)
	require.Equal(t, 1, after.Files.Data)
	require.True(t, after.Proven, after.Faults)
	require.Equal(t, before.Counts, after.Counts)
	require.Equal(t, before.Files.Rows, after.Files.Rows)
}
