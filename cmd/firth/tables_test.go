package main

import (
	"encoding/json"
	"testing"

	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"
)

func TestRowsOfATableAreThoseThatLive(t *testing.T) {
	require.EqualValues(t, 7, liveRows(iceberg.Properties{"total-records": "7"}))
	require.EqualValues(t, 5, liveRows(iceberg.Properties{"total-records": "7", "total-position-deletes": "2",
		"total-equality-deletes": "3"}))
	require.Zero(t, liveRows(iceberg.Properties{"total-records": "7", "total-position-deletes": "9"}),
		"others may delete a row twice")
}

func TestDescribeCountsTheRowsOfAKeyedTable(t *testing.T) {
	f := newLakeFolder(t)
	write(t, f.dir, "tables/events.yaml", `
name: db.events
identifier: [country]
schema: {columns: [{name: country, type: string, required: true}, {name: amount, type: float}]}
sources: [{topics: [events]}]
freshness: {interval: 100ms}
`)
	require.Zero(t, f.firth(t, "apply", "--yes").code)
	r := f.run(t, "--roles", "catalog,ingest")
	for round := range 3 {
		f.produce(t, 500)
		f.committed(t, int64(500*(round+1)))
	}
	r.end(t)
	report := f.report(t)
	require.Positive(t, report.Files.DeletedRows)
	var shown tableReport
	require.NoError(t, json.Unmarshal([]byte(f.firth(t, "describe", "db.events", "--json").stdout), &shown))
	require.Equal(t, report.Files.Rows-report.Files.DeletedRows, shown.Rows)
}
