package decode

import (
	"encoding/binary"
	"math"
	"math/bits"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
)

// straight is how a value is read at once into the column of a node. Each way takes the plain form
// of a value and leaves every other, and whatever is wrong with a value, to jsonDecoder.value.
type straight uint8

const (
	straightNever straight = iota
	straightString
	straightBool
	straightLong
	straightNumber
	straightTime
	straightDecimal
	straightUUID
	straightFormed // never, and node.written says how the value is read
)

// straightOf chooses the way for a node.
func straightOf(n *node) straight {
	switch n.kind {
	case kindString:
		return straightString
	case kindBool:
		return straightBool
	case kindLong:
		return straightLong
	case kindInt, kindDouble, kindFloat:
		return straightNumber
	case kindDate, kindTimestamp, kindTimestampNs, kindTime:
		return straightTime
	case kindDecimal:
		return straightDecimal
	case kindUUID:
		return straightUUID
	default:
		return straightNever
	}
}

// Words as loads of four bytes see them.
const (
	nullWord = 'n' | 'u'<<8 | 'l'<<16 | 'l'<<24
	trueWord = 't' | 'r'<<8 | 'u'<<16 | 'e'<<24
	falsWord = 'f' | 'a'<<8 | 'l'<<16 | 's'<<24
)

// readStraight appends the value at pos and returns the place behind it, or -1 when it has appended
// nothing and the value takes a closer look.
func readStraight(c *Column, n *node, data []byte, pos int) int {
	if pos >= len(data) {
		return -1
	}
	first := data[pos]
	if first == 'n' {
		return readNull(c, n, data, pos)
	}
	switch n.straight {
	case straightString:
		if first == '"' {
			return readString(c, data, pos+1)
		}
	case straightBool:
		return readBool(c, data, pos)
	case straightLong, straightNumber, straightTime, straightDecimal:
		if first == '"' {
			return readQuoted(c, n, data, pos)
		}
		if v := readNumber(data, pos); v.end >= 0 && v.appendTo(c, n) {
			return v.end
		}
	case straightUUID:
		if first == '"' {
			return readQuoted(c, n, data, pos)
		}
	case straightNever, straightFormed:
	}
	return -1
}

func readNull(c *Column, n *node, data []byte, pos int) int {
	if pos+4 > len(data) || n.required || n.straight == straightNever ||
		binary.LittleEndian.Uint32(data[pos:]) != nullWord {
		return -1
	}
	c.AppendNull()
	return pos + 4
}

// readQuoted is readStraight for a value that begins with a quote.
func readQuoted(c *Column, n *node, data []byte, pos int) int {
	switch n.straight {
	case straightTime, straightUUID:
		end, high := stringStop(data, pos+1)
		if end >= len(data) || data[end] != '"' || high&highBits != 0 {
			return -1
		}
		text := data[pos+1 : end]
		if n.straight == straightUUID {
			if appendUUID(c, text) != "" {
				return -1
			}
			return end + 1
		}
		if len(text) < len("2006-01-02") || text[4] != '-' || appendISO(c, n, text) != "" {
			return -1
		}
		return end + 1
	case straightLong, straightNumber, straightDecimal:
		v := readNumber(data, pos+1)
		if n.strictNumbers || v.end < 0 || v.end >= len(data) || data[v.end] != '"' ||
			!v.appendTo(c, n) {
			return -1
		}
		return v.end + 1
	default:
		return -1
	}
}

func readBool(c *Column, data []byte, pos int) int {
	if pos+5 > len(data) { // a document has its closing bracket behind the word
		return -1
	}
	switch w := binary.LittleEndian.Uint32(data[pos:]); {
	case w == trueWord:
		c.AppendBool(true)
		return pos + 4
	case w == falsWord && data[pos+4] == 'e':
		c.AppendBool(false)
		return pos + 5
	}
	return -1
}

// stringWindow is how much of a string is copied while its end is sought: longer ones are rare, and
// a column must not keep room for the rest of a large record.
const stringWindow = 256

// readString appends the string whose text begins at pos.
func readString(c *Column, data []byte, pos int) int {
	if len(data) < 8 {
		return -1
	}
	if stringWindow+8 > len(c.bytes)-c.used || c.rows+1 >= len(c.int32s) {
		c.growBytes(stringWindow + 8)
	}
	out, rest := c.bytes[c.used:c.used+stringWindow+8], data[pos:]
	var high uint64
	for len(out) >= 8 {
		var w uint64
		if len(rest) >= 8 {
			w = binary.LittleEndian.Uint64(rest)
		} else { // the last bytes of the record, with zeros behind them
			w = binary.LittleEndian.Uint64(data[len(data)-8:]) >> (64 - 8*len(rest))
		}
		binary.LittleEndian.PutUint64(out, w)
		quote, slash := w^quoteBytes, w^slashBytes
		stop := ((quote-lowBits)&^quote | (slash-lowBits)&^slash | (w-spaceBytes)&^w) & highBits
		if stop == 0 {
			high |= w
			rest, out = rest[8:], out[8:]
			continue
		}
		high |= w & (stop&-stop - 1) // what comes before the stop, which is ASCII
		end := len(data) - len(rest) + bits.TrailingZeros64(stop)/8
		if end >= len(data) || data[end] != '"' ||
			high&highBits != 0 && !utf8.Valid(data[pos:end]) {
			return -1
		}
		c.commitBytes(end - pos)
		return end + 1
	}
	return readLongString(c, data, pos, token{text: rest, ascii: high&highBits == 0})
}

