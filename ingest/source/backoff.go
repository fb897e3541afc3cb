package source

import "time"

// A broker answers a fetch that it refuses at once, so a client that asks again at once keeps both
// busy for nothing. A topic partition whose fetch failed is not fetched for a while: twice as long
// each time, between the bounds, and up to a quarter less so that partitions do not ask together.
const (
	backoffMin = 250 * time.Millisecond
	backoffMax = 10 * time.Second
)

// backoff is how long something that fails waits before it is tried again.
type backoff struct {
	tries int // that failed, one after the other
	until time.Time
}

// failed notes one failure more and returns how long to wait.
func (b *backoff) failed(now time.Time, random func() float64) time.Duration {
	wait := min(backoffMin<<min(b.tries, 16), backoffMax)
	wait -= time.Duration(random() * float64(wait) / 4)
	b.tries++
	b.until = now.Add(wait)
	return wait
}
