package commit_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/commit/committest"
	"github.com/firthlake/firth/table"
)

func (w *world) letters(t testing.TB) committest.Report {
	t.Helper()
	report, err := committest.Check(t.Context(), w.catalog, w.store, deadLetters)
	require.NoError(t, err)
	return report
}

func TestDeadLettersFollowTheirCommit(t *testing.T) {
	shapes(t, func(t *testing.T, s shape) {
		w := newWorld(t, s)
		c := w.open(t, committest.Options(1, "a"))
		for i := range commit.Offset(12) {
			_, err := w.commit(t, c, step{from: i * 4, rows: 2, dead: 2})
			require.NoError(t, err)
			require.EqualValues(t, 2*(i+1), w.letters(t).Rows)
		}
		_, err := w.commit(t, c, step{from: 48, other: 1})
		require.NoError(t, err)
		require.Empty(t, w.check(t).Ledger.Pending)
		require.EqualValues(t, 24, w.letters(t).Rows)
	})
}

// catalogWithout makes commits to one table fail while dark.
type catalogWithout struct {
	commit.Catalog
	mu    sync.Mutex
	ident table.Ident
	dark  bool
}

func (c *catalogWithout) set(dark bool) { c.mu.Lock(); c.dark = dark; c.mu.Unlock() }

func (c *catalogWithout) CommitTable(ctx context.Context, ident table.Ident, r []icetable.Requirement,
	u []icetable.Update) (*table.Table, error) {
	c.mu.Lock()
	dark := c.dark
	c.mu.Unlock()
	if dark && table.FormatIdent(ident) == table.FormatIdent(c.ident) {
		return nil, errors.New("dark")
	}
	return c.Catalog.CommitTable(ctx, ident, r, u)
}

func TestDeadLettersWaitForTheirTable(t *testing.T) {
	w := newWorld(t, shape{version: 3})
	cat := &catalogWithout{Catalog: w.catalog, ident: deadLetters, dark: true}
	c, err := commit.Open(t.Context(), cat, w.store, events, committest.Options(1, "a"))
	require.NoError(t, err)
	from := commit.Offset(0)
	var refused error
	for range 20 {
		if _, refused = w.commit(t, c, step{from: from, rows: 1, dead: 1}); refused != nil {
			break
		}
		from += 2
	}
	require.ErrorContains(t, refused, "wait for dead-letter table db.events__dead_letters")
	require.Len(t, w.check(t).Ledger.Pending, 16)
	require.Zero(t, w.letters(t).Rows)
	cat.set(false)
	_, err = w.commit(t, c, step{from: from, rows: 1})
	require.NoError(t, err)
	require.EqualValues(t, 16, w.letters(t).Rows)
	require.Empty(t, w.check(t).Ledger.Pending)
}

// TestSleeperPublishesNothingTwice stops a process between decision and publication, lets others take
// over until the dead-letter table has forgotten the commit, and wakes it up.
func TestSleeperPublishesNothingTwice(t *testing.T) {
	w := newWorld(t, shape{version: 2})
	cat := &catalogWithout{Catalog: w.catalog, ident: deadLetters, dark: true}
	sleeper, err := commit.Open(t.Context(), cat, w.store, events, committest.Options(1, "sleeper"))
	require.NoError(t, err)
	_, err = w.commit(t, sleeper, step{rows: 1, dead: 1})
	require.NoError(t, err)
	opts := committest.Options(2, "b")
	opts.SnapshotsKeep = 3
	b := w.open(t, opts)
	for i := range commit.Offset(20) {
		_, err := w.commit(t, b, step{from: 2 + i*2, rows: 1, dead: 1})
		require.NoError(t, err)
	}
	require.EqualValues(t, 21, w.letters(t).Rows)
	cat.set(false)
	_, err = w.commit(t, sleeper, step{from: 2, rows: 1, dead: 1})
	require.ErrorIs(t, err, commit.ErrFenced)
	require.NoError(t, sleeper.Refresh(t.Context()))
	require.EqualValues(t, 21, w.letters(t).Rows)
	w.check(t)
}

