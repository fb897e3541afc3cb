package compaction

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/firthlake/firth/table/objstore"
)

// AutomaticOptions are how an Automatic works. Tables, Store, Compaction.NewID, Now and Sleep are required.
type AutomaticOptions struct {
	// Tables are the committers of the tables that are looked after, as of now.
	Tables func(ctx context.Context) ([]Committer, error)
	Store  objstore.Store
	// Compaction is how files are rewritten; its Policy, when it is zero, is the table's with
	// FilesMinAutomatic and WasteShareAutomatic.
	Compaction Options
	// Share is the share of one core's time that rewriting may take while there is little of it to do,
	// above 0 and at most 1; 0 is ShareDefault.
	Share float64
	// Debt is told what waits, for ingest to give way; nil tells nobody.
	Debt *Debt
	// Every is the least time from one look at the tables to the next; 0 is EveryDefault. While none changes, they
	// are looked at less and less often, down to once a minute.
	Every time.Duration
	Now   func() time.Time
	Sleep func(ctx context.Context, d time.Duration) error
	// Idle is Sleep that ends as soon as a table changes. Nil is Sleep: then a change is seen at the next look.
	Idle    func(ctx context.Context, d time.Duration) error
	Log     *slog.Logger
	Metrics *Metrics
}

// The defaults of an Automatic.
const (
	ShareDefault = 0.25
	EveryDefault = 200 * time.Millisecond
)

// everyMax bounds how seldom tables are looked at that do not change.
const everyMax = time.Minute

// fairTurn is how often, in groups of a table, the group that spares most goes first in place of the one that
// spares most for its cost: so many small ones do not keep a large one from its turn.
const fairTurn = 4

// debtFiles is the debt, in files, from which on compaction gets more than its share: twice as much for
// twice the debt. Reading that many small files costs a scan about a second of requests.
const debtFiles = 128

// Automatic compacts tables by policy, as they need it, one group of files at a time. It belongs to one
// goroutine.
type Automatic struct {
	opts AutomaticOptions
	pace *Pace
	// tables are those that have been looked at.
	tables map[string]*watched
	// changed says that a table has changed since the look before.
	changed bool
}

