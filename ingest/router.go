package ingest

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/source"
)

// router knows which table wants what next. The polling side makes units with it, the applying side
// changes it; it remembers where the source must seek and wakes it.
type router struct {
	mu sync.Mutex
	// routes are, per assigned topic partition, the next offset that each table has not been
	// given. A table that does not read is not in it.
	routes map[commit.TopicPartition]map[*tableState]commit.Offset
	// members are the group and the shape of each table.
	members map[*tableState]want
	// seeks are where the source must go on before it is polled again.
	seeks commit.Position
	wake  context.CancelFunc
}

func newRouter() *router {
	return &router{
		routes:  map[commit.TopicPartition]map[*tableState]commit.Offset{},
		members: map[*tableState]want{},
		seeks:   commit.Position{},
	}
}

// regroup takes over new groups. Units made before keep theirs.
func (r *router) regroup(groups []*group) {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.members)
	for _, g := range groups {
		for _, s := range g.shapes {
			r.members[s.table] = want{group: g, shape: s}
		}
	}
}

// set says that t goes on at position, in each of its topic partitions.
func (r *router) set(t *tableState, position commit.Position) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, next := range position {
		if r.routes[id] == nil {
			r.routes[id] = map[*tableState]commit.Offset{}
		}
		r.routes[id][t] = next
		r.seek(id)
	}
}

// hold says that t reads nothing for now.
func (r *router) hold(t *tableState) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, routes := range r.routes {
		delete(routes, t)
	}
}

// idle makes the source go on at next although no table wants it, since an assigned partition must
// be sought.
func (r *router) idle(id commit.TopicPartition, next commit.Offset) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seeks[id] = next
	r.wakeLocked()
}

// drop forgets a topic partition.
func (r *router) drop(id commit.TopicPartition) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.routes, id)
	delete(r.seeks, id)
}

// seek notes that the source must go to where the table furthest behind wants to read.
func (r *router) seek(id commit.TopicPartition) {
	first := true
	for _, next := range r.routes[id] {
		if first || next < r.seeks[id] {
			r.seeks[id] = next
		}
		first = false
	}
	r.wakeLocked()
}

func (r *router) wakeLocked() {
	if r.wake != nil {
		r.wake()
	}
}

// pollContext returns a context that ends when the source must seek.
func (r *router) pollContext(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wake = cancel
	if len(r.seeks) > 0 {
		cancel()
	}
	return ctx, cancel
}

// takeSeeks returns where the source must go, once.
func (r *router) takeSeeks() commit.Position {
	r.mu.Lock()
	defer r.mu.Unlock()
	seeks := maps.Clone(r.seeks)
	clear(r.seeks)
	return seeks
}

// units makes the units of a chunk, each with its own hold on the records. A table that is ahead gets
// only what it has not seen; one that is behind is waiting for the source to go back and gets nothing.
func (r *router) units(chunk source.Chunk) []*unit {
	defer chunk.Release()
	r.mu.Lock()
	defer r.mu.Unlock()
	routes := r.routes[chunk.TopicPartition]
	var units []*unit
	rowBytes := 0
	for t := range routes {
		rowBytes = max(rowBytes, r.members[t].group.rowBytes)
	}
	for _, piece := range split(chunk, rowsOfUnit(rowBytes)) {
		u := &unit{chunk: piece, done: make(chan struct{})}
		for t, next := range routes {
			if next < piece.From || next >= piece.Next {
				continue
			}
			w := r.members[t]
			w.from = next
			u.wants = append(u.wants, w)
			routes[t] = piece.Next
		}
		if len(u.wants) > 0 {
			slices.SortFunc(u.wants, func(a, b want) int {
				return cmp.Compare(a.shape.table.index, b.shape.table.index)
			})
			u.chunk.Retain()
			units = append(units, u)
		}
	}
	return units
}

// member is t's wish for what comes from an offset on, under its newest schema.
func (r *router) member(t *tableState, from commit.Offset) want {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.members[t]
	w.from = from
	return w
}
