package source

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
)

// checkQueue compares a queue with what a walk over all of its cursors tells.
func checkQueue(t *testing.T, q *queue, now time.Time) {
	t.Helper()
	led, waits := map[int32]int{}, time.Time{}
	for _, c := range q.cursors {
		led[c.leader]++
		if until := c.backoff.until; now.Before(until) && (waits.IsZero() || until.Before(waits)) {
			waits = until
		}
	}
	require.Equal(t, led, q.led)
	due := q.nextDue(now)
	if waits.IsZero() {
		require.True(t, due.IsZero() || now.Before(due), "a time that has come is due no more")
	} else {
		require.False(t, due.IsZero() || due.After(waits), "a cursor that waits must not be forgotten")
	}
}

func TestQueueKnowsItsCursorsWithoutAWalk(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		q, now := newQueue(), time.Unix(0, 0)
		var all []*cursor
		for range 200 {
			now = now.Add(time.Duration(random.IntN(100)) * time.Millisecond)
			if random.IntN(8) == 0 {
				all = append(all, newCursor(commit.TopicPartition{Topic: "t", Partition: int32(len(all))}))
				q.add(all[len(all)-1])
			}
			if len(all) == 0 {
				continue
			}
			c := all[random.IntN(len(all))]
			switch random.IntN(4) {
			case 0:
				q.setLeader(c, int32(random.IntN(4)-1))
			case 1:
				c.backoff.failed(now, random.Float64)
				q.waits(c.backoff.until)
			case 2:
				if random.IntN(4) == 0 {
					q.remove(c)
				}
			default:
				var front, back []*cursor
				for _, c := range q.cursors {
					if c.had = random.IntN(6) == 0; c.had {
						back = append(back, c)
					} else {
						front = append(front, c)
					}
				}
				q.toEnd(len(back))
				require.True(t, slices.Equal(slices.Concat(front, back), q.cursors))
				require.False(t, slices.ContainsFunc(q.cursors, func(c *cursor) bool { return c.had }))
			}
			checkQueue(t, &q, now)
		}
	}
}

func TestQueueCountsTheBrokersThatMayBeAsked(t *testing.T) {
	q := newQueue()
	for i := range int32(6) {
		c := newCursor(commit.TopicPartition{Topic: "t", Partition: i})
		q.add(c)
		q.setLeader(c, i%3)
	}
	require.Equal(t, 3, q.idle(nil))
	require.Equal(t, 1, q.idle(map[int32]bool{0: true, 2: true}))
	q.setLeader(q.cursors[1], -1)
	require.Equal(t, 6, q.idle(map[int32]bool{0: true, 2: true}), "its leader may be any broker")
}
