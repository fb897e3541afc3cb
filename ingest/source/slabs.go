package source

import (
	"slices"
	"sync"
	"time"
)

// slabs keeps slices that are not in use, by capacity, to be used again. What is handed out has no
// bound here: the fetches that are under way bound it.
type slabs[T any] struct {
	mu      sync.Mutex
	idle    [slabClasses][][]T
	unused  [slabClasses]int // of idle, the first ones: how many were not asked for since the last sweep
	idleLen int              // capacity of all that is idle
	idleMax int
}

// Capacities are powers of two and the means between them, so that a slab is at most half as long again
// as what it was asked for. The least is small: a topic of many partitions has batches of few records.
const (
	slabClasses = 2 * 23
	slabLenMin  = 8
)

func slabLen(class int) int {
	n := slabLenMin << (class / 2)
	return n + n/2*(class%2)
}

// get returns an empty slice with room for n elements. Its elements are not cleared.
func (s *slabs[T]) get(n int) []T {
	class := 0
	for class < slabClasses && slabLen(class) < n {
		class++
	}
	if class == slabClasses {
		return make([]T, 0, n)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	free := s.idle[class]
	if len(free) == 0 {
		return make([]T, 0, slabLen(class))
	}
	slab := free[len(free)-1]
	free[len(free)-1] = nil
	s.idle[class] = free[:len(free)-1]
	s.unused[class] = min(s.unused[class], len(free)-1)
	s.idleLen -= cap(slab)
	return slab
}

// put takes back a slice that nobody uses any more. When more than idleMax would be idle, all that was
// idle before goes, so that sizes which are not asked for any more do not stay.
func (s *slabs[T]) put(slab []T) {
	class := slabClasses - 1
	for class >= 0 && slabLen(class) > cap(slab) {
		class--
	}
	if class < 0 || cap(slab) > s.idleMax || cap(slab) > 2*slabLen(class) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.idleLen+cap(slab) > s.idleMax {
		clear(s.idle[:])
		clear(s.unused[:])
		s.idleLen = 0
	}
	s.idle[class] = append(s.idle[class], slab[:0])
	s.idleLen += cap(slab)
}

// sweep drops what nobody has asked for since the last sweep.
func (s *slabs[T]) sweep() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for class, unused := range s.unused {
		for _, slab := range s.idle[class][:unused] {
			s.idleLen -= cap(slab)
		}
		s.idle[class] = slices.Delete(s.idle[class], 0, unused)
		s.unused[class] = len(s.idle[class])
	}
}

// pools are the memory of one client's fetches: what batches are decompressed to, and their records.
type pools struct {
	bytes   slabs[byte]
	records slabs[Record]
	swept   time.Time
}

// sweepInterval is how long memory of fetches lies idle: after a backlog a stream that trickles needs a fiftieth of it,
// and the collector would run the more often for the rest.
const sweepInterval = 2 * time.Second

// sweep drops what was not used for the last interval or two. One goroutine calls it now and then.
func (p *pools) sweep(now time.Time) {
	if now.Sub(p.swept) < sweepInterval {
		return
	}
	p.swept = now
	p.bytes.sweep()
	p.records.sweep()
}

// What may lie idle: a few times what one answer of a broker unpacks to, since it comes back in pieces.
// With half of it, a topic of 8 partitions had to make twice as many slabs. It is of the largest answers
// and as much less as they are smaller.
const (
	idleBytesMax   = 32 << 20
	idleRecordsMax = 128 << 10
)

// newPools makes the pools for answers of so many bytes; with 0 nothing lies idle.
func newPools(fetchBytes int32) *pools {
	records := int(int64(idleRecordsMax) * int64(fetchBytes) / fetchBytesMax)
	bytes := int(int64(idleBytesMax) * int64(fetchBytes) / fetchBytesMax)
	return &pools{
		bytes:   slabs[byte]{idleMax: min(bytes, idleBytesMax)},
		records: slabs[Record]{idleMax: min(records, idleRecordsMax)},
	}
}

// grown returns records with room for n more, in another slab if need be.
func (p *pools) grown(records []Record, n int) []Record {
	if cap(records)-len(records) >= n {
		return records
	}
	grown := append(p.records.get(max(len(records)+n, 2*cap(records))), records...)
	p.putRecords(records)
	return grown
}

// putRecords takes back a slab of records, which lets go of what they borrow.
func (p *pools) putRecords(records []Record) {
	clear(records)
	p.records.put(records)
}

// putAll takes back what an answer was unpacked to.
func (p *pools) putAll(u unpacked) {
	p.putRecords(u.records)
	for _, slab := range u.slabs {
		p.bytes.put(slab)
	}
}
