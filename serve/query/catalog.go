package query

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"

	"github.com/firthlake/firth/catalog"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/filter"
	"github.com/firthlake/firth/table/gather"
	"github.com/firthlake/firth/table/objstore"
	"github.com/firthlake/firth/table/tail"
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

// Newest has tables as of now: what is committed, and the tail that goes on where it ends.
type Newest interface {
	Now(ctx context.Context, ident table.Ident) (*table.Table, tail.View, error)
}

// Catalog makes views of the tables of a catalog. A snapshot that a view pins stays whole for as long as
// the catalog's retention keeps it: nothing holds it back from expiry.
type Catalog struct {
	tables  Tables
	now     Newest // nil for none
	objects objstore.Store
}

// NewCatalog returns the views of the tables of a catalog, whose files lie in objects. Their newest states come from
// now; nil is the committed ones.
func NewCatalog(tables Tables, now Newest, objects objstore.Store) *Catalog {
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
	if at == (At{Ref: icetable.MainBranch}) { // which a table without snapshots has not
		at = At{Committed: true}
	}
	t, behind, err := c.load(ctx, ident, at)
	if err != nil {
		return nil, fmt.Errorf("table %s: %w", table.FormatIdent(ident), err)
	}
	scan := table.Scan{Ref: at.Ref, SnapshotID: at.SnapshotID, AsOf: at.Time}
	_, schema, err := scan.Snapshot(t)
	if err != nil {
		return nil, fmt.Errorf("table %s: %w", t, err)
	}
	return &view{table: t, tail: behind, objects: c.objects, scan: scan, schema: schema}, nil
}

// load loads a table, and what goes on behind the snapshot of a state.
func (c *Catalog) load(ctx context.Context, ident table.Ident, at At) (*table.Table, tail.View, error) {
	if at == (At{}) && c.now != nil {
		return c.now.Now(ctx, ident)
	}
	t, err := c.tables.LoadTable(ctx, ident)
	return t, tail.View{}, err
}

// view is a table at a snapshot and what goes on behind it: its metadata was loaded once and does not change.
type view struct {
	table   *table.Table
	tail    tail.View
	objects objstore.Store
	scan    table.Scan
	schema  *iceberg.Schema
}

// Schema is the schema to read the rows with.
func (v *view) Schema() *iceberg.Schema { return v.schema }

// Tasks are the data files with their deletes, those of the tail, and what is in memory alone.
func (v *view) Tasks(ctx context.Context, where *filter.Expr) ([]table.Task, error) {
	scan := v.scan
	scan.Filter = where
	tasks, err := table.Plan(ctx, v.table, v.objects, scan)
	if err != nil {
		return nil, err
	}
	for _, chunk := range v.tail.Chunks {
		more, err := table.PlanFiles(v.table, scan, chunk.Files)
		if err != nil {
			return nil, err
		}
		tasks = append(tasks, more...)
	}
	tasks = v.seen(tasks)
	batches := v.inMemory()
	if len(batches) == 0 {
		return tasks, nil
	}
	inMemory, err := table.PlanBatches(v.table, scan, batches)
	return append(tasks, inMemory), err
}

// seen are tasks without the rows that are hidden.
func (v *view) seen(tasks []table.Task) []table.Task {
	for i := range tasks {
		tasks[i].Unseen = v.tail.Unseen.Files[tasks[i].File.FilePath()]
	}
	return slices.DeleteFunc(tasks, func(task table.Task) bool {
		return task.Unseen != nil && task.Unseen.GetCardinality() == uint64(task.File.Count())
	})
}

// inMemory are the rows of the tail that are in memory alone and not hidden.
func (v *view) inMemory() []arrow.RecordBatch {
	var batches []arrow.RecordBatch
	for i, piece := range v.tail.Pieces {
		switch {
		case piece.Rows == nil:
		case i < len(v.tail.Unseen.Pieces) && v.tail.Unseen.Pieces[i] != nil:
			rest := roaring.Flip(v.tail.Unseen.Pieces[i], 0, uint64(piece.Rows.NumRows()))
			if !rest.IsEmpty() { // a copy, which is left to the garbage collector
				batches = append(batches, gather.Rows(memory.DefaultAllocator, piece.Rows, rest.ToArray()))
			}
		default:
			batches = append(batches, piece.Rows)
		}
	}
	return batches
}

// Close does nothing: files stay until their snapshot expires.
func (v *view) Close() {}
