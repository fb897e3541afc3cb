package compaction

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// AutomaticOptions are how an Automatic works. Tables, Store, Compaction.NewID, Now and Sleep are required.
type AutomaticOptions struct {
	// Tables are the committers of the tables that are looked after, as of now.
	Tables func(ctx context.Context) ([]Committer, error)
	Store  objstore.Store
	// Compaction is how files are rewritten; its Policy, when it is zero, is the table's with
	// FilesMinAutomatic.
	Compaction Options
	// Share is the share of one core's time that rewriting may take while there is little of it to do,
	// above 0 and at most 1; 0 is ShareDefault.
	Share float64
	// Debt is told what waits, for ingest to give way; nil tells nobody.
	Debt *Debt
	// Every is how often tables are looked at; 0 is EveryDefault.
	Every   time.Duration
	Now     func() time.Time
	Sleep   func(ctx context.Context, d time.Duration) error
	Log     *slog.Logger
	Metrics *Metrics
}

// The defaults of an Automatic.
const (
	ShareDefault = 0.25
	EveryDefault = time.Minute
)

// firstShare is the part of Every after which tables are looked at first.
const firstShare = 12

// debtFiles is the debt, in files, from which on compaction gets more than its share: twice as much for
// twice the debt. Reading that many small files costs a scan about a second of requests.
const debtFiles = 128

// Automatic compacts tables by policy, as they need it, one group of files at a time. It belongs to one
// goroutine.
type Automatic struct {
	opts AutomaticOptions
	pace *Pace
	// idle is, for each table, the snapshot at which nothing was left to do.
	idle map[string]int64
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
	return &Automatic{opts: opts, pace: pace, idle: map[string]int64{}}, nil
}

// Run looks after the tables until ctx ends. It leaves the begin of a process to what is urgent.
func (a *Automatic) Run(ctx context.Context) error {
	if err := a.opts.Sleep(ctx, a.opts.Every/firstShare); err != nil {
		return err
	}
	for {
		more, err := a.Step(ctx)
		if err != nil {
			return err
		}
		if more {
			continue
		}
		if err := a.opts.Sleep(ctx, a.opts.Every); err != nil {
			return err
		}
	}
}

// Step rewrites a group of files of each table that needs it, and says whether any table needs more. What goes
// wrong with a table is told, and does not keep others from their turn; the error is that of ctx.
func (a *Automatic) Step(ctx context.Context) (more bool, err error) {
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
	return more, nil
}

// table rewrites the first group of a table.
func (a *Automatic) table(ctx context.Context, c Committer) (more bool, err error) {
	name := c.Table().String()
	if head := snapshotOf(c.Table()); head == 0 || head == a.idle[name] {
		return false, nil
	}
	opts := a.opts.Compaction
	if opts.Policy == (Policy{}) {
		if fewFiles(c.Table()) {
			a.owe(name, nil)
			return false, nil
		}
		opts.Policy = DefaultPolicy(c.Table().Metadata().Properties())
		opts.Policy.FilesMin = FilesMinAutomatic
	}
	compactor, err := New(c, a.opts.Store, opts)
	if err != nil {
		return false, err
	}
	base, groups, err := compactor.Plan(ctx)
	if err != nil {
		return false, err
	}
	files := a.owe(name, groups)
	r := run{Compactor: compactor}
	if len(groups) == 0 {
		err := r.bury(ctx)
		a.idle[name] = snapshotOf(base)
		return false, err
	}
	share := shareOf(a.opts.Share, files)
	a.opts.Metrics.share.Set(share)
	a.pace.begin(share)
	began := a.opts.Now()
	stale, err := r.round(ctx, base, groups[:1], nil)
	a.opts.Metrics.seconds.WithLabelValues(name).Add(a.opts.Now().Sub(began).Seconds())
	a.opts.Metrics.count(name, r.report)
	if err != nil {
		return false, err
	}
	return len(groups) > 1 || len(stale) > 0, nil
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

// fewFiles says whether the summary of the newest snapshot is enough to see that there is nothing to do, so that
// the manifests of many small tables are not read.
func fewFiles(t *table.Table) bool {
	summary := t.Metadata().CurrentSnapshot().Summary
	if summary == nil {
		return false
	}
	files, err := strconv.Atoi(summary.Properties["total-data-files"])
	return err == nil && files < FilesMinAutomatic && summary.Properties["total-delete-files"] == "0"
}

// snapshotOf is the id of a table's newest snapshot, or 0.
func snapshotOf(t *table.Table) int64 {
	if s := t.Metadata().CurrentSnapshot(); s != nil {
		return s.SnapshotID
	}
	return 0
}
