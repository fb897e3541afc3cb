package recycle

import "github.com/apache/arrow-go/v18/arrow/memory"

// Poison is a memory.Allocator for tests: it fills memory with a pattern when it is given out and when
// it is freed, so that what was never written, or is read after its release, shows.
type Poison struct{ memory.GoAllocator }

var _ memory.Allocator = (*Poison)(nil)

// pattern makes numbers, offsets and text that no test expects.
const pattern = 0xdb

// Allocate returns n bytes of the pattern.
func (p *Poison) Allocate(n int) []byte {
	b := p.GoAllocator.Allocate(n)
	fill(b[:cap(b)])
	return b
}

// Reallocate returns n bytes that begin with what b holds, and spoils b.
func (p *Poison) Reallocate(n int, b []byte) []byte {
	moved := p.Allocate(n)
	copy(moved, b)
	p.Free(b)
	return moved
}

// Free spoils b.
func (p *Poison) Free(b []byte) { fill(b[:cap(b)]) }

func fill(b []byte) {
	for i := range b {
		b[i] = pattern
	}
}
