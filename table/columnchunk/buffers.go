package columnchunk

import (
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/firthlake/firth/table/zstdframe"
)

// Buffers hands the memory of files that have ended to those that begin, whoever writes them. The zero
// value is empty and ready; it may be shared by many goroutines. What nobody uses for a while is left
// to the garbage collector, but for the columns of a few files.
type Buffers struct {
	mu        sync.Mutex   // guards all below
	kept      []*columnSet // the ones that were given last
	keptBytes int64

	columns  sync.Pool // *columnSet, beyond those that are kept
	scratch  sync.Pool // *scratch
	segments sync.Pool // *[segmentBytes]byte
	filters  sync.Pool // *bloomFilter
}

// storage is the memory of one column of an open file.
type storage struct {
	// The open page.
	levels       []byte // definition levels; empty while all are the greatest
	repeatLevels []byte
	values       []byte   // back to back; a byte for each boolean
	lengths      []uint32 // of BYTE_ARRAY values
	indexes      []uint32 // dictionary numbers, instead of values
	// The chunk.
	dictionary dictionary
	records    []pageRecord
	bounds     []byte // of the records
	least, top []byte // of the chunk
	uses       []uint32
}

// storageBytesMax is the most that is kept of a column or of scratch, so that one huge value does not hold
// its memory for ever.
const storageBytesMax = 16 << 20

// windowBytes is how far matches reach back, which is memory of the encoder and of every reader: a page.
const windowBytes = 1 << 20

// scratch is the memory of what a file does at one moment.
type scratch struct {
	header, body, frame, sample []byte
	decimals                    []byte
	entries                     entries // of a leaf below structs and lists
	entriesNext                 entries
	valid, gathered             []byte
	offsets                     []int32
	source                      source
	seen                        [repeatSlots]uint32
	bounds                      bounds
	alone                       storage // of each column of a row group that is written chunk after chunk
	matches                     *zstd.Encoder
	frames                      *zstdframe.Encoder
}

// heldBytes is about what s takes of memory, used or not.
func (s *storage) heldBytes() int64 {
	bytes := cap(s.levels) + cap(s.repeatLevels) + cap(s.values) + s.dictionary.heldBytes()
	return int64(bytes + 4*(cap(s.lengths)+cap(s.indexes)))
}

// columnSet is the memory of the columns of a file, in their order: files of one table, and often those of
// several, find each column's memory as large as the column needs it.
type columnSet struct {
	columns []*storage
	bytes   int64 // while it is kept
}

func (b *Buffers) takeColumns(n int) *columnSet {
	set := b.takeKept()
	if set == nil {
		set, _ = b.columns.Get().(*columnSet)
	}
	if set == nil {
		set = &columnSet{}
	}
	for len(set.columns) < n {
		set.columns = append(set.columns, &storage{})
	}
	clear(set.columns[n:])
	set.columns = set.columns[:n]
	return set
}

func (b *Buffers) giveColumns(set *columnSet) {
	for i, store := range set.columns {
		if cap(store.values) > storageBytesMax {
			set.columns[i] = &storage{}
		}
	}
	if !b.keep(set) {
		b.columns.Put(set)
	}
}

// keptBytesMax bounds the columns that are kept from the collector. When many tables take turns at
// encoding, and memory is so short that it runs often, it would take a set of columns between any two
// of them, and each would grow its own.
const keptBytesMax = 32 << 20

func (b *Buffers) keep(set *columnSet) bool {
	set.bytes = 0
	for _, store := range set.columns {
		set.bytes += store.heldBytes()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.keptBytes+set.bytes > keptBytesMax {
		return false
	}
	b.kept, b.keptBytes = append(b.kept, set), b.keptBytes+set.bytes
	return true
}

func (b *Buffers) takeKept() *columnSet {
	b.mu.Lock()
	defer b.mu.Unlock()
	last := len(b.kept) - 1
	if last < 0 {
		return nil
	}
	set := b.kept[last]
	b.kept[last], b.kept = nil, b.kept[:last]
	b.keptBytes -= set.bytes
	return set
}

func (b *Buffers) takeFilter() *bloomFilter {
	if filter, ok := b.filters.Get().(*bloomFilter); ok {
		return filter
	}
	return new(bloomFilter)
}

func (b *Buffers) giveFilter(filter *bloomFilter) {
	if 4*cap(filter.words) <= storageBytesMax {
		b.filters.Put(filter)
	}
}

func (b *Buffers) takeSegment() *[segmentBytes]byte {
	if segment, ok := b.segments.Get().(*[segmentBytes]byte); ok {
		return segment
	}
	return new([segmentBytes]byte)
}

func (b *Buffers) takeScratch() *scratch {
	if work, ok := b.scratch.Get().(*scratch); ok {
		return work
	}
	// Level 1 is 1.4 times as fast as the default one at the same size. Without entropy for all
	// literals it would store what has no matches as it is.
	matches, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithAllLitEntropyCompression(true), zstd.WithEncoderConcurrency(1),
		zstd.WithEncoderCRC(false), zstd.WithZeroFrames(true), zstd.WithWindowSize(windowBytes))
	if err != nil {
		panic(fmt.Sprintf("BUG: options of the zstd encoder: %v", err))
	}
	return &scratch{matches: matches, frames: zstdframe.NewEncoder()}
}

func (b *Buffers) giveScratch(work *scratch) {
	work.source = source{} // views of a batch
	if cap(work.alone.values) > storageBytesMax {
		work.alone = storage{}
	}
	if cap(work.body)+cap(work.frame) <= storageBytesMax {
		b.scratch.Put(work)
	}
}
