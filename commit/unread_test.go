package commit_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/commit/committest"
	"github.com/firthlake/firth/table"
)

func TestSnapshotsThatTheChangelogHasNotReadStay(t *testing.T) {
	w := newWorld(t, shape{version: 2})
	w.setProperty(t, commit.PropertyChangelog, "db.events_changes")
	opts := committest.Options(1, "p")
	opts.SnapshotsKeep = 3
	c := w.open(t, opts)
	next := commit.Offset(0)
	add := func(n int) {
		t.Helper()
		for range n {
			_, err := w.commit(t, c, step{from: next, rows: 1})
			require.NoError(t, err)
			next++
		}
	}
	kept := func() (out []int64) {
		for s := range commit.Ancestry(mustLoad(t, w).Metadata()) {
			out = append(out, s.SequenceNumber)
		}
		return out
	}

	ident := table.Ident{"db", "events_changes"}
	meta, err := committest.Metadata(2, "mem://lake/db.events_changes", false)
	require.NoError(t, err)
	require.NoError(t, w.catalog.Create(ident, meta))
	add(10)
	require.Len(t, kept(), 10, "a changelog that has read nothing holds all")
	out, err := c.Expire(t.Context(), commit.Expiry{Keep: 1})
	require.NoError(t, err)
	require.Empty(t, out.Snapshots)

	changelog, err := commit.Open(t.Context(), w.catalog, w.store, ident, committest.Options(2, "follower"))
	require.NoError(t, err)
	source := mustLoad(t, w)
	_, err = changelog.Commit(t.Context(), commit.Change{ID: uuid.Max, Ranges: map[commit.TopicPartition]commit.Range{
		commit.SnapshotsOf(source): {Next: 8, Counts: commit.Counts{Absent: 8}}}})
	require.NoError(t, err)
	add(1)
	require.Equal(t, []int64{11, 10, 9, 8, 7}, kept(), "it compares what is unread with the newest that it has read")
	planned, err := c.PlanExpiry(t.Context(), commit.Expiry{Keep: 1})
	require.NoError(t, err)
	require.Empty(t, planned.Snapshots)

	w.catalog.Drop(ident)
	add(1)
	require.Len(t, kept(), 3, "one that was dropped holds nothing")
}
