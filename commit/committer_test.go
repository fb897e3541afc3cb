package commit_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	icetable "github.com/apache/iceberg-go/table"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/commit/committest"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

var (
	events      = table.Ident{"db", "events"}
	deadLetters = commit.DeadLettersIdent(events)
	topicID     = uuid.MustParse("11111111-1111-1111-1111-111111111111")
)

func partition(n int32) commit.TopicPartition {
	return commit.TopicPartition{Cluster: "c1", Topic: "events", TopicID: topicID, Partition: n}
}

// world is a catalog and a store with the table events and its dead-letter table.
type world struct {
	catalog *committest.Catalog
	store   *objstore.Memory
	ids     func() uuid.UUID
}

type shape struct {
	version     int
	partitioned bool
}

func newWorld(t testing.TB, s shape) *world {
	w := &world{
		catalog: committest.NewCatalog(),
		store:   objstore.NewMemory(time.Now),
		ids:     committest.Options(99, "test").NewID,
	}
	for _, ident := range []table.Ident{events, deadLetters} {
		meta, err := committest.Metadata(s.version, "mem://lake/"+table.FormatIdent(ident), s.partitioned)
		require.NoError(t, err)
		require.NoError(t, w.catalog.Create(ident, meta))
	}
	return w
}

func (w *world) open(t testing.TB, opts commit.Options) *commit.Committer {
	c, err := commit.Open(t.Context(), w.catalog, w.store, events, opts)
	require.NoError(t, err)
	return c
}

func (w *world) check(t testing.TB) committest.Report {
	t.Helper()
	report, err := committest.Check(t.Context(), w.catalog, w.store, events)
	require.NoError(t, err)
	return report
}

// step is one change in small: rows of one file, dead letters, and offsets of one partition.
type step struct {
	partition         int32
	from              commit.Offset
	rows, dead, other int64
}

// change makes the change of a step; the files are written to store.
func (w *world) change(ctx context.Context, store objstore.Store, s step) (commit.Change, error) {
	change := commit.Change{ID: w.ids()}
	length := commit.Offset(s.rows + s.dead + s.other)
	change.Ranges = map[commit.TopicPartition]commit.Range{partition(s.partition): {
		From: s.from, Next: s.from + length, Checksum: uint64(s.rows) * 0x9E3779B97F4A7C15,
		Counts: commit.Counts{Inserted: s.rows, DeadLetters: s.dead, Filtered: s.other},
	}}
	add := func(ident table.Ident, rows int64) error {
		if rows == 0 {
			return nil
		}
		tbl, err := w.catalog.LoadTable(ctx, ident)
		if err != nil {
			return err
		}
		f, err := committest.DataFile(ctx, store, tbl.Metadata(), committest.File{
			Change: change.ID, Rows: rows, Region: fmt.Sprintf("r%d", rows%3)})
		if err != nil {
			return err
		}
		if ident[1] == events[1] {
			change.Files = append(change.Files, f)
		} else {
			change.DeadLetters = append(change.DeadLetters, f)
		}
		return nil
	}
	if err := add(events, s.rows); err != nil {
		return change, err
	}
	return change, add(deadLetters, s.dead)
}

func (w *world) commit(t testing.TB, c *commit.Committer, s step) (commit.Committed, error) {
	t.Helper()
	change, err := w.change(t.Context(), w.store, s)
	require.NoError(t, err)
	return c.Commit(t.Context(), change)
}

// shapes runs a test on tables of either version, partitioned or not; of these four, two that have all of it in the
// short form.
func shapes(t *testing.T, run func(t *testing.T, s shape)) {
	list := []shape{{2, true}, {3, false}, {2, false}, {3, true}}
	if testing.Short() {
		list = list[:2]
	}
	for _, s := range list {
		t.Run(fmt.Sprintf("v%d partitioned=%t", s.version, s.partitioned), func(t *testing.T) { run(t, s) })
	}
}

func TestCommitMovesFilesAndPositionTogether(t *testing.T) {
	shapes(t, func(t *testing.T, s shape) {
		w := newWorld(t, s)
		c := w.open(t, committest.Options(1, "a"))
		done, err := w.commit(t, c, step{from: 100, rows: 5})
		require.NoError(t, err)
		require.EqualValues(t, 1, done.SequenceNumber)
		_, err = w.commit(t, c, step{from: 105, rows: 2, other: 3})
		require.NoError(t, err)
		_, err = w.commit(t, c, step{partition: 1, rows: 7})
		require.NoError(t, err)
		report := w.check(t)
		require.Equal(t, commit.Position{partition(0): 110, partition(1): 7}, report.Ledger.Position)
		require.Equal(t, c.Position(), report.Ledger.Position)
		require.EqualValues(t, 14, report.Rows)
		require.Len(t, report.Files, 3)
	})
}

