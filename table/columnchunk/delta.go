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

// appendDelta appends values, of which there is at least one. Differences wrap around at the width of the
// values; U is T without a sign.
func appendDelta[T int32 | int64, U uint32 | uint64](dst []byte, values []T) []byte {
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
			block[i] = uint64(d)
		}
		for i := range block[:n] {
			block[i] = uint64(U(block[i]) - U(least))
		}
		dst = binary.AppendVarint(dst, int64(least))
		dst = appendMiniblocks(dst, &block, n)
	}
	return dst
}

// appendMiniblocks appends the first n of block as miniblocks; what is behind them is overwritten.
func appendMiniblocks(dst []byte, block *[deltaBlock]uint64, n int) []byte {
	widths := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	filled := (n + deltaMiniblock - 1) / deltaMiniblock * deltaMiniblock
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
