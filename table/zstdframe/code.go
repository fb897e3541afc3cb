package zstdframe

import "math/bits"

// codeBitsMax is the longest code that section 4.2.1 allows.
const codeBitsMax = 11

// code is a Huffman code: a length for each byte that has one.
type code struct {
	lengths [256]uint8
	bitsMax int
	// symbolMax is the greatest byte with a code.
	symbolMax int
	desc      treeDescription
	merge     packages
}

// packages is what package-merge knows of each level: whether an item is a single byte.
type packages struct {
	single  [codeBitsMax][2 * 256]bool
	weights [2][2 * 256]uint32
}

// build sets the code of least total length for h, which has found two bytes or more, with no
// length above codeBitsMax (package-merge of Larmore and Hirschberg). The code is complete: the
// lengths use up the code space exactly, without which readers refuse the tree.
//
//	level 0   the bytes by weight
//	level k   the bytes merged, by weight, with the pairs of neighbours of level k-1
//
// The 2n-2 lightest items of the last level are chosen; each is a byte, or a pair that chooses two
// items of the level above. A byte's length is how often it is chosen.
func (c *code) build(h *histogram) {
	symbols := h.symbols()
	items := len(symbols)
	previous, current := &c.merge.weights[0], &c.merge.weights[1]
	for i, s := range symbols {
		previous[i] = s >> 8
		c.merge.single[0][i] = true
	}
	for level := 1; level < codeBitsMax; level++ {
		items = mergeLevel(current, &c.merge.single[level], symbols, previous[:items])
		previous, current = current, previous
	}

	clear(c.lengths[:])
	chosen := 2*len(symbols) - 2
	for level := codeBitsMax - 1; level >= 0 && chosen > 0; level-- {
		singles := 0
		for _, single := range c.merge.single[level][:chosen] {
			if single {
				singles++
			}
		}
		for _, s := range symbols[:singles] {
			c.lengths[byte(s)]++
		}
		chosen = 2 * (chosen - singles)
	}
	c.bitsMax = int(c.lengths[byte(symbols[0])])
	c.symbolMax = 0
	for _, s := range symbols {
		c.symbolMax = max(c.symbolMax, int(byte(s)))
	}
}

// mergeLevel merges the bytes with the pairs of the items above and returns how many there are.
func mergeLevel(out *[512]uint32, single *[512]bool, symbols, above []uint32) int {
	n, next := 0, 0
	for i := 0; i+1 < len(above); i += 2 {
		pair := above[i] + above[i+1]
		for ; next < len(symbols) && symbols[next]>>8 <= pair; next++ {
			out[n], single[n] = symbols[next]>>8, true
			n++
		}
		out[n], single[n] = pair, false
		n++
	}
	for ; next < len(symbols); next++ {
		out[n], single[n] = symbols[next]>>8, true
		n++
	}
	return n
}

// bits is the number of bits that the bytes counted take, and whether all of them have a code.
func (c *code) bits(h *histogram) (int, bool) {
	n := 0
	for _, s := range h.symbols() {
		length := int(c.lengths[byte(s)])
		if length == 0 {
			return 0, false
		}
		n += length * int(s>>8)
	}
	return n, true
}

// weight is what a tree description says of a byte: 0 without code, else one more the shorter
// the code is.
func (c *code) weight(symbol int) uint8 {
	if length := c.lengths[symbol]; length > 0 {
		return uint8(c.bitsMax) + 1 - length
	}
	return 0
}

// values sets the code words: in the order of weight and then of bytes, each takes the next
// 2^(weight-1) places of the code space (section 4.2.1.3).
func (c *code) values(out *[256]uint16) {
	place := 0
	for weight := 1; weight <= c.bitsMax; weight++ {
		for symbol := range c.symbolMax + 1 {
			if int(c.weight(symbol)) == weight {
				out[symbol] = uint16(place >> (weight - 1))
				place += 1 << (weight - 1)
			}
		}
	}
	if place != 1<<c.bitsMax || bits.OnesCount(uint(place)) != 1 {
		panic("BUG: the code is not complete")
	}
}
