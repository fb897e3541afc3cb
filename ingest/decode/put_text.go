package decode

import (
	"encoding/binary"
	"unicode/utf8"
)

// appendText appends v to a string column, and reports whether it is UTF-8; what is not is left out.
// Copying and looking for what is not ASCII are one pass over words.
func (c *Column) appendText(v []byte) bool {
	n := len(v)
	if n > len(c.bytes)-c.used || c.rows+1 >= len(c.int32s) {
		c.growBytes(n)
	}
	out := c.bytes[c.used : c.used+n]
	var seen uint64
	switch {
	case n >= 8:
		last, lastOut := v[n-8:], out[n-8:]
		for rest := v; len(rest) >= 8 && len(out) >= 8; rest, out = rest[8:], out[8:] {
			w := binary.LittleEndian.Uint64(rest)
			binary.LittleEndian.PutUint64(out, w)
			seen |= w
		}
		w := binary.LittleEndian.Uint64(last) // overlaps the word before it
		binary.LittleEndian.PutUint64(lastOut, w)
		seen |= w
	case n >= 4:
		first, last := binary.LittleEndian.Uint32(v), binary.LittleEndian.Uint32(v[n-4:])
		binary.LittleEndian.PutUint32(out, first)
		binary.LittleEndian.PutUint32(out[n-4:], last)
		seen = uint64(first | last)
	default:
		for i, b := range v {
			out[i] = b
			seen |= uint64(b)
		}
	}
	if seen&highBits != 0 && !utf8.Valid(v) {
		return false
	}
	c.commitBytes(n)
	return true
}
