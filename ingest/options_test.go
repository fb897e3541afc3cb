package ingest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/commit/committest"
	"github.com/firthlake/firth/ingest/decode"
	"github.com/firthlake/firth/ingest/source"
	"github.com/firthlake/firth/ingest/source/sourcetest"
	"github.com/firthlake/firth/ingest/spec"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
	"github.com/firthlake/firth/table/recycle"
)

// world is a log, a store and a catalog in memory, and a clock that only the test moves.
type world struct {
	t       testing.TB
	log     *sourcetest.Log
	objects *objstore.Memory
	catalog *committest.Catalog
	mem     *memory.CheckedAllocator
	shown   map[arrow.RecordBatch]bool // rows in memory that a test has seen
	clock   time.Time
	// interval is how often tables commit in Run.
	interval time.Duration
	// adjust changes the options of tables in Run, unless it is nil.
	adjust func(*TableOptions)
	seed   uint64
	logs   bytes.Buffer
}

func newWorld(t testing.TB) *world {
	w := &world{
		t: t, log: sourcetest.NewLog("cluster-1"), catalog: committest.NewCatalog(),
		mem: memory.NewCheckedAllocator(new(recycle.Poison)), clock: time.Unix(1_700_000_000, 0),
		shown: map[arrow.RecordBatch]bool{}, interval: 100 * time.Millisecond,
	}
	w.objects = objstore.NewMemory(w.now)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(w.logs.String())
		}
		w.mem.AssertSize(t, 0)
	})
	return w
}

func (w *world) now() time.Time { return w.clock }

// eventFields are the columns of the tables in these tests.
func eventFields() []iceberg.NestedField {
	return []iceberg.NestedField{
		{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64},
		{ID: 2, Name: "name", Type: iceberg.PrimitiveTypes.String},
		{ID: 3, Name: decode.ColumnPartition, Type: iceberg.PrimitiveTypes.Int32},
		{ID: 4, Name: decode.ColumnOffset, Type: iceberg.PrimitiveTypes.Int64},
	}
}

// create makes a table and its dead-letter table.
func (w *world) create(name string, fields ...iceberg.NestedField) table.Ident {
	ident, err := table.ParseIdent(name)
	require.NoError(w.t, err)
	w.createOne(ident, iceberg.NewSchema(0, fields...))
	w.createOne(commit.DeadLettersIdent(ident), DeadLetterSchema())
	return ident
}

func (w *world) createOne(ident table.Ident, schema *iceberg.Schema) {
	location := "mem://lake/" + table.FormatIdent(ident)
	meta, err := icetable.NewMetadataWithUUID(schema, iceberg.UnpartitionedSpec, icetable.UnsortedSortOrder,
		location, iceberg.Properties{"format-version": "2"}, uuid.NewSHA1(uuid.Nil, []byte(location)))
	require.NoError(w.t, err)
	require.NoError(w.t, w.catalog.Create(ident, meta))
}

// options are those of a table that reads topic "events"; group names the deployment.
func (w *world) options(ident table.Ident, group string) TableOptions {
	w.seed++
	o := committest.Options(w.seed, WriterName(fmt.Sprintf("process-%d", w.seed), group))
	o.Now = w.now
	committer, err := commit.Open(w.t.Context(), w.catalog, w.objects, ident, o)
	require.NoError(w.t, err)
	dead, err := w.catalog.LoadTable(w.t.Context(), commit.DeadLettersIdent(ident))
	require.NoError(w.t, err)
	return TableOptions{
		Ident: ident, Topics: []string{"events"}, Committer: committer, DeadLetterTable: dead,
		Decode: decode.Options{Format: decode.FormatJSON}, Group: group,
		Freshness: spec.Freshness{Interval: spec.Duration(10 * time.Second)},
	}
}

func (w *world) ingester(src source.Source, tables ...TableOptions) *Ingester {
	ids := w.seed << 32
	g, err := New(w.t.Context(), Options{
		Source: src, Store: w.objects, Tables: tables, Now: w.now, Allocator: w.mem,
		Log: slog.New(slog.NewTextHandler(&w.logs, nil)),
		NewID: func() uuid.UUID {
			ids++
			return uuid.NewSHA1(uuid.Nil, []byte(strconv.FormatUint(ids, 10)))
		},
	})
	require.NoError(w.t, err)
	return g
}

// steps runs n steps, a second apart.
func (w *world) steps(g *Ingester, n int) {
	w.t.Helper()
	for range n {
		require.NoError(w.t, g.Step(w.t.Context()))
		w.clock = w.clock.Add(time.Second)
	}
}

func (w *world) append(partition int32, values ...string) {
	for _, v := range values {
		r := source.Record{Value: []byte(v), Key: []byte("k"), Timestamp: w.clock.UnixMilli()}
		if v == "" {
			r.Value = nil
		}
		w.log.Append("events", partition, r)
	}
}

func event(id int) string { return fmt.Sprintf(`{"id":%d,"name":"n%d"}`, id, id) }

func events(from, next int) []string {
	var values []string
	for i := from; i < next; i++ {
		values = append(values, event(i))
	}
	return values
}

// check proves the table by its ledger and returns what it covers.
func (w *world) check(ident table.Ident) committest.Report {
	w.t.Helper()
	report, err := committest.Check(w.t.Context(), w.catalog, w.objects, ident)
	require.NoError(w.t, err)
	return report
}

// rows reads a column of all of a table's rows.
func rows[T any](w *world, ident table.Ident, column string, value func(arrow.Array, int) T) []T {
	w.t.Helper()
	var out []T
	for location := range w.check(ident).Files {
		body, err := w.objects.Get(w.t.Context(), location, 0, -1)
		require.NoError(w.t, err)
		content, err := io.ReadAll(body)
		require.NoError(w.t, err)
		require.NoError(w.t, body.Close())
		reader, err := file.NewParquetReader(bytes.NewReader(content))
		require.NoError(w.t, err)
		arrowReader, err := pqarrow.NewFileReader(reader, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
		require.NoError(w.t, err)
		read, err := arrowReader.ReadTable(context.Background())
		require.NoError(w.t, err)
		at := read.Schema().FieldIndices(column)
		require.NotEmpty(w.t, at, "column %s", column)
		for _, chunk := range read.Column(at[0]).Data().Chunks() {
			for i := range chunk.Len() {
				out = append(out, value(chunk, i))
			}
		}
		read.Release()
	}
	return out
}

func longAt(a arrow.Array, i int) int64 { return a.(*array.Int64).Value(i) }

func textAt(a arrow.Array, i int) string { return a.(*array.String).Value(i) }

// ids are the values of column id, which must be those of [0, n) once each.
func (w *world) requireIDs(ident table.Ident, n int) {
	w.t.Helper()
	seen := map[int64]int{}
	for _, id := range rows(w, ident, "id", longAt) {
		seen[id]++
	}
	require.Equal(w.t, n, len(seen), "rows in the table")
	for id, times := range seen {
		require.Equal(w.t, 1, times, "row %d", id)
	}
}