func TestCommitWithoutFilesMakesSnapshot(t *testing.T) {
	shapes(t, func(t *testing.T, s shape) {
		w := newWorld(t, s)
		c := w.open(t, committest.Options(1, "a"))
		for i := range commit.Offset(3) {
			_, err := w.commit(t, c, step{from: i * 4, other: 4})
			require.NoError(t, err)
		}
		report := w.check(t)
		require.Equal(t, 3, report.Snapshots)
		require.Zero(t, report.Rows)
		require.Equal(t, commit.Position{partition(0): 12}, report.Ledger.Position)
	})
}

func TestEachNewVersionIsTold(t *testing.T) {
	w := newWorld(t, shape{version: 3})
	told := 0
	opts := committest.Options(1, "a")
	opts.Moved = func() { told++ }
	c := w.open(t, opts)
	require.Equal(t, 1, told)
	_, err := w.commit(t, c, step{rows: 1})
	require.NoError(t, err)
	require.Equal(t, 2, told)
	require.NoError(t, c.Refresh(t.Context()))
	require.Equal(t, 2, told, "it stands where it stood")
	_, err = w.commit(t, w.open(t, committest.Options(2, "b")), step{from: 1, rows: 1})
	require.NoError(t, err)
	require.NoError(t, c.Refresh(t.Context()))
	require.Equal(t, 3, told, "another has moved it")
}

func TestLateWriterIsFenced(t *testing.T) {
	w := newWorld(t, shape{version: 2})
	a, b := w.open(t, committest.Options(1, "host-a")), w.open(t, committest.Options(2, "host-b"))
	_, err := w.commit(t, a, step{rows: 5})
	require.NoError(t, err)
	_, err = w.commit(t, b, step{rows: 5}) // b still thinks that the table is empty
	require.ErrorIs(t, err, commit.ErrFenced)
	require.True(t, commit.IsFinal(err))
	var fenced *commit.FencedError
	require.ErrorAs(t, err, &fenced)
	require.Equal(t, commit.Offset(5), fenced.Position)
	require.Equal(t, "host-a", fenced.Writer)
	require.Contains(t, err.Error(), "held by host-a since")
	require.EqualValues(t, 5, w.check(t).Rows)
	// Its own partition is free for it, and a sees that on its next commit.
	_, err = w.commit(t, b, step{partition: 1, rows: 3})
	require.NoError(t, err)
	_, err = w.commit(t, a, step{from: 5, rows: 2})
	require.NoError(t, err)
	require.EqualValues(t, 10, w.check(t).Rows)
}

func TestSameChangeLandsOnce(t *testing.T) {
	w := newWorld(t, shape{version: 2})
	c := w.open(t, committest.Options(1, "a"))
	change, err := w.change(t.Context(), w.store, step{rows: 5})
	require.NoError(t, err)
	first, err := c.Commit(t.Context(), change)
	require.NoError(t, err)
	again, err := c.Commit(t.Context(), change)
	require.NoError(t, err)
	require.Equal(t, first.SnapshotID, again.SnapshotID)
	elsewhere, err := w.open(t, committest.Options(2, "b")).Commit(t.Context(), change)
	require.NoError(t, err)
	require.Equal(t, first.SnapshotID, elsewhere.SnapshotID)
	require.EqualValues(t, 5, w.check(t).Rows)
}

func TestCommitSettlesCatalogFaults(t *testing.T) {
	faults := map[string]struct {
		plan func(int) committest.Fault
		want error
	}{
		"conflict":        {committest.FailAt(1, committest.Conflict), nil},
		"error before":    {committest.FailAt(1, committest.ErrorBefore), nil},
		"answer lost":     {committest.FailAt(1, committest.AnswerLost), nil},
		"lands late":      {committest.FailAt(1, committest.LandsLate), nil},
		"lands later":     {committest.FailAt(1, committest.LandsLater), nil},
		"lost and dark":   {from(1, committest.AnswerLost), commit.ErrStateUnknown},
		"late and dark":   {from(1, committest.LandsLater), commit.ErrStateUnknown},
		"always conflict": {odd(committest.Conflict), commit.ErrConflict},
	}
	for name, f := range faults {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, shape{version: 3})
			faulty := committest.NewFaulty(w.catalog, f.plan)
			c, err := commit.Open(t.Context(), faulty, w.store, events, committest.Options(1, "a"))
			require.NoError(t, err)
			change, err := w.change(t.Context(), w.store, step{rows: 5})
			require.NoError(t, err)
			_, err = c.Commit(t.Context(), change)
			require.ErrorIs(t, err, f.want)
			faulty.Settle()
			// The caller's next try, here by a new process, lands it or finds it.
			_, err = w.open(t, committest.Options(2, "b")).Commit(t.Context(), change)
			require.NoError(t, err)
			report := w.check(t)
			require.EqualValues(t, 5, report.Rows)
			require.Equal(t, 1, report.Snapshots)
		})
	}
}

