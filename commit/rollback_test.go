package commit_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	icetable "github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/commit/committest"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// contents is what a snapshot held: the deleted rows of each data file, and where the table stood.
type contents struct {
	deleted  map[string]int64
	position commit.Position
}

func (w *world) contents(t testing.TB, c *commit.Committer) contents {
	t.Helper()
	out := contents{deleted: map[string]int64{}, position: maps.Clone(c.Position())}
	for _, d := range mustAlive(t, w, c) {
		out.deleted[d.File.FilePath()] = d.Rows
	}
	return out
}

func TestRollbackBringsAnEarlierSnapshotBackWithItsPosition(t *testing.T) {
	shapes(t, func(t *testing.T, s shape) {
		w := newWorld(t, s)
		c := w.open(t, committest.Options(1, "a"))
		for i := range commit.Offset(4) {
			w.mustUpsert(t, c, step{from: 10 * i, rows: 9, other: 1}, 2)
		}
		target, then := headOf(c.Table()), w.contents(t, c)
		before := w.check(t)
		w.mustUpsert(t, c, step{from: 40, rows: 10}, 3)
		rewrite, err := w.rewrite(t.Context(), w.store, c.Table(), 3)
		require.NoError(t, err)
		_, err = c.Commit(t.Context(), rewrite)
		require.NoError(t, err)
		w.mustUpsert(t, c, step{partition: 1, from: 7, rows: 5}, 1)
		late, err := w.change(t.Context(), w.store, step{from: 50, rows: 10})
		require.NoError(t, err)

		operator := w.open(t, committest.Options(2, "operator"))
		planned, err := operator.PlanRollback(t.Context(), commit.Rollback{SnapshotID: target})
		require.NoError(t, err)
		require.Equal(t, 3, planned.Snapshots)
		require.EqualValues(t, 10, planned.Ranges[partition(0)].Counts.Sum())
		require.Equal(t, commit.Position{partition(0): 40, partition(1): 7}, planned.Position)
		done, err := operator.Rollback(t.Context(), commit.Rollback{SnapshotID: target})
		require.NoError(t, err)
		require.Equal(t, done.SnapshotID, headOf(operator.Table()))
		planned.SnapshotID = done.SnapshotID
		require.Equal(t, planned, done)
		now := w.contents(t, operator)
		require.Equal(t, then.deleted, now.deleted)
		require.Equal(t, done.Position, now.position)
		after := w.check(t)
		require.Equal(t, done.After, commit.Rows{Files: after.Rows, Deleted: after.Deleted})
		require.Equal(t, before.Covered[partition(0)], after.Covered[partition(0)])
		require.Zero(t, after.Covered[partition(1)].Counts)

		// The ingester of before is refused, and goes on where the table stands.
		_, err = c.Commit(t.Context(), late)
		require.ErrorIs(t, err, commit.ErrFenced)
		require.Positive(t, c.RolledBack())
		w.mustUpsert(t, c, step{from: 40, rows: 20}, 3)
		w.mustUpsert(t, c, step{partition: 1, from: 7, rows: 5}, 1)
		require.NoError(t, c.CheckHoldings(t.Context()))
		w.check(t)
		for id, want := range map[int64]commit.Offset{target: 40, done.SnapshotID: 40} {
			at, err := commit.PositionAt(t.Context(), w.store, c.Table().Metadata(), id)
			require.NoError(t, err)
			require.Equal(t, want, at[partition(0)])
		}
	})
}

// TestARewriteOfBeforeARollbackIsStale leaves rows out that were deleted then, and are not any more.
func TestARewriteOfBeforeARollbackIsStale(t *testing.T) {
	for _, version := range []int{2, 3} {
		w := newWorld(t, shape{version: version})
		c := w.open(t, committest.Options(1, "a"))
		w.mustUpsert(t, c, step{rows: 10}, 0)
		w.mustUpsert(t, c, step{from: 10, rows: 10}, 1)
		target := headOf(c.Table())
		w.mustUpsert(t, c, step{from: 20, rows: 10}, 2)
		rewrite, err := w.rewrite(t.Context(), w.store, c.Table(), 1)
		require.NoError(t, err)
		_, err = c.Rollback(t.Context(), commit.Rollback{SnapshotID: target})
		require.NoError(t, err)
		_, err = c.Commit(t.Context(), rewrite)
		require.ErrorIs(t, err, commit.ErrStale)
	}
}

