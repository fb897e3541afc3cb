package source

import (
	"slices"
	"time"
)

// queue is the cursors in the order in which they are asked for. With hundreds of topic partitions most of them
// are not asked for with every request, so it tells when the rest need not be looked at.
type queue struct {
	cursors []*cursor
	// led counts the cursors of each leader, those without a known one under -1.
	led map[int32]int
	// due is not after the first time at which a cursor's wait ends; zero when none waits.
	due time.Time
}

func newQueue() queue { return queue{led: map[int32]int{}} }

func (q *queue) add(c *cursor) {
	q.cursors = append(q.cursors, c)
	c.queued = true
	q.led[c.leader]++
}

func (q *queue) remove(c *cursor) {
	if !c.queued {
		return
	}
	i := slices.Index(q.cursors, c)
	q.cursors = slices.Delete(q.cursors, i, i+1)
	c.queued = false
	q.leave(c)
}

func (q *queue) leave(c *cursor) {
	if q.led[c.leader]--; q.led[c.leader] == 0 {
		delete(q.led, c.leader)
	}
}

// setLeader notes the leader of a cursor, which may have been removed meanwhile.
func (q *queue) setLeader(c *cursor, leader int32) {
	if c.queued {
		q.leave(c)
		q.led[leader]++
	}
	c.leader = leader
}

// idle is at most how many leaders that are not busy may be asked for cursors; where a leader has to be found first
// it may be any number.
func (q *queue) idle(isBusy func(leader int32) bool) int {
	if q.led[-1] > 0 {
		return len(q.cursors)
	}
	n := 0
	for leader := range q.led {
		if !isBusy(leader) {
			n++
		}
	}
	return n
}

// toEnd brings the cursors that had records behind all others; n is how many they are. All of them were asked
// for, so they stand near the begin.
func (q *queue) toEnd(n int) {
	had := make([]*cursor, 0, n)
	i, kept := 0, 0
	for ; i < len(q.cursors) && len(had) < n; i++ {
		if c := q.cursors[i]; c.had {
			c.had = false
			had = append(had, c)
		} else {
			q.cursors[kept] = c
			kept++
		}
	}
	kept += copy(q.cursors[kept:], q.cursors[i:])
	copy(q.cursors[kept:], had)
}

// waits notes until when a cursor waits.
func (q *queue) waits(until time.Time) {
	if q.due.IsZero() || until.Before(q.due) {
		q.due = until
	}
}

// nextDue is when the first cursor that waits is to be asked for again; zero when none waits.
func (q *queue) nextDue(now time.Time) time.Time {
	if q.due.IsZero() || now.Before(q.due) {
		return q.due
	}
	q.due = time.Time{}
	for _, c := range q.cursors {
		if now.Before(c.backoff.until) {
			q.waits(c.backoff.until)
		}
	}
	return q.due
}
