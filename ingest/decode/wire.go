package decode

import (
	"encoding/binary"
	"math/bits"
)

// cursor reads a binary payload from front to back. A read that finds too little, or a varint that is
// too long, returns false and leaves the cursor where it was.
type cursor struct {
	data []byte
	pos  int
}

func (c *cursor) left() int { return len(c.data) - c.pos }

// varint reads an unsigned base-128 number of at most 64 bits.
func (c *cursor) varint() (uint64, bool) {
	if c.pos < len(c.data) && c.data[c.pos] < 0x80 {
		v := uint64(c.data[c.pos])
		c.pos++
		return v, true
	}
	return c.longVarint()
}

func (c *cursor) longVarint() (uint64, bool) {
	v, n := binary.Uvarint(c.data[c.pos:])
	if n <= 0 {
		return 0, false
	}
	c.pos += n
	return v, true
}

// varintAt reads the number at pos, which lies in data or at its end, and returns the place behind it,
// or -1. The bytes of a number of up to 8 are found and put together as one word.
func varintAt(data []byte, pos int) (uint64, int) {
	if pos < len(data) && data[pos] < 0x80 {
		return uint64(data[pos]), pos + 1
	}
	if len(data)-pos >= 8 {
		w := binary.LittleEndian.Uint64(data[pos:])
		if stop := ^w & highBits; stop != 0 {
			w &= (stop ^ (stop - 1)) &^ highBits
			w = w&0x007f007f007f007f | w&0x7f007f007f007f00>>1
			w = w&0x00003fff00003fff | w&0x3fff00003fff0000>>2
			w = w&0x000000000fffffff | w&0x0fffffff00000000>>4
			return w, pos + bits.TrailingZeros64(stop)/8 + 1
		}
	}
	v, n := binary.Uvarint(data[pos:])
	if n <= 0 {
		return 0, -1
	}
	return v, pos + n
}

// lengthAt reads the length at pos and so many bytes, and returns the place behind them, or -1.
func lengthAt(data []byte, pos int) ([]byte, int) {
	length, pos := varintAt(data, pos)
	if pos < 0 || length > uint64(len(data)-pos) {
		return nil, -1
	}
	end := pos + int(length)
	return data[pos:end:end], end
}

// zigzag reads a signed number, whose sign stands in the lowest bit.
func (c *cursor) zigzag() (int64, bool) {
	v, ok := c.varint()
	return unzigzag(v), ok
}

func unzigzag(v uint64) int64 { return int64(v>>1) ^ -int64(v&1) }

// take reads n bytes, which the caller may read until the payload goes.
func (c *cursor) take(n int) ([]byte, bool) {
	if n < 0 || n > c.left() {
		return nil, false
	}
	out := c.data[c.pos : c.pos+n : c.pos+n]
	c.pos += n
	return out, true
}

// fixed32 reads 4 bytes, little-endian.
func (c *cursor) fixed32() (uint32, bool) {
	if c.left() < 4 {
		return 0, false
	}
	v := binary.LittleEndian.Uint32(c.data[c.pos:])
	c.pos += 4
	return v, true
}

// fixed64 reads 8 bytes, little-endian.
func (c *cursor) fixed64() (uint64, bool) {
	if c.left() < 8 {
		return 0, false
	}
	v := binary.LittleEndian.Uint64(c.data[c.pos:])
	c.pos += 8
	return v, true
}
