package ingest

import (
	"time"

	"github.com/firthlake/firth/commit"
)

const (
	// markAfter is how long after a topic partition came the source has had the time to tell where its log ends.
	markAfter = 2 * time.Second
	// markEvery is how often a table is marked at most.
	markEvery = publishEvery / 2
)

// readEnd is the last end of a log that was read, and when it was the end; at is zero before the first one. The log has
// gone on when behind.
type readEnd struct {
	next   commit.Offset
	at     time.Time
	behind bool
}

// cameTo notes that what was polled then of a topic partition is read up to next, where its log ended at end.
func (t *tableState) cameTo(id commit.TopicPartition, next, end commit.Offset, polled time.Time) {
	e := t.ends[id]
	e.behind = next < end
	if !e.behind {
		e.next = next
		if polled.After(e.at) {
			e.at = polled
		}
	}
	t.ends[id] = e
}

// beginsAt notes that reading of a topic partition goes on where the table stands. One that the table knows nothing of
// counts once it has a record.
func (t *tableState) beginsAt(id commit.TopicPartition, next commit.Offset, known bool) {
	delete(t.ends, id)
	if known {
		t.ends[id] = readEnd{next: next}
	}
}

// mark tells the table's clock where the topics ended when: readers learn by it how old what they are shown is. A topic
// partition of which nothing more came ends at then where it did before. While anything is in the way, nothing is
// told, and what readers are shown grows older.
func (t *tableState) mark(then, now time.Time) {
	if t.hand == nil || t.state != StateActive || t.health != nil || !t.readAt.IsZero() || !t.placeAt.IsZero() ||
		t.placed.IsZero() || now.Sub(t.placed) < markAfter || now.Sub(t.marked) < markEvery {
		return
	}
	t.marked = now
	clear(t.ended)
	oldest := then
	for id, next := range t.next {
		e, some := t.ends[id]
		if !some {
			continue
		}
		if !e.behind && e.next == next && then.After(e.at) {
			e.at = then
			t.ends[id] = e
		}
		if e.at.IsZero() {
			return
		}
		t.ended[id] = e.next
		if e.at.Before(oldest) {
			oldest = e.at
		}
	}
	t.hand.Mark(t.ended, oldest)
}

// markAll is mark for all tables; caughtUp says that nothing which was polled waits to be applied. Else it is what was
// polled before the last event that has come to its turn.
func (g *Ingester) markAll(caughtUp bool, now time.Time) {
	then := now
	if !caughtUp {
		then = g.polledBefore
	}
	if then.IsZero() || g.blocked() || len(g.troubles) > 0 {
		return
	}
	for _, t := range g.tables {
		t.mark(then, now)
	}
}

// polls notes that a unit of an event comes to its turn.
func (g *Ingester) polls(u *unit) {
	if u.polled.After(g.polled) {
		g.polledBefore, g.polled = g.polled, u.polled
	}
}
