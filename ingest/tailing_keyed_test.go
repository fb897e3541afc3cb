package ingest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table/tail"
)

// TestWhatChunksHideIsToldWhileACheckpointIsCommitted asks for a file in which nothing was hidden before, and with
// sequences for rows whose own decide.
func TestWhatChunksHideIsToldWhileACheckpointIsCommitted(t *testing.T) {
	for _, k := range []keyedTable{{version: 3}, {version: 3, sequence: true},
		{version: 2, first: true, sequence: true}} {
		w := newWorld(t)
		w.log.Create("events", 1)
		ident := w.createKeyed("db.users", k)
		opts := w.keyedOptions(ident, k)
		x := tail.NewIndex("mem://lake/db.users")
		opts.Tail = x
		g := w.ingester(w.log.Join("g", 100, "events"), opts)
		x.Follow(w.clock.Add(time.Hour))
		w.put(0, 1, keyedRow{1, 5, "a", "x"}.json())
		w.put(0, 4, keyedRow{4, 1, "a", "x"}.json())
		w.steps(g, 14)
		w.put(0, 2, keyedRow{2, 5, "b", "x"}.json())
		w.steps(g, 14)
		base, position := w.stands(ident)
		files := map[string]uint64{}
		ask := func() error {
			found, err := x.Hider().Hide(t.Context(), base.MetadataLocation(), x.At(position))
			clear(files)
			for _, h := range found {
				files[h.Path] = h.Rows.GetCardinality()
			}
			return err
		}
		w.put(0, 1, keyedRow{1, 4, "late", "x"}.json())
		w.put(0, 4, keyedRow{4, 2, "c", "x"}.json())
		w.steps(g, 3)
		require.NoError(t, ask())
		one := len(files)
		w.put(0, 2, "")
		w.put(0, 2, keyedRow{2, 6, "d", "x"}.json())
		w.put(0, 3, keyedRow{3, 2, "e", "x"}.json())
		w.steps(g, 3)
		opts.Keyed.Keys.turn <- struct{}{} // as while a checkpoint is committed
		err := ask()
		<-opts.Keyed.Keys.turn
		require.NoError(t, err, "the reader waits for the turn of the key index")
		require.Greater(t, len(files), one, "the second file")
		told := len(files)
		require.NoError(t, ask())
		require.Len(t, files, told)
		g.Close(t.Context())
	}
}
