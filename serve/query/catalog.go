package query

import (
	"context"
	"errors"
	"fmt"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"

	"github.com/firthlake/firth/catalog"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/filter"
	"github.com/firthlake/firth/table/objstore"
)

// Tables is what Catalog needs of a catalog, embedded or external.
type Tables interface {
	Loader
	ListNamespaces(ctx context.Context, parent catalog.Namespace, page catalog.Page) ([]catalog.Namespace, error)
	ListTables(ctx context.Context, namespace catalog.Namespace, page catalog.Page) ([]table.Ident, error)
}

// Loader has tables by name.
type Loader interface {
	LoadTable(ctx context.Context, ident table.Ident) (*table.Table, error)
}

// Catalog makes views of the tables of a catalog. A snapshot that a view pins stays whole for as long as
// the catalog's retention keeps it: nothing holds it back from expiry.
type Catalog struct {
	tables  Tables
	now     Loader
	objects objstore.Store
}

// NewCatalog returns the views of the tables of a catalog, whose files lie in objects. Their newest states come from
// now; nil is the committed ones.
func NewCatalog(tables Tables, now Loader, objects objstore.Store) *Catalog {
	if now == nil {
		now = tables
	}
	return &Catalog{tables: tables, now: now, objects: objects}
}

// levelsMax bounds the depth of namespaces, against a catalog that names one its own parent.
const levelsMax = 16

// Tables are the names of all tables.
func (c *Catalog) Tables(ctx context.Context) ([]table.Ident, error) {
	var out []table.Ident
	err := c.walk(ctx, nil, &out)
	return out, err
}

func (c *Catalog) walk(ctx context.Context, parent catalog.Namespace, out *[]table.Ident) error {
	if len(parent) > levelsMax {
		return fmt.Errorf("list tables: namespaces are nested more than %d deep", levelsMax)
	}
	children, err := c.tables.ListNamespaces(ctx, parent, catalog.Page{})
	if err != nil {
		return fmt.Errorf("list namespaces: %w", err)
	}
	for _, child := range children {
		found, err := c.tables.ListTables(ctx, child, catalog.Page{})
		if errors.Is(err, table.ErrNotFound) {
			continue // it was dropped meanwhile
		}
		if err != nil {
			return fmt.Errorf("list tables: %w", err)
		}
		*out = append(*out, found...)
		if err := c.walk(ctx, child, out); err != nil {
			return err
		}
	}
	return nil
}

// Open pins a table at a state.
func (c *Catalog) Open(ctx context.Context, ident table.Ident, at At) (View, error) {
	var from Loader = c.tables
	switch at {
	case At{}:
		from = c.now
	case At{Ref: icetable.MainBranch}: // which a table without snapshots has not
		at = At{Committed: true}
	}
	t, err := from.LoadTable(ctx, ident)
	if err != nil {
		return nil, fmt.Errorf("table %s: %w", table.FormatIdent(ident), err)
	}
	scan := table.Scan{Ref: at.Ref, SnapshotID: at.SnapshotID, AsOf: at.Time}
	snapshot, schema, err := scan.Snapshot(t)
	if err != nil {
		return nil, fmt.Errorf("table %s: %w", t, err)
	}
	if snapshot == nil {
		return &view{schema: schema}, nil
	}
	return &view{table: t, objects: c.objects, scan: scan, schema: schema}, nil
}

// view is a table at a snapshot: its metadata was loaded once and does not change.
type view struct {
	table   *table.Table // nil without a snapshot
	objects objstore.Store
	scan    table.Scan
	schema  *iceberg.Schema
}

// Schema is the schema to read the rows with.
func (v *view) Schema() *iceberg.Schema { return v.schema }

// Tasks are the data files with their deletes.
func (v *view) Tasks(ctx context.Context, where *filter.Expr) ([]table.Task, error) {
	if v.table == nil {
		return nil, nil
	}
	scan := v.scan
	scan.Filter = where
	return table.Plan(ctx, v.table, v.objects, scan)
}

// Close does nothing: files stay until their snapshot expires.
func (v *view) Close() {}
