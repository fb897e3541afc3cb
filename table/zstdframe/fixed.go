package zstdframe

import (
	"bytes"
	"encoding/binary"
)

const (
	prefixBytes = 4
	// widthMax keeps several values within a block; longer ones gain nothing from a prefix less.
	widthMax = 1 << 14
	// valuesMin is where sequences begin to pay for their block.
	valuesMin = 8
	// headBytesInline is the longest head that shares the first block with the first value.
	headBytesInline = 64
)

// FixedStrings appends to dst one frame whose content is head and then every value of width
// bytes, taken back to back from values, behind its length as 4 bytes little endian: a page of
// levels and PLAIN byte arrays of one length. values may be an Arrow string buffer from the first
// offset to the last, so nothing is gathered. What all values share at their fronts or ends is
// left to the matches.
//
// It returns false and dst as it was when values is not a whole number of values, when a value is
// empty or longer than 16 KiB, and when the frame would not be smaller than its content. dst must
// not overlap head or values.
func (e *Encoder) FixedStrings(dst, head []byte, width int, values []byte) ([]byte, bool) {
	if width < 1 || width > widthMax || len(values)%width != 0 {
		return dst, false
	}
	count := len(values) / width
	content := len(head) + count*(prefixBytes+width)
	if count < valuesMin {
		return e.Literals(dst, e.gatherPlain(head, width, values))
	}
	start := len(dst)
	dst = appendFrameHeader(dst, content)
	e.literals.reset()
	if len(head) > headBytesInline {
		dst, _ = e.appendLiteralBlocks(dst, head)
		head = nil
	}
	l := layoutOf(width, values)
	dst = e.appendFirstValue(dst, e.gatherPlain(head, width, values[:width]), l)
	dst, last := e.appendFixedBlocks(dst, l, values[width:])
	dst[last] |= blockLast
	if len(dst)-start >= content {
		return dst[:start], false
	}
	return dst, true
}

// layout says what is the same in all values of a frame.
//
//	len₀ front middle tail  len₁ front middle tail  len₂ front middle tail
//	                        └─ match ─┘      └──── match ────┘
type layout struct {
	width, front, tail int
}

// layoutOf finds the front and tail that all values share. One byte is left in the middle, since
// an offset repeats only behind literals.
func layoutOf(width int, values []byte) layout {
	first := values[:width]
	front, tail := width-1, width-1
	for rest := values[width:]; len(rest) > 0 && front+tail > 0; rest = rest[width:] {
		if !bytes.Equal(rest[:front], first[:front]) {
			front = sharedFront(rest[:front], first)
		}
		if !bytes.Equal(rest[width-tail:width], first[width-tail:]) {
			tail = sharedTail(rest[width-tail:width], first)
		}
	}
	return layout{width: width, front: front, tail: min(tail, width-1-front)}
}

// sharedFront is how many bytes a and the longer b have in common at the front.
func sharedFront(a, b []byte) int {
	n := 0
	for n < len(a) && a[n] == b[n] {
		n++
	}
	return n
}

// sharedTail is how many bytes a and the longer b have in common at the end.
func sharedTail(a, b []byte) int {
	n := 0
	for n < len(a) && a[len(a)-1-n] == b[len(b)-1-n] {
		n++
	}
	return n
}

func (l layout) middle() int { return l.width - l.front - l.tail }
func (l layout) match() int  { return l.tail + prefixBytes + l.front }

// gatherPlain is head and the values behind their lengths, in memory of the Encoder.
func (e *Encoder) gatherPlain(head []byte, width int, values []byte) []byte {
	out := append(e.gathered[:0], head...)
	for ; len(values) > 0; values = values[width:] {
		out = binary.LittleEndian.AppendUint32(out, uint32(width))
		out = append(out, values[:width]...)
	}
	e.gathered = out
	return out
}

// gatherMiddles is what is left to be coded of the values.
func (e *Encoder) gatherMiddles(l layout, values []byte) []byte {
	out := e.gathered[:0]
	for ; len(values) > 0; values = values[l.width:] {
		out = append(out, values[l.front:l.width-l.tail]...)
	}
	e.gathered = out
	return out
}

// appendFirstValue appends the block that ends with the first value and, as the only match with
// an offset of its own, the prefix and front of the second. It leaves that offset to be repeated
// by all that follow.
func (e *Encoder) appendFirstValue(dst, plain []byte, l layout) []byte {
	start := len(dst)
	dst = appendBlockHeader(dst, blockCompressed, 0)
	dst, _ = e.literals.append(dst, plain)
	s := newSequence(len(plain), prefixBytes+l.front)
	s.setOffset(prefixBytes + l.width)
	dst = s.append(dst, 1)
	putBlockHeader(dst[start:], blockCompressed, len(dst)-start-blockHeaderBytes)
	return dst
}

// appendFixedBlocks appends the blocks of all values but the first and returns where the header
// of the last one is. A block starts behind a match and holds
//
//	middle match middle match … middle match     and the last one  middle match … middle tail
//
// with matches all alike, and the middles as its literals.
func (e *Encoder) appendFixedBlocks(dst []byte, l layout, values []byte) ([]byte, int) {
	perBlock := blockBytesMax / (prefixBytes + l.width) * l.width
	s := newSequence(l.middle(), l.match())
	for {
		lits := values[:min(len(values), perBlock)]
		values = values[len(lits):]
		sequences := len(lits) / l.width
		if l.front+l.tail > 0 {
			tail := lits[len(lits)-l.tail:]
			lits = e.gatherMiddles(l, lits)
			if len(values) == 0 {
				lits = append(lits, tail...)
				e.gathered = lits
			}
		}
		if len(values) == 0 {
			sequences--
		}
		start := len(dst)
		dst = appendBlockHeader(dst, blockCompressed, 0)
		dst, _ = e.literals.append(dst, lits)
		dst = s.append(dst, sequences)
		putBlockHeader(dst[start:], blockCompressed, len(dst)-start-blockHeaderBytes)
		if len(values) == 0 {
			return dst, start
		}
	}
}
