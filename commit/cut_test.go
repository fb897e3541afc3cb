package commit_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/commit/committest"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
	"github.com/firthlake/firth/table/vector"
)

// alive is the data files of a table in order of their names, and how many rows of each are deleted.
func alive(ctx context.Context, store objstore.Store, t *table.Table) (list []committest.Deleted, err error) {
	head := t.Metadata().CurrentSnapshot()
	if head == nil {
		return nil, nil
	}
	deleted := map[string]int64{}
	for entry, err := range table.Entries(ctx, t, store, head.SnapshotID) {
		if err != nil {
			return nil, err
		}
		if entry.File.ContentType() == iceberg.EntryContentData {
			list = append(list, committest.Deleted{File: entry.File})
		} else {
			deleted[vector.DataFile(entry.File)] += entry.File.Count()
		}
	}
	for i := range list {
		list[i].Rows = deleted[list[i].File.FilePath()]
	}
	slices.SortFunc(list, func(a, b committest.Deleted) int {
		return strings.Compare(a.File.FilePath(), b.File.FilePath())
	})
	return list, nil
}

func headOf(t *table.Table) int64 { return t.Metadata().CurrentSnapshot().SnapshotID }

// upsert turns the change of a step into one that replaces a row in up to n data files of tbl.
func (w *world) upsert(ctx context.Context, store objstore.Store, tbl *table.Table, s step, n int,
) (commit.Change, error) {
	change, err := w.change(ctx, store, s)
	if err != nil {
		return change, err
	}
	live, err := alive(ctx, store, tbl)
	if err != nil {
		return change, err
	}
	var hit []committest.Deleted
	for _, d := range live {
		if d.Rows < d.File.Count() && len(hit) < min(n, int(s.rows)) {
			hit = append(hit, committest.Deleted{File: d.File, Rows: d.Rows + 1})
		}
	}
	if len(hit) == 0 {
		return change, nil
	}
	tp := partition(s.partition)
	r := change.Ranges[tp]
	r.Counts.Inserted -= int64(len(hit))
	r.Counts.Updated = int64(len(hit))
	change.Ranges[tp] = r
	change.Base = headOf(tbl)
	change.Deletes, err = committest.Deletes(ctx, store, tbl.Metadata(), change.ID, hit)
	return change, err
}

// rewrite is the change that makes one data file of the first n of tbl, or none when their rows are deleted.
func (w *world) rewrite(ctx context.Context, store objstore.Store, tbl *table.Table, n int) (commit.Change, error) {
	change := commit.Change{ID: w.ids(), Base: headOf(tbl)}
	live, err := alive(ctx, store, tbl)
	if err != nil {
		return change, err
	}
	var rows int64
	for _, d := range live[:n] {
		rows += d.File.Count() - d.Rows
		change.Removed = append(change.Removed, d.File)
	}
	if rows == 0 {
		return change, nil
	}
	file, err := committest.DataFile(ctx, store, tbl.Metadata(),
		committest.File{Change: change.ID, Rows: rows, Region: "r0"})
	change.Files = []iceberg.DataFile{file}
	return change, err
}

func (w *world) mustUpsert(t testing.TB, c *commit.Committer, s step, n int) commit.Committed {
	t.Helper()
	change, err := w.upsert(t.Context(), w.store, c.Table(), s, n)
	require.NoError(t, err)
	done, err := c.Commit(t.Context(), change)
	require.NoError(t, err)
	return done
}

func summaryOf(done commit.Committed) (icetable.Operation, map[string]string) {
	s := done.Table.Metadata().SnapshotByID(done.SnapshotID).Summary
	return s.Operation, s.Properties
}

