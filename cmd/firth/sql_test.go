package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/serve/query/duckdb"
)

func TestSQLSaysWhatItLacks(t *testing.T) {
	f := newLakeFolder(t)
	out := f.firth(t, "sql", "SELECT 1", "--output", "xml")
	require.Equal(t, exitCouldNot, out.code)
	require.Contains(t, out.stderr, "write table, ndjson, json or csv")

	out = firth(t, "sql", "SELECT 1", "--url", "grpc://127.0.0.1:1")
	require.Equal(t, exitCouldNot, out.code)
	require.Contains(t, out.stderr, "check --url, and that")
}

func TestSQLReadsTheTablesOfTheConfiguration(t *testing.T) {
	f := newIngestedFolder(t)
	out := f.firth(t, "sql", "--json", "SELECT count(*) AS n FROM db.events")
	if strings.Contains(out.stderr, duckdb.ErrMissing.Error()) {
		require.Equal(t, exitCouldNot, out.code)
		require.Contains(t, out.stderr, "'make sql' builds")
		return
	}
	require.Zero(t, out.code, out.stderr)
	require.JSONEq(t, `[{"n": 1000}]`, out.stdout)
	out = firthWith(t.Context(), strings.NewReader("SELECT 1 AS a; SELECT 2 AS b;"), "sql", "-c", f.config,
		"--output", "csv")
	require.Zero(t, out.code, out.stderr)
	require.Equal(t, "a\n1\nb\n2\n", out.stdout)
	out = f.firth(t, "sql", "SELECT * FROM read_csv('/etc/hostname')")
	require.Equal(t, exitCouldNot, out.code)
	require.Contains(t, out.stderr, "refused")
}
