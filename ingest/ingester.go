package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

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

	assigned map[commit.TopicPartition]bool
	// spawn runs work, beside the applying side in Run, and what work returns on it.
	spawn   func(work func() func())
	results chan func() // nil in Step
	// parallel is how many goroutines a writer may use.
	parallel int

	progress atomic.Pointer[Progress]
	began    time.Time
}

// New makes an Ingester. It starts nothing; the tables' Committers have been opened.
func New(opts Options) (*Ingester, error) {
	if err := opts.complete(); err != nil {
		return nil, fmt.Errorf("new ingester: %w", err)
	}
	g := &Ingester{
		opts: opts, router: newRouter(), assigned: map[commit.TopicPartition]bool{}, parallel: 1,
		worker: newWorker(opts.Allocator), began: opts.Now(),
	}
	g.spawn = func(work func() func()) { work()() }
	for i := range opts.Tables {
		t := &tableState{
			ingester: g, opts: opts.Tables[i], index: i, name: table.FormatIdent(opts.Tables[i].Ident),
			state: StateActive, next: commit.Position{}, refused: map[string]bool{},
		}
		t.log = opts.Log.With("table", t.name)
		var err error
		if t.takes, err = t.opts.takes(); err != nil {
			return nil, fmt.Errorf("new ingester: table %s: %w", t, err)
		}
		g.tables = append(g.tables, t)
	}
	if err := g.regroup(); err != nil {
		return nil, fmt.Errorf("new ingester: %w", err)
	}
	g.publish()
	return g, nil
}

// regroup compiles the plans of all tables at their newest schemas.
func (g *Ingester) regroup() error {
	groups, err := newGroups(g.tables)
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
	g.publish()
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
		t.filling = nil
	}
	g.worker.close()
}

// Run ingests until ctx ends, then commits what is buffered within StopTimeout and closes the source.
func (g *Ingester) Run(ctx context.Context) error {
	// Work that has begun outlives ctx, to be finished in time.
	lasting, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	g.results = make(chan func(), len(g.tables))
	g.parallel = g.opts.Workers
	var beside errgroup.Group
	g.spawn = func(work func() func()) {
		beside.Go(func() error {
			g.results <- work()
			return nil
		})
	}
	depth := g.opts.Workers * unitsPerWorker
	queue, work := make(chan *unit, depth), make(chan *unit, depth)
	var group errgroup.Group
	group.Go(func() error {
		defer close(queue)
		defer close(work)
		return g.pollAll(ctx, queue, work)
	})
	for range g.opts.Workers {
		group.Go(func() error {
			w := newWorker(g.opts.Allocator)
			defer w.close()
			for u := range work {
				w.work(lasting, u)
				close(u.done)
			}
			return nil
		})
	}
	group.Go(func() error {
		g.applyAll(ctx, lasting, queue)
		return nil
	})
	err := group.Wait()
	stop := time.AfterFunc(g.opts.StopTimeout, cancel)
	defer stop.Stop()
	flushErr := g.flush(lasting, g.tables)
	cancel()
	err = errors.Join(err, flushErr, g.drainResults(&beside))
	cleanup, done := context.WithTimeout(context.WithoutCancel(ctx), g.opts.StopTimeout)
	defer done()
	g.Close(cleanup)
	g.publish()
	return errors.Join(err, g.opts.Source.Close(cleanup))
}

// drainResults waits for what runs beside and takes its results.
func (g *Ingester) drainResults(beside *errgroup.Group) error {
	err := beside.Wait()
	for {
		select {
		case settle := <-g.results:
			settle()
		default:
			return err
		}
	}
}

// pollAll polls until ctx ends, and hands units to the workers and, in order, to the applying side.
func (g *Ingester) pollAll(ctx context.Context, queue, work chan<- *unit) error {
	for ctx.Err() == nil {
		if err := g.seek(ctx); err != nil {
			return err
		}
		pollCtx, cancel := g.router.pollContext(ctx)
		event, err := g.opts.Source.Poll(pollCtx)
		cancel()
		if err != nil {
			return fmt.Errorf("poll the source: %w", err)
		}
		for _, u := range g.unitsOf(&event) {
			select {
			case queue <- u:
			case <-ctx.Done():
				if u.event != nil && u.event.Release != nil {
					u.event.Release()
				}
				return nil
			}
			if u.event == nil {
				work <- u
			}
		}
	}
	return nil
}

