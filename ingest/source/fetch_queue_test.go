package source

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

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
	require.Equal(t, 3, q.idle(func(int32) bool { return false }))
	even := func(leader int32) bool { return leader%2 == 0 }
	require.Equal(t, 1, q.idle(even))
	q.setLeader(q.cursors[1], -1)
	require.Equal(t, 6, q.idle(even), "its leader may be any broker")
}

// fed is a fetcher of topic partitions that all have one leader, whose last answer had so many bytes.
func fed(partitions int32, bytes int) *fetcher {
	f := newFetcher(nil, &KafkaOptions{FetchBytesMax: 1 << 20, Now: time.Now})
	for i := range partitions {
		c := newCursor(commit.TopicPartition{Topic: "t", Partition: i})
		f.queue.add(c)
		f.queue.setLeader(c, 1)
	}
	f.full[1] = f.paceOf(1, 1, bytes)
	return f
}

// asks returns how many topic partitions each request has that goes out, all of which tell the broker not to wait.
func asks(t *testing.T, f *fetcher) (partitions []int) {
	t.Helper()
	for {
		requests, lost := f.requests()
		require.False(t, lost)
		if len(requests) == 0 {
			return partitions
		}
		for _, r := range requests {
			partitions = append(partitions, len(r.cursors))
			require.Zero(t, r.kafka.(*kmsg.FetchRequest).MaxWaitMillis)
		}
	}
}

func TestABrokerThatHasMuchGetsTwoRequestsAtATime(t *testing.T) {
	require.Equal(t, []int{8, 8}, asks(t, fed(512, 1<<20)))
	require.Equal(t, []int{4, 4}, asks(t, fed(8, 1<<20)))
	require.Equal(t, []int{2, 1}, asks(t, fed(3, 1<<20)))
	require.Equal(t, []int{8}, asks(t, fed(512, 20<<20)), "large records come one answer at a time")
	f := fed(8, 1<<20)
	f.ahead = 1 << 20
	require.Empty(t, asks(t, f), "enough waits to be taken")
}

func TestOnlyABrokerWithoutOtherRequestsMayWaitForRecords(t *testing.T) {
	f := fed(8, 1<<20)
	requests, _ := f.requests()
	r := requests[0]
	f.settleFetch(r, &kmsg.FetchResponse{}, &answer{}) // nothing there: the broker is asked for all again
	for _, c := range r.cursors {
		c.asked = false
	}
	require.Empty(t, asks(t, f), "the answers come in order")
	f.asked[1]--
	requests, _ = f.requests()
	require.Len(t, requests[0].cursors, 8)
	require.Positive(t, requests[0].kafka.(*kmsg.FetchRequest).MaxWaitMillis)
}

// Records that come a few at a time are waited for, a moment; a broker that has none, or many, is asked for the first.
func TestABrokerWaitsForMoreOfATrickle(t *testing.T) {
	f := fed(8, 1<<20)
	asked := func(bytes int) *kmsg.FetchRequest {
		f.asked[1], f.answers, f.ahead = 0, nil, 0
		for _, c := range f.queue.cursors {
			c.asked = false
		}
		response := &kmsg.FetchResponse{Topics: []kmsg.FetchResponseTopic{{Topic: f.queue.cursors[0].id.Topic,
			Partitions: []kmsg.FetchResponseTopicPartition{{Partition: f.queue.cursors[0].id.Partition,
				LastStableOffset: 1 << 30, HighWatermark: 1 << 30, RecordBatches: make([]byte, bytes)}}}}}
		requests, _ := f.requests()
		f.settleFetch(requests[0], response, &answer{})
		for _, c := range f.queue.cursors {
			c.asked = false
		}
		f.asked[1] = 0
		requests, _ = f.requests()
		return requests[0].kafka.(*kmsg.FetchRequest)
	}
	some := asked(500)
	require.EqualValues(t, trickleBytes, some.MinBytes)
	require.EqualValues(t, 25, some.MaxWaitMillis)
	for _, bytes := range []int{0, trickleBytes} {
		other := asked(bytes)
		require.EqualValues(t, 1, other.MinBytes)
		require.EqualValues(t, 500, other.MaxWaitMillis)
	}
}
