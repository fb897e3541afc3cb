package zstdframe

import (
	"encoding/binary"
	"math/bits"
)

const (
	prefixBytes = 4
	// widthMax keeps a few values within a block; longer ones gain nothing from a prefix less.
	widthMax = 1 << 14
	// valuesMin is where sequences begin to pay for their block.
	valuesMin = 8
	// headBytesInline is the longest head that shares the first block with the first value.
	headBytesInline = 64

	// Block header, literals and sequences of a block beyond its bytes.
	sequenceHeaderBytesMax = 3 + 1 + 3 + 1
	sequenceTablesRLE      = 1<<6 | 1<<4 | 1<<2
	// prefixMatchCode is the code of a match of 4 bytes, which has no extra bits.
	prefixMatchCode = 1
	// repeatedOffsetCode stands for offset value 1, the offset of the sequence before.
	repeatedOffsetCode = 0
)

// FixedStrings appends to dst one frame whose content is head and then every value of width
// bytes, taken back to back from values, behind its length as 4 bytes little endian: a page of
// levels and PLAIN byte arrays of one length. values may be an Arrow string buffer from the first
// offset to the last, so nothing is gathered.
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
		return e.Literals(dst, e.gather(head, width, values))
	}
	start := len(dst)
	dst = appendFrameHeader(dst, content)
	e.literals.reset()
	if len(head) > headBytesInline {
		dst, _ = e.appendLiteralBlocks(dst, head)
		head = nil
	}
	dst = e.appendFirstValue(dst, e.gather(head, width, values[:width]), width)
	dst, last := e.appendFixedBlocks(dst, width, values[width:])
	dst[last] |= blockLast
	if len(dst)-start >= content {
		return dst[:start], false
	}
	return dst, true
}

// gather is head and the values behind their lengths, in memory of the Encoder.
func (e *Encoder) gather(head []byte, width int, values []byte) []byte {
	out := append(e.gathered[:0], head...)
	for ; len(values) > 0; values = values[width:] {
		out = binary.LittleEndian.AppendUint32(out, uint32(width))
		out = append(out, values[:width]...)
	}
	e.gathered = out
	return out
}

// appendFirstValue appends the block that holds the first prefix and value and, as the only match
// with an offset of its own, the prefix of the second value. It leaves that offset to be repeated
// by all that follow.
func (e *Encoder) appendFirstValue(dst, lits []byte, width int) []byte {
	start := len(dst)
	dst = appendBlockHeader(dst, blockCompressed, 0)
	dst, _ = e.literals.append(dst, lits)

	lengthCode, lengthBits := literalLengthCode(len(lits))
	offset := uint(prefixBytes + width + 3) // 1 to 3 are repeated offsets
	offsetBits := bits.Len(offset) - 1
	dst = append(dst, 1, sequenceTablesRLE, byte(lengthCode), byte(offsetBits), prefixMatchCode)
	stream := uint64(extraBits(len(lits), lengthBits))
	stream |= uint64(extraBits(int(offset), offsetBits)) << lengthBits
	stream |= 1 << (lengthBits + offsetBits)
	for ; stream > 0; stream >>= 8 {
		dst = append(dst, byte(stream))
	}
	putBlockHeader(dst[start:], blockCompressed, len(dst)-start-blockHeaderBytes)
	return dst
}

// appendFixedBlocks appends the blocks of all values but the first and returns where the header
// of the last one is. A block starts behind a prefix and holds
//
//	value prefix value prefix … value prefix     and the last one  value prefix … value
//
// where each prefix is one sequence, all alike, and the values are the literals.
func (e *Encoder) appendFixedBlocks(dst []byte, width int, values []byte) ([]byte, int) {
	perBlock := blockBytesMax / (prefixBytes + width) * width
	for {
		lits := values[:min(len(values), perBlock)]
		values = values[len(lits):]
		sequences := len(lits) / width
		if len(values) == 0 {
			sequences--
		}
		start := len(dst)
		dst = appendBlockHeader(dst, blockCompressed, 0)
		dst, _ = e.literals.append(dst, lits)
		dst = appendFixedSequences(dst, sequences, width)
		putBlockHeader(dst[start:], blockCompressed, len(dst)-start-blockHeaderBytes)
		if len(values) == 0 {
			return dst, start
		}
	}
}

// appendFixedSequences appends a sequences section (3.1.1.3.2) of n times the same sequence: width
// literals, then 4 bytes from the offset before. With tables of one code each the states take no
// bits; what is left are the extra bits of the literal length, which repeat after 8 sequences at
// a byte's edge.
func appendFixedSequences(dst []byte, n, width int) []byte {
	switch {
	case n == 0:
		return append(dst, 0)
	case n < 128:
		dst = append(dst, byte(n))
	default: // below 0x7F00, as each takes 5 bytes of a block
		dst = append(dst, byte(n>>8)+128, byte(n))
	}
	code, size := literalLengthCode(width)
	dst = append(dst, sequenceTablesRLE, byte(code), repeatedOffsetCode, prefixMatchCode)

	var eight [16]byte
	for bit := range 8 * size {
		eight[bit/8] |= byte(extraBits(width, size)>>(bit%size)&1) << (bit % 8)
	}
	for range n / 8 {
		dst = append(dst, eight[:size]...)
	}
	rest := n % 8 * size
	dst = append(dst, eight[:rest/8]...)
	end := byte(1) << (rest % 8)
	return append(dst, eight[rest/8]&(end-1)|end)
}

// literalLengthCode is the code of a literal length and the number of its extra bits, table 16 of
// section 3.1.1.3.2.1.1. Every base is a multiple of its range, so the extra bits are the low ones.
func literalLengthCode(n int) (code, size int) {
	switch {
	case n < 16:
		return n, 0
	case n < 24:
		return 16 + (n-16)/2, 1
	case n < 32:
		return 20 + (n-24)/4, 2
	case n < 48:
		return 22 + (n-32)/8, 3
	case n < 64:
		return 24, 4
	default:
		size = bits.Len(uint(n)) - 1
		return 19 + size, size
	}
}

func extraBits(n, size int) int { return n & (1<<size - 1) }
