package source

import (
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A broker answers a fetch that it refuses at once, so a client that asks again at once keeps both
// busy for nothing. A topic partition whose fetch failed is not fetched for a while: twice as long
// each time, between the bounds, and up to a quarter less so that partitions do not ask together.
const (
	backoffMin = 250 * time.Millisecond
	backoffMax = 10 * time.Second
)

// backoff is a topic partition whose fetches fail.
type backoff struct {
	tries  int
	until  time.Time
	paused bool
}

// backoffs are the topic partitions whose fetches fail. They belong to the goroutine that polls.
type backoffs struct {
	client *kgo.Client
	now    func() time.Time
	random func() float64
	byName map[topicPartition]*backoff
}

// failed keeps the client from fetching a topic partition for a while, which it returns.
func (b *backoffs) failed(name topicPartition) time.Duration {
	each := b.byName[name]
	if each == nil {
		each = &backoff{}
		b.byName[name] = each
	}
	wait := min(backoffMin<<min(each.tries, 16), backoffMax)
	wait -= time.Duration(b.random() * float64(wait) / 4)
	each.tries++
	each.until, each.paused = b.now().Add(wait), true
	b.client.PauseFetchPartitions(map[string][]int32{name.topic: {name.index}})
	return wait
}

// resume lets the client fetch what has waited long enough. What does not fail again is forgotten.
func (b *backoffs) resume() {
	now := b.now()
	for name, each := range b.byName {
		switch {
		case each.paused && !now.Before(each.until):
			each.paused = false
			b.client.ResumeFetchPartitions(map[string][]int32{name.topic: {name.index}})
		case !each.paused && !now.Before(each.until.Add(troubleQuiet)):
			delete(b.byName, name)
		}
	}
}

// next is when the first topic partition is to be fetched again; zero when none waits.
func (b *backoffs) next() time.Time {
	var next time.Time
	for _, each := range b.byName {
		if each.paused && (next.IsZero() || each.until.Before(next)) {
			next = each.until
		}
	}
	return next
}
