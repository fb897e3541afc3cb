package ingest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Run ingests until ctx ends, then commits what is buffered and closes the source. Decoding and writing
// that are under way when ctx ends, and the last commits, get StopTimeout together.
func (g *Ingester) Run(ctx context.Context) error {
	// Work that has begun outlives ctx, to be finished in time.
	lasting, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	end := sync.OnceFunc(func() {
		timer := time.AfterFunc(g.opts.StopTimeout, cancel)
		context.AfterFunc(lasting, func() { timer.Stop() })
	})
	defer context.AfterFunc(ctx, end)()
	g.results = make(chan func(), workPerTable*len(g.tables))
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
				units := g.together(u, work)
				w.work(lasting, units...)
				for _, u := range units {
					close(u.done)
				}
			}
			return nil
		})
	}
	group.Go(func() error {
		g.applyAll(ctx, lasting, queue)
		return nil
	})
	err := group.Wait()
	end() // polling may have failed while ctx goes on
	flushErr := g.flush(lasting, g.tables)
	cancel()
	err = errors.Join(err, flushErr, g.drainResults(&beside))
	cleanup, done := context.WithTimeout(context.WithoutCancel(ctx), g.opts.StopTimeout)
	defer done()
	g.Close(cleanup)
	g.publish(false)
	return errors.Join(err, g.opts.Source.Close(cleanup))
}

// together returns u and what else of the work that waits a worker had better do with it: tables that share
// a topic get more rows a batch then. Others get their part of the work.
func (g *Ingester) together(u *unit, work <-chan *unit) []*unit {
	units := []*unit{u}
	bytes := u.taken
	for n := len(work) / g.opts.Workers; n > 0 && len(u.wants) > 1 && bytes < togetherBytes; n-- {
		select {
		case u, more := <-work:
			if !more {
				return units
			}
			units = append(units, u)
			bytes += u.taken
		default:
			return units
		}
	}
	return units
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
		if !g.hasRoom(ctx) {
			return nil
		}
		pollCtx, cancel := g.router.pollContext(ctx)
		event, err := g.opts.Source.Poll(pollCtx)
		cancel()
		if err != nil {
			return fmt.Errorf("poll the source: %w", err)
		}
		for _, u := range g.unitsOf(&event) {
			if !g.hand(ctx, u, queue) {
				return nil
			}
			if u.event == nil {
				work <- u
			}
		}
	}
	return nil
}

// hasRoom waits while what was handed over takes more memory than there is for it, which one unit of a
// huge record does: what is polled meanwhile would only wait beside it, and the source fetch the next. It
// returns false when ctx has ended.
func (g *Ingester) hasRoom(ctx context.Context) bool {
	if g.underWay.Acquire(ctx, 1) != nil {
		return false
	}
	g.underWay.Release(1)
	return true
}

// hand gives the unit to the applying side as soon as what was handed over before leaves memory for it.
// It returns false when ctx has ended.
func (g *Ingester) hand(ctx context.Context, u *unit, queue chan<- *unit) bool {
	if u.event == nil {
		u.taken = u.bytes()
		if g.underWay.Acquire(ctx, u.taken) != nil {
			return false
		}
	}
	select {
	case queue <- u:
		return true
	case <-ctx.Done():
		if u.event != nil && u.event.Release != nil {
			u.event.Release()
		}
		g.underWay.Release(u.taken)
		return false
	}
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
		timer.Reset(min(g.untilDue(), g.untilShown(len(take) == 0)))
		select {
		case u, more := <-take:
			if !more {
				return
			}
			if u.event == nil {
				<-u.done
			}
			if ctx.Err() != nil {
				g.discard(u)
				continue
			}
			g.apply(lasting, u)
			g.underWay.Release(u.taken)
			g.unshown = true
		case settle := <-g.results:
			settle()
			g.unshown = true
		case <-timer.C:
		case <-ctx.Done():
			for u := range queue {
				if u.event == nil {
					<-u.done
				}
				g.discard(u)
			}
			return
		}
		g.tick(lasting)
		g.publishSoon(len(take) == 0)
	}
}

// discard drops a unit that comes after the end.
func (g *Ingester) discard(u *unit) {
	g.underWay.Release(u.taken)
	for _, p := range u.portions {
		p.release()
	}
	if u.event == nil {
		u.chunk.Release()
	} else if u.event.Release != nil {
		u.event.Release()
	}
}

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
		wait = min(wait, t.tailing.untilDue(t, now))
		if t.filling != nil && t.committing == nil {
			wait = min(wait, t.filling.opened.Add(t.patience()).Sub(now))
		}
	}
	return max(wait, 0)
}
