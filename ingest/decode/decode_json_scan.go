package decode

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// peek is the byte at pos, or 0 at the end: no token of JSON begins with it.
func (d *jsonDecoder) peek() byte {
	if d.pos < len(d.data) {
		return d.data[d.pos]
	}
	return 0
}

func (d *jsonDecoder) skipSpace() { d.pos = spaceEnd(d.data, d.pos) }

// spaceEnd is the first place from pos on that holds no white space.
func spaceEnd(data []byte, pos int) int {
	for pos < len(data) && data[pos] <= ' ' {
		switch data[pos] {
		case ' ', '\t', '\n', '\r':
			pos++
		default:
			return pos
		}
	}
	return pos
}

// skip moves behind the value at pos, which lies at a depth, and tells whether it is JSON.
func (d *jsonDecoder) skip(depth int) bool {
	switch c := d.peek(); c {
	case '{', '[':
		if depth > d.plan.options.DepthMax {
			d.fail(ClassTooDeep)
			return false
		}
		return d.skipContainer(c, depth)
	case '"':
		_, ok := d.stringToken()
		return ok
	case 't':
		return d.literal("true")
	case 'f':
		return d.literal("false")
	case 'n':
		return d.literal("null")
	}
	end := numberEnd(d.data, d.pos)
	if end < 0 {
		d.fail(ClassSyntax)
		return false
	}
	d.pos = end
	return true
}

// skipContainer moves behind an object or an array.
func (d *jsonDecoder) skipContainer(first byte, depth int) bool {
	if first == '{' {
		if end := flatObjectEnd(d.data, d.pos); end >= 0 {
			d.pos = end
			return true
		}
	}
	r := objectReader{d: d}
	for !r.open(first, first+2) { // ']' and '}' are two behind '[' and '{'
		if first == '{' {
			if d.peek() != '"' {
				return r.fail()
			}
			if _, ok := d.stringToken(); !ok || !r.colon() {
				return false
			}
		}
		if !d.skip(depth + 1) {
			return false
		}
	}
	return !r.broken
}

// literal moves behind a word.
func (d *jsonDecoder) literal(word string) bool {
	end := d.pos + len(word)
	if end > len(d.data) || string(d.data[d.pos:end]) != word {
		d.fail(ClassSyntax)
		return false
	}
	d.pos = end
	return true
}

// token is a string in the document: its text between the quotes.
type token struct {
	text    []byte
	escaped bool // has escapes
	ascii   bool // is ASCII for certain
}

// stringToken moves behind the string at pos. It checks the escapes and that no control character is
// bare, which is all that JSON's grammar asks for.
func (d *jsonDecoder) stringToken() (token, bool) {
	var t token
	var high uint64
	start := d.pos + 1
	pos := start
	for {
		var seen uint64
		pos, seen = stringStop(d.data, pos)
		high |= seen
		if pos >= len(d.data) {
			d.pos = len(d.data)
			d.fail(ClassSyntax)
			return t, false
		}
		switch d.data[pos] {
		case '"':
			t.text, t.ascii = d.data[start:pos], high&highBits == 0
			d.pos = pos + 1
			return t, true
		case '\\':
			t.escaped = true
			length := escapeLength(d.data[pos:])
			if length == 0 {
				d.pos = pos
				d.fail(ClassSyntax)
				return t, false
			}
			pos += length
		default:
			d.pos = pos
			d.fail(ClassSyntax)
			return t, false
		}
	}
}

// Masks for eight bytes at once.
const (
	lowBits    = 0x0101010101010101
	highBits   = 0x8080808080808080
	quoteBytes = '"' * lowBits
	slashBytes = '\\' * lowBits
	spaceBytes = ' ' * lowBits
)

// stringStop returns the first place from pos on that holds a quote, a backslash or a control
// character, or the end, and the bits of all bytes it looked at.
func stringStop(data []byte, pos int) (int, uint64) {
	var seen uint64
	for ; pos+8 <= len(data); pos += 8 {
		w := binary.LittleEndian.Uint64(data[pos:])
		seen |= w
		quote, slash := w^quoteBytes, w^slashBytes
		stop := ((quote-lowBits)&^quote | (slash-lowBits)&^slash | (w-spaceBytes)&^w) & highBits
		if stop != 0 {
			return pos + bits.TrailingZeros64(stop)/8, seen
		}
	}
	for ; pos < len(data); pos++ {
		c := data[pos]
		seen |= uint64(c)
		if c == '"' || c == '\\' || c < ' ' {
			break
		}
	}
	return pos, seen
}

// escapeLength is the length of the escape that data begins with, or 0 when it is none.
func escapeLength(data []byte) int {
	if len(data) < 2 {
		return 0
	}
	switch data[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if _, ok := hex4(data); ok {
			return 6
		}
	}
	return 0
}

// hex4 reads the four digits of the escape \uXXXX that data begins with.
func hex4(data []byte) (rune, bool) {
	if len(data) < 6 || data[0] != '\\' || data[1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range data[2:6] {
		v := hexValue(c)
		if v == notHex {
			return 0, false
		}
		r = r<<4 | rune(v)
	}
	return r, true
}

// unescape returns the string that a token with escapes stands for, in memory that the next call
// takes back. whole is false when an escape is half of a surrogate pair, which becomes U+FFFD.
func (d *jsonDecoder) unescape(text []byte) (out []byte, whole bool) {
	out, whole = d.scratch[:0], true
	for i := 0; i < len(text); {
		if text[i] != '\\' {
			out = append(out, text[i])
			i++
			continue
		}
		length := escapeLength(text[i:])
		if text[i+1] != 'u' {
			out = append(out, unescaped(text[i+1]))
			i += length
			continue
		}
		r, _ := hex4(text[i:])
		i += length
		if utf16.IsSurrogate(r) {
			second, ok := hex4(text[i:])
			if r = utf16.DecodeRune(r, second); !ok || r == utf8.RuneError {
				r, whole = utf8.RuneError, false
			} else {
				i += 6
			}
		}
		out = utf8.AppendRune(out, r)
	}
	d.scratch = out
	return out, whole
}

// unescaped is the byte that a backslash and c stand for.
func unescaped(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c
}

// keyText moves behind the key at pos and returns it without escapes.
func (d *jsonDecoder) keyText() ([]byte, bool) {
	t, ok := d.stringToken()
	if !ok {
		return nil, false
	}
	if !t.escaped {
		return t.text, true
	}
	key, _ := d.unescape(t.text)
	return key, true
}
