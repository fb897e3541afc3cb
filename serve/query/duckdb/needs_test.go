//go:build duckdb_arrow

package duckdb

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/serve/query"
	"github.com/firthlake/firth/table/objstore"
)

// askAll is ask with all columns and files of all tables.
func askAll(ctx context.Context, e *Engine, sql string) ([]string, error) {
	selected, found, err := e.analyse(ctx, sql)
	if err != nil {
		return nil, err
	}
	found.needs.all, found.root = true, nil
	e.slots <- struct{}{}
	a, err := e.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer a.Release()
	if err := a.start(selected, found, nil); err != nil {
		return nil, err
	}
	rows := []string{}
	for a.Next() {
		rows = append(rows, rowTexts(a.RecordBatch(), nil)...)
	}
	slices.Sort(rows)
	return rows, a.Err()
}

// TestColumnsAreMeantWithoutTheirNames has statements that mean columns in every way that there is, which must answer
// as they do over whole tables.
func TestColumnsAreMeantWithoutTheirNames(t *testing.T) {
	l := newLake(t)
	fields := func(names ...string) (out []iceberg.NestedField) {
		for i, name := range names {
			out = append(out, iceberg.NestedField{ID: i + 1, Name: name, Type: iceberg.PrimitiveTypes.Int64})
		}
		return out
	}
	events := l.create("db.events", "2", fields("id", "Other", "kind", "kinds")...)
	events.commit(events.parquet(`[{"id": 1, "Other": 2, "kind": 3, "kinds": 4}, {"id": 5, "Other": 6, "kind": 7}]`))
	kinds := l.create("db.kinds", "2", fields("id", "kind", "weight")...)
	kinds.commit(kinds.parquet(`[{"id": 1, "kind": 3, "weight": 9}, {"id": 5, "kind": 8, "weight": 10}]`))
	texts := l.create("db.texts", "2", iceberg.NestedField{ID: 1, Name: "name", Type: iceberg.PrimitiveTypes.String},
		iceberg.NestedField{ID: 2, Name: "id", Type: iceberg.PrimitiveTypes.Int64})
	texts.commit(texts.parquet(`[{"name": "a", "id": 1}, {"name": "b", "id": 1}]`))
	e := l.engine().(*Engine)
	for _, sql := range []string{
		"SELECT x FROM db.texts t (x)", "SELECT id FROM db.texts t (id)", "SELECT y FROM db.texts t (x, y)",
		"SELECT 1 WHERE EXISTS (SELECT DISTINCT * FROM db.texts OFFSET 1)",
		"SELECT 1 WHERE EXISTS (SELECT * FROM db.texts GROUP BY ALL HAVING count(*) = 1)",
		"FROM db.events", "TABLE db.events", "SELECT e.* FROM db.events e", "SELECT * EXCLUDE (id) FROM db.events",
		"SELECT COLUMNS('k.*') FROM db.events", "SELECT max(COLUMNS(*)) FROM db.events", "SELECT #2 FROM db.events",
		"SELECT e FROM db.events e", "SELECT events FROM db.events", "SELECT db.kinds FROM db.kinds",
		"SELECT kinds FROM db.kinds", "SELECT kinds FROM db.events", "SELECT to_json(E) FROM db.events AS e",
		"SELECT id FROM db.events NATURAL JOIN db.kinds", "SELECT weight FROM db.events JOIN db.kinds USING (kind)",
		"SELECT count(*) FROM db.events NATURAL JOIN db.kinds", "SELECT 1 FROM db.events",
		"SELECT count(*) FROM db.events", "SELECT id, value FROM (UNPIVOT db.kinds ON kind, weight)",
		"SELECT count(*) FROM (UNPIVOT db.kinds ON COLUMNS(*))",
		"SELECT column_name FROM (SUMMARIZE db.events)", "SELECT column_name FROM (DESCRIBE db.events)",
		"SELECT c.column_name FROM information_schema.columns c, db.kinds",
		"SELECT id FROM db.kinds WHERE EXISTS (SELECT * FROM db.events WHERE events.kind = kinds.kind)",
		"SELECT id FROM db.kinds k WHERE EXISTS (SELECT e.* FROM db.events e WHERE e.kind = k.weight - 6)",
		"SELECT id FROM db.kinds k WHERE EXISTS (SELECT * FROM db.events EXCEPT SELECT * FROM db.events)",
		"SELECT id FROM db.kinds UNION ALL BY NAME SELECT other FROM db.events",
		"SELECT DISTINCT OTHER FROM db.events ORDER BY ALL", "SELECT x.id FROM (SELECT * FROM db.events) x",
		"WITH c(a, b) AS (FROM db.events SELECT id, other) SELECT b FROM c",
		"SELECT (SELECT max(weight) FROM db.kinds)",
		"SELECT row_number() OVER (ORDER BY kind), weight FROM db.kinds QUALIFY lag(id) OVER (ORDER BY id) IS NULL",
		"SELECT list_transform([1], kind -> kind + id) FROM db.events", "SELECT struct_pack(a := kind) FROM db.kinds",
		"SELECT ANY_VALUE(other) FILTER (WHERE kind > 3) FROM db.events GROUP BY id",
		"FROM db.events POSITIONAL JOIN db.kinds SELECT other, weight",
	} {
		want, err := askAll(t.Context(), e, sql)
		require.NoError(t, err, sql)
		got, err := ask(t.Context(), e, sql)
		require.NoError(t, err, sql)
		require.Equal(t, want, got, sql)
	}
	_, err := ask(t.Context(), e, "SELECT weigth FROM db.kinds")
	require.ErrorIs(t, err, query.ErrInvalid)
	require.ErrorContains(t, err, `"weight"`, "what is there is suggested")
}

