package compaction

import (
	"context"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/commit/committest"
	"github.com/firthlake/firth/table/objstore"
)

// outrun lets others commit before each data file is opened, so often that what was there leaves.
type outrun struct {
	objstore.Store
	others func()
	opened map[string]bool
}

func (o *outrun) Get(ctx context.Context, location string, offset, length int64) (io.ReadCloser, error) {
	if !o.opened[location] && strings.HasSuffix(location, ".parquet") && !strings.Contains(location, "-deletes") {
		o.opened[location] = true
		o.others()
	}
	return o.Store.Get(ctx, location, offset, length)
}

// hasty is a ground whose snapshots leave as soon as another comes behind them.
func hasty(t testing.TB, version int, partitioned bool) *ground {
	t.Helper()
	g := newGround(t, version, partitioned)
	opts := committest.Options(1, "hasty")
	opts.SnapshotsKeep = 2
	var err error
	g.committer, err = commit.Open(t.Context(), g.catalog, g.store, ident, opts)
	require.NoError(t, err)
	return g
}

// TestARewriteEndsWhateverLeavesMeanwhile has updates come between all reads of data files: the snapshot that was
// planned is gone by the first, and its deletes with it.
func TestARewriteEndsWhateverLeavesMeanwhile(t *testing.T) {
	for _, version := range []int{2, 3} {
		g := hasty(t, version, true)
		u := newUpdater(g, g.committer, uint64(version))
		for range 3 {
			g.feed(t, 30, "eu", "us")
		}
		for line := range g.lines(t, "id", "region") {
			u.model[line] = true
		}
		for range 5 {
			u.step(t)
		}
		store := &outrun{Store: g.store, opened: map[string]bool{}, others: func() {
			for range 3 {
				u.step(t)
			}
		}}
		how := options()
		how.Parallel = 1 // so that one group waits for the other
		c, err := New(g.open(t, 5), store, how)
		require.NoError(t, err)
		report, err := c.Run(t.Context())
		require.NoError(t, err)
		require.Equal(t, 2, report.Groups)
		require.Zero(t, report.Stale)
		require.Equal(t, 2, report.Rebased)
		require.Equal(t, u.model, g.lines(t, "id", "region"))
		g.prove(t)
	}
}

// TestEqualityDeletesHoldWhenTheirSnapshotExpires rewrites files of which some rows were deleted by their values.
func TestEqualityDeletesHoldWhenTheirSnapshotExpires(t *testing.T) {
	g := hasty(t, 2, false)
	for range 3 {
		g.feed(t, 100, "eu")
	}
	g.deleteEqual(t, 5, 150, 1000)
	g.remove(t, 2)
	late := &interrupted{Committer: g.open(t, 7), before: func() {
		g.remove(t, 1)
		g.feed(t, 100, "us")
		g.feed(t, 100, "us")
	}}
	c, err := New(late, g.store, options())
	require.NoError(t, err)
	report, err := c.Run(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, report.Groups)
	require.Zero(t, report.Stale)
	require.Equal(t, 1, report.Rebased)
	require.Len(t, g.lines(t, "id"), 500-2-2-2)

	r := rebase{tasks: g.tasks(t)}
	require.NoError(t, r.checkEquality(nil))
	g.deleteEqual(t, 6)
	r.tasks = g.tasks(t)
	require.ErrorIs(t, r.checkEquality(nil), commit.ErrStale)
}
