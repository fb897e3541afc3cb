package zstdframe

import (
	"encoding/binary"
	"iter"
	"slices"
)

// A block of at least sampleBytesMin is judged by about one byte in sixteen: runs of sampleRun bytes
// whose distances vary, so that no layout of fixed width stays in step with them.
const (
	sampleBytesMin = 32 << 10
	sampleRun      = 64
	sampleGapMean  = 15 * sampleRun
)

// histogram counts bytes.
type histogram struct {
	counts [256]uint32
	total  int
	// lanes keep equal neighbours from waiting for each other's counter.
	lanes [4][256]uint32
	order [256]uint32
	found int
}

// count counts every byte of src.
func (h *histogram) count(src []byte) {
	h.clear()
	h.add(src)
	h.sum()
}

// sample counts some bytes of src and says whether it left any out.
func (h *histogram) sample(src []byte) bool {
	if len(src) < sampleBytesMin {
		h.count(src)
		return false
	}
	h.clear()
	for at := range sampleRuns(len(src)) {
		h.add(src[at : at+sampleRun])
	}
	h.sum()
	return true
}

// sampleRuns yields where the runs of a sample of n bytes start.
func sampleRuns(n int) iter.Seq[int] {
	return func(yield func(int) bool) {
		state := uint32(n)
		for at := 0; at+sampleRun <= n && yield(at); {
			state = state*1664525 + 1013904223
			at += sampleRun + sampleGapMean/2 + int(state>>16)%sampleGapMean
		}
	}
}

func (h *histogram) clear() {
	clear(h.lanes[0][:])
	clear(h.lanes[1][:])
	clear(h.lanes[2][:])
	clear(h.lanes[3][:])
	h.total = 0
}

func (h *histogram) add(src []byte) {
	h.total += len(src)
	a, b, c, d := &h.lanes[0], &h.lanes[1], &h.lanes[2], &h.lanes[3]
	for ; len(src) >= 8; src = src[8:] {
		word := binary.LittleEndian.Uint64(src)
		a[byte(word)]++
		b[byte(word>>8)]++
		c[byte(word>>16)]++
		d[byte(word>>24)]++
		a[byte(word>>32)]++
		b[byte(word>>40)]++
		c[byte(word>>48)]++
		d[byte(word>>56)]++
	}
	for _, symbol := range src {
		a[symbol]++
	}
}

// sum folds the lanes and orders the bytes found by count, rarest first.
func (h *histogram) sum() {
	h.found = 0
	for i := range h.counts {
		n := h.lanes[0][i] + h.lanes[1][i] + h.lanes[2][i] + h.lanes[3][i]
		h.counts[i] = n
		if n > 0 {
			h.order[h.found] = n<<8 | uint32(i) // a block has fewer than 2^24 bytes
			h.found++
		}
	}
	slices.Sort(h.order[:h.found])
}

// symbols are the bytes found, rarest first, as count<<8 | byte.
func (h *histogram) symbols() []uint32 { return h.order[:h.found] }
