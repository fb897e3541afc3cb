package columnchunk

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

const (
	dictionarySlots = 1 << 10 // at first; always a power of two
	// probesMax bounds the search for a slot, so that keys made to collide end the dictionary and
	// not the service.
	probesMax = 128
)

// dictionary gives the distinct values of a chunk numbers in the order of their coming. It takes in
// values until they need more than bytesMax as a dictionary page.
type dictionary struct {
	bytesMax int
	plain    []byte   // the entries as the dictionary page holds them
	starts   []uint32 // where the bytes of entry i begin in plain; the next start ends them
	keys     []uint64 // of entry i: the value where it has 4 or 8 bytes, else its hash
	slots    []uint32 // hash to entry + 1
	prefix   int      // bytes before each entry in plain: 4 for its length, or none
	width    int      // of values that are numbers: 4 or 8; 0 for bytes
}

func (d *dictionary) reset(bytesMax int, k kind) {
	d.bytesMax, d.prefix, d.width = bytesMax, 0, k.numberWidth()
	if k == kindBytes {
		d.prefix = 4
	}
	d.plain, d.starts, d.keys = d.plain[:0], append(d.starts[:0], 0), d.keys[:0]
	if len(d.slots) == 0 {
		d.slots = make([]uint32, dictionarySlots)
	}
	clear(d.slots)
}

func (d *dictionary) entries() int { return len(d.keys) }

func (d *dictionary) heldBytes() int {
	return cap(d.plain) + 4*(cap(d.starts)+cap(d.slots)) + 8*cap(d.keys)
}

// entry is value i without its length.
func (d *dictionary) entry(i int) []byte {
	return d.plain[int(d.starts[i])+d.prefix : d.starts[i+1]]
}

// hash spreads a key over 64 bits; the upper ones are the best.
func hash(key uint64) uint64 {
	high, low := bits.Mul64(key^0x9e3779b97f4a7c15, 0xd6e8feb86659fd93)
	return high ^ low
}

func hashBytes(b []byte) uint64 {
	h := uint64(len(b)) * 0xff51afd7ed558ccd
	switch n := len(b); {
	case n >= 8:
		for at := 0; at+8 < n; at += 8 {
			h = hash(h ^ binary.LittleEndian.Uint64(b[at:]))
		}
		return hash(h ^ binary.LittleEndian.Uint64(b[n-8:]))
	case n >= 4:
		low, high := binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[n-4:])
		return hash(h ^ (uint64(low) | uint64(high)<<32))
	case n > 0:
		return hash(h ^ (uint64(b[0]) | uint64(b[n>>1])<<8 | uint64(b[n-1])<<16))
	}
	return hash(h)
}

// addNumbers appends the numbers of values, which have 4 or 8 bytes, to indexes. It says how many it
// took: fewer than there are when the dictionary is full.
func addNumbers[T uint32 | uint64](
	d *dictionary, indexes []uint32, values []T,
) (grown []uint32, taken int) {
	for i, v := range values {
		key := uint64(v)
		mask := uint32(len(d.slots) - 1)
		slot := uint32(hash(key)) & mask
		for probes := 0; ; probes++ {
			if probes == probesMax {
				return indexes, i
			}
			number := d.slots[slot]
			if number == 0 {
				if !d.hasRoom(d.width) {
					return indexes, i
				}
				indexes = append(indexes, uint32(len(d.keys)))
				d.plain = binary.LittleEndian.AppendUint64(d.plain, key)
				d.insert(key, slot, len(d.plain)-8+d.width)
				break
			}
			if d.keys[number-1] == key {
				indexes = append(indexes, number-1)
				break
			}
			slot = (slot + 1) & mask
		}
	}
	return indexes, len(values)
}

// addBytes is the number of value, or false when the dictionary is full.
func (d *dictionary) addBytes(value []byte) (uint32, bool) {
	key := hashBytes(value)
	mask := uint32(len(d.slots) - 1)
	slot := uint32(key) & mask
	for range probesMax {
		number := d.slots[slot]
		if number == 0 {
			if !d.hasRoom(len(value) + d.prefix) {
				return 0, false
			}
			number = uint32(len(d.keys))
			if d.prefix > 0 {
				d.plain = binary.LittleEndian.AppendUint32(d.plain, uint32(len(value)))
			}
			d.plain = append(d.plain, value...)
			d.insert(key, slot, len(d.plain))
			return number, true
		}
		if d.keys[number-1] == key && bytes.Equal(d.entry(int(number-1)), value) {
			return number - 1, true
		}
		slot = (slot + 1) & mask
	}
	return 0, false
}

func (d *dictionary) hasRoom(bytes int) bool { return len(d.plain)+bytes <= d.bytesMax }

// insert puts a new entry, which ends at end in plain, into the empty slot.
func (d *dictionary) insert(key uint64, slot uint32, end int) {
	d.plain = d.plain[:end]
	d.keys = append(d.keys, key)
	d.starts = append(d.starts, uint32(end))
	d.slots[slot] = uint32(len(d.keys))
	if 2*len(d.keys) > len(d.slots) {
		d.grow()
	}
}

func (d *dictionary) grow() {
	d.slots = make([]uint32, 4*len(d.slots))
	mask := uint32(len(d.slots) - 1)
	for i, key := range d.keys {
		if d.width > 0 {
			key = hash(key)
		}
		slot := uint32(key) & mask
		for d.slots[slot] != 0 {
			slot = (slot + 1) & mask
		}
		d.slots[slot] = uint32(i + 1)
	}
}

// appendIndexes appends the values of a dictionary-encoded page.
func (d *dictionary) appendIndexes(dst []byte, indexes []uint32) []byte {
	width := uint(bits.Len(uint(d.entries() - 1)))
	return appendHybrid(append(dst, byte(width)), indexes, width)
}
