package columnchunk

import (
	"encoding/binary"
	"math/bits"
)

// DELTA_BINARY_PACKED: blocks of 128 differences, each with its least one and four miniblocks of 32
// differences above it, bit-packed. These are the sizes that all other writers use.
const (
	deltaBlock     = 128
	deltaMiniblock = 32
)

func appendDeltaHead(dst []byte, n int, first int64) []byte {
	dst = binary.AppendUvarint(dst, deltaBlock)
	dst = binary.AppendUvarint(dst, deltaBlock/deltaMiniblock)
	dst = binary.AppendUvarint(dst, uint64(n))
	return binary.AppendVarint(dst, first)
}

// appendDelta64 appends values, of which there is at least one. Differences wrap around.
func appendDelta64(dst []byte, values []int64) []byte {
	dst = appendDeltaHead(dst, len(values), values[0])
	var block [deltaBlock]uint64
	for at := 1; at < len(values); at += deltaBlock {
		n := min(deltaBlock, len(values)-at)
		last, ahead := values[at-1], values[at:at+n]
		least := ahead[0] - last
		for i, v := range ahead {
			d := v - last
			last = v
			least = min(least, d)
			block[i] = uint64(d)
		}
		dst = binary.AppendVarint(dst, least)
		dst = appendMiniblocks(dst, &block, n, uint64(least))
	}
	return dst
}

// appendDelta32 is appendDelta64 with differences that wrap around at 32 bits.
func appendDelta32(dst []byte, values []int32) []byte {
	dst = appendDeltaHead(dst, len(values), int64(values[0]))
	var block [deltaBlock]uint64
	for at := 1; at < len(values); at += deltaBlock {
		n := min(deltaBlock, len(values)-at)
		last, ahead := values[at-1], values[at:at+n]
		least := ahead[0] - last
		for i, v := range ahead {
			d := v - last
			last = v
			least = min(least, d)
			block[i] = uint64(uint32(d))
		}
		for i := range block[:n] {
			block[i] = uint64(uint32(block[i]) - uint32(least))
		}
		dst = binary.AppendVarint(dst, int64(least))
		dst = appendMiniblocks(dst, &block, n, 0)
	}
	return dst
}

// appendMiniblocks appends the first n of block, less least, as miniblocks; what is behind them is
// overwritten.
func appendMiniblocks(dst []byte, block *[deltaBlock]uint64, n int, least uint64) []byte {
	widths := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	filled := (n + deltaMiniblock - 1) / deltaMiniblock * deltaMiniblock
	for i := range block[:n] {
		block[i] -= least
	}
	clear(block[n:filled])
	for m := 0; m*deltaMiniblock < n; m++ {
		mini := block[m*deltaMiniblock : (m+1)*deltaMiniblock]
		var all uint64
		for _, d := range mini {
			all |= d
		}
		width := uint(bits.Len64(all))
		dst[widths+m] = byte(width)
		if width > 0 {
			dst = pack(dst, mini, width)
		}
	}
	return dst
}