func TestCommittersRaceWithoutLossOrRepeat(t *testing.T) {
	w := newWorld(t, shape{version: 3, partitioned: true})
	var wg sync.WaitGroup
	fenced := make([]int, 4)
	for n := range 4 {
		wg.Go(func() {
			opts := committest.Options(uint64(10+n), "racer")
			opts.SnapshotsKeep = 8
			c, err := commit.Open(t.Context(), w.catalog, w.store, events, opts)
			if err != nil {
				t.Error(err)
				return
			}
			own := int32(n / 2) // two racers want each partition
			for {
				from := c.Position()[partition(own)]
				if from >= 60 {
					return
				}
				change, err := w.change(t.Context(), w.store, step{partition: own, from: from, rows: 2, dead: 1})
				if err != nil {
					t.Error(err)
					return
				}
				_, err = c.Commit(t.Context(), change)
				switch {
				case errors.Is(err, commit.ErrFenced):
					fenced[n]++
				case errors.Is(err, commit.ErrConflict):
				case err != nil:
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	report := w.check(t)
	require.Equal(t, commit.Position{partition(0): 60, partition(1): 60}, report.Ledger.Position)
	require.EqualValues(t, 80, report.Rows)
	require.EqualValues(t, 40, w.letters(t).Rows)
	t.Log("fenced", fenced)
}

func TestLargeRangesGoIntoBlobAndLeaveWithSnapshot(t *testing.T) {
	w := newWorld(t, shape{version: 2})
	opts := committest.Options(1, "a")
	opts.SnapshotsKeep = 3
	c := w.open(t, opts)
	for i := range commit.Offset(12) {
		change := commit.Change{ID: w.ids(), Ranges: map[commit.TopicPartition]commit.Range{}}
		for p := range int32(512) {
			change.Ranges[partition(p)] = commit.Range{From: i * 3, Next: i*3 + 3,
				Counts: commit.Counts{Filtered: 3}, Checksum: uint64(p) + 1}
		}
		_, err := c.Commit(t.Context(), change)
		require.NoError(t, err)
	}
	report := w.check(t)
	require.Equal(t, commit.Offset(36), report.Ledger.Position[partition(511)])
	tbl, err := w.catalog.LoadTable(t.Context(), events)
	require.NoError(t, err)
	statistics := 0
	for range tbl.Metadata().Statistics() {
		statistics++
	}
	require.Equal(t, len(tbl.Metadata().Snapshots()), statistics)
	require.NoError(t, w.noOrphans(t))
}

func TestEvolveIsPinnedAndLeavesPosition(t *testing.T) {
	w := newWorld(t, shape{version: 2})
	a, b := w.open(t, committest.Options(1, "a")), w.open(t, committest.Options(2, "b"))
	add := func(name string) func(icetable.Metadata) ([]icetable.Update, error) {
		return func(meta icetable.Metadata) ([]icetable.Update, error) {
			old := meta.CurrentSchema()
			if _, ok := old.FindFieldByName(name); ok {
				return nil, nil
			}
			fields := append(old.Fields(), iceberg.NestedField{ID: meta.LastColumnID() + 1, Name: name,
				Type: iceberg.PrimitiveTypes.String})
			return []icetable.Update{icetable.NewAddSchemaUpdate(iceberg.NewSchema(old.ID+1, fields...)),
				icetable.NewSetCurrentSchemaUpdate(-1)}, nil
		}
	}
	_, err := a.Evolve(t.Context(), add("x"))
	require.NoError(t, err)
	_, err = b.Evolve(t.Context(), add("y")) // b does not know of x yet
	require.NoError(t, err)
	_, err = a.Evolve(t.Context(), add("x"))
	require.NoError(t, err)
	tbl, err := w.catalog.LoadTable(t.Context(), events)
	require.NoError(t, err)
	require.Len(t, tbl.Metadata().CurrentSchema().Fields(), 4)
	_, err = w.commit(t, a, step{rows: 3})
	require.NoError(t, err)
	_, err = a.SetProperties(t.Context(), map[string]string{commit.PropertyPosition: "x"}, nil)
	require.ErrorIs(t, err, table.ErrRefused)
	_, err = a.SetProperties(t.Context(), map[string]string{"owner": "me"}, nil)
	require.NoError(t, err)
	require.EqualValues(t, 3, w.check(t).Rows)
	require.Equal(t, "me", w.property(t, "owner"))
}
