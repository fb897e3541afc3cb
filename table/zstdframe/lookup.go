package zstdframe

import "encoding/binary"

// lookup is a code laid out for encoding. An entry has the code word at its top and its length in
// the low 8 bits:
//
//	63          42 41          8 7      0
//	| code words  |    missing  | length |
//
// The middle counts bytes without a code. The sum of the entries of a stream therefore tells both
// how many bits there are and whether all bytes had a code, without a test in the loop.
type lookup struct {
	code   code
	single [256]uint64
	// pairs has an entry for two bytes, the second at the top of the index. Only pairs of bytes
	// with codes are set, and only if paired.
	pairs  [1 << 16]uint64
	paired bool
	// symbols are the bytes whose entries are set.
	symbols [256]uint8
	found   int
}

const (
	entryMissing = 1 << 8
	entryLength  = 1<<8 - 1
	missingMask  = 1<<42 - 1<<8

	// pairedSymbolsMax bounds the pairs, which are set up anew for each tree, to 32 KiB.
	pairedSymbolsMax = 128
	// A store after 8 bytes has room for codes of 6 bits, as up to 7 bits stay from the one before.
	longRunBits = 6
)

func (l *lookup) init() {
	for i := range l.single {
		l.single[i] = entryMissing
	}
	for i := range l.pairs {
		l.pairs[i] = entryMissing
	}
}

// set lays out c.
func (l *lookup) set(c *code) {
	set := l.symbols[:l.found]
	for _, a := range set {
		l.single[a] = entryMissing
		if l.paired {
			for _, b := range set {
				l.pairs[int(a)<<8|int(b)] = entryMissing
			}
		}
	}
	l.code.lengths, l.code.bitsMax, l.code.symbolMax = c.lengths, c.bitsMax, c.symbolMax
	l.code.desc.n = copy(l.code.desc.bytes[:], c.tree())

	var values [256]uint16
	c.values(&values)
	l.found = 0
	for symbol, length := range c.lengths {
		if length > 0 {
			l.single[symbol] = uint64(values[symbol])<<(64-length) | uint64(length)
			l.symbols[l.found] = uint8(symbol)
			l.found++
		}
	}
	if l.paired = l.found <= pairedSymbolsMax; l.paired {
		l.setPairs()
	}
}

// setPairs joins entries: the second byte is coded first, as streams are read from their ends.
func (l *lookup) setPairs() {
	set := l.symbols[:l.found]
	for _, second := range set {
		row := l.pairs[int(second)<<8:][:256]
		tail := l.single[second]
		for _, first := range set {
			head := l.single[first]
			row[first] = (tail&^entryLength)>>(head&entryLength) | head&^entryLength |
				head&entryLength + tail&entryLength
		}
	}
}

// appendStream appends one bit stream with the codes of src, last byte first, and the bit that
// ends it. It returns false when a byte has no code. dst has room for the longest codes.
//
// The bits wait at the top of word; their number is the low 8 bits of sum.
func (l *lookup) appendStream(dst, src []byte) ([]byte, bool) {
	out := dst[len(dst):cap(dst)]
	var word, sum uint64
	at := 0
	odd := len(src) % 8
	for i := len(src) - 1; i >= len(src)-odd; i-- {
		entry := l.single[src[i]]
		word = word>>(entry&63) | entry
		sum += entry
		at, sum = store(out, at, word, sum)
	}
	src = src[:len(src)-odd]
	switch {
	case !l.paired:
		at, word, sum = l.codeSingles(out, src, streamState{at, word, sum})
	case l.code.bitsMax <= longRunBits:
		at, word, sum = l.codeLongRuns(out, src, streamState{at, word, sum})
	default:
		at, word, sum = l.codePairs(out, src, streamState{at, word, sum})
	}
	word = word>>1 | 1<<63
	sum++
	binary.LittleEndian.PutUint64(out[at:], word>>(-sum&63))
	at += int(sum&entryLength+7) / 8
	return dst[:len(dst)+at], sum&missingMask == 0
}

type streamState struct {
	at        int
	word, sum uint64
}

// store writes the waiting bits and keeps those of the last, incomplete byte.
func store(out []byte, at int, word, sum uint64) (int, uint64) {
	binary.LittleEndian.PutUint64(out[at:at+8], word>>(-sum&63))
	return at + int(sum&entryLength)>>3, sum &^ (entryLength - 7)
}

// codeLongRuns codes src, a multiple of 8 bytes, by pairs of codes of up to 6 bits.
func (l *lookup) codeLongRuns(out, src []byte, s streamState) (int, uint64, uint64) {
	at, word, sum := s.at, s.word, s.sum
	for len(src) >= 8 {
		bytes := binary.LittleEndian.Uint64(src[len(src)-8:])
		src = src[:len(src)-8]
		entry := l.pairs[bytes>>48]
		word = word>>(entry&63) | entry
		sum += entry
		entry = l.pairs[uint16(bytes>>32)]
		word = word>>(entry&63) | entry
		sum += entry
		entry = l.pairs[uint16(bytes>>16)]
		word = word>>(entry&63) | entry
		sum += entry
		entry = l.pairs[uint16(bytes)]
		word = word>>(entry&63) | entry
		sum += entry
		at, sum = store(out, at, word, sum)
	}
	return at, word, sum
}

// codePairs codes src, a multiple of 8 bytes, by pairs.
func (l *lookup) codePairs(out, src []byte, s streamState) (int, uint64, uint64) {
	at, word, sum := s.at, s.word, s.sum
	for len(src) >= 8 {
		bytes := binary.LittleEndian.Uint64(src[len(src)-8:])
		src = src[:len(src)-8]
		entry := l.pairs[bytes>>48]
		word = word>>(entry&63) | entry
		sum += entry
		entry = l.pairs[uint16(bytes>>32)]
		word = word>>(entry&63) | entry
		sum += entry
		at, sum = store(out, at, word, sum)
		entry = l.pairs[uint16(bytes>>16)]
		word = word>>(entry&63) | entry
		sum += entry
		entry = l.pairs[uint16(bytes)]
		word = word>>(entry&63) | entry
		sum += entry
		at, sum = store(out, at, word, sum)
	}
	return at, word, sum
}

// codeSingles codes src, a multiple of 8 bytes, byte by byte.
func (l *lookup) codeSingles(out, src []byte, s streamState) (int, uint64, uint64) {
	at, word, sum := s.at, s.word, s.sum
	for len(src) >= 4 {
		bytes := binary.LittleEndian.Uint32(src[len(src)-4:])
		src = src[:len(src)-4]
		entry := l.single[bytes>>24]
		word = word>>(entry&63) | entry
		sum += entry
		entry = l.single[uint8(bytes>>16)]
		word = word>>(entry&63) | entry
		sum += entry
		entry = l.single[uint8(bytes>>8)]
		word = word>>(entry&63) | entry
		sum += entry
		entry = l.single[uint8(bytes)]
		word = word>>(entry&63) | entry
		sum += entry
		at, sum = store(out, at, word, sum)
	}
	return at, word, sum
}
