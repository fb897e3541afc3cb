package query_test

import (
	"context"
	"testing"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/catalog"
	"github.com/firthlake/firth/serve/query"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
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
	views := query.NewCatalog(made("mem://lake/committed", "old"), made("mem://lake/now", "new"), objects)
	for at, column := range map[query.At]string{{}: "new", {Committed: true}: "old", {Ref: "main"}: "old"} {
		view, err := views.Open(ctx, ident, at)
		require.NoError(t, err, "%+v", at)
		require.Equal(t, column, view.Schema().Field(0).Name, "%+v", at)
		view.Close()
	}
	_, err := views.Open(ctx, ident, query.At{Ref: "tag"})
	require.ErrorIs(t, err, table.ErrNotFound)
}

func makeNamespaces(ctx context.Context, tables *catalog.Catalog, ident table.Ident) {
	for n := 1; n < len(ident); n++ {
		_ = tables.CreateNamespace(ctx, catalog.Namespace(ident[:n]), nil) // it may be there
	}
}
