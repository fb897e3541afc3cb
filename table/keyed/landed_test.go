package keyed

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestLandedKeepsDoublesThatAnotherChangeWasToDelete: a change was given up after its deletes were written.
func TestLandedKeepsDoublesThatAnotherChangeWasToDelete(t *testing.T) {
	l := newLake(t, lakeOptions{version: "3"})
	k, _ := l.openInMemory()
	l.own(k, checkpoint{rows: []row{{1, "a", 1}}})
	insert(l, []row{{1, "a", 2}})
	l.follow(k)
	_, err := k.Deletes(t.Context(), l.newID(), nil)
	require.NoError(t, err)
	change := l.newID()
	files, _, _ := l.write(change, []row{{7, "a", 1}})
	landing := Landing{ChangeID: change, SnapshotID: l.commit(lakeChange{files: files})}
	require.NoError(t, k.Landed(t.Context(), l.table(), landing))
	require.Equal(t, 1, k.Doubles())
	require.NoError(t, k.Close())
}

// TestLandedLeavesACommitBehindOthersToFollow: what others did just before it is not skipped.
func TestLandedLeavesACommitBehindOthersToFollow(t *testing.T) {
	l := newLake(t, lakeOptions{version: "3"})
	k, _ := l.openInMemory()
	l.own(k, checkpoint{rows: []row{{1, "a", 1}}})
	l.own(k, checkpoint{rows: []row{{2, "a", 1}}, between: func() { insert(l, []row{{3, "a", 1}}) }})
	l.follow(k)
	l.checkIndex(k, 5)
	require.NoError(t, k.Close())
}
