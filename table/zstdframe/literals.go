package zstdframe

import (
	"bytes"
	"slices"
)

// Kinds of a literals section and its smallest and largest numbers, section 3.1.1.3.1.
const (
	literalsRaw        = 0
	literalsRLE        = 1
	literalsCompressed = 2
	literalsTreeless   = 3

	// literalsCodedMin is the fewest literals that pay for a table.
	literalsCodedMin = 32
	// literalsStreamsMin is the fewest literals cut into four streams.
	literalsStreamsMin = 256
	// gainMin is the part of a block that codes must save to be worth their decoding. It is above
	// what a sample of random bytes seems to save.
	gainMin        = 64
	jumpTableBytes = 6
	// literalsOverheadMax is header, tree, jump table and the slack of the wide stores.
	literalsOverheadMax = 5 + treeBytesMax + jumpTableBytes + 4*(8+1)
)

// literalCoder writes the literals sections of the blocks of one frame.
type literalCoder struct {
	counts histogram
	next   code
	lookup lookup
	// repeatable says that the reader holds the tree behind lookup.
	repeatable bool
	// exact says that a sample of this frame has missed a byte, so all are counted.
	exact bool
}

// reset forgets what the frame before has told.
func (l *literalCoder) reset() { l.repeatable, l.exact = false, false }

// append appends the literals section of src, which is not empty, and says which kind it chose.
func (l *literalCoder) append(dst, src []byte) ([]byte, int) {
	if len(src) > 1 && src[0] == src[len(src)-1] && bytes.Equal(src[1:], src[:len(src)-1]) {
		return append(appendStoredHeader(dst, literalsRLE, len(src)), src[0]), literalsRLE
	}
	start := len(dst)
	for len(src) >= literalsCodedMin {
		sampled := !l.exact && l.counts.sample(src)
		if !sampled {
			l.counts.count(src)
		}
		kind := l.choose(len(src))
		if kind == literalsRaw {
			break
		}
		out, ok := l.code(dst, src, kind)
		dst = out[:start]
		if ok && len(out)-start < len(src) {
			l.repeatable = true
			return out, kind
		}
		l.repeatable = l.repeatable && kind == literalsTreeless
		if ok {
			break
		}
		if !sampled {
			panic("BUG: a counted byte has no code")
		}
		l.exact = true
	}
	return append(appendStoredHeader(dst, literalsRaw, len(src)), src...), literalsRaw
}

// choose compares what n bytes cost with the tree that the reader has, with a new one and as they
// are, by what was counted. A new tree is ready in lookup afterwards.
func (l *literalCoder) choose(n int) int {
	if l.counts.total == 0 || len(l.counts.symbols()) < 2 {
		return literalsRaw
	}
	scale := float64(n) / float64(l.counts.total) / 8
	best, kind := float64(n-n/gainMin), literalsRaw
	if l.repeatable {
		if size, ok := l.lookup.code.bits(&l.counts); ok && float64(size)*scale < best {
			best, kind = float64(size)*scale, literalsTreeless
		}
	}
	l.next.build(&l.counts)
	size, _ := l.next.bits(&l.counts)
	if float64(size)*scale >= best || !l.next.describe() ||
		float64(size)*scale+float64(len(l.next.tree())) >= best {
		return kind
	}
	l.lookup.set(&l.next)
	return literalsCompressed
}

// code appends a compressed or treeless section. It returns false when src holds a byte that has
// no code.
func (l *literalCoder) code(dst, src []byte, kind int) ([]byte, bool) {
	start := len(dst)
	c := &l.lookup.code
	dst = slices.Grow(dst, len(src)*c.bitsMax/8+literalsOverheadMax)
	header := codedHeaderBytes(len(src))
	dst = dst[:start+header]
	if kind == literalsCompressed {
		dst = append(dst, c.tree()...)
	}
	var ok bool
	if len(src) < literalsStreamsMin {
		dst, ok = l.lookup.appendStream(dst, src)
	} else {
		dst, ok = l.appendStreams(dst, src)
	}
	putCodedHeader(dst[start:], kind, len(src), len(dst)-start-header)
	return dst, ok
}

// appendStreams appends the jump table and the four streams, section 3.1.1.3.1.6.
func (l *literalCoder) appendStreams(dst, src []byte) ([]byte, bool) {
	jump := len(dst)
	dst = append(dst, 0, 0, 0, 0, 0, 0)
	quarter := (len(src) + 3) / 4
	for i := range 4 {
		part := src[i*quarter : min((i+1)*quarter, len(src))]
		start := len(dst)
		var ok bool
		if dst, ok = l.lookup.appendStream(dst, part); !ok {
			return dst, false
		}
		if i < 3 {
			size := len(dst) - start
			dst[jump+2*i], dst[jump+2*i+1] = byte(size), byte(size>>8)
		}
	}
	return dst, true
}

// appendStoredHeader appends the header of a raw or RLE section.
func appendStoredHeader(dst []byte, kind, n int) []byte {
	switch {
	case n < 1<<5:
		return append(dst, byte(kind|n<<3))
	case n < 1<<12:
		header := kind | 1<<2 | n<<4
		return append(dst, byte(header), byte(header>>8))
	default:
		header := kind | 3<<2 | n<<4
		return append(dst, byte(header), byte(header>>8), byte(header>>16))
	}
}

// codedHeaderBytes is the size of the header of a coded section of n literals. Its compressed
// size is below n and fits where n does.
func codedHeaderBytes(n int) int {
	switch {
	case n < 1<<10:
		return 3
	case n < 1<<14:
		return 4
	default:
		return 5
	}
}

func putCodedHeader(dst []byte, kind, n, coded int) {
	size := codedHeaderBytes(n)
	format := size - 2
	if n < literalsStreamsMin {
		format = 0
	}
	width := 10 + 4*(size-3)
	header := uint64(kind) | uint64(format)<<2 | uint64(n)<<4 | uint64(coded)<<(4+width)
	for i := range size {
		dst[i] = byte(header >> (8 * i))
	}
}