func TestDeletesTakeThePlaceOfThoseBefore(t *testing.T) {
	shapes(t, func(t *testing.T, s shape) {
		w := newWorld(t, s)
		c := w.open(t, committest.Options(1, "a"))
		for i := range commit.Offset(3) {
			_, err := w.commit(t, c, step{from: 10 * i, rows: 10})
			require.NoError(t, err)
		}
		done := w.mustUpsert(t, c, step{from: 30, rows: 4}, 2)
		operation, props := summaryOf(done)
		require.Equal(t, icetable.OpOverwrite, operation)
		require.Equal(t, "2", props["added-delete-files"])
		require.Equal(t, "2", props["added-position-deletes"])
		require.NotContains(t, props, "removed-delete-files")
		done = w.mustUpsert(t, c, step{from: 34, rows: 4}, 3)
		_, props = summaryOf(done)
		dvs := map[int]string{2: "", 3: "3"}[s.version]
		require.Equal(t, dvs, props["added-dvs"])
		require.Equal(t, "3", props["added-delete-files"])
		require.Equal(t, "5", props["added-position-deletes"])
		require.Equal(t, "2", props["removed-delete-files"])
		require.Equal(t, "2", props["removed-position-deletes"])
		require.Equal(t, "3", props["total-delete-files"])
		require.Equal(t, "5", props["total-position-deletes"])
		require.Equal(t, "38", props["total-records"])
		report := w.check(t)
		require.EqualValues(t, 5, report.Deleted)
		require.EqualValues(t, 38, report.Rows)
		require.NoError(t, c.CheckHoldings(t.Context()))

		// Rows that only go.
		change, err := w.upsert(t.Context(), w.store, c.Table(), step{from: 38, rows: 1}, 1)
		require.NoError(t, err)
		change.Files = nil
		change.Ranges[partition(0)] = commit.Range{From: 38, Next: 39, Counts: commit.Counts{Deleted: 1}}
		done, err = c.Commit(t.Context(), change)
		require.NoError(t, err)
		operation, _ = summaryOf(done)
		require.Equal(t, icetable.OpDelete, operation)
		require.EqualValues(t, 6, w.check(t).Deleted)
	})
}

func TestRewriteTakesFilesAndTheirDeletesOut(t *testing.T) {
	shapes(t, func(t *testing.T, s shape) {
		w := newWorld(t, s)
		c := w.open(t, committest.Options(1, "a"))
		for i := range commit.Offset(4) {
			w.mustUpsert(t, c, step{from: 10 * i, rows: 10}, 2)
		}
		before := w.check(t)
		base := c.Table().Metadata().CurrentSnapshot().SequenceNumber
		change, err := w.rewrite(t.Context(), w.store, c.Table(), 3)
		require.NoError(t, err)
		w.mustUpsert(t, c, step{partition: 1, rows: 2}, 0) // others append meanwhile
		done, err := c.Commit(t.Context(), change)
		require.NoError(t, err)
		operation, props := summaryOf(done)
		require.Equal(t, icetable.OpReplace, operation)
		require.Equal(t, "3", props["deleted-data-files"])
		require.Equal(t, "1", props["added-data-files"])
		report := w.check(t)
		require.Equal(t, before.Rows-before.Deleted+2, report.Rows-report.Deleted)
		require.Less(t, report.Deleted, before.Deleted)
		require.Equal(t, before.Ledger.Position[partition(0)], report.Ledger.Position[partition(0)])
		for entry, err := range table.Entries(t.Context(), c.Table(), w.store, done.SnapshotID) {
			require.NoError(t, err)
			if entry.File.FilePath() == change.Files[0].FilePath() {
				require.Equal(t, base, entry.SequenceNumber)
				require.Equal(t, done.SequenceNumber, entry.FileSequenceNumber)
			}
		}
		again, err := c.Commit(t.Context(), change)
		require.NoError(t, err)
		require.Equal(t, done.SnapshotID, again.SnapshotID)
		require.NoError(t, c.CheckHoldings(t.Context()))
		w.mustUpsert(t, c, step{from: 40, rows: 10}, 9)
		w.check(t)
	})
}

