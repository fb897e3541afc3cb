package zstdframe

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// shortest is the least total length of any code of up to 11 bits, found by trying, byte by byte,
// every length against every use of the code space.
func shortest(h *histogram) int {
	const space = 1 << codeBitsMax
	best := make([]int, space+1)
	for _, s := range h.symbols() {
		next := make([]int, space+1)
		for used := range next {
			next[used] = math.MaxInt32
			for length := 1; length <= codeBitsMax; length++ {
				if share := space >> length; share <= used {
					next[used] = min(next[used], best[used-share]+length*int(s>>8))
				}
			}
		}
		best = next
	}
	return best[space]
}

func TestCodeIsTheShortestOfElevenBits(t *testing.T) {
	random := rand.New(rand.NewPCG(6, 6))
	sources := [][]byte{fibonacci(12), fibonacci(20), fibonacci(25), geometric(300_000, 1)}
	for range 20 {
		n := 2 + random.IntN(254)
		src := uniform(n+random.IntN(5000), everyByte()[:n])
		sources = append(sources, append(src, 0, 1), geometric(1000+random.IntN(5000), 3))
	}
	for _, src := range sources {
		var h histogram
		var c code
		h.count(src)
		c.build(&h)
		size, ok := c.bits(&h)
		require.True(t, ok)
		require.Equal(t, shortest(&h), size)
		var values [256]uint16
		c.values(&values) // panics unless complete
	}
}

func TestTreeIsDescribedWhateverItsBytes(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 7))
	longest, trees := 0, 3000
	if testing.Short() {
		trees = 600
	}
	for range trees {
		var h histogram
		var c code
		n := 2 + random.IntN(255)
		skew := random.Float64() * 12
		for _, symbol := range random.Perm(256)[:n] {
			h.lanes[0][symbol] = 1 + uint32(math.Exp(random.Float64()*skew))
		}
		h.sum()
		c.build(&h)
		require.True(t, c.describe())
		longest = max(longest, len(c.tree()))
	}
	t.Logf("longest description: %d bytes", longest)
}

func TestLengthCodesAreThoseOfTheFormat(t *testing.T) {
	literals := []int{
		16, 18, 20, 22, 24, 28, 32, 40, 48, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768,
	}
	for i, start := range literals {
		requireCode(t, literalLengthCode, start, 16+i)
		requireCode(t, literalLengthCode, start-1, 15+i)
	}
	matches := []int{
		35, 37, 39, 41, 43, 47, 51, 59, 67, 83, 99, 131, 259, 515, 1027, 2051, 4099, 8195, 16387, 32771,
	}
	for i, start := range matches {
		requireCode(t, matchLengthCode, start, 32+i)
		requireCode(t, matchLengthCode, start-1, 31+i)
	}
}

func requireCode(t *testing.T, codeOf func(int) (int, int), length, code int) {
	t.Helper()
	got, _ := codeOf(length)
	require.Equal(t, code, got, length)
}
