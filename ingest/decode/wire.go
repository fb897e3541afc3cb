package decode

import "encoding/binary"

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
