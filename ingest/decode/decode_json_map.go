package decode

import (
	"hash/maphash"
	"slices"
)

// mapping appends an object to a map column.
func (d *jsonDecoder) mapping(n *node, c *Column, depth int) status {
	if depth > d.plan.options.DepthMax {
		return d.fail(ClassTooDeep)
	}
	start := d.pos
	var superseded []bool
	if d.plan.options.DuplicateKeys == DuplicateLast {
		var ok bool
		if superseded, ok = d.supersededKeys(depth); !ok {
			return recordBroken
		}
		d.pos = start
	}
	keys, values := c.children[0], c.children[1]
	before := c.offset()
	r := objectReader{d: d}
	for entry := 0; !r.open('{', '}'); entry++ {
		if superseded != nil && superseded[entry] {
			if !d.skip(depth+1) || !r.colon() || !d.skip(depth+1) {
				return recordBroken
			}
			continue
		}
		if st := d.mapKey(n, keys, &r); st != valueRead {
			return st
		}
		if st := d.value(n.children[1], values, depth+1); st != valueRead {
			return st
		}
	}
	if r.broken {
		return recordBroken
	}
	if d.keys.repeats(keys, before) {
		return d.refuse(ClassDuplicateKey, n, start)
	}
	c.AppendList()
	return valueRead
}

// mapKey appends the key at pos and moves to its value. Keys are always strings in JSON, so that
// numbers are taken from them whatever the options say.
func (d *jsonDecoder) mapKey(n *node, keys *Column, r *objectReader) status {
	start := d.pos
	if d.peek() != '"' {
		return d.fail(ClassSyntax)
	}
	t, ok := d.stringToken()
	if !ok {
		return recordBroken
	}
	text, whole := t.text, true
	if t.escaped {
		text, whole = d.unescape(text)
	}
	if !whole {
		return d.refuse(ClassUTF8, n.children[0], start)
	}
	if class := appendText(keys, n.children[0], text, numbersTaken); class != "" {
		return d.refuse(class, n.children[0], start)
	}
	if !r.colon() {
		return recordBroken
	}
	return valueRead
}

// supersededKeys reads the object at pos and tells which of its entries have their key again later.
// It serves DuplicateLast alone, which pays for a table of keys.
func (d *jsonDecoder) supersededKeys(depth int) ([]bool, bool) {
	var superseded []bool
	last := map[string]int{}
	r := objectReader{d: d}
	for entry := 0; !r.open('{', '}'); entry++ {
		if d.peek() != '"' {
			return nil, r.fail()
		}
		key, ok := d.keyText()
		if !ok {
			return nil, r.fail()
		}
		if earlier, again := last[string(key)]; again {
			superseded[earlier] = true
		}
		last[string(key)] = entry
		superseded = append(superseded, false)
		if !r.colon() || !d.skip(depth+1) {
			return nil, false
		}
	}
	return superseded, !r.broken
}

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
