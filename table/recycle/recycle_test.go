package recycle

import (
	"bytes"
	"math/rand/v2"
	"sync"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

func TestClassesCoverAllSizes(t *testing.T) {
	last := -1
	for n := 1<<leastBits + 1; n <= 1<<mostBits; n += 1 + n/500 {
		class, size := classOf(n)
		require.GreaterOrEqual(t, size, n)
		require.LessOrEqual(t, size-n, n/4, "of %d bytes", n)
		require.GreaterOrEqual(t, class, last)
		require.Less(t, class, classes)
		last = class
		again, same := classOf(size)
		require.Equal(t, class, again, "a block of %d bytes goes back to where it came from", size)
		require.Equal(t, size, same)
	}
	require.Equal(t, classes-1, last)
	for _, n := range []int{0, 1, 1 << leastBits, 1<<mostBits + 1} {
		class, _ := classOf(n)
		require.Equal(t, -1, class)
	}
}

func TestAllocationsAreAlignedAndTheirOwn(t *testing.T) {
	a := New()
	random := rand.New(rand.NewPCG(1, 2))
	type held struct {
		bytes []byte
		mark  byte
	}
	var all []held
	check := func(h held) {
		require.Equal(t, len(h.bytes), bytes.Count(h.bytes, []byte{h.mark}))
	}
	for i := range 3000 {
		mark := byte(i)
		if len(all) > 0 && random.IntN(3) > 0 {
			k := random.IntN(len(all))
			h := all[k]
			check(h)
			all[k] = all[len(all)-1]
			all = all[:len(all)-1]
			if random.IntN(2) == 0 {
				a.Free(h.bytes)
				continue
			}
			size := random.IntN(9000)
			grown := a.Reallocate(size, h.bytes)
			check(held{grown[:min(size, len(h.bytes))], h.mark})
			all = append(all, held{marked(grown, mark), mark})
			continue
		}
		all = append(all, held{marked(a.Allocate(random.IntN(9000)), mark), mark})
	}
	for _, h := range all {
		check(h)
		if cap(h.bytes) > 0 {
			require.Zero(t, uintptr(unsafe.Pointer(unsafe.SliceData(h.bytes)))%alignment)
		}
	}
}

func marked(b []byte, mark byte) []byte {
	for i := range b {
		b[i] = mark
	}
	return b
}

func TestFreedMemoryIsHandedOutAgain(t *testing.T) {
	a := New()
	again := 0
	for range 100 { // the collector may take what is free at any time
		b := a.Allocate(5000)
		first := unsafe.SliceData(b)
		a.Free(b[:10])
		if b = a.Allocate(4800); unsafe.SliceData(b) == first {
			again++
		}
		a.Free(b)
	}
	require.Positive(t, again)
}

func TestForeignMemoryIsNotKept(t *testing.T) {
	a := New()
	a.Free(make([]byte, 5001))
	for range 100 {
		require.GreaterOrEqual(t, cap(a.Allocate(5001)), 5001)
	}
}

func TestGoroutinesShareAnAllocator(t *testing.T) {
	a := New()
	var group sync.WaitGroup
	for worker := range byte(4) {
		group.Go(func() {
			for i := range 2000 {
				b := marked(a.Allocate(1000+i), worker)
				for _, v := range b {
					if v != worker {
						t.Error("memory of two goroutines at once")
						return
					}
				}
				a.Free(b)
			}
		})
	}
	group.Wait()
}

func TestPoisonSpoilsWhatIsFreed(t *testing.T) {
	var p Poison
	b := p.Allocate(100)
	require.Equal(t, byte(pattern), b[50])
	copy(b, "kept")
	larger := p.Reallocate(200, b)
	require.Equal(t, "kept", string(larger[:4]))
	require.Equal(t, byte(pattern), b[0])
	p.Free(larger)
	require.Equal(t, byte(pattern), larger[0])
}