// from gives every operation from n on a fault.
func from(n int, fault committest.Fault) func(int) committest.Fault {
	return func(op int) committest.Fault {
		if op >= n {
			return fault
		}
		return committest.NoFault
	}
}

// odd spares every second operation: reloads work, commits do not.
func odd(fault committest.Fault) func(int) committest.Fault {
	return func(op int) committest.Fault {
		if op%2 == 1 {
			return fault
		}
		return committest.NoFault
	}
}

func TestManySnapshotsExpireAndFold(t *testing.T) {
	shapes(t, func(t *testing.T, s shape) {
		w := newWorld(t, s)
		opts := committest.Options(1, "a")
		opts.SnapshotsKeep = 10
		c := w.open(t, opts)
		next, total, commits := commit.Offset(0), int64(0), 200
		if testing.Short() {
			commits = 30
		}
		for i := range commits {
			rows := int64(i % 3)
			total += rows
			_, err := w.commit(t, c, step{partition: int32(i % 2), from: next, rows: rows, other: 3 - rows})
			require.NoError(t, err)
			if i%2 == 1 {
				next += 3
			}
			if i%10 == 0 {
				report := w.check(t)
				require.LessOrEqual(t, report.Snapshots, 11)
				require.LessOrEqual(t, report.Manifests, 25)
			}
		}
		report := w.check(t)
		require.Equal(t, commit.Position{partition(0): next, partition(1): next}, report.Ledger.Position)
		require.EqualValues(t, commits/2*3, next)
		require.Equal(t, total, report.Rows)
		require.NoError(t, w.noOrphans(t))
	})
}

// noOrphans says which metadata objects of events no snapshot needs.
func (w *world) noOrphans(t testing.TB) error {
	tbl, err := w.catalog.LoadTable(t.Context(), events)
	require.NoError(t, err)
	needed, err := committest.MetadataFiles(t.Context(), w.store, tbl.Metadata())
	require.NoError(t, err)
	for object, err := range w.store.List(t.Context(), tbl.Metadata().Location()+"/metadata/") {
		require.NoError(t, err)
		if !needed[object.Location] {
			return fmt.Errorf("%s is an orphan", object.Location)
		}
	}
	return nil
}

func TestSnapshotOfTagStays(t *testing.T) {
	w := newWorld(t, shape{version: 2})
	opts := committest.Options(1, "a")
	opts.SnapshotsKeep = 5
	c := w.open(t, opts)
	var tagged int64
	for i := range commit.Offset(16) {
		done, err := w.commit(t, c, step{from: i, rows: 1})
		require.NoError(t, err)
		if i == 7 {
			tagged = done.SnapshotID
			_, err := w.catalog.CommitTable(t.Context(), events, nil, []icetable.Update{
				icetable.NewSetSnapshotRefUpdate("v1", tagged, icetable.TagRef, 0, 0, 0)})
			require.NoError(t, err)
		}
		w.check(t)
	}
	tbl, err := w.catalog.LoadTable(t.Context(), events)
	require.NoError(t, err)
	require.NotNil(t, tbl.Metadata().SnapshotByID(tagged))
	require.NoError(t, w.noOrphans(t))
}

