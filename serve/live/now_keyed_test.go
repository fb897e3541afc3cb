package live_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/serve/query"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/tail"
)

// pinned is a table as it was now.
type pinned struct {
	table *table.Table
	view  tail.View
}

func (p pinned) Now(context.Context, table.Ident) (*table.Table, tail.View, error) {
	return p.table, p.view, nil
}

// readNow reads the table as readers in the process do, and holds it against the model.
func (w *keyedWorld) readNow() {
	w.Helper()
	w.follow()
	t, view, err := w.process.live.Now(w.Context(), events)
	require.NoError(w, err, w.logs.String())
	var cut [keyedPartitions]int
	for id, next := range view.Cut {
		require.GreaterOrEqual(w, int(next), w.cutNow[id.Partition], "the cut of %v goes back", id)
		cut[id.Partition] = int(next)
	}
	w.cutNow = cut
	opened, err := query.NewCatalog(w.committed, pinned{t, view}, w.store).Open(w.Context(), events, query.At{})
	require.NoError(w, err)
	defer opened.Close()
	tasks, err := opened.Tasks(w.Context(), nil)
	require.NoError(w, err)
	require.Equal(w, w.model(cut), w.rowsOf(tasks), "at %v\n%s", cut, w.logs.String())
	for _, p := range view.Pieces {
		if p.Rows != nil {
			w.held++
			break
		}
	}
}

// Invariant: what readers in the process see of a keyed table is the log folded up to the cut, with rows that are in
// memory alone, whatever ingest, compaction, crashes and readers of the live catalog do in between.
func TestReadersInTheProcessSeeAKeyedTableFoldedUpToTheCut(t *testing.T) {
	seeds, steps := uint64(12), 120
	if testing.Short() {
		seeds, steps = 4, 60
	}
	held := 0
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := newKeyedWorld(t, seed)
			w.start()
			for range steps {
				for range w.rng.IntN(12) {
					w.append()
				}
				require.NoError(t, w.process.Step(t.Context()))
				w.clock = w.clock.Add(time.Duration(w.rng.IntN(600)) * time.Millisecond)
				switch w.rng.IntN(24) {
				case 0:
					w.crash()
					w.start()
				case 1:
					w.compact(w.process.committer)
				case 2:
					w.compact(w.other)
				case 3:
					require.NoError(t, w.process.janitor.Step(t.Context()))
				case 4:
					w.read()
				}
				if w.rng.IntN(3) > 0 {
					w.readNow()
				}
			}
			w.crash()
			held += w.held
		})
	}
	require.Greater(t, held, int(seeds)*steps/8, "hardly any row was in memory alone")
}
