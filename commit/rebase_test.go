package commit_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/apache/iceberg-go"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/commit/committest"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
	"github.com/firthlake/firth/table/vector"
)

// rebased gives a rewrite a Rebase that deletes as many rows of its one file as were deleted of those that it
// removes since then, and returns what it was asked.
func (w *world) rebased(change *commit.Change, before []committest.Deleted) *[][]table.Entry {
	var asked [][]table.Entry
	was := map[string]int64{}
	for _, d := range before {
		was[d.File.FilePath()] = d.Rows
	}
	removed := map[string]bool{}
	for _, f := range change.Removed {
		removed[f.FilePath()] = true
	}
	change.Rebase = func(ctx context.Context, head *table.Table, deletes []table.Entry) ([]iceberg.DataFile, error) {
		asked = append(asked, deletes)
		rows := int64(0)
		for _, e := range deletes {
			of := vector.DataFile(e.File)
			if !removed[of] {
				return nil, fmt.Errorf("%s is not removed", of)
			}
			rows += e.File.Count() - was[of]
		}
		if rows == 0 {
			return nil, nil
		}
		return committest.Deletes(ctx, w.store, head.Metadata(), w.ids(),
			[]committest.Deleted{{File: change.Files[0], Rows: rows}})
	}
	return &asked
}

func TestRewriteLandsBehindDeletes(t *testing.T) {
	shapes(t, func(t *testing.T, s shape) {
		w := newWorld(t, s)
		opts := committest.Options(1, "a")
		opts.SnapshotsKeep = 4
		c := w.open(t, opts)
		for i := range commit.Offset(4) {
			w.mustUpsert(t, c, step{from: 10 * i, rows: 10}, 2)
		}
		before := mustAlive(t, w, c)
		change, err := w.rewrite(t.Context(), w.store, c.Table(), 3)
		require.NoError(t, err)
		change.BaseSequence = c.Table().Metadata().CurrentSnapshot().SequenceNumber
		asked := w.rebased(&change, before)
		for i := range commit.Offset(8) { // the base expires
			w.mustUpsert(t, c, step{from: 40 + 2*i, rows: 2}, 2)
		}
		require.Nil(t, c.Table().Metadata().SnapshotByID(change.Base))
		report := w.check(t)
		live := report.Rows - report.Deleted

		late := change
		late.BaseSequence = c.Table().Metadata().LastSequenceNumber() + 1
		late.ID = w.ids()
		_, err = c.Commit(t.Context(), late)
		require.ErrorIs(t, err, commit.ErrStale)
		late.Rebase = nil
		_, err = c.Commit(t.Context(), late)
		require.ErrorIs(t, err, commit.ErrStale)
		require.Empty(t, *asked)

		_, err = c.Commit(t.Context(), change)
		require.NoError(t, err)
		require.Len(t, *asked, 1)
		require.NotEmpty(t, (*asked)[0])
		report = w.check(t)
		require.Equal(t, live, report.Rows-report.Deleted)
		require.NotNil(t, report.Deletes[change.Files[0].FilePath()])
		require.NoError(t, c.CheckHoldings(t.Context()))
		require.NoError(t, w.noOrphans(t))
		w.mustUpsert(t, c, step{from: 56, rows: 9}, 9)
		w.check(t)
	})
}

func TestRebaseIsAskedAgainAfterAConflict(t *testing.T) {
	w := newWorld(t, shape{version: 3})
	c, other := w.open(t, committest.Options(1, "a")), w.open(t, committest.Options(2, "b"))
	for i := range commit.Offset(3) {
		w.mustUpsert(t, c, step{from: 10 * i, rows: 10}, 1)
	}
	change, err := w.rewrite(t.Context(), w.store, c.Table(), 3)
	require.NoError(t, err)
	asked := w.rebased(&change, mustAlive(t, w, c))
	w.mustUpsert(t, c, step{from: 30, rows: 2}, 2)
	inner := change.Rebase
	change.Rebase = func(ctx context.Context, head *table.Table, deletes []table.Entry) ([]iceberg.DataFile, error) {
		if len(*asked) == 0 {
			require.NoError(t, other.Refresh(ctx))
			w.mustUpsert(t, other, step{from: 32, rows: 3}, 3)
		}
		return inner(ctx, head, deletes)
	}
	_, err = c.Commit(t.Context(), change)
	require.NoError(t, err)
	require.Len(t, *asked, 2)
	require.EqualValues(t, 35-(1+1)-2-3, w.live(t))
}

// live is how many rows are not deleted.
func (w *world) live(t testing.TB) int64 {
	report := w.check(t)
	return report.Rows - report.Deleted
}

