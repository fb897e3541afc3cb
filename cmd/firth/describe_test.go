package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAKeyedTableKeepsItsMergeEngine(t *testing.T) {
	f := newLakeFolder(t)
	f.keyedSpec(t, "merge: partial\n")
	require.Zero(t, f.firth(t, "apply", "--yes").code)
	require.Contains(t, f.firth(t, "describe", "db.events").stdout, "\nmerge: partial\n")
	require.Contains(t, f.firth(t, "describe", "db.events", "--json").stdout, `"merge": "partial"`)
	f.keyedSpec(t, "merge: first\n")
	for _, command := range []string{"plan", "apply"} {
		out := f.firth(t, command)
		require.Equal(t, exitFallsShort, out.code, command)
		require.Contains(t, out.stdout+out.stderr, "partial cannot become first", command)
	}
	require.Equal(t, exitCouldNot, f.firth(t, "run").code)
}
