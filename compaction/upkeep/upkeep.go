package upkeep

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/compaction/orphans"
	"github.com/firthlake/firth/compaction/rowexpiry"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// Committer is what upkeep needs of commit.Committer.
type Committer interface {
	rowexpiry.Committer
	Expire(ctx context.Context, e commit.Expiry) (commit.Expired, error)
}

// Table is a table and its policy.
type Table struct {
	Committer Committer
	Expiry    commit.Expiry
	// Rows says when rows are too old; its zero value is never.
	Rows commit.RowAge
	// Grace is how long orphans stay once they were seen; 0 keeps them for ever.
	Grace time.Duration
}

// Options are how an Upkeep works. All but Log and Metrics are required.
type Options struct {
	// Tables are those that are looked after, as of now.
	Tables func(ctx context.Context) ([]Table, error)
	// Others are the places of all tables of the catalog but the given one.
	Others  func(ctx context.Context, t *table.Table) ([]orphans.Place, error)
	Catalog orphans.Catalog
	Store   objstore.Store
	Now     func() time.Time
	NewID   func() uuid.UUID
	Sleep   func(ctx context.Context, d time.Duration) error
	Log     *slog.Logger
	Metrics *Metrics
}

const (
	// rowSteps is in how many steps of their age rows leave: 30 days make it a step a day.
	rowSteps = 30
	// jumpMax is how much longer than it slept a turn may find that it has. Rows wait until the clock has
	// stayed where it is for a turn: an hour in which who keeps the time may set it right.
	jumpMax = 10 * time.Minute

	// every is how often tables are looked at. Commits expire snapshots too, so this is for what they leave.
	every = time.Hour
	// orphansEvery is how often orphans are listed: a million objects take a thousand requests, half a cent.
	orphansEvery = 24 * time.Hour
)

// Upkeep looks after tables. It belongs to one goroutine.
type Upkeep struct {
	opts   Options
	rows   map[string]expirer // by table
	ended  time.Time          // when the last turn did, by the clock on the wall
	jumped bool               // the clock has, since then
}

// expirer takes out the rows of a table as long as its committer is the same.
type expirer struct {
	*rowexpiry.Expirer
	of Committer
}

// New returns an Upkeep. It starts nothing.
func New(opts Options) (*Upkeep, error) {
	if opts.Tables == nil || opts.Others == nil || opts.Catalog == nil || opts.Store == nil || opts.Now == nil ||
		opts.Sleep == nil || opts.NewID == nil {
		return nil, errors.New("new upkeep: Tables, Others, Catalog, Store, Now, NewID and Sleep must be set")
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Metrics == nil {
		opts.Metrics = NewMetrics(nil)
	}
	return &Upkeep{opts: opts, rows: map[string]expirer{}}, nil
}

// Run looks after the tables until ctx ends, for the first time after an hour: a start has better to do.
func (u *Upkeep) Run(ctx context.Context) error {
	for {
		if err := u.opts.Sleep(ctx, every); err != nil {
			return err
		}
		if err := u.Step(ctx); err != nil {
			return err
		}
	}
}

// Step gives each table its turn. The error is that of ctx.
func (u *Upkeep) Step(ctx context.Context) error {
	u.jumped = !u.ended.IsZero() && u.opts.Now().Round(0).Sub(u.ended) > every+jumpMax
	defer func() { u.ended = u.opts.Now().Round(0) }()
	tables, err := u.opts.Tables(ctx)
	if err != nil {
		u.opts.Log.Warn("tables are not looked after for now", "err", err)
	}
	for _, t := range tables {
		name := t.Committer.Table().String()
		if err := u.turn(ctx, t); err != nil && ctx.Err() == nil {
			u.opts.Metrics.failed.WithLabelValues(name).Inc()
			u.opts.Log.Warn("a table is not looked after for now", "table", name, "err", err)
		}
	}
	return ctx.Err()
}

// turn expires rows and snapshots of a table and removes its orphans, and those of its dead letters.
func (u *Upkeep) turn(ctx context.Context, t Table) error {
	return errors.Join(u.expireRows(ctx, t), u.tidy(ctx, t))
}

// expireRows takes out the rows that are too old.
func (u *Upkeep) expireRows(ctx context.Context, t Table) error {
	name := t.Committer.Table().String()
	if t.Rows.Column == "" {
		delete(u.rows, name)
		return nil
	}
	if u.jumped {
		return fmt.Errorf("the clock has jumped: rows wait for the next turn: %w", rowexpiry.ErrClock)
	}
	e := u.rows[name]
	if e.of != t.Committer {
		made, err := rowexpiry.New(t.Committer, u.opts.Store, rowexpiry.Options{Steps: rowSteps, Now: u.opts.Now,
			NewID: u.opts.NewID, Log: u.opts.Log})
		if err != nil {
			return err
		}
		e = expirer{made, t.Committer}
		u.rows[name] = e
	}
	report, err := e.Run(ctx, t.Rows)
	u.opts.Metrics.rows.WithLabelValues(name).Add(float64(report.Rows))
	return err
}

// tidy expires snapshots of a table and removes its orphans, and those of its dead letters.
func (u *Upkeep) tidy(ctx context.Context, t Table) error {
	name := t.Committer.Table().String()
	out, err := t.Committer.Expire(ctx, t.Expiry)
	if err != nil && !errors.Is(err, table.ErrRefused) { // gc.enabled may be false
		return err
	}
	u.opts.Metrics.snapshots.WithLabelValues(name).Add(float64(len(out.Snapshots)))
	if len(out.Snapshots) > 0 {
		u.opts.Log.Info("snapshots expired", "table", name, "snapshots", len(out.Snapshots), "files", out.Files)
	}
	if t.Grace == 0 {
		return nil
	}
	ident := t.Committer.Table().Ident()
	for _, each := range []table.Ident{ident, commit.DeadLettersIdent(ident)} {
		if err := u.orphans(ctx, each, t.Grace); err != nil && !errors.Is(err, table.ErrNotFound) {
			return err
		}
	}
	return nil
}

func (u *Upkeep) orphans(ctx context.Context, ident table.Ident, grace time.Duration) error {
	t, err := u.opts.Catalog.LoadTable(ctx, ident)
	if err != nil {
		return err
	}
	listed, err := orphans.ListedAt(ctx, u.opts.Store, t)
	if err != nil {
		return err
	}
	if u.opts.Now().Sub(listed) < orphansEvery {
		return nil
	}
	others, err := u.opts.Others(ctx, t)
	if err != nil {
		return fmt.Errorf("look where other tables lie: %w", err)
	}
	report, err := orphans.Run(ctx, u.opts.Catalog, u.opts.Store, ident, orphans.Options{Grace: grace,
		Others: others, Now: u.opts.Now, Log: u.opts.Log})
	u.opts.Metrics.removed.WithLabelValues(t.String()).Add(float64(report.Removed))
	u.opts.Metrics.waiting.WithLabelValues(t.String()).Set(float64(report.WaitingBytes))
	return err
}