// unitsOf makes the units of an event: what it says first, then its chunks.
func (g *Ingester) unitsOf(event *source.Event) []*unit {
	var units []*unit
	chunks := event.Chunks
	event.Chunks = nil
	if len(event.Assigned)+len(event.Revoked)+len(event.Lost)+len(event.OutOfRange)+
		len(event.Warnings) > 0 || event.Release != nil {
		units = append(units, &unit{event: event})
	}
	for _, chunk := range chunks {
		g.opts.Metrics.lag(chunk)
		units = append(units, g.router.units(chunk)...)
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

// applyAll applies units in their order until polling ends. ctx says when to stop, lasting is for
// work that must be finished.
func (g *Ingester) applyAll(ctx, lasting context.Context, queue <-chan *unit) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		take := queue
		if g.blocked() {
			take = nil
		}
		timer.Reset(g.untilDue())
		select {
		case u, more := <-take:
			if !more {
				return
			}
			if u.event == nil {
				<-u.done
			}
			if ctx.Err() != nil {
				discard(u)
				continue
			}
			g.apply(lasting, u)
		case settle := <-g.results:
			settle()
		case <-timer.C:
		case <-ctx.Done():
			for u := range queue {
				if u.event == nil {
					<-u.done
				}
				discard(u)
			}
			return
		}
		g.tick(lasting)
		g.publish()
	}
}

// discard drops a unit that comes after the end.
func discard(u *unit) {
	for _, p := range u.portions {
		p.release()
	}
	if u.event != nil && u.event.Release != nil {
		u.event.Release()
	}
}

// apply adds a unit to the tables.
func (g *Ingester) apply(ctx context.Context, u *unit) {
	if u.event != nil {
		g.handle(ctx, u.event)
		return
	}
	for _, p := range u.portions {
		p.shape.table.take(ctx, p)
	}
}

// publishEvery is how often Progress changes, and the longest that the applying side sleeps.
const publishEvery = 200 * time.Millisecond

// untilDue is how long there is nothing to do but to apply.
func (g *Ingester) untilDue() time.Duration {
	wait := publishEvery
	now := g.opts.Now()
	for _, t := range g.tables {
		for _, at := range []time.Time{t.commitAt, t.readAt, t.placeAt, t.lookAt} {
			if !at.IsZero() {
				wait = min(wait, at.Sub(now))
			}
		}
		if t.filling != nil && t.committing == nil {
			wait = min(wait, t.filling.opened.Add(t.interval()).Sub(now))
		}
	}
	return max(wait, 0)
}

// tick does what is due.
func (g *Ingester) tick(ctx context.Context) {
	for _, t := range g.tables {
		now := g.opts.Now()
		if t.committing != nil && !t.inFlight && reached(t.commitAt, now) {
			t.tryCommit(ctx)
		}
		if t.state == StateActive && reached(t.placeAt, now) {
			g.place(ctx, t)
		}
		if t.state == StateActive && reached(t.readAt, now) {
			t.readAt = time.Time{}
			g.router.set(t, maps.Clone(t.next))
		}
		if t.state == StateStandby && reached(t.lookAt, now) {
			g.look(ctx, t)
		}
		if t.due(now) {
			t.cut(ctx)
		}
	}
	if g.pressed() {
		if t := g.largest(); t != nil {
			t.cut(ctx)
		}
	}
}

func reached(at, now time.Time) bool { return !at.IsZero() && !now.Before(at) }

func (g *Ingester) pressed() bool {
	select {
	case <-g.opts.Budget.Pressed():
		return true
	default:
		return false
	}
}

// largest is the table whose cut frees the most memory, of those that can be cut.
func (g *Ingester) largest() *tableState {
	var largest *tableState
	for _, t := range g.tables {
		if t.filling == nil || t.committing != nil {
			continue
		}
		if largest == nil || t.filling.bytes() > largest.filling.bytes() {
			largest = t
		}
	}
	return largest
}

// blocked says that nothing more may be buffered: a table is full while its last change is on its
// way, or memory runs out and no cut can free any.
func (g *Ingester) blocked() bool {
	underWay := false
	for _, t := range g.tables {
		if t.committing == nil {
			continue
		}
		underWay = true
		if t.full() {
			return true
		}
	}
	return underWay && g.pressed() && g.largest() == nil
}

// errNotFlushed says that a flush could not be finished now.
var errNotFlushed = errors.New("not all could be committed")

// flush commits what tables have buffered and waits for it. In Step a commit that must be tried again
// is not waited for.
func (g *Ingester) flush(ctx context.Context, tables []*tableState) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		busy := false
		for _, t := range tables {
			if t.committing != nil && !t.inFlight && (g.results == nil || reached(t.commitAt, g.opts.Now())) {
				t.tryCommit(ctx)
			}
			t.cut(ctx)
			busy = busy || t.committing != nil || t.filling != nil
		}
		if !busy {
			return nil
		}
		if g.results == nil {
			return g.unflushed(tables)
		}
		timer.Reset(g.untilDue())
		select {
		case settle := <-g.results:
			settle()
		case <-timer.C:
		case <-ctx.Done():
			return g.unflushed(tables)
		}
	}
}

func (g *Ingester) unflushed(tables []*tableState) error {
	errs := []error{errNotFlushed}
	for _, t := range tables {
		if t.committing != nil || t.filling != nil {
			errs = append(errs, fmt.Errorf("table %s: %w", t, cmp.Or(t.health, errNotFlushed)))
		}
	}
	return errors.Join(errs...)
}

func sortIDs(ids []commit.TopicPartition) {
	slices.SortFunc(ids, func(a, b commit.TopicPartition) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition),
			slices.Compare(a.TopicID[:], b.TopicID[:]))
	})
}
