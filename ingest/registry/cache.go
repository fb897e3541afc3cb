package registry

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	// schemasMax bounds the schemas kept. A topic seldom sees more than dozens; 2,000 schemas of
	// 10 KiB are 20 MiB.
	schemasMax = 2000
	// unknownTTL is how long an unknown id is not asked for again. Producers register before they
	// send, so a second look is for replicated registries that lag.
	unknownTTL = 5 * time.Second
)

// cache keeps schemas by id and lets one goroutine fetch each.
type cache struct {
	now func() time.Time

	mu      sync.Mutex
	entries map[int32]*entry
	order   []int32 // ids of finished entries, oldest first
}

// entry is one id. Schema and err are set before done is closed and not changed after.
type entry struct {
	done    chan struct{}
	schema  *Schema
	err     error
	expires time.Time // zero: never
}

func newCache(now func() time.Time) *cache {
	return &cache{now: now, entries: map[int32]*entry{}}
}

// get returns what is kept for id, or calls fetch. When the goroutine that fetches gives up, one of
// those that wait takes over.
func (c *cache) get(ctx context.Context, id int32, fetch func() (*Schema, error)) (*Schema, error) {
	for {
		e, mine := c.claim(id)
		if mine {
			e.schema, e.err = fetch()
			c.finish(id, e)
			return e.schema, e.err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-e.done:
		}
		if errors.Is(e.err, context.Canceled) || errors.Is(e.err, context.DeadlineExceeded) {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			continue // the other one's context ended, not ours
		}
		return e.schema, e.err
	}
}

// claim returns the entry of id and whether the caller must fetch it.
func (c *cache) claim(id int32) (*entry, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.entries[id]; ok && (e.expires.IsZero() || c.now().Before(e.expires)) {
		return e, false
	}
	e := &entry{done: make(chan struct{})}
	c.entries[id] = e
	return e, true
}

// finish publishes e and drops the oldest entries over the bound. Failures other than an unknown id
// are not kept.
func (c *cache) finish(id int32, e *entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer close(e.done)
	switch {
	case e.err == nil:
	case errors.Is(e.err, ErrUnknownID):
		e.expires = c.now().Add(unknownTTL)
	default:
		delete(c.entries, id)
		return
	}
	c.order = append(c.order, id)
	for len(c.order) > schemasMax {
		oldest := c.order[0]
		c.order = c.order[1:]
		if old, ok := c.entries[oldest]; ok && old != e && finished(old) {
			delete(c.entries, oldest)
		}
	}
}

func finished(e *entry) bool {
	select {
	case <-e.done:
		return true
	default:
		return false
	}
}
