package decode

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"unicode/utf8"
)

// appendText appends a value that is written as a string: the content of a JSON string, a CSV field,
// the key of a map. numbers tells whether the columns of numbers and booleans take it.
func appendText(c *Column, n *node, text []byte, numbers quotedNumbers) Class {
	switch n.kind {
	case kindString:
		if !utf8.Valid(text) {
			return ClassUTF8
		}
		c.AppendBytes(text)
		return ""
	case kindBinary:
		return appendBase64(c, text)
	case kindFixed:
		return appendFixedBase64(c, n, text)
	case kindUUID:
		return appendUUID(c, text)
	case kindBool:
		if numbers == numbersRefused {
			return ClassType
		}
		return appendBoolText(c, text)
	case kindUnknown:
		c.AppendNull()
		return ""
	case kindStruct, kindList, kindMap:
		return ClassType
	case kindDate, kindTime, kindTimestamp, kindTimestampNs:
		if numbers == numbersRefused || !isNumber(text) {
			return appendISO(c, n, text)
		}
	}
	if numbers == numbersRefused || !isNumber(text) {
		return ClassType
	}
	return appendNumber(c, n, text)
}

// quotedNumbers says whether numbers and booleans may be written as strings.
type quotedNumbers uint8

const (
	numbersTaken quotedNumbers = iota
	numbersRefused
)

func (o Options) quotedNumbers() quotedNumbers {
	if o.StrictNumbers {
		return numbersRefused
	}
	return numbersTaken
}

func appendBoolText(c *Column, text []byte) Class {
	switch string(text) {
	case "true":
		c.AppendBool(true)
	case "false":
		c.AppendBool(false)
	default:
		return ClassType
	}
	return ""
}

// base64Encoding picks the alphabet and padding that a text uses.
func base64Encoding(text []byte) *base64.Encoding {
	url := bytes.IndexByte(text, '-') >= 0 || bytes.IndexByte(text, '_') >= 0
	padded := len(text)%4 == 0
	switch {
	case url && padded:
		return base64.URLEncoding
	case url:
		return base64.RawURLEncoding
	case padded:
		return base64.StdEncoding
	}
	return base64.RawStdEncoding
}

// appendBase64 appends to a binary column.
func appendBase64(c *Column, text []byte) Class {
	encoding := base64Encoding(text)
	length, err := encoding.Decode(c.reserveBytes(encoding.DecodedLen(len(text))), text)
	if err != nil {
		return ClassType
	}
	c.commitBytes(length)
	return ""
}

func appendFixedBase64(c *Column, n *node, text []byte) Class {
	encoding := base64Encoding(text)
	// The decoder may write up to two bytes more than the text turns out to hold.
	if encoding.DecodedLen(len(text)) > n.width+2 {
		return ClassType
	}
	var small [64]byte
	value := small[:]
	if n.width+2 > len(small) {
		value = make([]byte, n.width+2)
	}
	length, err := encoding.Decode(value, text)
	if err != nil || length != n.width {
		return ClassType
	}
	copy(c.AppendFixed(), value)
	return ""
}

// The lengths of a uuid as text: with and without dashes.
const uuidTextLen, uuidHexLen = 36, 32

// appendUUID appends the canonical form, or 32 hex digits.
func appendUUID(c *Column, text []byte) Class {
	var digits [uuidHexLen]byte
	switch {
	case len(text) == uuidHexLen:
		copy(digits[:], text)
	case len(text) == uuidTextLen && text[8] == '-' && text[13] == '-' && text[18] == '-' && text[23] == '-':
		copy(digits[:8], text)
		copy(digits[8:12], text[9:])
		copy(digits[12:16], text[14:])
		copy(digits[16:20], text[19:])
		copy(digits[20:], text[24:])
	default:
		return ClassType
	}
	var words [4]uint32
	for i := range words {
		word, ok := hex8(binary.LittleEndian.Uint64(digits[8*i:]))
		if !ok {
			return ClassType
		}
		words[i] = word
	}
	out := c.AppendFixed()
	for i, word := range words {
		binary.LittleEndian.PutUint32(out[4*i:], word)
	}
	return ""
}

// hex8 turns eight hex digits, as a load in memory order has them, into four bytes in that order.
func hex8(w uint64) (uint32, bool) {
	const atLeast = 0x80 * lowBits // less a byte: its high bit tells that a byte below 0x80 reaches it
	low := w | ' '*lowBits
	digit := (w + (atLeast - '0'*lowBits)) &^ (w + (atLeast - ('9'+1)*lowBits))
	letter := (low + (atLeast - 'a'*lowBits)) &^ (low + (atLeast - ('f'+1)*lowBits))
	if w&highBits != 0 || (digit|letter)&highBits != highBits {
		return 0, false
	}
	w = w&(0x0f*lowBits) + 9*(w>>6&lowBits)
	w = (w<<4 | w>>8) & 0x00ff00ff00ff00ff
	w = (w | w>>8) & 0x0000ffff0000ffff
	return uint32(w | w>>16), true
}

// notHex is what hexValue gives for a byte that is no hex digit.
const notHex = 0xff

func hexValue(c byte) byte {
	switch {
	case c-'0' <= 9:
		return c - '0'
	case c|0x20-'a' <= 5:
		return c | 0x20 - 'a' + 10
	}
	return notHex
}
