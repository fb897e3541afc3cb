package ingest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/source"
)

// handle acts on what an event says beside chunks. All chunks before it have been applied.
func (g *Ingester) handle(ctx context.Context, event *source.Event) {
	g.noteTroubles(event)
	if len(event.Revoked) > 0 {
		g.revoke(ctx, event.Revoked)
	}
	if event.Release != nil {
		event.Release()
	}
	for _, t := range g.tables {
		if t.filling != nil && t.filling.covers(event.Lost) {
			t.dropFilling(ctx)
		}
	}
	g.forget(event.Lost)
	for _, id := range event.Assigned {
		g.assigned[id] = true
		g.opts.Log.Info("topic partition assigned", "topic_partition", id.String())
	}
	if len(event.Assigned) > 0 {
		g.tellReads()
	}
	if len(event.Assigned) > 0 {
		g.placeAll(ctx, event.Assigned)
	}
	for _, e := range event.OutOfRange {
		g.outOfRange(ctx, e)
	}
}

// noteTroubles tells what the source goes on retrying, once when it begins and once when it is over.
func (g *Ingester) noteTroubles(event *source.Event) {
	for _, err := range event.Warnings {
		g.opts.Log.Warn("source is in trouble and goes on trying", "err", err)
		g.opts.Metrics.warned()
		g.troubles[err.Error()] = err
	}
	for _, err := range event.Recovered {
		g.opts.Log.Info("trouble of the source is over", "was", err)
		delete(g.troubles, err.Error())
	}
}

func (b *buffer) covers(ids []commit.TopicPartition) bool {
	for _, id := range ids {
		if _, found := b.ranges[id]; found {
			return true
		}
	}
	return false
}

