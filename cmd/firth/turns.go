package main

import (
	"runtime"
	"sync/atomic"
	"time"
)

const (
	// turnsFor is how long after the last look-up threads are kept for the next.
	turnsFor = time.Minute
	// turnsEach is how many threads there are for a processor meanwhile.
	turnsEach = 2
)

// turns lets look-ups have their turn while a commit or a compaction keeps all processors busy. Within a thread Go
// lets a goroutine work for 10 ms before it takes the next one, and looks as seldom for requests that have come; the
// kernel has a thread that wakes up run at once. With more threads than goroutines that work for long a request
// always finds one that sleeps. Ingest loses some percent by it, so it is so only while somebody looks up.
type turns struct {
	asked atomic.Int64 // when somebody looked up last, in nanoseconds since 1970
	own   int          // how many threads there were, 0 while there are so many
}

// want says that somebody looks up.
func (t *turns) want(now time.Time) { t.asked.Store(now.UnixNano()) }

// look sets the number of threads. One goroutine calls it now and then.
func (t *turns) look(now time.Time) {
	wanted := now.UnixNano()-t.asked.Load() < int64(turnsFor)
	switch {
	case wanted && t.own == 0:
		t.own = runtime.GOMAXPROCS(0)
		runtime.GOMAXPROCS(turnsEach * t.own)
	case !wanted && t.own > 0:
		runtime.GOMAXPROCS(t.own)
		t.own = 0
	}
}
