package zstdframe

import "math/bits"

// sequence is one sequence, section 3.1.1.3.2, to be written any number of times with tables of
// one code each. The states of such tables take no bits; extra holds the extra bits that are left.
type sequence struct {
	lengthCode, offsetCode, matchCode byte
	extra                             uint64
	extraBits                         int
}

const (
	// sequenceHeaderBytesMax is block header, count, tables and the bit that ends the stream.
	sequenceHeaderBytesMax = 3 + 3 + 4 + 1
	sequenceTablesRLE      = 1<<6 | 1<<4 | 1<<2
	// repeatedOffsets is how many offset values stand for offsets used before. The first one, with
	// code 0 and no extra bits, is the offset of the sequence before.
	repeatedOffsets = 3
	matchBytesMin   = 3
)

// newSequence is literals and then a match at the offset of the sequence before.
func newSequence(literals, match int) sequence {
	lengthCode, lengthBits := literalLengthCode(literals)
	matchCode, matchBits := matchLengthCode(match)
	s := sequence{lengthCode: byte(lengthCode), matchCode: byte(matchCode)}
	s.add(literals, lengthBits)
	s.add(match-matchBytesMin, matchBits)
	return s
}

// setOffset gives the match an offset of its own.
func (s *sequence) setOffset(offset int) {
	size := bits.Len(uint(offset+repeatedOffsets)) - 1
	s.offsetCode = byte(size)
	s.add(offset+repeatedOffsets, size)
}

// add adds the low bits of value as extra bits: the base of every code is a multiple of its range.
func (s *sequence) add(value, size int) {
	s.extra |= uint64(value&(1<<size-1)) << s.extraBits
	s.extraBits += size
}

// append appends a section of n such sequences. Their extra bits are at most 14 for the literals
// and 14 for the match, or once 14 more for the offset, and repeat after 8 sequences at a byte's
// edge.
func (s *sequence) append(dst []byte, n int) []byte {
	switch {
	case n == 0:
		return append(dst, 0)
	case n < 128:
		dst = append(dst, byte(n))
	case n < 0x7F00: // always, as a sequence makes 5 bytes of a block
		dst = append(dst, byte(n>>8)+128, byte(n))
	default:
		panic("BUG: a block has too many sequences")
	}
	dst = append(dst, sequenceTablesRLE, s.lengthCode, s.offsetCode, s.matchCode)

	var eight [64]byte
	for bit := range 8 * s.extraBits {
		eight[bit/8] |= byte(s.extra>>(bit%s.extraBits)&1) << (bit % 8)
	}
	for range n / 8 {
		dst = append(dst, eight[:s.extraBits]...)
	}
	rest := n % 8 * s.extraBits
	dst = append(dst, eight[:rest/8]...)
	end := byte(1) << (rest % 8)
	return append(dst, eight[rest/8]&(end-1)|end)
}

// literalLengthCode is the code of a literal length and the number of its extra bits, section
// 3.1.1.3.2.1.1.
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

// matchLengthCode is the same for a match length, section 3.1.1.3.2.1.1.
func matchLengthCode(match int) (code, size int) {
	n := match - matchBytesMin
	switch {
	case n < 32:
		return n, 0
	case n < 40:
		return 32 + (n-32)/2, 1
	case n < 48:
		return 36 + (n-40)/4, 2
	case n < 64:
		return 38 + (n-48)/8, 3
	case n < 96:
		return 40 + (n-64)/16, 4
	case n < 128:
		return 42, 5
	default:
		size = bits.Len(uint(n)) - 1
		return 36 + size, size
	}
}
