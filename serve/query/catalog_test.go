package query_test

import (
	"context"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/catalog"
	"github.com/firthlake/firth/serve/query"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
	"github.com/firthlake/firth/table/tail"
)

func TestCatalogShowsCommittedTables(t *testing.T) {
	ctx := t.Context()
	objects := objstore.NewMemory(time.Now)
	tables := catalog.New(catalog.NewMemoryStore(), objects, catalog.Options{Warehouse: "mem://lake/w", Now: time.Now,
		NewID: uuid.New, MakeNamespaces: true})
	schema := iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64})
	want := []table.Ident{{"db", "events"}, {"db", "inner", "deep"}, {"other", "t"}}
	for _, ident := range want {
		makeNamespaces(ctx, tables, ident)
		_, err := tables.CreateTable(ctx, ident, catalog.TableSpec{Schema: schema})
		require.NoError(t, err)
	}
	views := query.NewCatalog(tables, nil, objects)
	found, err := views.Tables(ctx)
	require.NoError(t, err)
	require.ElementsMatch(t, want, found)

	view, err := views.Open(ctx, want[0], query.At{})
	require.NoError(t, err)
	defer view.Close()
	require.Equal(t, "id", view.Schema().Field(0).Name)
	tasks, err := view.Tasks(ctx, nil)
	require.NoError(t, err)
	require.Empty(t, tasks)

	_, err = views.Open(ctx, table.Ident{"db", "nothing"}, query.At{})
	require.ErrorIs(t, err, table.ErrNotFound)
	for _, at := range []query.At{{SnapshotID: 5}, {Ref: "tag"}, {Time: time.Now()}} {
		_, err = views.Open(ctx, want[0], at)
		require.ErrorIs(t, err, table.ErrNotFound)
	}
}

// TestTheNewestStateComesFromNow has two catalogs with one table, whose columns differ.
func TestTheNewestStateComesFromNow(t *testing.T) {
	ctx := t.Context()
	objects := objstore.NewMemory(time.Now)
	ident := table.Ident{"db", "events"}
	made := func(warehouse, column string) *catalog.Catalog {
		c := catalog.New(catalog.NewMemoryStore(), objects, catalog.Options{Warehouse: warehouse, Now: time.Now,
			NewID: uuid.New, MakeNamespaces: true})
		makeNamespaces(ctx, c, ident)
		_, err := c.CreateTable(ctx, ident, catalog.TableSpec{Schema: iceberg.NewSchema(0,
			iceberg.NestedField{ID: 1, Name: column, Type: iceberg.PrimitiveTypes.Int64})})
		require.NoError(t, err)
		return c
	}
	views := query.NewCatalog(made("mem://lake/committed", "old"), asOfNow{Catalog: made("mem://lake/now", "new")},
		objects)
	for at, column := range map[query.At]string{{}: "new", {Committed: true}: "old", {Ref: "main"}: "old"} {
		view, err := views.Open(ctx, ident, at)
		require.NoError(t, err, "%+v", at)
		require.Equal(t, column, view.Schema().Field(0).Name, "%+v", at)
		view.Close()
	}
	_, err := views.Open(ctx, ident, query.At{Ref: "tag"})
	require.ErrorIs(t, err, table.ErrNotFound)
}

// TestTheTailIsReadBehindTheSnapshot has a table that nothing is committed of.
func TestTheTailIsReadBehindTheSnapshot(t *testing.T) {
	ctx := t.Context()
	objects := objstore.NewMemory(time.Now)
	tables := catalog.New(catalog.NewMemoryStore(), objects, catalog.Options{Warehouse: "mem://lake/w", Now: time.Now,
		NewID: uuid.New, MakeNamespaces: true})
	ident := table.Ident{"db", "events"}
	makeNamespaces(ctx, tables, ident)
	_, err := tables.CreateTable(ctx, ident, catalog.TableSpec{Schema: iceberg.NewSchema(0,
		iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64})})
	require.NoError(t, err)
	made, err := tables.LoadTable(ctx, ident)
	require.NoError(t, err)
	batch := func(ids ...int64) arrow.RecordBatch {
		form, err := table.ArrowSchema(made.Metadata().CurrentSchema())
		require.NoError(t, err)
		b := array.NewRecordBuilder(memory.DefaultAllocator, form)
		defer b.Release()
		b.Field(0).(*array.Int64Builder).AppendValues(ids, nil)
		return b.NewRecordBatch()
	}
	writer, err := table.NewWriter(objects, table.WriterOptions{Schema: made.Metadata().CurrentSchema(),
		Location: made.Metadata().Location(), Folder: tail.Folder, ChangeID: uuid.New()})
	require.NoError(t, err)
	require.NoError(t, writer.Write(ctx, batch(1, 2)))
	files, err := writer.Close(ctx)
	require.NoError(t, err)
	behind := asOfNow{tables, tail.View{Chunks: []tail.Chunk{{Files: files}},
		Pieces: []tail.Piece{{Rows: batch(3)}, {}, {Rows: batch(4, 5)}}}}
	view, err := query.NewCatalog(tables, behind, objects).Open(ctx, ident, query.At{})
	require.NoError(t, err)
	defer view.Close()
	tasks, err := view.Tasks(ctx, nil)
	require.NoError(t, err)
	var ids []int64
	for _, task := range tasks {
		for rows, err := range table.Read(ctx, objects, task) {
			require.NoError(t, err)
			ids = append(ids, rows.Column(0).(*array.Int64).Int64Values()...)
		}
	}
	require.Equal(t, []int64{1, 2, 3, 4, 5}, ids)
	view, err = query.NewCatalog(tables, behind, objects).Open(ctx, ident, query.At{Committed: true})
	require.NoError(t, err)
	defer view.Close()
	tasks, err = view.Tasks(ctx, nil)
	require.NoError(t, err)
	require.Empty(t, tasks)
}

// asOfNow has the tables of a catalog, with the same behind each.
type asOfNow struct {
	*catalog.Catalog
	behind tail.View
}

func (n asOfNow) Now(ctx context.Context, ident table.Ident) (*table.Table, tail.View, error) {
	t, err := n.LoadTable(ctx, ident)
	return t, n.behind, err
}

func makeNamespaces(ctx context.Context, tables *catalog.Catalog, ident table.Ident) {
	for n := 1; n < len(ident); n++ {
		_ = tables.CreateNamespace(ctx, catalog.Namespace(ident[:n]), nil) // it may be there
	}
}
