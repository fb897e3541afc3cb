package columnchunk

import (
	"encoding/binary"
	"math/bits"
)

// Bitmaps are Arrow's: bit i of byte i/8, least significant first. Positions count from the first bit
// of the buffer, so an array's offset is already in them.

// bits64 are the 64 bits from pos on; those behind the end of the bitmap are zero.
func bits64(bitmap []byte, pos int) uint64 {
	at, shift := pos>>3, uint(pos&7)
	if at+9 <= len(bitmap) {
		low := binary.LittleEndian.Uint64(bitmap[at:])
		return low>>shift | uint64(bitmap[at+8])<<(64-shift)
	}
	var word uint64
	for i := range 9 {
		if at+i >= len(bitmap) {
			break
		}
		if b := uint64(bitmap[at+i]); i == 0 {
			word = b >> shift
		} else {
			word |= b << (uint(i)*8 - shift)
		}
	}
	return word
}

// nextRun is the first run of set bits in [from, to); it is empty when there is none.
func nextRun(bitmap []byte, from, to int) (start, end int) {
	start = from
	for start < to {
		word := bits64(bitmap, start)
		if word != 0 {
			start += bits.TrailingZeros64(word)
			break
		}
		start += 64
	}
	if start >= to {
		return to, to
	}
	end = start
	for end < to {
		word := ^bits64(bitmap, end)
		if word != 0 {
			end += bits.TrailingZeros64(word)
			break
		}
		end += 64
	}
	return start, min(end, to)
}

const everyByte = 0x0101010101010101

// spread makes a byte of value 0 or 1 of each of the eight lowest bits of b.
func spread(b uint64) uint64 {
	// Seven copies of seven bits do not overlap; the eighth bit is put in its place.
	return (b&0x7f)*0x0002040810204081&everyByte | (b&0x80)<<49
}

// appendBits appends a byte for each bit in [from, to): first for a zero, first+1 for a one.
func appendBits(dst, bitmap []byte, from, to int, first byte) []byte {
	plus := uint64(first) * everyByte
	for from < to {
		word := bits64(bitmap, from)
		n := min(to-from, 64)
		for i := 0; i < n; i += 8 {
			dst = binary.LittleEndian.AppendUint64(dst, spread(word>>uint(i))+plus)
		}
		if rest := n & 7; rest != 0 {
			dst = dst[:len(dst)-8+rest]
		}
		from += n
	}
	return dst
}
