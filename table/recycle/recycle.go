package recycle

import (
	"math/bits"
	"sync"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow/memory"
)

const (
	// Blocks of 256 bytes to 64 MiB are kept: below, Go's heap is as fast; above, it is rare that
	// one of the same size follows.
	leastBits = 8
	mostBits  = 26
	// A power of two has 1<<stepBits sizes, so that at most a fifth of a block is unused.
	stepBits = 2
	classes  = (mostBits - leastBits) << stepBits
	// alignment is a cache line, as Arrow's format recommends.
	alignment = 64
)

// Allocator is a memory.Allocator that hands freed memory out again, as it is. Make it with New; it may
// be used by many goroutines.
type Allocator struct {
	blocks [classes]sync.Pool // of unsafe.Pointer to the first byte
}

var _ memory.Allocator = (*Allocator)(nil)

// New returns an allocator that holds nothing yet.
func New() *Allocator { return new(Allocator) }

// Allocate returns n bytes that hold anything.
func (a *Allocator) Allocate(n int) []byte {
	class, size := classOf(n)
	if class < 0 {
		return allocate(n, n)
	}
	if block, ok := a.blocks[class].Get().(unsafe.Pointer); ok {
		return unsafe.Slice((*byte)(block), size)[:n]
	}
	return allocate(n, size)
}

// Reallocate returns n bytes that begin with what b holds, and frees b unless it returns it.
func (a *Allocator) Reallocate(n int, b []byte) []byte {
	if n <= cap(b) {
		return b[:n]
	}
	larger := a.Allocate(n)
	copy(larger, b)
	a.Free(b)
	return larger
}

// Free takes back what Allocate or Reallocate returned.
func (a *Allocator) Free(b []byte) {
	class, size := classOf(cap(b))
	if class < 0 || size != cap(b) {
		return // of a size that is not kept
	}
	a.blocks[class].Put(unsafe.Pointer(unsafe.SliceData(b)))
}

// classOf returns the class of blocks for n bytes and their size, or -1 when n is out of bounds.
func classOf(n int) (class, size int) {
	if n <= 1<<leastBits || n > 1<<mostBits {
		return -1, 0
	}
	octave := bits.Len(uint(n-1)) - 1 // 1<<octave < n <= 2<<octave
	step := 1 << (octave - stepBits)
	steps := (n - 1<<octave + step - 1) / step // 1 to 1<<stepBits
	return (octave-leastBits)<<stepBits + steps - 1, 1<<octave + steps*step
}

// allocate returns n bytes of a new block of size, aligned.
func allocate(n, size int) []byte {
	block := make([]byte, size+alignment)
	start := -int(uintptr(unsafe.Pointer(unsafe.SliceData(block)))) & (alignment - 1)
	return block[start : start+n : start+size]
}
