package decode

import (
	"encoding/binary"
	"math/bits"
)

// flatObjectEnd is the place behind the object at pos if it holds plain values only, without white space
// between them, as most objects that are passed over do; -1: it takes a closer look.
func flatObjectEnd(data []byte, pos int) int {
	mark := byte('{')
	for pos+1 < len(data) && data[pos] == mark && data[pos+1] == '"' {
		mark = ','
		if pos = stringEnd(data, pos+2); pos+1 >= len(data) || data[pos] != ':' {
			return -1
		}
		pos++
		switch c := data[pos]; {
		case c == '"':
			pos = stringEnd(data, pos+1)
		case c == 'n', c == 't', c == 'f':
			pos = wordEnd(data, pos)
		default:
			pos = plainNumberEnd(data, pos)
		}
		if pos >= len(data) {
			return -1
		}
		if data[pos] == '}' {
			return pos + 1
		}
	}
	return -1
}

// stringEnd is the place behind the string whose text begins at pos, or the end of data, behind which no
// document goes on, if there is something wrong with it.
func stringEnd(data []byte, pos int) int {
	for {
		if pos, _ = stringStop(data, pos); pos >= len(data) {
			return len(data)
		}
		switch data[pos] {
		case '"':
			return pos + 1
		case '\\':
			length := escapeLength(data[pos:])
			if length == 0 {
				return len(data)
			}
			pos += length
		default:
			return len(data)
		}
	}
}

// wordEnd is the place behind null, true or false at pos, or the end of data.
func wordEnd(data []byte, pos int) int {
	if pos+5 > len(data) { // an object has its closing bracket behind the word
		return len(data)
	}
	switch w := binary.LittleEndian.Uint32(data[pos:]); {
	case w == nullWord, w == trueWord:
		return pos + 4
	case w == falsWord && data[pos+4] == 'e':
		return pos + 5
	}
	return len(data)
}

// plainNumberEnd is the place behind the number at pos, or the end of data. A whole number of up to 16
// digits is passed over in two steps.
func plainNumberEnd(data []byte, pos int) int {
	start := pos
	for data[start] != '0' && pos+8 <= len(data) {
		w := binary.LittleEndian.Uint64(data[pos:]) ^ zeroBytes
		other := (w | (w + overNine)) & highBits
		if other == 0 {
			pos += 8
			continue
		}
		pos += bits.TrailingZeros64(other) / 8
		if c := data[pos]; pos > start && (c == ',' || c == '}') {
			return pos
		}
		break
	}
	if end := numberEnd(data, start); end >= 0 {
		return end
	}
	return len(data)
}