func TestStaleChangesAreRefused(t *testing.T) {
	for _, version := range []int{2, 3} {
		w := newWorld(t, shape{version: version})
		c := w.open(t, committest.Options(1, "a"))
		for i := range commit.Offset(3) {
			_, err := w.commit(t, c, step{from: 10 * i, rows: 10})
			require.NoError(t, err)
		}
		early := c.Table()
		live, err := alive(t.Context(), w.store, early)
		require.NoError(t, err)
		w.mustUpsert(t, c, step{from: 30, rows: 2}, 1) // the first file gets deletes
		refused := func(change commit.Change, err error) *commit.StaleError {
			t.Helper()
			require.NoError(t, err)
			before := w.check(t)
			_, err = c.Commit(t.Context(), change)
			require.ErrorIs(t, err, commit.ErrStale)
			require.True(t, commit.IsFinal(err))
			require.Equal(t, before.Snapshots, w.check(t).Snapshots)
			require.NoError(t, w.noOrphans(t))
			var stale *commit.StaleError
			require.True(t, errors.As(err, &stale))
			return stale
		}
		stale := refused(w.upsert(t.Context(), w.store, early, step{from: 32, rows: 2}, 2))
		require.Equal(t, []string{live[0].File.FilePath()}, stale.Files)
		require.Equal(t, headOf(early), stale.Base)
		stale = refused(w.rewrite(t.Context(), w.store, early, 2))
		require.Equal(t, []string{live[0].File.FilePath()}, stale.Files)
		// Of a file that got nothing since, deletes land whatever else happened.
		change, err := w.upsert(t.Context(), w.store, early, step{from: 32, rows: 1}, 2)
		require.NoError(t, err)
		change.Deletes, err = committest.Deletes(t.Context(), w.store, early.Metadata(), change.ID,
			[]committest.Deleted{{File: live[1].File, Rows: 1}})
		require.NoError(t, err)
		_, err = c.Commit(t.Context(), change)
		require.NoError(t, err)
		// A file that was rewritten.
		middle := c.Table()
		change, err = w.rewrite(t.Context(), w.store, middle, 2)
		require.NoError(t, err)
		_, err = c.Commit(t.Context(), change)
		require.NoError(t, err)
		stale = refused(w.upsert(t.Context(), w.store, middle, step{from: 33, rows: 2}, 1))
		require.Len(t, stale.Files, 1)
		stale = refused(w.rewrite(t.Context(), w.store, middle, 1))
		require.Len(t, stale.Files, 1)
		// A change for one snapshot alone, whatever others did.
		change, err = w.change(t.Context(), w.store, step{from: 33, rows: 2})
		change.Base, change.Pinned = headOf(middle), true
		stale = refused(change, err)
		require.True(t, stale.Pinned)
		require.Empty(t, stale.Files)
		require.ErrorContains(t, stale, "was worked out for snapshot")
		change.Base = headOf(c.Table())
		_, err = c.Commit(t.Context(), change)
		require.NoError(t, err)
		// A base that is not there.
		change, err = w.rewrite(t.Context(), w.store, c.Table(), 1)
		change.Base = 4711
		require.Empty(t, refused(change, err).Files)
	}
}

func TestRowsBeyondTheCountsAreSaid(t *testing.T) {
	w := newWorld(t, shape{version: 3})
	c := w.open(t, committest.Options(1, "a"))
	_, err := w.commit(t, c, step{from: 0, rows: 10})
	require.NoError(t, err)
	change, err := w.upsert(t.Context(), w.store, c.Table(), step{from: 10, rows: 3}, 1)
	require.NoError(t, err)
	tp := partition(0)
	r := change.Ranges[tp]
	r.Counts = commit.Counts{Inserted: 1, Superseded: 2} // one record that added two rows and replaced one
	change.Ranges[tp] = r
	_, err = c.Commit(t.Context(), change)
	require.ErrorIs(t, err, commit.ErrInvalid)
	change.Uncounted = commit.Uncounted{Added: 2, Taken: -1}
	_, err = c.Commit(t.Context(), change)
	require.ErrorContains(t, err, "negative")
	change.Uncounted.Taken = 2
	_, err = c.Commit(t.Context(), change)
	require.ErrorContains(t, err, "it deletes 1 rows")
	change.Uncounted.Taken = 1
	_, err = c.Commit(t.Context(), change)
	require.NoError(t, err)
}