func TestRollbackIsRefusedWhereItWouldNotBeExact(t *testing.T) {
	w := newWorld(t, shape{version: 3})
	c := w.open(t, committest.Options(1, "a"))
	seed := uint64(1)
	roll := func(id int64, force bool) error {
		before := headOf(mustLoad(t, w))
		seed++
		operator := w.open(t, committest.Options(seed, "b"))
		_, err := operator.Rollback(t.Context(), commit.Rollback{SnapshotID: id, Force: force})
		if err != nil {
			require.Equal(t, before, headOf(mustLoad(t, w)))
		}
		return err
	}
	var ids []int64
	for i := range commit.Offset(4) {
		done := w.mustUpsert(t, c, step{from: 10 * i, rows: 10}, 0)
		ids = append(ids, done.SnapshotID)
	}
	require.ErrorIs(t, roll(77, false), table.ErrNotFound)
	require.ErrorContains(t, roll(ids[3], false), "nothing lies behind it")

	w.stranger(t, 78, 5, nil)
	require.ErrorContains(t, roll(ids[3], false), "of other writers")
	require.NoError(t, roll(ids[2], true))
	w.check(t)
	require.ErrorContains(t, roll(ids[3], true), "was itself rolled back")
	require.NoError(t, c.Refresh(t.Context()))
	w.mustUpsert(t, c, step{from: 30, rows: 4, dead: 1}, 0)
	require.ErrorContains(t, roll(ids[2], false), "are dead letters")

	behind := headOf(mustLoad(t, w))
	require.NoError(t, c.Refresh(t.Context()))
	replay, err := w.change(t.Context(), w.store, step{from: 0, rows: 1, dead: 1})
	require.NoError(t, err)
	replay.Ranges = map[commit.TopicPartition]commit.Range{
		commit.ReplaysOf(partition(0)): {Next: 1, Counts: commit.Counts{Inserted: 1}}}
	_, err = c.Commit(t.Context(), replay)
	require.NoError(t, err)
	require.ErrorContains(t, roll(behind, false), "were replayed behind it")
}

// TestRollbackLosesToTheExpiryOfItsTarget has the target expire between the plan and the swap.
func TestRollbackLosesToTheExpiryOfItsTarget(t *testing.T) {
	w := newWorld(t, shape{version: 3})
	c := w.open(t, committest.Options(1, "a"))
	var ids []int64
	for i := range commit.Offset(4) {
		ids = append(ids, w.mustUpsert(t, c, step{from: 10 * i, rows: 10}, 1).SnapshotID)
	}
	operator, err := commit.Open(t.Context(), &beforeCommit{Catalog: w.catalog, act: func() {
		_, err := c.Expire(t.Context(), commit.Expiry{Keep: 2})
		require.NoError(t, err)
	}}, w.store, events, committest.Options(2, "b"))
	require.NoError(t, err)
	_, err = operator.Rollback(t.Context(), commit.Rollback{SnapshotID: ids[0]})
	require.Error(t, err)
	require.Equal(t, ids[3], headOf(mustLoad(t, w)))
	w.check(t)
	require.NoError(t, w.everyFileIsThere(t))
}

// beforeCommit does something before the first commit.
type beforeCommit struct {
	commit.Catalog
	act func()
}

func (b *beforeCommit) CommitTable(ctx context.Context, ident table.Ident, requirements []icetable.Requirement,
	updates []icetable.Update) (*table.Table, error) {
	if act := b.act; act != nil {
		b.act = nil
		act()
	}
	return b.Catalog.CommitTable(ctx, ident, requirements, updates)
}

// TestRollbacksOfRandomHistories holds tables against a model: what each standing snapshot held, and where the
// table stood. Ingest, rewrites and expiry go on through one committer, which learns of rollbacks by the way.
func TestRollbacksOfRandomHistories(t *testing.T) {
	seeds := uint64(12)
	if testing.Short() {
		seeds = 4
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { randomRollbacks(t, seed) })
	}
}

