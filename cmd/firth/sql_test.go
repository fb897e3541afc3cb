package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

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

// TestSQLIsFresh has the rows of a table that is committed once an hour asked for by SQL.
func TestSQLIsFresh(t *testing.T) {
	f := newHourlyFolder(t, 4, byCountry)
	f.produce(t, 500)
	r := f.run(t, "--flight", "127.0.0.1:0")
	if out := f.firth(t, "sql", "SELECT 1"); out.code != 0 {
		require.Contains(t, out.stderr, duckdb.ErrMissing.Error())
		out = f.firth(t, "sql", "--url", r.url(t, "flight"), "SELECT 1")
		require.Equal(t, exitCouldNot, out.code)
		require.Contains(t, out.stderr, duckdb.ErrMissing.Error())
		found := doorsOf(t, r.url(t, "admin"))
		require.NotContains(t, found, doorFlight)
		require.Contains(t, found, doorStream)
		r.end(t)
		return
	}
	url := r.url(t, "flight")
	rows := func(state string) string {
		out := f.firth(t, "sql", "--url", url, "--output", "csv",
			"SELECT count(*), count(DISTINCT user_id) FROM db.events "+state)
		require.Zero(t, out.code, out.stderr)
		return strings.TrimSpace(strings.SplitN(out.stdout, "\n", 2)[1])
	}
	shown := func() {
		t.Helper()
		require.Eventually(t, func() bool { return strings.HasPrefix(rows(""), fmt.Sprint(f.produced, ",")) }, patience,
			50*time.Millisecond)
	}
	shown()
	committed := rows("FOR VERSION AS OF 'main'")
	for range 3 {
		f.produce(t, 100)
		shown()
	}
	require.Equal(t, committed, rows("FOR VERSION AS OF 'main'"), "nothing is committed within the hour")
	out := f.firth(t, "sql", "--url", url, "--output", "csv", "SELECT a.n - b.n AS n "+
		"FROM (SELECT count(*) n FROM db.events) a, (SELECT count(*) n FROM db.events FOR VERSION AS OF 'main') b")
	require.Equal(t, fmt.Sprintf("n\n%d\n", f.produced-rowsIn(t, r.url(t, "catalog"), "main")), out.stdout, out.stderr)
	r.end(t)
}