func TestInvalidDeletesAreRefused(t *testing.T) {
	for _, version := range []int{2, 3} {
		w := newWorld(t, shape{version: version})
		c := w.open(t, committest.Options(1, "a"))
		for i := range commit.Offset(3) {
			_, err := w.commit(t, c, step{from: 10 * i, rows: 10})
			require.NoError(t, err)
		}
		w.mustUpsert(t, c, step{from: 30, rows: 4}, 2)
		w.mustUpsert(t, c, step{from: 34, rows: 4}, 2)
		good, err := w.upsert(t.Context(), w.store, c.Table(), step{from: 38, rows: 4}, 2)
		require.NoError(t, err)
		smaller, err := committest.Deletes(t.Context(), w.store, c.Table().Metadata(), w.ids(), []committest.Deleted{
			{File: mustAlive(t, w, c)[0].File, Rows: 1}})
		require.NoError(t, err)
		other := newWorld(t, shape{version: 5 - version})
		foreign, err := committest.Deletes(t.Context(), other.store, mustLoad(t, other).Metadata(), w.ids(),
			[]committest.Deleted{{File: mustAlive(t, w, c)[0].File, Rows: 3}})
		require.NoError(t, err)
		compact, err := w.rewrite(t.Context(), w.store, c.Table(), 2)
		require.NoError(t, err)
		for name, spoil := range map[string]func(*commit.Change){
			"no base":           func(c *commit.Change) { c.Base = 0 },
			"same file twice":   func(c *commit.Change) { c.Deletes = append(c.Deletes, c.Deletes[0]) },
			"fewer than before": func(c *commit.Change) { c.Deletes = smaller },
			"other version":     func(c *commit.Change) { c.Deletes = foreign },
			"a data file":       func(c *commit.Change) { c.Deletes = c.Files },
			"too few":           func(c *commit.Change) { c.Deletes = c.Deletes[:1] },
			"removes too":       func(c *commit.Change) { c.Removed = compact.Removed },
			"rewrite with more": func(c *commit.Change) { *c = compact; c.Files = good.Files },
			"rewrite removes deletes": func(c *commit.Change) {
				*c = compact
				c.Removed = slices.Concat(c.Removed, smaller)
			},
			"rewrite deletes elsewhere": func(c *commit.Change) { *c = compact; c.Deletes = good.Deletes },
			"removed and added":         func(c *commit.Change) { *c = compact; c.Files = c.Removed },
		} {
			bad := good
			spoil(&bad)
			bad.ID = uuid.New()
			_, err := c.Commit(t.Context(), bad)
			require.ErrorIs(t, err, commit.ErrInvalid, name)
		}
		_, err = c.Commit(t.Context(), good)
		require.NoError(t, err)
		w.check(t)
		require.NoError(t, w.noOrphans(t))
	}
}

func mustLoad(t testing.TB, w *world) *table.Table {
	tbl, err := w.catalog.LoadTable(t.Context(), events)
	require.NoError(t, err)
	return tbl
}

func mustAlive(t testing.TB, w *world, c *commit.Committer) []committest.Deleted {
	live, err := alive(t.Context(), w.store, c.Table())
	require.NoError(t, err)
	return live
}

// TestManyUpsertsExpireWhatTheyReplace commits for long, with rewrites, restarts and a tag between.
func TestManyUpsertsExpireWhatTheyReplace(t *testing.T) {
	shapes(t, func(t *testing.T, s shape) {
		w := newWorld(t, s)
		opts := committest.Options(1, "a")
		opts.SnapshotsKeep = 6
		c := w.open(t, opts)
		length := commit.Offset(60)
		if testing.Short() {
			length = 24
		}
		for i := range length {
			w.mustUpsert(t, c, step{from: 4 * i, rows: 4}, 3)
			if i%10 == 9 {
				change, err := w.rewrite(t.Context(), w.store, c.Table(), 5)
				require.NoError(t, err)
				_, err = c.Commit(t.Context(), change)
				require.NoError(t, err)
			}
			switch i {
			case length / 3:
				_, err := w.catalog.CommitTable(t.Context(), events, nil, []icetable.Update{
					icetable.NewSetSnapshotRefUpdate("v1", headOf(c.Table()), icetable.TagRef, 0, 0, 0)})
				require.NoError(t, err)
			case length / 2:
				c = w.open(t, opts)
			case length * 3 / 4:
				_, err := w.catalog.CommitTable(t.Context(), events, nil,
					[]icetable.Update{icetable.NewRemoveSnapshotRefUpdate("v1")})
				require.NoError(t, err)
			}
			if i%10 == 5 {
				require.LessOrEqual(t, w.check(t).Manifests, 25)
				require.NoError(t, c.CheckHoldings(t.Context()))
				require.NoError(t, w.everyFileIsThere(t))
			}
		}
		report := w.check(t)
		require.EqualValues(t, 4*length, report.Rows+report.Ledger.Foreign.Compacted)
		require.NoError(t, w.noOrphans(t))
		needed := w.files(t)
		old := 0
		for object, err := range w.store.List(t.Context(), "mem://lake/db.events/data/") {
			require.NoError(t, err)
			if !needed[object.Location] {
				old++
			}
		}
		// What the tag held when its snapshot left is an orphan, and what was removed while it did.
		require.Less(t, old, 60, "of %d files", len(needed))
	})
}

