package table

import (
	"testing"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/stretchr/testify/require"
)

func TestArenaGivesTheSameMemoryToTheNextBatch(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	a := newArena(mem)
	sizes := []int{1000, 0, 1, 64, 5000}
	for round := range 4 {
		a.begin()
		var all [][]byte
		for i, size := range sizes {
			b := a.Allocate(size)
			require.Len(t, b, size)
			for at := range b {
				b[at] = byte(i)
			}
			all = append(all, b)
		}
		if round > 0 {
			require.Same(t, &a.slab[0], &all[0][0], "it is in the slab from the second batch on")
		}
		for i, b := range all {
			for _, v := range b {
				require.EqualValues(t, i, v, "allocations do not overlap")
			}
			a.Free(b)
		}
	}
	slab := len(a.slab)
	a.begin()
	large := a.Allocate(10 * slab)
	require.Panics(t, func() { b := a.Allocate(1); defer a.Free(b); a.begin() })
	grown := a.Reallocate(11*slab, large)
	a.Free(grown)
	a.begin()
	require.Greater(t, len(a.slab), 10*slab)
	a.drop()
	mem.AssertSize(t, 0)
}