// revoke commits what is buffered of partitions that go to another member. When that takes too long
// it is dropped: the other member reads it again, and the table refuses whoever is late.
func (g *Ingester) revoke(ctx context.Context, ids []commit.TopicPartition) {
	var concerned []*tableState
	for _, t := range g.tables {
		if t.filling != nil && t.filling.covers(ids) || t.committing != nil && t.committing.covers(ids) {
			concerned = append(concerned, t)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, releaseTimeout)
	defer cancel()
	if err := g.flush(ctx, concerned); err != nil {
		g.opts.Log.Warn("flush of revoked topic partitions", "err", err)
		for _, t := range concerned {
			t.dropFilling(context.WithoutCancel(ctx))
		}
	}
	g.forget(ids)
}

func (g *Ingester) forget(ids []commit.TopicPartition) {
	for _, id := range ids {
		delete(g.assigned, id)
		g.router.drop(id)
		for _, t := range g.tables {
			delete(t.next, id)
			delete(t.ends, id)
		}
		g.opts.Log.Info("topic partition given up", "topic_partition", id.String())
	}
	if len(ids) > 0 {
		g.tellReads() // before the source lets another member have them
	}
}

func (g *Ingester) tellReads() {
	for _, t := range g.tables {
		t.tellReads()
	}
}

// placeAll finds where every table goes on in new partitions. A partition that no table can read is
// put at the end of its log, since the source wants to know where to go on.
func (g *Ingester) placeAll(ctx context.Context, ids []commit.TopicPartition) {
	for _, t := range g.tables {
		if t.state == StateActive {
			g.place(ctx, t)
		}
	}
	var unwanted []commit.TopicPartition
	for _, id := range ids {
		wanted := false
		for _, t := range g.tables {
			wanted = wanted || t.state == StateActive && t.takes(id.Topic)
		}
		if !wanted {
			unwanted = append(unwanted, id)
		}
	}
	if len(unwanted) == 0 {
		return
	}
	ends, err := g.opts.Source.Resolve(ctx, source.Start{Kind: source.StartLatest}, unwanted)
	if err != nil {
		g.opts.Log.Warn("find the end of topic partitions that no table reads", "err", err)
		return
	}
	for id, end := range ends {
		g.router.idle(id, end)
	}
}

// What finding the place where a table goes on can fail at.
const (
	actLoad  = "load the table"
	actBegin = "find where to begin"
)

// place finds where t goes on in the assigned partitions that it does not read yet, and makes it.
// What fails is tried again later.
func (g *Ingester) place(ctx context.Context, t *tableState) {
	t.placeAt = time.Time{}
	var ids []commit.TopicPartition
	for id := range g.assigned {
		if _, known := t.next[id]; !known && t.takes(id.Topic) {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return
	}
	sortIDs(ids)
	if err := t.opts.Committer.Refresh(ctx); err != nil {
		t.placeAt = t.retry(actLoad, fmt.Errorf("load %s: %w", t, err))
		return
	}
	t.followTable(ctx)
	if len(t.next) == 0 {
		t.rolledBack = t.opts.Committer.RolledBack()
	}
	starts, err := g.starts(ctx, t, ids)
	var identity *commit.IdentityError
	if errors.As(err, &identity) {
		t.stop(ctx, fmt.Errorf("table %s: %w", t, err))
		return
	}
	if err != nil {
		t.placeAt = t.retry(actBegin, err)
		return
	}
	position := t.opts.Committer.Position()
	t.placed = g.opts.Now()
	for id, next := range starts {
		t.next[id] = next
		_, known := position[id]
		t.beginsAt(id, next, known)
	}
	if t.readAt.IsZero() {
		g.router.set(t, starts)
	}
	if t.act == actLoad || t.act == actBegin {
		t.healthy() // a topic without new records has no commit that could tell
	}
}

// starts says where t begins in ids: where it stands; at the first offset in a new partition of a
// topic that it reads; where its spec says in a topic that it has never read.
func (g *Ingester) starts(
	ctx context.Context, t *tableState, ids []commit.TopicPartition,
) (commit.Position, error) {
	position := t.opts.Committer.Position()
	starts := commit.Position{}
	unread := map[source.Start][]commit.TopicPartition{}
	for _, id := range ids {
		if next, known := position[id]; known {
			starts[id] = next
			continue
		}
		start, err := t.startOf(position, id)
		if err != nil {
			return nil, err
		}
		unread[start] = append(unread[start], id)
	}
	for start, ids := range unread {
		resolved, err := g.opts.Source.Resolve(ctx, start, ids)
		if err != nil {
			return nil, fmt.Errorf("table %s: %w", t, err)
		}
		for id, next := range resolved {
			starts[id] = next
		}
	}
	return starts, nil
}

func (t *tableState) startOf(position commit.Position, id commit.TopicPartition) (source.Start, error) {
	var other *commit.TopicPartition
	for known := range position {
		if known.Topic != id.Topic {
			continue
		}
		if known.Cluster == id.Cluster && known.TopicID == id.TopicID {
			return source.Start{Kind: source.StartEarliest}, nil
		}
		if other == nil || known.Partition == id.Partition {
			other = &known
		}
	}
	if other != nil {
		return source.Start{}, &commit.IdentityError{Known: *other, Offered: id}
	}
	return t.opts.Start, nil
}

// outOfRange stops the tables that need offsets which are gone; the others read on.
func (g *Ingester) outOfRange(ctx context.Context, e *source.OutOfRangeError) {
	for _, t := range g.tables {
		next, reads := t.next[e.TopicPartition]
		if !reads || t.state != StateActive {
			continue
		}
		if next < e.First || next > e.End {
			mine := *e
			mine.Wanted = next
			t.stop(ctx, &LossError{Table: t.name, Range: &mine})
			t.lookAt = g.opts.Now().Add(t.interval())
			continue
		}
		g.router.set(t, commit.Position{e.TopicPartition: next})
	}
}

// ack tells the group how far all tables that read the partitions have come, for lag tools.
func (g *Ingester) ack(ctx context.Context, ranges map[commit.TopicPartition]commit.Range) {
	done := commit.Position{}
	for id := range ranges {
		for _, t := range g.tables {
			if !t.takes(id.Topic) {
				continue
			}
			next, known := t.opts.Committer.Position()[id]
			if before, found := done[id]; known && (!found || next < before) {
				done[id] = next
			}
		}
	}
	if err := g.opts.Source.Ack(ctx, done); err != nil {
		g.opts.Log.Debug("write group offsets", "err", err)
	}
}

func sortIDs(ids []commit.TopicPartition) {
	slices.SortFunc(ids, commit.TopicPartition.Compare)
}
