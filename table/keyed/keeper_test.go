package keyed

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table/keyindex"
)

// forms are the forms of a table.
func forms() map[string]lakeOptions {
	return map[string]lakeOptions{
		"vectors":                      {version: "3"},
		"vectors, partitioned":         {version: "3", partitioned: true},
		"position deletes":             {version: "2"},
		"position deletes partitioned": {version: "2", partitioned: true},
	}
}

func TestCheckpointsReplaceRowsOfTheirKeys(t *testing.T) {
	for name, form := range forms() {
		t.Run(name, func(t *testing.T) {
			l := newLake(t, form)
			k := l.open(testOptions(t.TempDir(), 1))
			landing := l.run(k, checkpoint{rows: []row{{1, "a", 10}, {2, "b", 20}, {3, "a", 30}}})
			require.NoError(t, k.Landed(t.Context(), l.table(), landing))
			landing = l.run(k, checkpoint{rows: []row{{1, "b", 11}, {4, "b", 40}}, deleted: []int64{3, 9}})
			require.NoError(t, k.Landed(t.Context(), l.table(), landing))
			require.NoError(t, k.Follow(t.Context(), l.table()))
			l.checkIndex(k, 12)
			require.ElementsMatch(t, []row{{1, "b", 11}, {2, "b", 20}, {4, "b", 40}}, rowsOf(l.read()))
			require.NoError(t, k.Close())

			again := l.open(testOptions(k.opts.Dir, 2))
			require.Equal(t, l.meta.CurrentSnapshot().SnapshotID, again.Snapshot())
			require.NoError(t, again.Follow(t.Context(), l.table()))
			l.checkIndex(again, 12)
			require.NoError(t, again.Close())
		})
	}
}

func TestKeeperAsksToBeFollowed(t *testing.T) {
	l := newLake(t, lakeOptions{version: "3"})
	k := l.open(testOptions(t.TempDir(), 1))
	require.ErrorIs(t, k.Resolve(t.Context(), make([]keyindex.Key, 1), make([]keyindex.Place, 1)),
		ErrNotFollowed)
	_, err := k.Deletes(t.Context(), l.newID(), nil)
	require.ErrorIs(t, err, ErrNotFollowed)
	require.NoError(t, k.Follow(t.Context(), l.table()))
	require.NoError(t, k.Resolve(t.Context(), make([]keyindex.Key, 1), make([]keyindex.Place, 1)))
	require.Zero(t, k.Snapshot())
	require.NoError(t, k.Close())
}

func rowsOf(placed []placedRow) []row {
	rows := make([]row, len(placed))
	for i, r := range placed {
		rows[i] = r.row
	}
	return rows
}
