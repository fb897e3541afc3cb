package commit_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/commit/committest"
	"github.com/firthlake/firth/table/objstore"
)

var fullSweep = flag.Bool("full-sweep", false, "fail every operation, not one in 23")

// strideOf says how many operations a sweep goes on by from one that fails to the next.
func strideOf(usual, short int) int {
	switch {
	case *fullSweep:
		return 1
	case testing.Short():
		return short
	}
	return usual
}

// turns says of one point of a sweep after the other whether it is to fail: of all of them, or of every seventh in
// the short form, which takes each kind of fault in turn.
func turns() func() bool {
	n := 0
	return func() bool {
		n++
		return !testing.Short() || n%7 == 1
	}
}

// The log that the sweep's ingester reads: two partitions of logLength offsets, of which every fifth
// is a dead letter and every fifth is filtered, in chunks of chunkLength.
const (
	logLength   = 36
	chunkLength = 6
)

func isDead(o commit.Offset) bool     { return o%5 == 3 }
func isFiltered(o commit.Offset) bool { return o%5 == 4 }

// chunk is the change that takes in a partition's next offsets.
func (w *world) chunk(ctx context.Context, store objstore.Store, p int32, from commit.Offset) (commit.Change, error) {
	s := step{partition: p, from: from}
	for o := from; o < min(from+chunkLength, logLength); o++ {
		switch {
		case p == 1 && from == chunkLength: // one chunk without any row
			s.other++
		case isDead(o):
			s.dead++
		case isFiltered(o):
			s.other++
		default:
			s.rows++
		}
	}
	return w.change(ctx, store, s)
}

// ingest takes in the whole log through one committer, as an ingester does: it goes on where the table
// stands, commits the same change again when the outcome is unknown, and looks anew after other errors.
func (w *world) ingest(ctx context.Context, catalog commit.Catalog, store objstore.Store, opts commit.Options) error {
	opts.SnapshotsKeep = 4
	c, err := commit.Open(ctx, catalog, store, events, opts)
	for try := 0; err != nil; try++ {
		if try == 3 || dead(err) {
			return err
		}
		c, err = commit.Open(ctx, catalog, store, events, opts)
	}
	failures := 0
	for p := int32(0); p < 2; p++ {
		for {
			from := c.Position()[partition(p)]
			if from == logLength {
				break
			}
			change, err := w.chunk(ctx, store, p, from)
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
	return c.Refresh(ctx)
}

func dead(err error) bool {
	return errors.Is(err, objstore.ErrCrashed) || errors.Is(err, committest.ErrCrashed)
}

// sound checks that the whole log is in the two tables, each record once.
func (w *world) sound(t testing.TB) {
	t.Helper()
	report, err := committest.Check(t.Context(), w.catalog, w.store, events)
	require.NoError(t, err)
	letters, err := committest.Check(t.Context(), w.catalog, w.store, deadLetters)
	require.NoError(t, err)
	var rows, deadRows int64
	for p := range int32(2) {
		f := report.Covered[partition(p)]
		require.Equal(t, commit.Range{From: 0, Next: logLength}, commit.Range{From: f.From, Next: f.Next})
		var want commit.Counts
		for o := range commit.Offset(logLength) {
			switch {
			case p == 1 && o >= chunkLength && o < 2*chunkLength, isFiltered(o):
				want.Filtered++
			case isDead(o):
				want.DeadLetters++
			default:
				want.Inserted++
			}
		}
		require.Equal(t, want, f.Counts)
		require.Equal(t, uint64(want.Inserted)*0x9E3779B97F4A7C15, f.Checksum)
		rows, deadRows = rows+want.Inserted, deadRows+want.DeadLetters
	}
	require.Equal(t, rows, report.Rows)
	require.Equal(t, deadRows, letters.Rows)
	require.LessOrEqual(t, report.Snapshots, 6)
}

// process is one life of the ingester, in which a catalog and a store fail as planned.
func (w *world) process(catalogPlan func(int) committest.Fault, storePlan objstore.Plan) *committest.Process {
	return committest.NewProcess(w.catalog, w.store, catalogPlan, storePlan)
}

// TestEveryOperationMayFail counts the operations of a workload and runs it again for each operation
// and each way to fail, recovers, and finds every record once. -full-sweep takes minutes.
func TestEveryOperationMayFail(t *testing.T) {
	turn := turns()
	for _, version := range []int{2, 3} {
		w := newWorld(t, shape{version: version, partitioned: version == 3})
		clean := w.process(nil, nil)
		require.NoError(t, w.ingest(t.Context(), clean.Catalog, clean.Store, committest.Options(1, "a")))
		w.sound(t)
		stride := strideOf(23, 97)
		for n := version % stride; n < clean.Catalog.Ops(); n += stride {
			for fault := committest.ErrorBefore; fault <= committest.CrashLate; fault++ {
				if turn() {
					sweepOne(t, version, committest.FailAt(n, fault), nil,
						fmt.Sprintf("v%d catalog operation %d fault %d", version, n, fault))
				}
			}
		}
		for n := int64(version % stride); n < clean.Store.Ops(); n += int64(stride) {
			for fault := objstore.ErrorBefore; fault <= objstore.CrashAfter; fault++ {
				if turn() {
					sweepOne(t, version, nil, objstore.FailAt(n, objstore.Fault{Kind: fault}),
						fmt.Sprintf("v%d store operation %d fault %d", version, n, fault))
				}
			}
		}
	}
}

func sweepOne(t *testing.T, version int, catalogPlan func(int) committest.Fault, storePlan objstore.Plan, name string) {
	defer func() {
		if t.Failed() {
			t.Log("at " + name)
		}
	}()
	w := newWorld(t, shape{version: version, partitioned: version == 3})
	p := w.process(catalogPlan, storePlan)
	err := w.ingest(t.Context(), p.Catalog, p.Store, committest.Options(1, "a"))
	crashed := p.Crashed()
	if !crashed {
		require.NoError(t, err, name)
		p.Catalog.Settle()
		w.sound(t)
		return
	}
	// The next process starts while a request of the dead one may still be under way.
	next := w.process(func(op int) committest.Fault {
		if op == 1 { // opened, not yet committed
			p.Catalog.Settle()
		}
		return committest.NoFault
	}, nil)
	require.NoError(t, w.ingest(t.Context(), next.Catalog, next.Store, committest.Options(2, "b")), name)
	w.sound(t)
}
