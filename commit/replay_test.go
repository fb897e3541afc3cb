package commit_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/commit/committest"
)

// replay is a change that resolves dead letters [from, next) of partition 0 and makes rows of all of them.
func (w *world) replay(t *testing.T, from, next commit.Offset) commit.Change {
	t.Helper()
	n := int64(next - from)
	change, err := w.change(t.Context(), w.store, step{rows: n, dead: n})
	require.NoError(t, err)
	change.Ranges = map[commit.TopicPartition]commit.Range{commit.ReplaysOf(partition(0)): {
		From: from, Next: next, Counts: commit.Counts{Inserted: n}, Checksum: uint64(n)}}
	return change
}

func TestReplaysAreFencedAndBoundedByTheLettersThereAre(t *testing.T) {
	w := newWorld(t, shape{version: 2})
	c := w.open(t, committest.Options(1, "a"))
	_, err := w.commit(t, c, step{rows: 2, dead: 5})
	require.NoError(t, err)
	_, err = c.Commit(t.Context(), w.replay(t, 1, 3))
	require.ErrorIs(t, err, commit.ErrFenced, "nothing was resolved yet")
	_, err = c.Commit(t.Context(), w.replay(t, 0, 6))
	require.ErrorIs(t, err, commit.ErrInvalid)
	require.ErrorContains(t, err, "it resolves 6 dead letters of events-0, of which 5 are open")
	late := w.replay(t, 0, 3)
	_, err = c.Commit(t.Context(), w.replay(t, 0, 3))
	require.NoError(t, err)
	_, err = c.Commit(t.Context(), late)
	require.ErrorIs(t, err, commit.ErrFenced, "others resolved these")
	_, err = c.Commit(t.Context(), w.replay(t, 3, 6))
	require.ErrorContains(t, err, "it resolves 3 dead letters of events-0, of which 2 are open")
	_, err = w.commit(t, c, step{from: 7, rows: 1})
	require.NoError(t, err, "ingest goes on")

	report := w.check(t)
	require.EqualValues(t, 6, report.Rows)
	require.EqualValues(t, 8, w.letters(t).Rows, "five, and three that say what is resolved")
	require.EqualValues(t, 2, report.Ledger.Open(partition(0)))
	require.Equal(t, commit.Position{partition(0): 8}, c.Position())
	require.Equal(t, commit.Position{partition(0): 8}, report.Ledger.Topics())
	at, err := commit.PositionAt(t.Context(), w.store, c.Table().Metadata(),
		c.Table().Metadata().CurrentSnapshot().SnapshotID)
	require.NoError(t, err)
	require.Equal(t, c.Position(), at)
}

func TestReplaysComeToRowsFilteredOrTombstones(t *testing.T) {
	w := newWorld(t, shape{version: 2})
	c := w.open(t, committest.Options(1, "a"))
	_, err := w.commit(t, c, step{dead: 5})
	require.NoError(t, err)
	change := w.replay(t, 0, 2)
	change.Ranges[commit.ReplaysOf(partition(0))] = commit.Range{Next: 2, Counts: commit.Counts{Inserted: 1, Lost: 1}}
	change.Files = nil
	_, err = c.Commit(t.Context(), change)
	require.ErrorIs(t, err, commit.ErrInvalid)
	unmarked := w.replay(t, 0, 2)
	unmarked.DeadLetters = nil
	_, err = c.Commit(t.Context(), unmarked)
	require.ErrorContains(t, err, "its dead-letter files hold 0 rows, its ranges count 2")
}
