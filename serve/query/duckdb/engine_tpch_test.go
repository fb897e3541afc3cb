//go:build duckdb_arrow

package duckdb

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	bindings "github.com/duckdb/duckdb-go-bindings"

	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/e2e/tpch"
	"github.com/firthlake/firth/ingest/spec"
)

// tpchScale makes queries cheap, and most of them find rows.
const tpchScale = 0.005

// TestQueriesOfTPCHAnswerAsOverTheFiles asks the engine, and a DuckDB that knows nothing of tables.
func TestQueriesOfTPCHAnswerAsOverTheFiles(t *testing.T) {
	l, folder := newLake(t), t.TempDir()
	plain, err := openInstance(map[string]string{"threads": "2"})
	require.NoError(t, err)
	defer plain.close()
	require.NoError(t, plain.exec("SET TimeZone = 'UTC'", "CREATE SCHEMA "+tpch.Namespace))
	for _, each := range tpch.Tables() {
		paths := l.addTPCH(each, folder)
		require.NoError(t, plain.exec(fmt.Sprintf("CREATE VIEW %s AS FROM read_parquet([%s])", each.Topic(), paths)))
	}
	queries, err := tpch.Queries()
	require.NoError(t, err)
	e, found := l.engine(), 0
	for i, sql := range queries {
		want := plain.rows(t, sql)
		got, err := ask(t.Context(), e, sql)
		require.NoError(t, err, "query %d", i+1)
		require.Equal(t, want, got, "query %d", i+1)
		if len(want) > 0 {
			found++
		}
	}
	require.GreaterOrEqual(t, found, 15, "queries that find rows")
}

// addTPCH adds a table in two files, and returns copies of them as a list of SQL.
func (l *lake) addTPCH(of tpch.Table, folder string) string {
	var fields []iceberg.NestedField
	for i, column := range of.Columns {
		typ, err := spec.ParseType(column.Type)
		require.NoError(l.t, err)
		fields = append(fields, iceberg.NestedField{ID: i + 1, Name: column.Name, Type: typ})
	}
	var rows []string
	for line := range of.Lines(tpchScale) {
		values := strings.Split(string(line), "|")
		for i, column := range of.Columns {
			if column.Type != "int" && column.Type != "long" {
				values[i] = strconv.Quote(values[i])
			}
			values[i] = strconv.Quote(column.Name) + ": " + values[i]
		}
		rows = append(rows, "{"+strings.Join(values, ", ")+"}")
	}
	made, paths := l.create(of.Topic(), "2", fields...), []string{}
	for half := range slices.Chunk(rows, len(rows)/2+1) {
		file := made.parquet("[" + strings.Join(half, ",") + "]")
		made.commit(file)
		body, err := l.store.Get(l.t.Context(), file.FilePath(), 0, -1)
		require.NoError(l.t, err)
		content, err := io.ReadAll(body)
		require.NoError(l.t, err)
		path := filepath.Join(folder, fmt.Sprintf("%s-%d.parquet", of.Name, len(paths)))
		require.NoError(l.t, os.WriteFile(path, content, 0o600))
		paths = append(paths, quoteText(path))
	}
	return strings.Join(paths, ", ")
}

// rows are the rows of a query, as texts in order.
func (i *instance) rows(t *testing.T, sql string) []string {
	prepared, err := i.prepare(sql)
	require.NoError(t, err)
	defer bindings.DestroyPrepare(&prepared)
	schema, err := i.schemaOf(columnsOfPrepared(prepared))
	require.NoError(t, err)
	var result bindings.Result
	defer bindings.DestroyResult(&result)
	require.Equal(t, bindings.StateSuccess, bindings.ExecutePrepared(prepared, &result), bindings.ResultError(&result))
	rows := []string{}
	for {
		batch, err := i.fetch(&result, schema)
		require.NoError(t, err)
		if batch == nil {
			slices.Sort(rows)
			return rows
		}
		rows = append(rows, rowTexts(batch, nil)...)
		batch.Release()
	}
}
