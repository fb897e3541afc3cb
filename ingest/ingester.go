package ingest

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/source"
	"github.com/firthlake/firth/table"
)

// Ingester reads one source into tables. Step and Run are for one goroutine, and for one of the two
// only; Progress may be called from any.
type Ingester struct {
	opts   Options
	tables []*tableState
	router *router
	worker *worker // of the applying side, and of Step
	// underWay is the memory of units that are not applied yet.
	underWay *table.Budget

	assigned map[commit.TopicPartition]bool
	// troubles are what the source goes on retrying, by their text.
	troubles map[string]error
	// spawn runs work, beside the applying side in Run, and what work returns on it.
	spawn   func(work func() func())
	results chan func() // nil in Step
	// parallel is how many goroutines a writer may use, and encoders has a place for each buffer that
	// encodes its last rows.
	parallel int
	encoders chan struct{}

	progress atomic.Pointer[Progress]
	unshown  bool // something happened that progress does not tell
	began    time.Time
	// polled is when the event was polled of which something was applied last, polledBefore the one before, all of
	// which is applied.
	polled, polledBefore time.Time
}

// New makes an Ingester. It starts nothing; the tables' Committers have been opened.
func New(ctx context.Context, opts Options) (*Ingester, error) {
	if err := opts.complete(); err != nil {
		return nil, fmt.Errorf("new ingester: %w", err)
	}
	g := &Ingester{
		opts: opts, router: newRouter(), assigned: map[commit.TopicPartition]bool{}, parallel: 1,
		worker: newWorker(opts.Allocator), began: opts.Now(), troubles: map[string]error{},
		encoders: make(chan struct{}, opts.Workers),
		underWay: table.NewBudget(max(1, opts.Budget.Limit()/underWayShare)),
	}
	g.spawn = func(work func() func()) { work()() }
	for i := range opts.Tables {
		t := &tableState{
			ingester: g, opts: opts.Tables[i], index: i, name: table.FormatIdent(opts.Tables[i].Ident),
			state: StateActive, next: commit.Position{}, refused: map[string]bool{}, refusedIDs: map[int32]string{},
		}
		t.log, t.gauges = opts.Log.With("table", t.name), opts.Metrics.table(t.name)
		if dead := t.opts.DeadLetterTable; dead != nil {
			t.deadLetters = table.FormatIdent(dead.Ident())
		}
		var err error
		if t.takes, err = t.opts.takes(); err != nil {
			return nil, fmt.Errorf("new ingester: table %s: %w", t, err)
		}
		if err := g.refuseOverlap(t); err != nil {
			return nil, fmt.Errorf("new ingester: %w", err)
		}
		t.tailing, t.hand = newTailing(t), t.opts.Clock.Hand()
		t.tellReads()
		t.ends, t.ended = map[commit.TopicPartition]readEnd{}, commit.Position{}
		if t.opts.Keyed != nil {
			t.opts.Keyed.Keys.fresh.attach(t)
		}
		g.tables = append(g.tables, t)
	}
	if err := g.regroup(ctx); err != nil {
		return nil, fmt.Errorf("new ingester: %w", err)
	}
	g.publish(false)
	return g, nil
}

// refuseOverlap refuses two sources of one table that read the same topic: each would be fenced by
// the other for ever.
func (g *Ingester) refuseOverlap(t *tableState) error {
	for _, other := range g.tables {
		if other.name != t.name {
			continue
		}
		for _, topic := range append(slices.Clone(t.opts.Topics), other.opts.Topics...) {
			if t.takes(topic) && other.takes(topic) {
				return fmt.Errorf("two sources of table %s read topic %s: name it in one of them", t, topic)
			}
		}
	}
	return nil
}

// regroup compiles the plans of all tables at their newest schemas.
func (g *Ingester) regroup(ctx context.Context) error {
	groups, err := newGroups(ctx, g.tables)
	if err != nil {
		return err
	}
	g.router.regroup(groups)
	return nil
}

// Step does one unit of work in the caller's goroutine: it polls the source once, decodes and applies
// what came, and does what is due. It uses no other goroutine and no timer. An error means that the
// source is of no more use.
func (g *Ingester) Step(ctx context.Context) error {
	g.tick(ctx)
	if !g.blocked() {
		if err := g.seek(ctx); err != nil {
			return err
		}
		event, err := g.opts.Source.Poll(ctx)
		if err != nil {
			return fmt.Errorf("poll the source: %w", err)
		}
		for _, u := range g.unitsOf(&event) {
			if u.event == nil {
				g.worker.work(ctx, u)
			}
			g.apply(ctx, u)
		}
		if err := g.seek(ctx); err != nil {
			return err
		}
	}
	g.tick(ctx)
	g.publish(true)
	return nil
}

// Flush commits all that is buffered. After Step it is the graceful end.
func (g *Ingester) Flush(ctx context.Context) error { return g.flush(ctx, g.tables) }

// Close drops what is buffered and releases what the ingester holds. The source stays open.
func (g *Ingester) Close(ctx context.Context) {
	for _, t := range g.tables {
		if t.filling != nil {
			t.abort(ctx, t.filling)
		}
		if t.committing != nil { // its files stay, since they may be in the table
			t.dropRows(t.committing)
		}
		t.filling = nil
		if t.opts.Keyed != nil {
			t.opts.Keyed.Keys.fresh.detach(t)
		}
		t.tailing.close(&g.opts)
		t.hand.Close()
	}
	g.worker.close()
}

// unitsOf makes the units of an event: what it says first, then its chunks.
func (g *Ingester) unitsOf(event *source.Event) []*unit {
	var units []*unit
	now, chunks := g.opts.Now(), event.Chunks
	event.Chunks = nil
	if len(event.Assigned)+len(event.Revoked)+len(event.Lost)+len(event.OutOfRange)+
		len(event.Warnings)+len(event.Recovered) > 0 || event.Release != nil {
		units = append(units, &unit{event: event})
	}
	for _, chunk := range chunks {
		g.opts.Metrics.lag(chunk)
		units = append(units, g.router.units(chunk)...)
	}
	for _, u := range units {
		u.polled = now
	}
	return units
}

func (g *Ingester) seek(ctx context.Context) error {
	seeks := g.router.takeSeeks()
	if len(seeks) == 0 {
		return nil
	}
	if err := g.opts.Source.Seek(ctx, seeks); err != nil {
		return fmt.Errorf("seek in the source: %w", err)
	}
	return nil
}

// apply adds a unit to the tables. Nothing of its records is kept.
func (g *Ingester) apply(ctx context.Context, u *unit) {
	g.polls(u)
	if u.event != nil {
		g.handle(ctx, u.event)
		return
	}
	defer u.chunk.Release()
	for _, p := range u.portions {
		p.shape.table.take(ctx, p)
	}
}
