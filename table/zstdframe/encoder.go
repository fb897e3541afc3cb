package zstdframe

import (
	"encoding/binary"
)

// Encoder writes frames. It keeps its tables (about 0.5 MiB) from call to call and allocates
// nothing but room in dst; it belongs to one goroutine. A frame depends on its content only, not
// on what the Encoder wrote before.
type Encoder struct {
	literals literalCoder
	gathered []byte
}

// NewEncoder returns an Encoder ready for use.
func NewEncoder() *Encoder {
	e := &Encoder{}
	e.literals.lookup.init()
	return e
}

// Literals appends to dst one frame whose content is src, coded by Huffman codes alone: no match
// is searched for. It returns false and dst as it was when the frame would not be smaller than
// src, as with random bytes; Raw is the frame for these. dst and src must not overlap.
func (e *Encoder) Literals(dst, src []byte) ([]byte, bool) {
	start := len(dst)
	dst = appendFrameHeader(dst, len(src))
	e.literals.reset()
	dst, last := e.appendLiteralBlocks(dst, src)
	dst[last] |= blockLast
	if len(src) > 0 && len(dst)-start >= len(src) {
		return dst[:start], false
	}
	return dst, true
}

// LiteralsBehind is Literals of head and src one behind the other. Neither may be empty.
func (e *Encoder) LiteralsBehind(dst, head, src []byte) ([]byte, bool) {
	start, content := len(dst), len(head)+len(src)
	dst = appendFrameHeader(dst, content)
	e.literals.reset()
	dst, _ = e.appendLiteralBlocks(dst, head)
	dst, last := e.appendLiteralBlocks(dst, src)
	dst[last] |= blockLast
	if len(dst)-start >= content {
		return dst[:start], false
	}
	return dst, true
}

// appendLiteralBlocks appends src as blocks without matches, at least one, and returns where the
// header of the last one is.
func (e *Encoder) appendLiteralBlocks(dst, src []byte) (out []byte, last int) {
	for {
		block := src[:min(len(src), blockBytesMax)]
		src = src[len(block):]
		last = len(dst)
		dst = e.appendLiteralBlock(dst, block)
		if len(src) == 0 {
			return dst, last
		}
	}
}

// appendLiteralBlock appends one block without matches: a compressed one, or the shorter raw or
// RLE block where the bytes are only stored or only one byte repeated.
func (e *Encoder) appendLiteralBlock(dst, src []byte) []byte {
	if len(src) == 0 {
		return appendBlockHeader(dst, blockRaw, 0)
	}
	start := len(dst)
	dst = appendBlockHeader(dst, blockCompressed, 0)
	dst, kind := e.literals.append(dst, src)
	switch kind {
	case literalsRaw:
		dst = appendBlockHeader(dst[:start], blockRaw, len(src))
		return append(dst, src...)
	case literalsRLE:
		dst = appendBlockHeader(dst[:start], blockRLE, len(src))
		return append(dst, src[0])
	}
	dst = append(dst, 0) // no sequences
	putBlockHeader(dst[start:], blockCompressed, len(dst)-start-blockHeaderBytes)
	return dst
}

// Raw appends to dst one frame whose content is src, stored as it is. The result stays a valid
// frame wherever a column chunk has named zstd as its codec and a page does not compress.
func Raw(dst, src []byte) []byte {
	dst, last := appendRawBlocks(appendFrameHeader(dst, len(src)), src)
	dst[last] |= blockLast
	return dst
}

// RawBehind is Raw of head and src one behind the other.
func RawBehind(dst, head, src []byte) []byte {
	dst, _ = appendRawBlocks(appendFrameHeader(dst, len(head)+len(src)), head)
	dst, last := appendRawBlocks(dst, src)
	dst[last] |= blockLast
	return dst
}

// appendRawBlocks appends src as it is, at least one block, and returns where the header of the last
// one is.
func appendRawBlocks(dst, src []byte) (out []byte, last int) {
	for {
		block := src[:min(len(src), blockBytesMax)]
		src = src[len(block):]
		last = len(dst)
		dst = appendBlockHeader(dst, blockRaw, len(block))
		dst = append(dst, block...)
		if len(src) == 0 {
			return dst, last
		}
	}
}

// Bound is the room in dst that no frame of n bytes of content outgrows, working room included:
// a caller that keeps a buffer with this capacity sees no allocation at all.
func Bound(n int) int {
	blocks := n/blockBytesMax + 3
	return frameHeaderBytesMax + n + blocks*(blockHeaderBytes+sequenceHeaderBytesMax) +
		min(n, blockBytesMax)*codeBitsMax/8 + literalsOverheadMax
}

// Frame and block headers, sections 3.1.1.1 and 3.1.1.2.
const (
	frameMagic          = 0xFD2FB528
	frameHeaderBytesMax = 4 + 1 + 1 + 8
	frameSingleSegment  = 1 << 5
	// windowDescriptor is a window of 128 KiB, exponent 7 and mantissa 0: one block. No match
	// reaches back further than one value, so readers need not keep more.
	windowDescriptor = 7 << 3

	blockBytesMax    = 128 << 10
	blockHeaderBytes = 3

	blockRaw        = 0
	blockRLE        = 1
	blockCompressed = 2
	blockLast       = 1
)

// appendFrameHeader appends the header of a frame of n bytes of content, without checksum or
// dictionary. Content of one block is a single segment, so that its window is its size.
func appendFrameHeader(dst []byte, n int) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, frameMagic)
	switch {
	case n < 256:
		return append(dst, frameSingleSegment, byte(n))
	case n < 65536+256:
		dst = append(dst, frameSingleSegment|1<<6)
		return binary.LittleEndian.AppendUint16(dst, uint16(n-256))
	case n <= blockBytesMax:
		dst = append(dst, frameSingleSegment|2<<6)
		return binary.LittleEndian.AppendUint32(dst, uint32(n))
	case uint64(n) <= 1<<32-1:
		dst = append(dst, 2<<6, windowDescriptor)
		return binary.LittleEndian.AppendUint32(dst, uint32(n))
	default:
		dst = append(dst, 3<<6, windowDescriptor)
		return binary.LittleEndian.AppendUint64(dst, uint64(n))
	}
}

// appendBlockHeader appends a header without the mark of the last block, which whoever ends the
// frame sets.
func appendBlockHeader(dst []byte, kind, size int) []byte {
	dst = append(dst, 0, 0, 0)
	putBlockHeader(dst[len(dst)-blockHeaderBytes:], kind, size)
	return dst
}

func putBlockHeader(dst []byte, kind, size int) {
	header := size<<3 | kind<<1
	dst[0], dst[1], dst[2] = byte(header), byte(header>>8), byte(header>>16)
}
