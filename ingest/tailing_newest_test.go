package ingest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table/tail"
)

// TestWhatIsHiddenIsOfTheSameSnapshotOrUnknown has another process rewrite the table, and the key index follow it, just
// when a reader looks at the tail behind the table as it was.
func TestWhatIsHiddenIsOfTheSameSnapshotOrUnknown(t *testing.T) {
	w := newWorld(t)
	w.log.Create("events", 1)
	ident := w.createKeyed("db.users", keyedTable{version: 3})
	opts := w.keyedOptions(ident, keyedTable{version: 3})
	x := tail.NewIndex("mem://lake/db.users")
	opts.Tail, opts.TailEvery = x, time.Hour
	g := w.ingester(w.log.Join("g", 100, "events"), opts)
	x.Follow(w.clock.Add(time.Hour))
	w.put(0, 1, keyedRow{1, 1, "a", "x"}.json())
	w.put(0, 2, keyedRow{2, 1, "b", "x"}.json())
	w.steps(g, 14)
	base, position := w.stands(ident)
	require.NotEmpty(t, position)
	look := func() tail.View {
		view := x.Newest(position, base.HasSchema)
		w.keepShown(view)
		return view
	}
	view, err := x.Hider().HideNewest(t.Context(), base, look)
	require.NoError(t, err)
	require.Empty(t, view.Unseen.Files)

	w.put(0, 1, keyedRow{1, 2, "c", "x"}.json())
	w.put(0, 3, "")
	w.steps(g, 2)
	keys := opts.Keyed.Keys
	keys.turn <- struct{}{} // as while a checkpoint is committed
	view, err = x.Hider().HideNewest(t.Context(), base, look)
	<-keys.turn
	require.NoError(t, err, "the reader waits for the turn of the key index")
	require.Len(t, view.Unseen.Files, 1)
	unseen := 0
	for _, rows := range view.Unseen.Pieces {
		if rows != nil {
			unseen += int(rows.GetCardinality())
		}
	}
	require.Equal(t, 1, unseen, "the delete")

	w.put(0, 2, keyedRow{2, 2, "d", "x"}.json())
	w.steps(g, 1)
	moved := false
	_, err = x.Hider().HideNewest(t.Context(), base, func() tail.View {
		if moved {
			return look()
		}
		moved = true
		w.rewrite(ident)
		require.NoError(t, opts.Committer.Refresh(t.Context()))
		require.NoError(t, keys.use(t.Context(), opts.Committer.Table(), func(index KeyIndex) error {
			return keys.fresh.mirror(t.Context(), index, opts.Committer.Table(), w.now())
		}))
		return look()
	})
	require.ErrorIs(t, err, tail.ErrMoved)
	g.Close(t.Context())
}