// weighed counts the bytes that are fetched.
type weighed struct {
	objstore.Store
	bytes atomic.Int64
}

func (w *weighed) Get(ctx context.Context, location string, offset, length int64) (io.ReadCloser, error) {
	body, err := w.Store.Get(ctx, location, offset, length)
	if err != nil {
		return nil, err
	}
	return &weighedBody{body, w}, nil
}

type weighedBody struct {
	io.ReadCloser
	of *weighed
}

func (b *weighedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.of.bytes.Add(int64(n))
	return n, err
}

func TestOnlyTheColumnsOfAStatementAreFetched(t *testing.T) {
	l := newLake(t)
	events := l.create("db.events", "2", idName()...)
	const rows, length = 400, 10_000 // a row group has 50 rows
	lines := make([]map[string]any, rows)
	for i := range lines {
		text := make([]byte, length)
		for at := range text {
			text[at] = 'a' + byte(rand.IntN(26))
		}
		lines[i] = map[string]any{"id": i, "Name": string(text)}
	}
	text, err := json.Marshal(lines)
	require.NoError(t, err)
	file := events.parquet(string(text))
	events.commit(file)
	store := &weighed{Store: l.store}
	e := l.engine(func(o *Options) { o.Objects = store })
	for _, each := range []struct {
		sql, want   string
		least, most int64 // of the bytes that it fetches
	}{
		{"SELECT sum(id) FROM db.events", fmt.Sprint(rows * (rows - 1) / 2), 1, file.FileSizeBytes() / 5},
		{"SELECT max(id) FROM db.events", fmt.Sprint(rows - 1), 0, 0},
		{"SELECT count(*) FROM db.events", fmt.Sprint(rows), 0, 0},
		{"SELECT sum(length(name)) FROM db.events", fmt.Sprint(length * rows), file.FileSizeBytes() / 2,
			file.FileSizeBytes()},
		{"SELECT count(*) FROM (SELECT DISTINCT * FROM db.events)", fmt.Sprint(rows), 0, 0},
	} {
		before := store.bytes.Load()
		got, err := ask(t.Context(), e, each.sql)
		require.NoError(t, err, each.sql)
		require.Equal(t, []string{each.want}, got, each.sql)
		fetched := store.bytes.Load() - before
		require.GreaterOrEqual(t, fetched, each.least, each.sql)
		require.LessOrEqual(t, fetched, each.most, "%s: of %d", each.sql, file.FileSizeBytes())
	}
}
