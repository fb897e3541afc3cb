package commit_test

import (
	"maps"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/commit/committest"
	"github.com/firthlake/firth/table"
)

func TestPositionAtASnapshotIsWhereTheTableStoodThen(t *testing.T) {
	w := newWorld(t, shape{version: 2})
	c := w.open(t, committest.Options(1, "w"))
	stood := map[int64]commit.Position{}
	for _, s := range []step{
		{partition: 0, from: 7, rows: 10}, {partition: 0, from: 17, rows: 5}, {partition: 1, rows: 7},
		{partition: 0, from: 22, rows: 3, other: 2}, {partition: 1, from: 7, rows: 1}} {
		_, err := w.commit(t, c, s)
		require.NoError(t, err)
		stood[c.Table().Metadata().CurrentSnapshot().SnapshotID] = maps.Clone(c.Position())
	}
	meta := c.Table().Metadata()
	for id, want := range stood {
		got, err := commit.PositionAt(t.Context(), w.store, meta, id)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	_, err := commit.PositionAt(t.Context(), w.store, meta, 77)
	require.ErrorIs(t, err, table.ErrNotFound)
	require.ErrorContains(t, err, "whose oldest is")
}
