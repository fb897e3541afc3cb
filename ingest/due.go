package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// tick does what is due.
func (g *Ingester) tick(ctx context.Context) {
	for _, t := range g.tables {
		now := g.opts.Now()
		if t.committing != nil && !t.inFlight && reached(t.commitAt, now) {
			t.tryCommit(ctx)
		}
		t.watchRollback(ctx, now)
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
		var loss *LossError
		if t.state == StateStopped && reached(t.lookAt, now) && errors.As(t.stopped, &loss) {
			g.recheck(ctx, t, loss)
		}
		if t.due(now) {
			t.cut(ctx)
		}
		t.handOver(ctx, now)
	}
	if g.pressed() || g.crowded() {
		g.relieve(ctx)
	}
}

// relieve frees memory: tables that can encode what they hold do so once it is crowded; where none can,
// the largest is cut once nothing is left.
func (g *Ingester) relieve(ctx context.Context) {
	full := g.fullest()
	switch {
	case len(full) > 0 && g.crowded():
		g.shrink(ctx, full)
	case len(full) == 0 && g.pressed():
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

// shrinkBytesMin is the least that is worth the open file and the row group of its own that it takes
// to free it.
const shrinkBytesMin = 1 << 20

// crowded says that more than half of the memory for rows is taken: time to encode some. Go's collector
// works under the same limit, and the less is left to it the more often it runs: ten tables that waited
// until memory ran out spent a tenth of their time on it.
func (g *Ingester) crowded() bool { return g.opts.Budget.Used() > g.opts.Budget.Limit()/2 }

// shrink lets tables encode what they hold, side by side.
func (g *Ingester) shrink(ctx context.Context, full []*tableState) {
	errs := make([]error, len(full))
	var group errgroup.Group
	for i, t := range full[1:] {
		group.Go(func() error {
			errs[i+1] = t.filling.shrink(ctx)
			return nil
		})
	}
	errs[0] = full[0].filling.shrink(ctx)
	_ = group.Wait() // errs has the errors
	for i, t := range full {
		if errs[i] != nil {
			t.lose(ctx, errs[i])
		}
	}
}

// fullest are the tables that free the most when they encode what they hold, as many as there are
// goroutines for it; one that would free less than half of what the first does is left to fill.
func (g *Ingester) fullest() []*tableState {
	var full []*tableState
	for _, t := range g.tables {
		if t.filling != nil && t.filling.shrinkBytes() >= shrinkBytesMin {
			full = append(full, t)
		}
	}
	slices.SortStableFunc(full, func(a, b *tableState) int {
		return cmp.Compare(b.filling.shrinkBytes(), a.filling.shrinkBytes())
	})
	full = full[:min(len(full), g.parallel)]
	for i, t := range full {
		if 2*t.filling.shrinkBytes() < full[0].filling.shrinkBytes() {
			return full[:i]
		}
	}
	return full
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
	return underWay && g.pressed() && len(g.fullest()) == 0 && g.largest() == nil
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
