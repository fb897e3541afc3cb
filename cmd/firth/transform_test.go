package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/serve/query/duckdb"
)

// transformed is a spec of events10 with a transform that fails for some rows.
func transformed(t *testing.T, f *lakeFolder, transform string) string {
	t.Helper()
	return write(t, f.dir, "tables/events.yaml", `
name: db.events
schema:
  columns:
    - {name: user_id, type: long}
    - {name: country, type: string}
    - {name: cents, type: long}
sources:
  - topics: [events]
    input: [{name: amount, type: double}, {name: quantity, type: int}]
    transform: "`+transform+`"
    filter: "country <> 'at'"
freshness: {interval: 200ms}
`)
}

const centsOf = `select *, lower(country) as country, cast(round(amount * 100) as bigint) + ` +
	`case when quantity = 7 then error('seven') else 0 end as cents from rows`

func TestSQLTransformsGiveTheSameRowsOnTheStreamAndInATest(t *testing.T) {
	f := newLakeFolder(t)
	spec := transformed(t, f, centsOf)
	out := f.firth(t, "apply", "--yes")
	if !hasSQL() {
		require.Equal(t, exitCouldNot, out.code)
		require.Contains(t, out.stderr, duckdb.ErrMissing.Error())
		return
	}
	require.Zero(t, out.code, out.stderr)
	const records = 1000
	f.produce(t, records)
	tested := f.firth(t, "test", spec, "--from", "kafka", "--limit", fmt.Sprint(4*records), "--json")
	require.Equal(t, exitFallsShort, tested.code, tested.stderr)
	var report testReport
	require.NoError(t, json.Unmarshal([]byte(tested.stdout), &report))
	require.Equal(t, records, report.Records)
	require.NotEmpty(t, report.DeadLetters)
	require.NotEmpty(t, report.Filtered)
	for _, l := range report.DeadLetters {
		require.EqualValues(t, "transform", l.Class)
		require.Equal(t, "cents", l.Column)
		require.Contains(t, l.Message, "seven")
	}

	r := f.run(t)
	f.committed(t, records)
	r.end(t)
	read := f.firth(t, "read", "db.events", "--json")
	require.Zero(t, read.code, read.stderr)
	var stored []map[string]any
	require.NoError(t, json.Unmarshal([]byte(read.stdout), &stored))
	var wanted []map[string]any
	for _, row := range report.Rows {
		var values map[string]any
		require.NoError(t, json.Unmarshal(row.Row, &values))
		wanted = append(wanted, values)
	}
	require.ElementsMatch(t, wanted, stored)
	proof := f.report(t, "--require-log")
	require.True(t, proof.Proven, "read again in other chunks, the records give the same rows")
}

func TestSQLTransformsThatCannotBeAreRefusedByPlanAndTest(t *testing.T) {
	if !hasSQL() {
		t.Skip("needs the SQL engine")
	}
	f := newLakeFolder(t)
	for transform, want := range map[string]string{
		"select *, random() as cents from rows":         "function random: its answer depends on more",
		"select *, count(*) as cents from rows":         "it is an aggregate",
		"select *, amount as cents from rows":           "write CAST(... AS BIGINT)",
		"select *, 1 as nothing from rows":              "which the table does not have",
		"select *, 1 as _kafka_offset from rows":        "tells where the record stands",
		"select *, lower(cuntry) as country from rows":  "rows have no column cuntry",
		"select *, 1 as cents from rows, events":        "selects from rows and nothing else",
		"select *, getenv('HOME') as country from rows": "getenv",
		"select * from rows where cents > 1":            "as the source's filter",
		"selec *, user_id as cents from rows":           "syntax error",
	} {
		spec := transformed(t, f, transform)
		for _, args := range [][]string{{"plan"}, {"apply", "--yes"}, {"test", spec}} {
			out := f.firth(t, args...)
			require.Equal(t, exitCouldNot, out.code, "%s: %s", transform, out.stdout)
			require.Contains(t, out.stderr, want, args)
			require.Contains(t, out.stderr, filepath.Base(spec))
		}
	}
}
