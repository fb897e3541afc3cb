package decode

import (
	"hash/maphash"
	"slices"
)

// keySet finds a key that is twice in a map. Its memory is kept from map to map. The hash is seeded,
// since the keys are the records' own and might be chosen to collide.
type keySet struct {
	seed  maphash.Seed
	slots []int32 // index into the keys plus one; 0 is free
}

// keysCompared is the number of keys up to which comparing all pairs is faster than hashing.
const keysCompared = 16

// repeats tells whether a value of keys from the index first on is there twice. The keys are compared
// in the form in which the column holds them.
func (s *keySet) repeats(keys *Column, first int) bool {
	count := keys.rows - first
	if count <= keysCompared {
		for i := first; i < keys.rows; i++ {
			for k := first; k < i; k++ {
				if string(keys.valueBytes(i)) == string(keys.valueBytes(k)) {
					return true
				}
			}
		}
		return false
	}
	if s.slots == nil {
		s.seed = maphash.MakeSeed()
	}
	size := 64
	for size < 2*count {
		size *= 2
	}
	s.slots = slices.Grow(s.slots[:0], size)[:size]
	clear(s.slots)
	return s.insert(keys, first)
}

// insert fills the table and tells whether a key was there already.
func (s *keySet) insert(keys *Column, first int) bool {
	mask := uint64(len(s.slots) - 1)
	for i := first; i < keys.rows; i++ {
		key := keys.valueBytes(i)
		at := maphash.Bytes(s.seed, key) & mask
		for s.slots[at] != 0 {
			if string(keys.valueBytes(first+int(s.slots[at])-1)) == string(key) {
				return true
			}
			at = (at + 1) & mask
		}
		s.slots[at] = int32(i - first + 1)
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

// appendKey appends the key of a map's entry.
func appendKey(column *Column, key []byte, f *fault) {
	if !column.appendText(key) {
		f.set(ClassUTF8, "a map's key is not UTF-8: "+shorten(key))
		column.AppendBytes(nil)
	}
}
