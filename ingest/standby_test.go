package ingest

import (
	"context"
	"fmt"
	"strings"
	"testing"

	icetable "github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/commit/committest"
	"github.com/firthlake/firth/table"
)

// doorkeeper is a catalog that refuses while it is told to.
type doorkeeper struct {
	commit.Catalog
	shut bool
}

func (d *doorkeeper) LoadTable(ctx context.Context, ident table.Ident) (*table.Table, error) {
	if d.shut {
		return nil, fmt.Errorf("the catalog answered 403: %w", table.ErrRefused)
	}
	return d.Catalog.LoadTable(ctx, ident)
}

func (d *doorkeeper) CommitTable(ctx context.Context, ident table.Ident,
	requirements []icetable.Requirement, updates []icetable.Update,
) (*table.Table, error) {
	if d.shut {
		return nil, fmt.Errorf("the catalog answered 403: %w", table.ErrRefused)
	}
	return d.Catalog.CommitTable(ctx, ident, requirements, updates)
}

// guarded are options whose committer goes through a doorkeeper.
func (w *world) guarded(ident table.Ident, group string) (TableOptions, *doorkeeper) {
	w.t.Helper()
	opts, door := w.options(ident, group), &doorkeeper{Catalog: w.catalog}
	o := committest.Options(1000+w.seed, WriterName("process-"+group, group))
	o.Now = w.now
	committer, err := commit.Open(w.t.Context(), door, w.objects, ident, o)
	require.NoError(w.t, err)
	opts.Committer = committer
	return opts, door
}

func TestARefusedCommitIsToldOnceAndTriedAgain(t *testing.T) {
	w := newWorld(t)
	w.log.Create("events", 1)
	ident := w.create("db.events", eventFields()...)
	opts, door := w.guarded(ident, "g")
	g := w.ingester(w.log.Join("g", 20, "events"), opts)
	w.append(0, events(0, 10)...)
	w.steps(g, 5)
	door.shut = true
	w.steps(g, 60)
	progress := g.Progress().Tables[0]
	require.Equal(t, StateActive, progress.State)
	require.Contains(t, progress.Trouble, "403")
	require.Equal(t, 1, strings.Count(w.logs.String(), "goes on trying"), w.logs.String())
	door.shut = false
	w.steps(g, 60)
	require.Empty(t, g.Progress().Tables[0].Trouble)
	require.Contains(t, w.logs.String(), "trouble of the table is over")
	w.requireIDs(ident, 10)
	g.Close(t.Context())
}

func TestAStandbyThatCannotLookSaysSoOnce(t *testing.T) {
	w := newWorld(t)
	w.log.Create("events", 1)
	ident := w.create("db.events", eventFields()...)
	opts, otherDoor := w.guarded(ident, "blue")
	holds := w.ingester(w.log.Join("blue", 5, "events"), opts)
	opts, door := w.guarded(ident, "green")
	waits := w.ingester(w.log.Join("green", 5, "events"), opts)
	made := 0
	for range 60 {
		w.append(0, event(made))
		made++
		w.steps(holds, 1)
		w.steps(waits, 1)
	}
	if waits.Progress().Tables[0].State == StateActive {
		holds, waits, door = waits, holds, otherDoor
	}
	require.Equal(t, StateStandby, waits.Progress().Tables[0].State)
	door.shut = true
	w.steps(waits, 40)
	require.Equal(t, 1, strings.Count(w.logs.String(), "cannot be looked at"), w.logs.String())
	require.Equal(t, StateStandby, waits.Progress().Tables[0].State, "it takes nothing that it cannot see")
	door.shut = false
	w.steps(waits, 80) // the holder is silent
	require.Equal(t, StateActive, waits.Progress().Tables[0].State)
	w.requireIDs(ident, made)
	holds.Close(t.Context())
	waits.Close(t.Context())
}
