package compaction

import (
	"testing"

	icetable "github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit/committest"
)

// deleteEqual deletes rows by their ids, as others do: by an equality delete file.
func (g *ground) deleteEqual(t testing.TB, ids ...int64) {
	t.Helper()
	require.NoError(t, committest.DeleteEqual(t.Context(), g.catalog, g.store, ident,
		committest.EqualityDelete{IDs: ids}))
	require.NoError(t, g.committer.Refresh(t.Context()))
}

// TestCompactorAppliesEqualityDeletesOfOthers has some before, some while and some after files are rewritten.
func TestCompactorAppliesEqualityDeletesOfOthers(t *testing.T) {
	for _, version := range []int{2, 3} {
		g := newGround(t, version, false)
		for range 3 {
			g.feed(t, 100, "eu")
		}
		g.deleteEqual(t, 5, 150, 1000)
		g.remove(t, 2)
		g.feed(t, 100, "us")
		g.deleteEqual(t, 6, 7)
		want := g.lines(t, "id")
		require.Len(t, want, 400-2-2-2)
		late := &interrupted{Committer: g.open(t, 7), before: func() {
			g.deleteEqual(t, 8, 9, 350)
			g.remove(t, 1)
		}}
		c, err := New(late, g.store, options())
		require.NoError(t, err)
		report, err := c.Run(t.Context())
		require.NoError(t, err)
		require.Equal(t, 1, report.Groups)
		require.Equal(t, 1, report.Rebased)
		require.Zero(t, report.Stale)
		want = g.lines(t, "id")
		require.Len(t, want, 394-3-2)
		tasks := g.tasks(t)
		require.Len(t, tasks, 1)
		require.Len(t, tasks[0].EqualityDeletes, 1, "the one that came while files were rewritten")

		require.Equal(t, 2, report.DeletesRemoved)
		report = g.compact(t, options())
		require.Equal(t, 1, report.Groups)
		require.Equal(t, 1, report.DeletesRemoved)
		summary := g.table(t).Metadata().CurrentSnapshot().Summary
		require.Equal(t, icetable.OpReplace, summary.Operation)
		require.Equal(t, "0", summary.Properties["total-equality-deletes"])
		require.Equal(t, "0", summary.Properties["total-delete-files"])
		tasks = g.tasks(t)
		require.Len(t, tasks, 1)
		require.Empty(t, tasks[0].EqualityDeletes)
		require.Equal(t, want, g.lines(t, "id"))
	}
}
