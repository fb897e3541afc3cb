package rowexpiry

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/commit/committest"
	"github.com/firthlake/firth/table/objstore"
)

// dying is an expiry of rows by a process whose store and catalog fail as planned, beside a writer of another
// process that updates rows before each of its commits.
type dying struct {
	*world
	*committest.Process
	settles bool
}

var sweepAge = commit.RowAge{Column: "at", After: 20 * day}

func newDying(t *testing.T, version int, catalogPlan func(int) committest.Fault, storePlan objstore.Plan) *dying {
	d := &dying{world: newWorld(t, uint64(version), version, iceberg.PrimitiveTypes.TimestampTz, false),
		settles: version == 2}
	for range 4 {
		d.upsert(t, 12, 6)
	}
	d.before = d.clock.Add(-sweepAge.After)
	d.Process = committest.NewProcess(d.catalog, d.store, catalogPlan, storePlan)
	return d
}

// run is the life of the process. Its error is how it ended.
func (d *dying) run(t *testing.T) error {
	c, err := commit.Open(t.Context(), d.Catalog, d.Store, ident, committest.Options(50, "dying"))
	if err != nil {
		return err
	}
	steps := 0
	e, err := New(&busy{c, func() {
		if steps++; steps == 1 {
			d.upsert(t, 6, 6)
		}
	}}, d.Store, Options{Now: d.opts.Now, NewID: d.opts.NewID})
	require.NoError(t, err)
	_, err = e.Run(t.Context(), sweepAge)
	return err
}

// check wants each row that is not too old, and no row that was replaced or that nobody wrote.
func (d *dying) check(t *testing.T, name string) {
	found := d.found(t)
	for r := range found {
		require.True(t, d.live[r], "%s: row %v is revived", name, r)
	}
	for r := range d.live {
		require.True(t, found[r] || d.old(r), "%s: row %v is lost", name, r)
	}
}

// finish lets a process end the work in which nothing fails.
func (d *dying) finish(t *testing.T, name string) {
	d.check(t, name)
	if d.settles {
		d.Catalog.Settle() // before others commit, and else behind them
	}
	d.upsert(t, 4, 4)
	d.Catalog.Settle()
	d.check(t, name)
	require.NoError(t, d.by.Refresh(t.Context()))
	e, err := New(d.by, d.store, d.options())
	require.NoError(t, err)
	report, err := e.Run(t.Context(), sweepAge)
	require.NoError(t, err, name)
	d.expire(report.Before)
	require.Equal(t, d.live, d.found(t), name)
	d.prove(t)
}

// TestNoRowIsLostOrRevivedWhereverAnExpiryDies counts the operations of an expiry of rows and runs it again for each
// and each way to fail: before, done with the answer lost, dead before and dead behind. FIRTH_SOAK=1 takes them all.
func TestNoRowIsLostOrRevivedWhereverAnExpiryDies(t *testing.T) {
	stride := 41
	if os.Getenv("FIRTH_SOAK") != "" {
		stride = 1
	}
	for _, version := range []int{2, 3} {
		clean := newDying(t, version, nil, nil)
		require.NoError(t, clean.run(t))
		clean.finish(t, "no fault")
		require.Positive(t, mustLedger(t, clean.world).Foreign.Expired)
		at, died := 0, 0
		sweep := func(name string, catalogPlan func(int) committest.Fault, storePlan objstore.Plan) {
			if at++; at%stride != 0 {
				return
			}
			d := newDying(t, version, catalogPlan, storePlan)
			if err := d.run(t); errors.Is(err, objstore.ErrCrashed) || errors.Is(err, committest.ErrCrashed) {
				died++
			}
			d.finish(t, fmt.Sprintf("v%d %s", version, name))
		}
		for n := range clean.Catalog.Ops() {
			for fault := committest.ErrorBefore; fault <= committest.CrashLate; fault++ {
				sweep(fmt.Sprintf("catalog operation %d fault %d", n, fault), committest.FailAt(n, fault), nil)
			}
		}
		for n := range clean.Store.Ops() {
			for fault := objstore.ErrorBefore; fault <= objstore.CrashAfter; fault++ {
				sweep(fmt.Sprintf("store operation %d fault %d", n, fault), nil,
					objstore.FailAt(n, objstore.Fault{Kind: fault}))
			}
		}
		require.Positive(t, died)
	}
}
