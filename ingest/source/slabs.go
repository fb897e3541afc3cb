package source

import (
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// slabs keeps slices that are not in use, by capacity, to be used again. What is handed out has no
// bound here: the fetches that are under way bound it.
type slabs[T any] struct {
	mu      sync.Mutex
	idle    [slabClasses][][]T
	idleLen int // capacity of all that is idle
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
		s.idleLen = 0
	}
	s.idle[class] = append(s.idle[class], slab[:0])
	s.idleLen += cap(slab)
}

// pools are the memory of one client's fetches: what batches are decompressed to, the client's records
// of them, and ours. The client gives the first two back when the last record of a batch is recycled,
// with all bytes set to zero.
type pools struct {
	bytes   slabs[byte]
	fetched slabs[kgo.Record]
	records slabs[Record]
}

// What may lie idle: a few times what one answer of a broker unpacks to, since it comes back in pieces.
// With half of it, a topic of 8 partitions had to make twice as many slabs. It is of the largest answers
// and as much less as they are smaller.
const (
	idleBytesMax   = 32 << 20
	idleRecordsMax = 128 << 10
)

func newPools(fetchBytes int32) *pools {
	records := max(slabLenMin, int(int64(idleRecordsMax)*int64(fetchBytes)/fetchBytesMax))
	bytes := max(slabLenMin, int(int64(idleBytesMax)*int64(fetchBytes)/fetchBytesMax))
	return &pools{
		bytes:   slabs[byte]{idleMax: min(bytes, idleBytesMax)},
		fetched: slabs[kgo.Record]{idleMax: min(records, idleRecordsMax)},
		records: slabs[Record]{idleMax: min(records, idleRecordsMax)},
	}
}

var (
	_ kgo.PoolDecompressBytes = (*pools)(nil)
	_ kgo.PoolRecords         = (*pools)(nil)
)

// GetDecompressBytes implements kgo.PoolDecompressBytes. The client does not call it, for it has a
// decompressor that takes its memory from here itself.
func (p *pools) GetDecompressBytes(compressed []byte, _ kgo.CompressionCodecType) []byte {
	return p.bytes.get(len(compressed))
}

// PutDecompressBytes implements kgo.PoolDecompressBytes.
func (p *pools) PutDecompressBytes(slab []byte) { p.bytes.put(slab) }

// GetRecords implements kgo.PoolRecords.
func (p *pools) GetRecords(n int) []kgo.Record { return p.fetched.get(n) }

// PutRecords implements kgo.PoolRecords.
func (p *pools) PutRecords(slab []kgo.Record) { p.fetched.put(slab) }

// takeBack returns what ends a lease of records: it gives back their slab, and their bytes and the
// client's records of them once nobody else borrows from the same batch.
func (p *pools) takeBack(records []Record, fetched []*kgo.Record) func() {
	return func() {
		clear(records)
		p.records.put(records)
		recycle(fetched)
	}
}

func recycle(fetched []*kgo.Record) {
	for _, r := range fetched {
		r.Recycle()
	}
}
