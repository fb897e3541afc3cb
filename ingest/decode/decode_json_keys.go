package decode

import (
	"hash/maphash"
	"slices"
)

// jsonKeys finds a key that is twice in a map. Its memory is kept from map to map. The hash is seeded,
// since the keys are the records' own and might be chosen to collide.
type jsonKeys struct {
	seed  maphash.Seed
	slots []int32 // index into the keys plus one; 0 is free
}

func newJSONKeys() jsonKeys { return jsonKeys{seed: maphash.MakeSeed()} }

// fewKeys are compared each with each, which is faster than any table.
const fewKeys = 16

// repeats tells whether a value of keys from the index before on is there twice. The keys are
// compared in the form in which the column holds them.
func (s *jsonKeys) repeats(keys *Column, before int) bool {
	count := keys.rows - before
	if count <= fewKeys {
		for i := before; i < keys.rows; i++ {
			for k := before; k < i; k++ {
				if string(keys.valueBytes(i)) == string(keys.valueBytes(k)) {
					return true
				}
			}
		}
		return false
	}
	size := 64
	for size < 2*count {
		size *= 2
	}
	s.slots = slices.Grow(s.slots[:0], size)[:size]
	clear(s.slots)
	return s.insert(keys, before)
}

// insert fills the table and tells whether a key was there already.
func (s *jsonKeys) insert(keys *Column, before int) bool {
	mask := uint64(len(s.slots) - 1)
	for i := before; i < keys.rows; i++ {
		key := keys.valueBytes(i)
		at := maphash.Bytes(s.seed, key) & mask
		for s.slots[at] != 0 {
			if string(keys.valueBytes(before+int(s.slots[at])-1)) == string(key) {
				return true
			}
			at = (at + 1) & mask
		}
		s.slots[at] = int32(i - before + 1)
	}
	return false
}

// valueBytes is the memory of the i-th value of a column that holds no nested values.
func (c *Column) valueBytes(i int) []byte {
	switch c.layout {
	case layout32:
		return c.values.Buf()[4*i : 4*i+4]
	case layout64:
		return c.values.Buf()[8*i : 8*i+8]
	case layoutFixed:
		return c.bytes[c.width*i : c.width*(i+1)]
	case layoutBytes:
		return c.bytes[c.int32s[i]:c.int32s[i+1]]
	case layoutBool:
		return c.bytes[i : i+1]
	default:
		return nil
	}
}
