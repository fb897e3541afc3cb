package columnchunk

import (
	"bytes"
	"encoding/binary"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
)

// bounds are the least and the greatest value of a page as PLAIN has them, without a length. They are
// views of the page's memory.
type bounds struct {
	known      bool
	least, top []byte
	nans       int64
	word       [2][8]byte // what least and top are views of where they are numbers
}

// measure finds the bounds of the open page. NaNs are counted and left out.
func (c *column) measure(b *bounds) {
	b.known, b.nans = false, 0
	if c.open.values == 0 {
		return
	}
	if c.indexing {
		c.measureNumbers(b)
		return
	}
	switch c.kind {
	case kindBool:
		least, top := byte(1), byte(0)
		for _, v := range c.values {
			least, top = min(least, v), max(top, v)
		}
		b.setWord(1, uint64(least), uint64(top))
	case kindInt32:
		least, top := span(arrow.Int32Traits.CastFromBytes(c.values))
		b.setWord(4, uint64(uint32(least)), uint64(uint32(top)))
	case kindInt64:
		least, top := span(arrow.Int64Traits.CastFromBytes(c.values))
		b.setWord(8, uint64(least), uint64(top))
	case kindFloat:
		least, top, nans := floatSpan(arrow.Float32Traits.CastFromBytes(c.values))
		b.nans = nans
		b.setFloats(float64(least), float64(top), c.kind)
	case kindDouble:
		least, top, nans := floatSpan(arrow.Float64Traits.CastFromBytes(c.values))
		b.nans = nans
		b.setFloats(least, top, c.kind)
	case kindBytes:
		b.known = true
		b.least, b.top = textSpan(c.values, c.lengths)
	case kindFixed:
		b.known = true
		b.least, b.top = c.fixedSpan()
	}
}

func span[T int32 | int64](values []T) (least, top T) {
	least, top = values[0], values[0]
	for _, v := range values {
		least, top = min(least, v), max(top, v)
	}
	return least, top
}

// floatSpan leaves least above top when all values are NaN.
func floatSpan[T float32 | float64](values []T) (least, top T, nans int64) {
	least, top = T(math.Inf(1)), T(math.Inf(-1))
	for _, v := range values {
		if v < least {
			least = v
		}
		if v > top {
			top = v
		}
		if v != v {
			nans++
		}
	}
	return least, top, nans
}

// textSpan finds the bounds of values, which lie back to back. It compares the first eight bytes of
// each as one number and the rest only when these are equal.
func textSpan(values []byte, lengths []uint32) (least, top []byte) {
	least, top = values[:lengths[0]], values[:lengths[0]]
	leastHead, topHead := head(least), head(top)
	at := 0
	for _, n := range lengths {
		value := values[at : at+int(n)]
		at += int(n)
		h := head(value)
		if h <= leastHead && (h < leastHead || bytes.Compare(value, least) < 0) {
			least, leastHead = value, h
		}
		if h >= topHead && (h > topHead || bytes.Compare(value, top) > 0) {
			top, topHead = value, h
		}
	}
	return least, top
}

// head is the first eight bytes of value, zeros behind it, most significant first.
func head(value []byte) uint64 {
	if len(value) >= 8 {
		return binary.BigEndian.Uint64(value)
	}
	var h uint64
	for _, b := range value {
		h = h<<8 | uint64(b)
	}
	return h << (8 * uint(8-len(value)))
}

func (c *column) fixedSpan() (least, top []byte) {
	least, top = c.values[:c.width], c.values[:c.width]
	for at := c.width; at < len(c.values); at += c.width {
		value := c.values[at : at+c.width]
		if compareFixed(value, least, c.signed) < 0 {
			least = value
		} else if compareFixed(value, top, c.signed) > 0 {
			top = value
		}
	}
	return least, top
}

// measureNumbers is measure for a page of dictionary numbers: it looks at each entry in use once.
func (c *column) measureNumbers(b *bounds) {
	entries := c.dictionary.entries()
	c.uses = append(c.uses[:0], make([]uint32, entries)...)
	for _, number := range c.indexes {
		c.uses[number]++
	}
	if c.kind.isFloat() {
		c.measureFloatEntries(b)
		return
	}
	for i, n := range c.uses {
		if n == 0 {
			continue
		}
		value := c.dictionary.entry(i)
		if !b.known {
			b.known, b.least, b.top = true, value, value
			continue
		}
		if c.compare(value, b.least) < 0 {
			b.least = value
		} else if c.compare(value, b.top) > 0 {
			b.top = value
		}
	}
}

func (c *column) measureFloatEntries(b *bounds) {
	least, top := math.Inf(1), math.Inf(-1)
	for i, n := range c.uses {
		if n == 0 {
			continue
		}
		v := c.float(c.dictionary.entry(i))
		if v != v {
			b.nans += int64(n)
			continue
		}
		least, top = min(least, v), max(top, v)
	}
	b.setFloats(least, top, c.kind)
}

func (b *bounds) setWord(width int, least, top uint64) {
	binary.LittleEndian.PutUint64(b.word[0][:], least)
	binary.LittleEndian.PutUint64(b.word[1][:], top)
	b.known, b.least, b.top = true, b.word[0][:width], b.word[1][:width]
}

// setFloats takes no bounds when there was no number. Zeros get the sign that holds for both, since
// readers differ in how they order them.
func (b *bounds) setFloats(least, top float64, k kind) {
	if least > top {
		return
	}
	if least == 0 {
		least = math.Copysign(0, -1)
	}
	if top == 0 {
		top = 0
	}
	if k == kindFloat {
		b.setWord(4, uint64(math.Float32bits(float32(least))), uint64(math.Float32bits(float32(top))))
		return
	}
	b.setWord(8, math.Float64bits(least), math.Float64bits(top))
}

func (c *column) float(word []byte) float64 {
	if c.kind == kindFloat {
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(word)))
	}
	return math.Float64frombits(binary.LittleEndian.Uint64(word))
}

// compare orders two bounds of the column.
func (c *column) compare(a, b []byte) int {
	switch c.kind {
	case kindInt32:
		return order(int32(binary.LittleEndian.Uint32(a)), int32(binary.LittleEndian.Uint32(b)))
	case kindInt64:
		return order(int64(binary.LittleEndian.Uint64(a)), int64(binary.LittleEndian.Uint64(b)))
	case kindFloat, kindDouble:
		return order(c.float(a), c.float(b))
	case kindFixed:
		return compareFixed(a, b, c.signed)
	}
	return bytes.Compare(a, b)
}

func order[T int32 | int64 | float64](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