func TestRebaseMayRefuse(t *testing.T) {
	w := newWorld(t, shape{version: 2})
	c := w.open(t, committest.Options(1, "a"))
	for i := range commit.Offset(3) {
		w.mustUpsert(t, c, step{from: 10 * i, rows: 10}, 0)
	}
	change, err := w.rewrite(t.Context(), w.store, c.Table(), 2)
	require.NoError(t, err)
	w.mustUpsert(t, c, step{from: 30, rows: 3}, 3)
	live := mustAlive(t, w, c)
	for want, rebase := range map[error]commit.Rebase{
		commit.ErrStale: func(context.Context, *table.Table, []table.Entry) ([]iceberg.DataFile, error) {
			return nil, fmt.Errorf("rows are back: %w", commit.ErrStale)
		},
		context.DeadlineExceeded: func(context.Context, *table.Table, []table.Entry) ([]iceberg.DataFile, error) {
			return nil, context.DeadlineExceeded
		},
		commit.ErrInvalid: func(ctx context.Context, head *table.Table, _ []table.Entry) ([]iceberg.DataFile, error) {
			return committest.Deletes(ctx, w.store, head.Metadata(), w.ids(),
				[]committest.Deleted{{File: live[2].File, Rows: 1}})
		},
	} {
		change.ID, change.Rebase = w.ids(), rebase
		_, err = c.Commit(t.Context(), change)
		require.ErrorIs(t, err, want)
	}
	// One that moves too few rows would revive the others.
	change.ID, change.Rebase = w.ids(), func(context.Context, *table.Table, []table.Entry) ([]iceberg.DataFile, error) {
		return nil, nil
	}
	_, err = c.Commit(t.Context(), change)
	require.ErrorIs(t, err, commit.ErrInvalid)
	w.check(t)
}

func TestDeadDeletesMustBeThere(t *testing.T) {
	w := newWorld(t, shape{version: 2})
	c := w.open(t, committest.Options(1, "a"))
	w.mustUpsert(t, c, step{rows: 10}, 0)
	builder, err := iceberg.NewDataFileBuilder(*iceberg.UnpartitionedSpec, iceberg.EntryContentEqDeletes,
		"mem://lake/db.events/data/eq.parquet", iceberg.ParquetFile, nil, nil, nil, 1, 1)
	require.NoError(t, err)
	change := commit.Change{ID: uuid.New(), Base: headOf(c.Table()),
		Dead: []iceberg.DataFile{builder.EqualityFieldIDs([]int{1}).Build()}}
	_, err = c.Commit(t.Context(), change)
	require.ErrorIs(t, err, commit.ErrStale)
	change.Dead = []iceberg.DataFile{mustAlive(t, w, c)[0].File}
	_, err = c.Commit(t.Context(), change)
	require.ErrorIs(t, err, commit.ErrInvalid)
}

// TestARewriteLandsThoughTheHeadItSawHasExpired has another process commit and expire, until the manifests are gone
// that the rewriting process saw last.
func TestARewriteLandsThoughTheHeadItSawHasExpired(t *testing.T) {
	w := newWorld(t, shape{version: 3})
	opts := committest.Options(1, "a")
	opts.SnapshotsKeep = 2
	a := w.open(t, opts)
	next := commit.Offset(0)
	for range 5 {
		_, err := w.commit(t, a, step{from: next, rows: 10})
		require.NoError(t, err)
		next += 10
	}
	w.mustUpsert(t, a, step{from: next, rows: 4}, 2)
	next += 4
	b := w.open(t, committest.Options(2, "b"))
	seen := b.Table()
	live, err := alive(t.Context(), w.store, seen)
	require.NoError(t, err)
	change := commit.Change{ID: w.ids(), Base: headOf(seen), BaseSequence: seen.Metadata().LastSequenceNumber(),
		Rebase: func(context.Context, *table.Table, []table.Entry) ([]iceberg.DataFile, error) { return nil, nil }}
	rows := int64(0)
	for _, d := range live[2:4] {
		rows += d.File.Count()
		change.Removed = append(change.Removed, d.File)
	}
	file, err := committest.DataFile(t.Context(), w.store, seen.Metadata(),
		committest.File{Change: change.ID, Rows: rows, Region: "r0"})
	require.NoError(t, err)
	change.Files = []iceberg.DataFile{file}
	for range 6 {
		w.mustUpsert(t, a, step{from: next, rows: 4}, 2)
		next += 4
	}
	_, err = table.Plan(t.Context(), seen, w.store, table.Scan{})
	require.ErrorIs(t, err, objstore.ErrNotFound)
	_, err = b.Commit(t.Context(), change)
	require.NoError(t, err)
	w.check(t)
}