// files are the data and delete files that any snapshot needs.
func (w *world) files(t testing.TB) map[string]bool {
	tbl := mustLoad(t, w)
	needed, err := committest.Files(t.Context(), w.store, tbl.Metadata())
	require.NoError(t, err)
	return needed
}

// everyFileIsThere looks for the files of all snapshots.
func (w *world) everyFileIsThere(t testing.TB) error {
	for location := range w.files(t) {
		if _, err := w.store.Stat(t.Context(), location); err != nil {
			return fmt.Errorf("a snapshot needs it: %w", err)
		}
	}
	return nil
}

func TestDeletesGoOnBehindForeignCommits(t *testing.T) {
	shapes(t, func(t *testing.T, s shape) {
		w := newWorld(t, s)
		c := w.open(t, committest.Options(1, "a"))
		for i := range commit.Offset(5) {
			_, err := w.commit(t, c, step{from: 10 * i, rows: 10})
			require.NoError(t, err)
		}
		first := mustAlive(t, w, c)[0]
		early, err := w.upsert(t.Context(), w.store, c.Table(), step{from: 50, rows: 1}, 1)
		require.NoError(t, err)
		// Holdings are made, and then others rewrite every manifest and remove the file.
		none, err := w.upsert(t.Context(), w.store, c.Table(), step{from: 50, rows: 1}, 1)
		require.NoError(t, err)
		none.Deletes = nil
		_, err = c.Commit(t.Context(), none)
		require.ErrorIs(t, err, commit.ErrInvalid)
		w.stranger(t, 77, 5, map[string]bool{first.File.FilePath(): true})
		_, err = c.Commit(t.Context(), early)
		require.ErrorIs(t, err, commit.ErrStale)
		require.NoError(t, c.Refresh(t.Context()))
		w.mustUpsert(t, c, step{from: 50, rows: 3}, 3)
		require.NoError(t, c.CheckHoldings(t.Context()))
		report := w.check(t)
		require.EqualValues(t, 3, report.Deleted)

		// Others remove a file, and an append comes before the next change with deletes.
		live := mustAlive(t, w, c)
		whole := slices.IndexFunc(live, func(d committest.Deleted) bool { return d.Rows == 0 })
		w.strangerRemoves(t, c, live[whole])
	})
}

// strangerRemoves lets others remove a file without deletes, and finds that deletes of it are stale.
func (w *world) strangerRemoves(t testing.TB, c *commit.Committer, gone committest.Deleted) {
	t.Helper()
	late, err := w.change(t.Context(), w.store, step{from: 54, rows: 1})
	require.NoError(t, err)
	late.Base = headOf(c.Table())
	late.Ranges[partition(0)] = commit.Range{From: 54, Next: 55, Counts: commit.Counts{Updated: 1}}
	late.Deletes, err = committest.Deletes(t.Context(), w.store, c.Table().Metadata(), late.ID,
		[]committest.Deleted{{File: gone.File, Rows: 1}})
	require.NoError(t, err)
	w.stranger(t, 78, 5, map[string]bool{gone.File.FilePath(): true})
	_, err = w.commit(t, c, step{from: 53, rows: 1})
	require.NoError(t, err)
	_, err = c.Commit(t.Context(), late)
	require.ErrorIs(t, err, commit.ErrStale)
	require.NoError(t, c.CheckHoldings(t.Context()))
}

