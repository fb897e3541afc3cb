package table

import (
	"context"
	"fmt"
	"sync"

	"github.com/firthlake/firth/table/columnchunk"
)

// Budget is a limit in bytes on memory that many parties share: the buffers of ingest and of all
// writers of a process draw on one. It counts what its users say they hold and allocates nothing.
// All methods may be called from many goroutines; none is held up but Acquire.
type Budget struct {
	limit   int64
	buffers columnchunk.Buffers // memory that writers under the budget hand to one another

	mu      sync.Mutex // guards all below
	used    int64
	waiting []*budgetWait
	pressed chan struct{} // closed while used is at or above the pressure mark
}

// budgetWait is a caller of Acquire in the queue; granted is closed when it has its bytes.
type budgetWait struct {
	bytes   int64
	granted chan struct{}
}

// NewBudget returns a budget of limit bytes. The limit must be positive.
func NewBudget(limit int64) *Budget {
	if limit <= 0 {
		panic(fmt.Sprintf("BUG: memory budget of %d bytes", limit))
	}
	return &Budget{limit: limit, pressed: make(chan struct{})}
}

// TryAcquire takes n bytes when they fit under the limit and nobody waits for memory.
func (b *Budget) TryAcquire(n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiting) > 0 || !b.fits(n) {
		return false
	}
	b.add(n)
	return true
}

// Acquire waits until n bytes fit under the limit and takes them; those who wait are served in
// order. A request above the whole limit is granted once nothing else is held, so none waits for
// ever. A caller that itself holds memory should rather shed it (TryAcquire, spill): holders that
// wait for one another never wake.
func (b *Budget) Acquire(ctx context.Context, n int64) error {
	b.mu.Lock()
	if len(b.waiting) == 0 && b.fits(n) {
		b.add(n)
		b.mu.Unlock()
		return nil
	}
	wait := &budgetWait{bytes: n, granted: make(chan struct{})}
	b.waiting = append(b.waiting, wait)
	b.mu.Unlock()

	select {
	case <-wait.granted:
		return nil
	case <-ctx.Done():
		b.abandon(wait)
		return fmt.Errorf("wait for %d bytes of memory: %w", n, ctx.Err())
	}
}

// Charge takes n bytes in any case, also above the limit: for memory that exists already and cannot
// be refused.
func (b *Budget) Charge(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.add(n)
}

// Release gives back n bytes.
func (b *Budget) Release(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.release(n)
}

// Used is the number of bytes taken.
func (b *Budget) Used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

// Limit is the number of bytes there are.
func (b *Budget) Limit() int64 { return b.limit }

// Pressed returns a channel that is closed while at least seven eighths of the limit are taken:
// time to cut a checkpoint or to pause fetching. Ask for it again after each wake.
func (b *Budget) Pressed() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.pressed
}

func (b *Budget) fits(n int64) bool { return b.used+n <= b.limit || b.used == 0 }

// pressureMark leaves an eighth of the limit for what is under way while the signal takes effect.
func (b *Budget) pressureMark() int64 { return b.limit - b.limit/8 }

func (b *Budget) add(n int64) {
	if n < 0 {
		panic(fmt.Sprintf("BUG: taking %d bytes from a memory budget", n))
	}
	before := b.used
	b.used += n
	if before < b.pressureMark() && b.used >= b.pressureMark() {
		close(b.pressed)
	}
}

func (b *Budget) release(n int64) {
	if n < 0 || n > b.used {
		panic(fmt.Sprintf("BUG: releasing %d of %d bytes to a memory budget", n, b.used))
	}
	before := b.used
	b.used -= n
	if before >= b.pressureMark() && b.used < b.pressureMark() {
		b.pressed = make(chan struct{})
	}
	for len(b.waiting) > 0 && b.fits(b.waiting[0].bytes) {
		b.add(b.waiting[0].bytes)
		close(b.waiting[0].granted)
		b.waiting = b.waiting[1:]
	}
}

// abandon takes wait out of the queue, or gives back what it was granted meanwhile.
func (b *Budget) abandon(wait *budgetWait) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, other := range b.waiting {
		if other == wait {
			b.waiting = append(b.waiting[:i:i], b.waiting[i+1:]...)
			b.release(0) // those behind it may fit now
			return
		}
	}
	b.release(wait.bytes)
}
