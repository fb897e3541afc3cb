package columnchunk

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// pack appends values of width bits each, least significant bit first, up to a whole byte.
func pack[T uint8 | uint32 | uint64](dst []byte, values []T, width uint) []byte {
	start, size := len(dst), (len(values)*int(width)+7)/8
	dst = slices.Grow(dst, size+8)[:start+size+8]
	var word uint64
	var used uint
	at := start
	for _, v := range values {
		word |= uint64(v) << used
		if used += width; used >= 64 {
			binary.LittleEndian.PutUint64(dst[at:], word)
			at += 8
			used -= 64
			word = uint64(v) >> (width - used)
		}
	}
	binary.LittleEndian.PutUint64(dst[at:], word)
	return dst[:start+size]
}

// repeatsMin is how often a value must repeat to be stored as a run: fewer are no smaller.
const repeatsMin = 8

// appendHybrid appends values in Parquet's hybrid of runs and bit-packed groups of eight.
func appendHybrid[T uint8 | uint32](dst []byte, values []T, width uint) []byte {
	packed := 0 // values[packed:at] wait to be bit-packed; a multiple of eight
	for at := 0; at < len(values); {
		end := at + 1
		for end < len(values) && values[end] == values[at] {
			end++
		}
		if end-at < repeatsMin {
			at = min(at+8, len(values))
			continue
		}
		dst = appendPacked(dst, values[packed:at], width)
		dst = appendRun(dst, end-at, uint64(values[at]), width)
		at, packed = end, end
	}
	return appendPacked(dst, values[packed:], width)
}

func appendRun(dst []byte, n int, value uint64, width uint) []byte {
	dst = binary.AppendUvarint(dst, uint64(n)<<1)
	for ; width > 0; width -= min(width, 8) {
		dst = append(dst, byte(value))
		value >>= 8
	}
	return dst
}

// appendPacked appends bit-packed groups; the last one is filled up with zeros, which readers know
// from the number of values in the page.
func appendPacked[T uint8 | uint32](dst []byte, values []T, width uint) []byte {
	if len(values) == 0 {
		return dst
	}
	groups := (len(values) + 7) / 8
	dst = binary.AppendUvarint(dst, uint64(groups)<<1|1)
	end := len(dst) + groups*int(width)
	dst = pack(dst, values, width)
	for len(dst) < end {
		dst = append(dst, 0)
	}
	return dst
}

// appendLevels appends the repetition or definition levels of a page of version 1, their length in
// front; there are none when the greatest is 0. Empty levels mean that all n are the greatest.
func appendLevels(dst, levels []byte, n, greatest int) []byte {
	if greatest == 0 {
		return dst
	}
	width := uint(bits.Len(uint(greatest)))
	head := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	if len(levels) == 0 {
		dst = appendRun(dst, n, uint64(greatest), width)
	} else {
		dst = appendHybrid(dst, levels, width)
	}
	binary.LittleEndian.PutUint32(dst[head:], uint32(len(dst)-head-4))
	return dst
}