// readLongString appends the string whose text begins at pos, of which rest is still to be read.
func readLongString(c *Column, data []byte, pos int, rest token) int {
	end, high := stringStop(data, len(data)-len(rest.text))
	if end >= len(data) || data[end] != '"' {
		return -1
	}
	if (!rest.ascii || high&highBits != 0) && !utf8.Valid(data[pos:end]) {
		return -1
	}
	c.AppendBytes(data[pos:end])
	return end + 1
}

// plainNumber is mantissa · 10^-places, which stands before end; -1: the number is not so plain.
type plainNumber struct {
	mantissa int64
	places   int
	end      int
}

// zeroBytes are eight digits 0, and overNine brings every byte above 9 to its high bit.
const (
	zeroBytes = '0' * lowBits
	overNine  = (0x80 - 10) * lowBits
)

// readNumber reads a number of at most shortDigits digits without an exponent. A zero that has a
// sign or a fraction is left out, since it may be a negative one.
func readNumber(data []byte, pos int) plainNumber {
	none := plainNumber{end: -1}
	negative := pos < len(data) && data[pos] == '-'
	if negative {
		pos++
	}
	first := pos
	v, pos := readDigits(data, pos, 0)
	whole, places := pos-first, 0
	if pos < len(data) && data[pos] == '.' {
		point := pos + 1
		if v, pos = readDigits(data, point, v); pos == point {
			return none
		}
		places = pos - point
	}
	switch {
	case whole == 0, whole+places > shortDigits, whole > 1 && data[first] == '0':
		return none
	case v == 0 && (negative || places > 0):
		return none
	case pos < len(data) && data[pos]|0x20 == 'e':
		return none
	}
	if negative {
		v = -v
	}
	return plainNumber{v, places, pos}
}

// readDigits appends the digits from pos on to v, which overflows if they are too many, and returns
// the place behind them. Eight bytes are one step however many of them are digits, since the end of
// a loop over digits is mispredicted whenever numbers differ in length.
func readDigits(data []byte, pos int, v int64) (int64, int) {
	for pos+8 <= len(data) {
		w := binary.LittleEndian.Uint64(data[pos:]) ^ zeroBytes
		count := uint(8)
		if other := (w | (w + overNine)) & highBits; other != 0 {
			count = uint(bits.TrailingZeros64(other)) / 8
		}
		w <<= 64 - 8*count
		// Neighbours are joined to numbers of two digits, four and eight.
		w = w*10 + w>>8
		const pairs = 0x000000ff000000ff
		w = ((w&pairs)*(100+1_000_000<<32) + (w>>16&pairs)*(1+10_000<<32)) >> 32
		v = v*intPowers[count] + int64(uint32(w))
		if pos += int(count); count < 8 {
			return v, pos
		}
	}
	for pos < len(data) && data[pos]-'0' <= 9 {
		v = v*10 + int64(data[pos]-'0')
		pos++
	}
	return v, pos
}

// appendTo appends the number to a column; false: it has not, and the number takes a closer look.
func (v plainNumber) appendTo(c *Column, n *node) bool {
	switch {
	case n.straight == straightLong && v.places == 0:
		c.AppendInt64(v.mantissa)
		return true
	case n.straight == straightDecimal:
		return v.appendDecimal(c, n)
	case v.places > 0:
		return appendPoint(c, n, v.mantissa, v.places)
	}
	return appendInteger(c, n, v.mantissa) == ""
}

// appendDecimal appends the number if it fits 64 bits at the column's scale.
func (v plainNumber) appendDecimal(c *Column, n *node) bool {
	zeros := int(n.scale) - v.places
	if zeros < 0 || zeros >= len(intPowers) {
		return false
	}
	magnitude := uint64(max(v.mantissa, -v.mantissa))
	high, unscaled := bits.Mul64(magnitude, uint64(intPowers[zeros]))
	if high != 0 || unscaled > n.unscaledMax {
		return false
	}
	if v.mantissa < 0 {
		unscaled = -unscaled
	}
	c.AppendDecimal(decimal128.FromI64(int64(unscaled)))
	return true
}

// unscaledMax is the largest unscaled value of a decimal type, as far as an int64 holds it.
func unscaledMax(precision int32) uint64 {
	limit := uint64(1)
	for range min(precision, shortDigits) {
		limit *= 10
	}
	if precision > shortDigits {
		return math.MaxInt64
	}
	return limit - 1
}
