//go:build duckdb_arrow

package duckdb

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/serve/query"
	"github.com/firthlake/firth/table"
)

func idName() []iceberg.NestedField {
	return []iceberg.NestedField{
		{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64},
		{ID: 2, Name: "Name", Type: iceberg.PrimitiveTypes.String},
	}
}

// twoTables are db.events with three rows in two snapshots, the first tagged, and db.kinds.
func twoTables(t testing.TB) *lake {
	l := newLake(t)
	events := l.create("db.events", "2", idName()...)
	first := events.commit(events.parquet(`[{"id": 1, "Name": "a"}, {"id": 2, "Name": "b"}]`))
	events.update(icetable.NewSetSnapshotRefUpdate("start", first, icetable.TagRef, 0, 0, 0))
	events.commit(events.parquet(`[{"id": 3}]`))
	kinds := l.create("db.kinds", "3", idName()...)
	kinds.commit(kinds.parquet(`[{"id": 1, "Name": "x"}, {"id": 3, "Name": "y"}]`))
	l.create("a.b.empty", "2", idName()...)
	return l
}

func TestQueriesReadTables(t *testing.T) {
	l := twoTables(t)
	e := l.engine()
	for sql, want := range map[string][]string{
		"SELECT * FROM db.events":                                         {"1 | a", "2 | b", "3 | -"},
		"select count(*) from firth.db.EVENTS":                            {"3"},
		"FROM db.events e JOIN db.kinds k USING (id) SELECT e.id, k.name": {"1 | x", "3 | y"},
		"SELECT count(*) FROM \"a.b\".empty":                              {"0"},
		"WITH c AS (FROM db.events WHERE id > 1) SELECT sum(id) FROM c":   {"5"},
		"SELECT 1 + 1":    {"2"},
		"VALUES (1), (2)": {"1", "2"},
		"SELECT id FROM db.events WHERE name = 'b' -- and a comment":         {"2"},
		"SELECT count(*) FROM db.events, range(4)":                           {"12"},
		"SELECT count(*) FROM db.events AT (VERSION => 100)":                 {"2"},
		"SELECT count(*) FROM db.events AT (VERSION => 'start')":             {"2"},
		"SELECT events.id FROM db.events FOR VERSION AS OF 100 WHERE id = 2": {"2"},

		"SELECT a.n - b.n FROM (SELECT count(*) n FROM db.events) a, " +
			"(SELECT count(*) n FROM db.events AT (VERSION => 100)) b": {"1"},
		"SELECT table_schema, table_name FROM information_schema.tables WHERE table_catalog = 'firth'": {
			"a.b | empty", "db | events", "db | kinds"},
		"SELECT column_name FROM (DESCRIBE db.events)": {"Name", "id"},
	} {
		got, err := ask(t.Context(), e, sql)
		require.NoError(t, err, sql)
		require.Equal(t, want, got, sql)
	}
}

func TestAStatementIsDescribedWithoutReading(t *testing.T) {
	l := twoTables(t)
	e := l.engine()
	d, err := e.Describe(t.Context(), "SELECT id, name, id / 2 AS half FROM db.events WHERE id = ? AND name LIKE ?")
	require.NoError(t, err)
	require.Equal(t, "id: int64, Name: utf8, half: float64", fieldsText(d.Columns))
	require.Equal(t, "1: int64, 2: utf8", fieldsText(d.Parameters))
	left, err := os.ReadDir(e.(*Engine).opts.Dir)
	require.NoError(t, err)
	require.Empty(t, left)
	_, err = e.Describe(t.Context(), "SELECT nothing FROM db.events")
	require.ErrorIs(t, err, query.ErrInvalid)
	_, err = e.Describe(t.Context(), "SELECT id FROM db.events") // it is of use after a fault
	require.NoError(t, err)
}

func fieldsText(schema *arrow.Schema) string {
	var parts []string
	for _, field := range schema.Fields() {
		parts = append(parts, field.Name+": "+field.Type.String())
	}
	return strings.Join(parts, ", ")
}

func TestParametersAreBound(t *testing.T) {
	e := twoTables(t).engine()
	run := func(sql string, fields []arrow.Field, row string) ([]string, error) {
		parameters, _, err := array.RecordFromJSON(memory.DefaultAllocator, arrow.NewSchema(fields, nil),
			strings.NewReader(row))
		require.NoError(t, err)
		defer parameters.Release()
		reader, err := e.Run(t.Context(), sql, parameters)
		if err != nil {
			return nil, err
		}
		defer reader.Release()
		var rows []string
		for reader.Next() {
			rows = append(rows, rowTexts(reader.RecordBatch(), nil)...)
		}
		return rows, reader.Err()
	}
	got, err := run("SELECT id FROM db.events WHERE id > ? AND name = ?", []arrow.Field{
		{Name: "1", Type: arrow.PrimitiveTypes.Int32}, {Name: "2", Type: arrow.BinaryTypes.String}},
		`[{"1": 1, "2": "b"}]`)
	require.NoError(t, err)
	require.Equal(t, []string{"2"}, got)
	got, err = run("SELECT ? IS NULL", []arrow.Field{{Name: "1", Type: arrow.BinaryTypes.String, Nullable: true}},
		`[{"1": null}]`)
	require.NoError(t, err)
	require.Equal(t, []string{"true"}, got)
	_, err = run("SELECT 1", []arrow.Field{{Name: "1", Type: arrow.PrimitiveTypes.Int64}}, `[{"1": 1}]`)
	require.ErrorIs(t, err, query.ErrInvalid)
	_, err = ask(t.Context(), e, "SELECT ?")
	require.ErrorContains(t, err, "it has 1 parameters, and 0 values came")
}