// keyedIngest takes in the log as a keyed table does: every chunk replaces rows of two files, and as soon as
// there are five files three of them are made one.
func (w *world) keyedIngest(ctx context.Context, catalog commit.Catalog, store objstore.Store, opts commit.Options,
) error {
	opts.SnapshotsKeep = 4
	c, err := commit.Open(ctx, catalog, store, events, opts)
	for try := 0; err != nil; try++ {
		if try == 3 || dead(err) {
			return err
		}
		c, err = commit.Open(ctx, catalog, store, events, opts)
	}
	for failures := 0; ; {
		change, done, err := w.keyedChange(ctx, store, c)
		if done {
			return c.Refresh(ctx)
		}
		if err == nil {
			_, err = c.Commit(ctx, change)
		}
		for errors.Is(err, commit.ErrStateUnknown) && failures < 10 && !dead(err) {
			failures++
			_, err = c.Commit(ctx, change)
		}
		if err != nil {
			if failures++; dead(err) || failures > 10 {
				return err
			}
			if err := c.Refresh(ctx); dead(err) {
				return err
			}
		}
	}
}

func (w *world) keyedChange(ctx context.Context, store objstore.Store, c *commit.Committer,
) (change commit.Change, done bool, err error) {
	live, err := alive(ctx, store, c.Table())
	if err == nil && len(live) >= 5 {
		change, err = w.rewrite(ctx, store, c.Table(), 3)
		return change, false, err
	}
	from := c.Position()[partition(0)]
	if from == logLength {
		return change, true, nil
	}
	if err == nil {
		change, err = w.upsert(ctx, store, c.Table(), step{from: from, rows: 3, other: 1}, 2)
	}
	return change, false, err
}

// keyedSound checks that all is in the table, and that as many rows are left as the log's keys.
func (w *world) keyedSound(t testing.TB) {
	t.Helper()
	report := w.check(t)
	counts := report.Covered[partition(0)].Counts
	require.EqualValues(t, logLength, counts.Sum())
	require.EqualValues(t, logLength/4*3, counts.Inserted+counts.Updated)
	require.Equal(t, counts.Inserted, report.Rows-report.Deleted)
	require.NoError(t, w.everyFileIsThere(t))
}

// TestEveryOperationOfAKeyedTableMayFail is TestEveryOperationMayFail with deletes and rewrites.
func TestEveryOperationOfAKeyedTableMayFail(t *testing.T) {
	turn := turns()
	for _, version := range []int{2, 3} {
		w := newWorld(t, shape{version: version, partitioned: version == 2})
		clean := w.process(nil, nil)
		require.NoError(t, w.keyedIngest(t.Context(), clean.Catalog, clean.Store, committest.Options(1, "a")))
		w.keyedSound(t)
		stride := strideOf(89, 401)
		for n := version % stride; n < clean.Catalog.Ops(); n += max(1, stride/8) {
			for fault := committest.ErrorBefore; fault <= committest.CrashLate; fault++ {
				if turn() {
					keyedSweepOne(t, version, committest.FailAt(n, fault), nil,
						fmt.Sprintf("v%d catalog operation %d fault %d", version, n, fault))
				}
			}
		}
		for n := int64(version % stride); n < clean.Store.Ops(); n += int64(stride) {
			for fault := objstore.ErrorBefore; fault <= objstore.CrashAfter; fault++ {
				if turn() {
					keyedSweepOne(t, version, nil, objstore.FailAt(n, objstore.Fault{Kind: fault}),
						fmt.Sprintf("v%d store operation %d fault %d", version, n, fault))
				}
			}
		}
	}
}

func keyedSweepOne(t *testing.T, version int, catalogPlan func(int) committest.Fault, storePlan objstore.Plan,
	name string) {
	defer func() {
		if t.Failed() {
			t.Log("at " + name)
		}
	}()
	w := newWorld(t, shape{version: version, partitioned: version == 2})
	p := w.process(catalogPlan, storePlan)
	err := w.keyedIngest(t.Context(), p.Catalog, p.Store, committest.Options(1, "a"))
	if !p.Crashed() {
		require.NoError(t, err, name)
		p.Catalog.Settle()
		w.keyedSound(t)
		return
	}
	next := w.process(func(op int) committest.Fault {
		if op == 1 { // opened, not yet committed
			p.Catalog.Settle()
		}
		return committest.NoFault
	}, nil)
	require.NoError(t, w.keyedIngest(t.Context(), next.Catalog, next.Store, committest.Options(2, "b")), name)
	w.keyedSound(t)
}