// NewAutomatic returns an Automatic. It starts nothing.
func NewAutomatic(opts AutomaticOptions) (*Automatic, error) {
	if opts.Tables == nil || opts.Store == nil || opts.Now == nil || opts.Sleep == nil || opts.Compaction.NewID == nil {
		return nil, errors.New("new automatic compaction: Tables, Store, Now, Sleep and NewID must be set")
	}
	if opts.Share == 0 {
		opts.Share = ShareDefault
	}
	if !(opts.Share > 0 && opts.Share <= 1) {
		return nil, fmt.Errorf("new automatic compaction: a share of %v is not above 0 and at most 1", opts.Share)
	}
	if opts.Every == 0 {
		opts.Every = EveryDefault
	}
	if opts.Idle == nil {
		opts.Idle = opts.Sleep
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Metrics == nil {
		opts.Metrics = NewMetrics(nil)
	}
	if opts.Debt == nil {
		opts.Debt = NewDebt()
	}
	pace := NewPace(opts.Now, opts.Sleep)
	opts.Compaction.Pace, opts.Compaction.Parallel, opts.Compaction.Log = pace, 1, opts.Log
	opts.Metrics.share.Set(opts.Share)
	return &Automatic{opts: opts, pace: pace, tables: map[string]*watched{}}, nil
}

// Run looks after the tables until ctx ends. It leaves the begin of a process to what is urgent.
func (a *Automatic) Run(ctx context.Context) error {
	idle := time.Duration(0)
	for {
		if err := a.pause(ctx, idle); err != nil {
			return err
		}
		for more := true; more; {
			var err error
			if more, err = a.Step(ctx); err != nil {
				return err
			}
		}
		if idle = min(2*idle+a.opts.Every, max(everyMax-a.opts.Every, 0)); a.changed {
			idle, a.changed = 0, false
		}
	}
}

// pause lets Every pass, and then idle more unless a table changes.
func (a *Automatic) pause(ctx context.Context, idle time.Duration) error {
	if err := a.opts.Sleep(ctx, a.opts.Every); err != nil || idle == 0 {
		return err
	}
	return a.opts.Idle(ctx, idle)
}

// Step rewrites a group of files of each table that needs it, and says whether any table needs more. What goes
// wrong with a table is told, and does not keep others from their turn; the error is that of ctx.
func (a *Automatic) Step(ctx context.Context) (more bool, err error) {
	a.pace.begin(a.opts.Share)
	committers, err := a.opts.Tables(ctx)
	if err != nil {
		a.opts.Log.Warn("tables are not compacted for now", "err", err)
		return false, ctx.Err()
	}
	for _, c := range committers {
		left, err := a.table(ctx, c)
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		if err != nil {
			name := c.Table().String()
			a.opts.Metrics.groups.WithLabelValues(name, "failed").Inc()
			a.opts.Log.Warn("a table is not compacted for now", "table", name, "err", err)
		}
		more = more || left
	}
	return more, a.pace.rest(ctx) // looking costs too
}

// table rewrites the group of a table that goes first, and pays for looking at it.
func (a *Automatic) table(ctx context.Context, c Committer) (more bool, err error) {
	name, head := c.Table().String(), c.Table().SnapshotID()
	known := a.tables[name]
	if known == nil {
		known = &watched{}
		a.tables[name] = known
	}
	if head != known.head {
		known.head, a.changed = head, true
	}
	if head == 0 || head == known.idle {
		return false, nil
	}
	opts := a.opts.Compaction
	if opts.Policy == (Policy{}) && fewFiles(c.Table()) {
		known.idle = head
		a.owe(name, nil)
		a.opts.Metrics.overhead.WithLabelValues(name).Set(0)
		return false, nil
	}
	now := a.opts.Now()
	how := known.look(c.Table(), now)
	if how == noLook {
		return false, nil
	}
	if opts.Policy == (Policy{}) {
		opts.Policy = automaticPolicy(c.Table().Metadata().Properties())
	}
	if known.shared(now) {
		opts.Policy.WasteShare = 0
	}
	compactor, err := New(c, a.opts.Store, opts)
	if err != nil {
		return false, err
	}
	a.pace.change(a.opts.Share)
	if more, err = a.rewrite(ctx, compactor, known, how); err == nil && !more && how == wholeLook {
		known.whole = now
	}
	return more, errors.Join(err, a.pace.rest(ctx))
}

// rewrite rewrites the group that goes first, of those with deletes unless the look is a whole one, and says whether
// more are left.
func (a *Automatic) rewrite(ctx context.Context, c *Compactor, known *watched, how look) (more bool, err error) {
	base, tasks, err := c.tasks(ctx)
	if err != nil {
		return false, err
	}
	name, policy, sorted := base.String(), c.opts.Policy, c.opts.sorted(base)
	files := a.owe(name, Plan(tasks, policy.due(), sorted))
	a.opts.Metrics.overhead.WithLabelValues(name).Set(policy.overhead(tasks))
	r := run{Compactor: c}
	groups := Plan(tasks, policy, sorted)
	if how == hastyLook {
		groups = slices.DeleteFunc(groups, func(g Group) bool { return !g.hasDeletes() })
	}
	if len(groups) == 0 {
		if how == hastyLook {
			return false, nil
		}
		err := r.bury(ctx)
		known.idle = base.SnapshotID()
		return false, err
	}
	share := shareOf(a.opts.Share, files)
	a.opts.Metrics.share.Set(share)
	a.pace.change(share)
	first := firstOf(groups, known.turn)
	known.turn++
	began := a.opts.Now()
	stale, err := r.round(ctx, base, groups[first:first+1], nil)
	a.opts.Metrics.seconds.WithLabelValues(name).Add(a.opts.Now().Sub(began).Seconds())
	a.opts.Metrics.count(name, r.report)
	if err != nil {
		return false, err
	}
	return len(groups) > 1 || len(stale) > 0, nil
}

// firstOf chooses the group that goes first at a turn.
func firstOf(groups []Group, turn int) int {
	first, most := 0, -1.0
	for i := range groups {
		gain := groups[i].gain()
		if turn%fairTurn == fairTurn-1 {
			gain = float64(groups[i].waste())
		}
		if gain > most {
			first, most = i, gain
		}
	}
	return first
}

// owe shows what is left to do for a table.
func (a *Automatic) owe(name string, groups []Group) (files int) {
	var bytes int64
	for _, g := range groups {
		files += len(g.Tasks)
		bytes += g.Bytes
	}
	a.opts.Metrics.debt.WithLabelValues(name).Set(float64(files))
	a.opts.Metrics.owed.WithLabelValues(name).Set(float64(bytes))
	stretch := stretchOf(a.opts.Share, files)
	a.opts.Metrics.stretch.WithLabelValues(name).Set(stretch)
	switch before := a.opts.Debt.set(name, stretch); {
	case before == 1 && stretch > 1:
		a.opts.Log.Warn("small files pile up: commits are spaced out", "table", name, "files", files, "bytes", bytes)
	case before > 1 && stretch == 1:
		a.opts.Log.Info("small files do not pile up any more: commits are as fresh as they were", "table", name,
			"files", files)
	}
	return files
}
