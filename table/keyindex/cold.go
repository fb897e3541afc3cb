package keyindex

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/firthlake/firth/table/keyindex/disk"
)

// A cold file holds the segments of one group, each as blocks of entries in order:
//
//	block      170 entries of 24 bytes (high, low, file, row; little endian), what is left over empty
//	           8 bytes number of the block, 8 bytes checksum
//	fence      behind the last block: high of the first entry of each block, and a checksum
//
// Checksums are seeded with the file's salt, so that a block of another file, or of an older one under
// this name, is told from its own.
const (
	blockBytes   = 4096
	blockEntries = 170
	// spanBlocks is how many blocks are read at once at most; blocks that are not needed are read
	// along when they are few, since a read costs more than a page.
	spanBlocks = 64
	gapBlocks  = 4
)

// coldFile is an open cold file.
type coldFile struct {
	name string
	file disk.File
	on   disk.Disk
	salt uint64
	// counts are the entries of each segment of the group.
	counts [groupSegments]int64
	starts [groupSegments]int64 // first block of each
	fence  []uint64
}

// cold is what a segment has on disk. The zero value is nothing.
type cold struct {
	in      *coldFile
	first   int64 // block
	entries int64
}

func blocksOf(entries int64) int64 { return (entries + blockEntries - 1) / blockEntries }

func (c cold) fence() []uint64 {
	if c.entries == 0 {
		return nil
	}
	return c.in.fence[c.first : c.first+blocksOf(c.entries)]
}

// reader reads blocks of cold files. It belongs to one goroutine.
type reader struct {
	span []byte
	from int64 // first block in span
	in   *coldFile
}

// load makes blocks [from, to) those in the span.
func (r *reader) load(c *coldFile, from, to int64) error {
	size := int((to - from) * blockBytes)
	r.span = slices.Grow(r.span[:0], size)[:size]
	r.in, r.from = nil, from
	if _, err := c.file.ReadAt(r.span, from*blockBytes); err != nil {
		return fmt.Errorf("read %s: %w", c.name, err)
	}
	for i := from; i < to; i++ {
		if err := checkBlock(c, r.bytes(i), i); err != nil {
			return err
		}
	}
	r.in = c
	return nil
}

func (r *reader) bytes(block int64) []byte {
	at := (block - r.from) * blockBytes
	return r.span[at : at+blockBytes]
}

func checkBlock(c *coldFile, b []byte, number int64) error {
	want := binary.LittleEndian.Uint64(b[blockBytes-8:])
	if binary.LittleEndian.Uint64(b[blockBytes-16:]) != uint64(number) ||
		seededSum(c.salt, b[:blockBytes-8]) != want {
		return fmt.Errorf("%s: block %d: %w", c.name, number, ErrDamaged)
	}
	return nil
}

func seededSum(salt uint64, b []byte) uint64 {
	return xxhash.Sum64(b) ^ salt*0x9e3779b97f4a7c15
}

func entryAt(b []byte) Entry {
	_ = b[entryBytes-1]
	return Entry{
		Key:   Key{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])},
		Place: Place{binary.LittleEndian.Uint32(b[16:]), binary.LittleEndian.Uint32(b[20:])},
	}
}

func putEntry(b []byte, e Entry) {
	_ = b[entryBytes-1]
	binary.LittleEndian.PutUint64(b, e.Key.High)
	binary.LittleEndian.PutUint64(b[8:], e.Key.Low)
	binary.LittleEndian.PutUint32(b[16:], e.Place.File)
	binary.LittleEndian.PutUint32(b[20:], e.Place.Row)
}

// want is a key that is looked for on disk and where its place goes.
type want struct {
	key Key
	at  int
}

// lookup sets places[w.at] for each want that is there; wants are in order.
func (r *reader) lookup(c cold, wants []want, places []Place) error {
	fence := c.fence()
	if len(fence) == 0 {
		return nil
	}
	for len(wants) > 0 {
		// The span begins with the block of the first key and goes on as long as keys are near.
		first := blockFor(fence, 0, wants[0].key)
		last, n := first, 0
		for n < len(wants) {
			b := blockFor(fence, last, wants[n].key)
			if b > last+gapBlocks || b >= first+spanBlocks {
				break
			}
			last = b
			for last+1 < len(fence) && fence[last+1] == wants[n].key.High {
				last++
			}
			n++
		}
		if err := r.load(c.in, c.first+int64(first), c.first+int64(last)+1); err != nil {
			return err
		}
		r.find(c, first, last, wants[:n], places)
		wants = wants[n:]
	}
	return nil
}

// blockFor is the first block, from `from` on, that may hold key.
func blockFor(fence []uint64, from int, key Key) int {
	// Gallop: the next key is rarely far.
	step := 1
	for from+step < len(fence) && fence[from+step] < key.High {
		from += step
		step *= 2
	}
	end := min(from+step, len(fence))
	n, _ := slices.BinarySearch(fence[from+1:max(end, from+1)], key.High)
	return from + n
}

// find looks for wants in the blocks first to last of c, which are loaded.
func (r *reader) find(c cold, first, last int, wants []want, places []Place) {
	block, count := first-1, 0
	var b []byte
	at := 0
	for _, w := range wants {
		for {
			if at == count {
				if block == last {
					return
				}
				block++
				b, at = r.bytes(c.first+int64(block)), 0
				count = int(min(blockEntries, c.entries-int64(block)*blockEntries))
				continue
			}
			// Whole blocks before the key are passed over at once.
			if end := entryAt(b[(count-1)*entryBytes:]); end.Key.less(w.key) {
				at = count
				continue
			}
			low, high := at, count
			for low < high {
				mid := int(uint(low+high) / 2)
				if entryAt(b[mid*entryBytes:]).Key.less(w.key) {
					low = mid + 1
				} else {
					high = mid
				}
			}
			at = low
			if e := entryAt(b[at*entryBytes:]); e.Key == w.key {
				places[w.at] = e.Place
			}
			break
		}
	}
}

// each calls yield with all entries of c, in order.
func (r *reader) each(c cold, yield func(Entry) error) error {
	left := c.entries
	for block, end := c.first, c.first+blocksOf(c.entries); block < end; block += spanBlocks {
		stop := min(block+spanBlocks, end)
		if err := r.load(c.in, block, stop); err != nil {
			return err
		}
		for i := block; i < stop; i++ {
			b := r.bytes(i)
			for at := range int(min(blockEntries, left)) {
				if err := yield(entryAt(b[at*entryBytes:])); err != nil {
					return err
				}
			}
			left -= min(blockEntries, left)
		}
	}
	return nil
}