func TestAnotherIdentityIsRefusedUntilDeclared(t *testing.T) {
	w := newWorld(t, shape{version: 2})
	c := w.open(t, committest.Options(1, "a"))
	_, err := w.commit(t, c, step{rows: 5})
	require.NoError(t, err)
	recreated := partition(0)
	recreated.TopicID = uuid.MustParse("22222222-2222-2222-2222-222222222222")
	moved := partition(0)
	moved.Cluster = "c2"
	one := func(tp commit.TopicPartition) commit.Change {
		return commit.Change{ID: w.ids(), Ranges: map[commit.TopicPartition]commit.Range{
			tp: {Next: 1, Counts: commit.Counts{Filtered: 1}}}}
	}
	_, err = c.Commit(t.Context(), one(recreated))
	require.ErrorIs(t, err, commit.ErrTopicRecreated)
	_, err = c.Commit(t.Context(), one(moved))
	require.ErrorIs(t, err, commit.ErrClusterChanged)
	require.Contains(t, err.Error(), "feed a new table")
	_, err = c.Transition(t.Context(), commit.Position{recreated: 0})
	require.NoError(t, err)
	_, err = c.Commit(t.Context(), one(recreated))
	require.NoError(t, err)
	require.Equal(t, commit.Position{partition(0): 5, recreated: 1}, w.check(t).Ledger.Position)
}

func TestAcceptedLossStandsInLedger(t *testing.T) {
	w := newWorld(t, shape{version: 2})
	c := w.open(t, committest.Options(1, "a"))
	_, err := w.commit(t, c, step{rows: 5})
	require.NoError(t, err)
	_, err = c.AcceptLoss(t.Context(), partition(0), 4, 50)
	require.ErrorIs(t, err, commit.ErrFenced)
	_, err = c.AcceptLoss(t.Context(), partition(0), 5, 50)
	require.NoError(t, err)
	report := w.check(t)
	require.EqualValues(t, 45, report.Covered[partition(0)].Counts.Lost)
	require.Equal(t, commit.Position{partition(0): 50}, report.Ledger.Position)
}

func TestOpenTakesALoadedTable(t *testing.T) {
	w := newWorld(t, shape{version: 2})
	first := w.open(t, committest.Options(1, "first"))
	_, err := w.commit(t, first, step{rows: 10})
	require.NoError(t, err)
	loaded, err := w.catalog.LoadTable(t.Context(), events)
	require.NoError(t, err)

	opts := committest.Options(2, "second")
	opts.Table = loaded
	loads := 0
	counted := countLoads{Catalog: w.catalog, loads: &loads}
	second, err := commit.Open(t.Context(), counted, w.store, events, opts)
	require.NoError(t, err)
	require.Zero(t, loads)
	require.Equal(t, first.Position(), second.Position())
	_, err = w.commit(t, second, step{from: 10, rows: 5})
	require.NoError(t, err)
	require.Zero(t, loads)

	opts.Table = table.New(table.Ident{"db", "other"}, loaded.Metadata(), loaded.MetadataLocation())
	_, err = commit.Open(t.Context(), w.catalog, w.store, events, opts)
	require.ErrorContains(t, err, "Table is db.other")
}

// countLoads is a catalog that counts how often the table of events is loaded.
type countLoads struct {
	commit.Catalog
	loads *int
}

func (c countLoads) LoadTable(ctx context.Context, ident table.Ident) (*table.Table, error) {
	if ident[1] == events[1] {
		*c.loads++
	}
	return c.Catalog.LoadTable(ctx, ident)
}

// TestATableThatMovedSinceItWasLoadedIsFenced hands a table over that another writer moves on before
// the committer is opened, and again before it commits.
func TestATableThatMovedSinceItWasLoadedIsFenced(t *testing.T) {
	for _, keep := range []int{50, 1} { // with 1 the snapshot that was loaded, and its manifest list, are gone
		t.Run(fmt.Sprintf("keep %d", keep), func(t *testing.T) {
			w := newWorld(t, shape{version: 3})
			opts := committest.Options(1, "first")
			opts.SnapshotsKeep, opts.SnapshotAgeMin = keep, 0
			first := w.open(t, opts)
			_, err := w.commit(t, first, step{rows: 10, dead: 2})
			require.NoError(t, err)
			loaded, err := w.catalog.LoadTable(t.Context(), events)
			require.NoError(t, err)
			for i := range commit.Offset(20) {
				_, err = w.commit(t, first, step{from: 12 + i, rows: 1})
				require.NoError(t, err)
			}

			opts = committest.Options(2, "second")
			opts.Table = loaded
			second := w.open(t, opts)
			_, err = w.commit(t, second, step{from: 12, rows: 1})
			require.ErrorIs(t, err, commit.ErrFenced)
			_, err = w.commit(t, second, step{partition: 1, rows: 3})
			require.NoError(t, err)
			require.NoError(t, second.Refresh(t.Context()))
			require.EqualValues(t, 32, second.Position()[partition(0)])
			_, err = w.commit(t, second, step{from: 32, rows: 4})
			require.NoError(t, err)
			require.EqualValues(t, 37, w.check(t).Rows)
		})
	}
}
