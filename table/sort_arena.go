package table

import (
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow/memory"
)

// arena is an allocator of batches that live one after the other in the same memory. It belongs to
// one goroutine.
type arena struct {
	mem    memory.Allocator
	slab   []byte
	used   int
	needed int // size of the slab that would have been enough for the batch
	live   int // allocations in the slab
}

// arenaAlignment is Arrow's.
const arenaAlignment = 64

func newArena(mem memory.Allocator) *arena { return &arena{mem: mem} }

// begin makes room for the next batch. The one before is released by then.
func (a *arena) begin() {
	if a.live != 0 {
		panic("BUG: two batches in one arena")
	}
	if a.needed > len(a.slab) {
		a.drop()
		a.slab = a.mem.Allocate(a.needed + a.needed/4)
	}
	a.used, a.needed = 0, 0
}

// Allocate implements memory.Allocator.
func (a *arena) Allocate(size int) []byte {
	room := (size + arenaAlignment - 1) / arenaAlignment * arenaAlignment
	a.needed += room
	if size == 0 || a.used+room > len(a.slab) {
		return a.mem.Allocate(size)
	}
	b := a.slab[a.used : a.used+size : a.used+size]
	a.used += room
	a.live++
	return b
}

// Reallocate implements memory.Allocator.
func (a *arena) Reallocate(size int, b []byte) []byte {
	if size <= cap(b) {
		return b[:size]
	}
	grown := a.Allocate(size)
	copy(grown, b)
	a.Free(b)
	return grown
}

// Free implements memory.Allocator.
func (a *arena) Free(b []byte) {
	if a.holds(b) {
		a.live--
		return
	}
	a.mem.Free(b)
}

func (a *arena) holds(b []byte) bool {
	if cap(b) == 0 || len(a.slab) == 0 {
		return false
	}
	first := uintptr(unsafe.Pointer(unsafe.SliceData(a.slab)))
	at := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	return at >= first && at-first < uintptr(len(a.slab))
}

// drop gives the slab back. All that was allocated in it is free by then.
func (a *arena) drop() {
	if a.slab != nil {
		a.mem.Free(a.slab)
		a.slab = nil
	}
}