func randomRollbacks(t *testing.T, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 1))
	w := newWorld(t, shape{version: 2 + int(seed%2), partitioned: seed%4 > 1})
	opts := committest.Options(seed, "a")
	opts.SnapshotsKeep = 8
	c := w.open(t, opts)
	model := map[int64]contents{}
	var standing []int64 // oldest first
	note := func() {
		standing = append(standing, headOf(c.Table()))
		model[headOf(c.Table())] = w.contents(t, c)
	}
	for range 60 {
		switch n := random.IntN(10); {
		case n < 6:
			p := random.Int32N(2)
			w.mustUpsert(t, c, step{partition: p, from: c.Position()[partition(p)], rows: 3, other: 1}, random.IntN(3))
			note()
		case n < 8 && len(mustAlive(t, w, c)) > 4:
			change, err := w.rewrite(t.Context(), w.store, c.Table(), 2+random.IntN(3))
			require.NoError(t, err)
			_, err = c.Commit(t.Context(), change)
			require.NoError(t, err)
			note()
		case len(standing) > 2:
			back := len(standing) - 2 - random.IntN(min(5, len(standing)-2)+1)
			target := standing[max(0, back)]
			operator := w.open(t, committest.Options(random.Uint64(), "operator"))
			if operator.Table().Metadata().SnapshotByID(target) == nil {
				continue
			}
			done, err := operator.Rollback(t.Context(), commit.Rollback{SnapshotID: target})
			require.NoError(t, err)
			require.NoError(t, c.Refresh(t.Context()))
			now, want := w.contents(t, c), model[target]
			require.Equal(t, want.deleted, now.deleted)
			for tp, at := range now.position {
				require.Equal(t, want.position[tp], at)
			}
			require.Equal(t, done.Position, now.position)
			standing = standing[:max(0, back)+1]
			note()
		}
		w.check(t)
		require.NoError(t, w.everyFileIsThere(t))
	}
	require.NoError(t, c.CheckHoldings(t.Context()))
	require.NoError(t, w.noOrphans(t))
}

// rollingIngest takes in the log as keyedIngest does, and rolls the table back once on the way.
func (w *world) rollingIngest(ctx context.Context, catalog commit.Catalog, store objstore.Store, opts commit.Options,
) error {
	opts.SnapshotsKeep = 4
	operator, err := commit.Open(ctx, catalog, store, events, opts)
	if err == nil {
		err = w.rollOnce(ctx, store, operator)
	}
	if dead(err) {
		return err
	}
	return w.keyedIngest(ctx, catalog, store, opts)
}

// rollOnce makes some snapshots and goes two of them back.
func (w *world) rollOnce(ctx context.Context, store objstore.Store, c *commit.Committer) error {
	var ids []int64
	for range 4 {
		change, done, err := w.keyedChange(ctx, store, c)
		if err != nil || done {
			return err
		}
		landed, err := c.Commit(ctx, change)
		if err != nil {
			return err
		}
		ids = append(ids, landed.SnapshotID)
	}
	_, err := c.Rollback(ctx, commit.Rollback{SnapshotID: ids[1]})
	for try := 0; errors.Is(err, commit.ErrStateUnknown) && try < 3 && !dead(err); try++ {
		_, err = c.Rollback(ctx, commit.Rollback{SnapshotID: ids[1]})
	}
	return err
}

// TestEveryOperationOfARollbackMayFail fails each operation on catalog and store of a history with a rollback, and
// then finds the whole log in the table once.
func TestEveryOperationOfARollbackMayFail(t *testing.T) {
	turn := turns()
	for _, version := range []int{2, 3} {
		w := newWorld(t, shape{version: version, partitioned: version == 2})
		clean := w.process(nil, nil)
		require.NoError(t, w.rollingIngest(t.Context(), clean.Catalog, clean.Store, committest.Options(1, "a")))
		w.keyedSound(t)
		require.NoError(t, w.noOrphans(t))
		stride := strideOf(23, 89)
		for n := version % 2; n < clean.Catalog.Ops(); n += max(1, stride/8) {
			for fault := committest.ErrorBefore; fault <= committest.CrashLate; fault++ {
				if turn() {
					rollingSweepOne(t, version, committest.FailAt(n, fault), nil,
						fmt.Sprintf("v%d catalog operation %d fault %d", version, n, fault))
				}
			}
		}
		for n := int64(version % stride); n < clean.Store.Ops(); n += int64(stride) {
			for fault := objstore.ErrorBefore; fault <= objstore.CrashAfter; fault++ {
				if turn() {
					rollingSweepOne(t, version, nil, objstore.FailAt(n, objstore.Fault{Kind: fault}),
						fmt.Sprintf("v%d store operation %d fault %d", version, n, fault))
				}
			}
		}
	}
}

func rollingSweepOne(t *testing.T, version int, catalogPlan func(int) committest.Fault, storePlan objstore.Plan,
	name string) {
	defer func() {
		if t.Failed() {
			t.Log("at " + name)
		}
	}()
	w := newWorld(t, shape{version: version, partitioned: version == 2})
	p := w.process(catalogPlan, storePlan)
	err := w.rollingIngest(t.Context(), p.Catalog, p.Store, committest.Options(1, "a"))
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
