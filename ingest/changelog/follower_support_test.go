package changelog

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/commit/committest"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/changes"
	"github.com/firthlake/firth/table/images/imagestest"
	"github.com/firthlake/firth/table/objstore"
)

// sink is a changelog that a Follower writes to, and the processes that do.
type sink struct {
	source  *imagestest.Source
	catalog *committest.Catalog
	ident   table.Ident
	seed    uint64
}

func newSink(s *imagestest.Source) *sink {
	s.T.Helper()
	spec := changes.Spec()
	meta, err := icetable.NewMetadata(changes.Begin(), &spec, icetable.UnsortedSortOrder, "mem://lake/items_changes",
		iceberg.Properties{"format-version": "2", commit.PropertyChangelogOf: "db.items"})
	require.NoError(s.T, err)
	out := &sink{source: s, catalog: committest.NewCatalog(), ident: table.Ident{"db", "items_changes"}}
	require.NoError(s.T, out.catalog.Create(out.ident, meta))
	return out
}

// follower begins a process over a catalog and a store, which may have faults.
func (k *sink) follower(ctx context.Context, catalog commit.Catalog, store objstore.Store) (*Follower, error) {
	k.seed++
	opts := committest.Options(k.seed, fmt.Sprint("process ", k.seed))
	opts.SnapshotsKeep, opts.Reads = 4, 1
	target, err := commit.Open(ctx, catalog, store, k.ident, opts)
	if err != nil {
		return nil, err
	}
	f, err := New(Options{Source: k.source, Target: target, Store: store, NewID: opts.NewID, Now: opts.Now,
		Sleep: opts.Sleep, Reads: 1, Memory: table.NewBudget(1 << 20)})
	require.NoError(k.source.T, err)
	f.most = 5
	return f, nil
}

// steps steps until all is read.
func steps(ctx context.Context, f *Follower) error {
	for {
		if more, err := f.Step(ctx); err != nil || !more {
			return err
		}
	}
}

// told is a row of the changelog.
type told struct {
	kind              string
	ordinal, snapshot int64
	item              imagestest.Item
}

// read reads the changelog in order.
func (k *sink) read() []told {
	t := k.source.T
	t.Helper()
	current, err := k.catalog.LoadTable(t.Context(), k.ident)
	require.NoError(t, err)
	tasks, err := table.Plan(t.Context(), current, k.source.Store, table.Scan{})
	require.NoError(t, err)
	var out []told
	for _, task := range tasks {
		for batch, err := range table.Read(t.Context(), k.source.Store, task) {
			require.NoError(t, err)
			for i := range int(batch.NumRows()) {
				r := told{kind: batch.Column(0).(*array.String).Value(i),
					ordinal:  batch.Column(1).(*array.Int64).Value(i),
					snapshot: batch.Column(2).(*array.Int64).Value(i)}
				switch ids := batch.Column(4).(type) {
				case *array.Int32:
					r.item.ID = int64(ids.Value(i))
				case *array.Int64:
					r.item.ID = ids.Value(i)
				}
				r.item.Region = batch.Column(5).(*array.String).Value(i)
				r.item.Value = batch.Column(6).(*array.Int64).Value(i)
				if batch.NumCols() > 7 {
					r.item.Note = batch.Column(7).(*array.String).Value(i)
				}
				out = append(out, r)
			}
		}
	}
	slices.SortFunc(out, func(a, b told) int { return cmp.Compare(a.ordinal, b.ordinal) })
	return out
}