func TestFaultsSayWhatIsWrong(t *testing.T) {
	e := twoTables(t).engine()
	for sql, want := range map[string]struct {
		kind error
		text string
	}{
		"SELEC 1":                       {query.ErrInvalid, "syntax error"},
		"":                              {query.ErrInvalid, "0 statements"},
		"SELECT 1; SELECT 2":            {query.ErrInvalid, "2 statements"},
		"SELECT * FROM db.nothing":      {table.ErrNotFound, "db.nothing"},
		"SELECT * FROM events":          {query.ErrInvalid, "write namespace.table"},
		"SELECT x FROM db.events":       {query.ErrInvalid, `"x" not found`},
		"SELECT * FROM other.db.events": {query.ErrInvalid, "there is no catalog other"},
		"SELECT * FROM db.events AT (VERSION => 7)":        {table.ErrNotFound, "no snapshot 7"},
		"SELECT * FROM db.events AT (VERSION => 'x')":      {table.ErrNotFound, "no branch or tag"},
		"SELECT * FROM db.events AT (TIMESTAMP => '1999')": {query.ErrInvalid, "is no time"},
		"SELECT CAST('x' AS INTEGER)":                      {query.ErrInvalid, "Could not convert"},
		"SELECT * FROM db.events, DB.events":               {query.ErrInvalid, "one name in SQL"},
		"SELECT 1\x00":                                     {query.ErrInvalid, "zero byte"},
		"SELECT id FROM db.events AT (VERSION => 100 + 1)": {query.ErrInvalid, "takes one number or text"},
	} {
		_, err := ask(t.Context(), e, sql)
		require.ErrorIs(t, err, want.kind, sql)
		require.ErrorContains(t, err, want.text, sql)
	}
}

func TestALongStatementIsEnded(t *testing.T) {
	const long = "SELECT count(*) FROM range(100000000) a, range(100000000) b WHERE (a.range * b.range) % 7 = 3"
	l := twoTables(t)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	_, err := ask(ctx, l.engine(), long)
	require.ErrorIs(t, err, context.Canceled)
	_, err = ask(t.Context(), l.engine(func(o *Options) { o.TimeMax = 50 * time.Millisecond }), long)
	require.ErrorIs(t, err, query.ErrLimit)
	require.ErrorContains(t, err, "took longer than 50ms")

	e, err := Open(Options{Dir: t.TempDir(), Objects: l.store, FileBytesMax: 1, SpillBytesMax: 1 << 20,
		MemoryMax: statementMemoryMin, StatementsMax: 1, Threads: 1, TimeMax: time.Minute}, l)
	require.NoError(t, err)
	reader, err := e.Run(t.Context(), "SELECT * FROM range(100000000)", nil)
	require.NoError(t, err)
	require.True(t, reader.Next())
	closed := make(chan error)
	go func() { closed <- e.Close() }()
	for reader.Next() {
		continue
	}
	require.ErrorIs(t, reader.Err(), errClosed)
	reader.Release()
	require.NoError(t, <-closed)
}

func TestMemoryAndDiskAreBounded(t *testing.T) {
	l := twoTables(t)
	// The groups take more than the 64 MiB that there are.
	const grouped = "SELECT h, count(*) FROM (SELECT md5(i||'a')||md5(i||'b')||md5(i||'c')||md5(i||'d') AS h " +
		"FROM range(400000) t(i)) GROUP BY h"
	small := func(o *Options) { o.MemoryMax, o.StatementsMax, o.Threads = statementMemoryMin, 1, 1 }
	e := l.engine(small)
	reader, err := e.Run(t.Context(), grouped, nil)
	require.NoError(t, err)
	require.True(t, reader.Next())
	require.NotEmpty(t, filesBelow(t, e.(*Engine).opts.Dir), "what does not fit into memory lies on disk")
	reader.Release()
	require.Empty(t, filesBelow(t, e.(*Engine).opts.Dir))

	_, err = ask(t.Context(), l.engine(small, func(o *Options) { o.SpillBytesMax = 1 << 20 }), grouped)
	require.ErrorIs(t, err, query.ErrLimit)
	_, err = ask(t.Context(), l.engine(small), "SELECT len(list(i)) FROM range(50000000) t(i)")
	require.ErrorIs(t, err, query.ErrLimit)
	require.ErrorContains(t, err, "needs more memory than one may take")

	_, err = ask(t.Context(), l.engine(func(o *Options) { o.FileBytesMax = 100 }), "SELECT * FROM db.events")
	require.ErrorIs(t, err, query.ErrLimit)
	require.ErrorContains(t, err, "do not fit into the cache")
}

func filesBelow(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			out = append(out, path)
		}
		return err
	}))
	return out
}

func TestStatementsWaitForTheirTurn(t *testing.T) {
	e := twoTables(t).engine(func(o *Options) { o.StatementsMax = 1 })
	first, err := e.Run(t.Context(), "SELECT * FROM db.events", nil)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = e.Run(ctx, "SELECT 1", nil)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	first.Release()
	got, err := ask(t.Context(), e, "SELECT 1")
	require.NoError(t, err)
	require.Equal(t, []string{"1"}, got)
}

func TestAnObjectThatIsGoneIsSaid(t *testing.T) {
	l := twoTables(t)
	require.NoError(t, l.store.Remove(t.Context(), "mem://lake/db.events/data/0.parquet"))
	_, err := ask(t.Context(), l.engine(), "SELECT * FROM db.events")
	require.ErrorContains(t, err, "data/0.parquet")
	require.ErrorContains(t, err, "not found")
}

func BenchmarkSmallStatement(b *testing.B) {
	e := twoTables(b).engine()
	for range b.N {
		if _, err := ask(b.Context(), e, "SELECT count(*) FROM db.events"); err != nil {
			b.Fatal(fmt.Sprint(err))
		}
	}
}
