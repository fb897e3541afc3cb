package live

import (
	"context"
	"errors"
	"time"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/tail"
)

// shown is what readers in this process were shown of a table.
type shown struct {
	table *table.Table
	view  tail.View
	at    time.Time
	// carried is since when the view has what was withdrawn, zero when it has nothing such.
	carried time.Time
}

// Now returns a table as it is committed and the tail behind it, for readers in this process: they see rows that are in
// memory alone, and nothing is written for them. Of a table that has one row a key the view says what is unseen; where
// that cannot be told here, it comes as LoadTable returns it, with nothing behind it. Files are kept for Pin.
func (c *Catalog) Now(ctx context.Context, ident table.Ident) (*table.Table, tail.View, error) {
	asked := c.opts.Now()
	b, err := c.load(ctx, ident)
	if err != nil {
		return nil, tail.View{}, err
	}
	index := c.tail(b)
	if b.isKeyed() && (index == nil || index.Hider() == nil) {
		t, err := c.LoadTable(ctx, ident)
		if err != nil {
			return nil, tail.View{}, err
		}
		if held := c.overlay(b.meta).heldNow(c.opts.Now()); held != nil {
			return held.table, held.view, nil
		}
		return t, tail.View{}, nil
	}
	if index == nil || b.meta.Version() < 2 {
		return b.table(ident), tail.View{}, nil
	}
	o := c.overlay(b.meta)
	if err := o.waitReady(ctx, index.Follow(asked.Add(Pin)), c.opts.Now); err != nil {
		return nil, tail.View{}, err
	}
	if b.isKeyed() {
		return o.newestKeyed(ctx, c, ident, index)
	}
	return o.newest(ctx, c, ident, index)
}

// position is where a table stands in its topics. A ledger that is damaged does not tell.
func (c *Catalog) position(b committed) (position table.Position, known bool) {
	position, err := c.opts.Position(b.meta)
	return position, err == nil
}

func (b committed) table(ident table.Ident) *table.Table {
	return table.New(ident, b.meta, b.loaded.MetadataLocation)
}

// standing is the newest committed table, and where it stands in its topics; that is not known of a table whose ledger
// does not tell, or that was made again just now, of which the next finds the tail.
func (o *overlay) standing(ctx context.Context, c *Catalog, ident table.Ident,
) (s shown, position table.Position, known bool, err error) {
	b, err := c.load(ctx, ident)
	if err != nil {
		return shown{}, nil, false, err
	}
	position, known = c.position(b)
	return shown{table: b.table(ident), at: c.opts.Now()}, position, known && b.meta.TableUUID() == o.id, nil
}

// newest is the table and its tail of this moment. No answer has less of a topic partition than one that was given
// before it was asked for.
func (o *overlay) newest(ctx context.Context, c *Catalog, ident table.Ident, index *tail.Index,
) (*table.Table, tail.View, error) {
	var s shown
	for range movedMax {
		var position table.Position
		var known bool
		var err error
		if s, position, known, err = o.standing(ctx, c, ident); err != nil || !known {
			return s.table, tail.View{}, err
		}
		s.view = index.Newest(position, s.table.HasSchema)
		if o.show(s) {
			c.opts.Metrics.loaded("memory")
			return s.table, s.view, nil
		}
	}
	if s = o.carryShown(s, index); o.show(s) {
		c.opts.Metrics.loaded("memory")
		return s.table, s.view, nil
	}
	c.opts.Metrics.loaded("held")
	s = o.hold(s)
	return s.table, s.view, nil
}

// newestKeyed is newest of a table that has one row a key. What ingest gave up is not shown on, since nobody knows what
// it hides: the table stays as it was for a while.
func (o *overlay) newestKeyed(ctx context.Context, c *Catalog, ident table.Ident, index *tail.Index,
) (*table.Table, tail.View, error) {
	var s shown
	for range movedMax {
		var position table.Position
		var known bool
		var err error
		if s, position, known, err = o.standing(ctx, c, ident); err != nil || !known {
			return s.table, tail.View{}, err
		}
		s.view = index.Begin(position)
		hider := index.Hider()
		if hider == nil {
			break
		}
		view, err := hider.HideNewest(ctx, s.table, func() tail.View {
			return index.Newest(position, s.table.HasSchema)
		})
		switch {
		case err == nil:
			if s.view = view; o.show(s) {
				c.opts.Metrics.loaded("memory")
				return s.table, s.view, nil
			}
		case ctx.Err() != nil:
			return nil, tail.View{}, err
		case !errors.Is(err, tail.ErrMoved):
			c.opts.Log.Warn("readers see rows later: what the tail hides is not known", "table",
				table.FormatIdent(ident), "err", err)
			return o.heldKeyed(c, s)
		}
	}
	return o.heldKeyed(c, s)
}

// heldKeyed is what was shown last, for a while, or s, of which only what is committed is known.
func (o *overlay) heldKeyed(c *Catalog, s shown) (*table.Table, tail.View, error) {
	c.opts.Metrics.loaded("held")
	if s.view = s.view.Begin(); !o.show(s) {
		s = o.hold(s)
	}
	return s.table, s.view, nil
}

// heldNow is what readers in the process were shown of a keyed table while all of it was read here, for as long as the
// live catalog has less: another process has just begun to read some of it.
func (o *overlay) heldNow(now time.Time) *shown {
	o.mu.Lock()
	defer o.mu.Unlock()
	if n := len(o.versions); o.shown != nil && n > 0 && now.Sub(o.shown.at) < holdFor &&
		goesBack(o.shown.view.Cut, o.versions[n-1].view.Cut) {
		return o.shown
	}
	o.shown = nil
	return nil
}

// show takes s for what is shown, unless it has less than what was. That is so when a commit has landed since its table
// was loaded, or when ingest gave up what it had read.
func (o *overlay) show(s shown) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.shown != nil && goesBack(o.shown.view.Cut, s.view.Cut) {
		return false
	}
	o.shown = &s
	return true
}

// carryShown is s that goes on from what was shown last.
func (o *overlay) carryShown(s shown, index *tail.Index) shown {
	o.mu.Lock()
	last := o.shown
	o.mu.Unlock()
	if last == nil || s.at.Sub(last.at) >= Pin {
		return s
	}
	if s.carried = last.carried; s.carried.IsZero() {
		s.carried = s.at
	}
	if s.at.Sub(s.carried) < carryFor {
		s.view = index.ResumeNewest(s.view.Begin().Cut, s.table.HasSchema, last.view)
	}
	return s
}

// hold is what was shown last for a while, and then s, which has less.
func (o *overlay) hold(s shown) shown {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.shown == nil || s.at.Sub(o.shown.at) >= holdFor {
		o.shown = &s
	}
	return *o.shown
}

// unshow forgets what was shown last before then, since its rows take memory.
func (o *overlay) unshow(before time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.shown != nil && o.shown.at.Before(before) {
		o.shown = nil
	}
}
