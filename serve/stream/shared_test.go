package stream

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhatStreamsShareIsBounded(t *testing.T) {
	f := &followed{}
	for i := range 10 {
		held := f.sharing(fmt.Sprint(i))
		require.Same(t, held, f.sharing(fmt.Sprint(i)))
		f.count(held, sharedBytesMax/4)
		require.LessOrEqual(t, f.sharedBytes, int64(sharedBytesMax))
		require.Same(t, held, f.piles[len(f.piles)-1])
	}
	require.Len(t, f.piles, 4)
	gone := &sharedPile{followed: f}
	f.count(gone, sharedBytesMax)
	require.Len(t, f.piles, 4, "what was dropped counts no more")
	large := f.sharing("large")
	f.count(large, 2*sharedBytesMax)
	require.Equal(t, []*sharedPile{large}, f.piles, "the newest stays")
	for i := range 2 * sharedMax {
		f.sharing(fmt.Sprint("small", i))
	}
	require.Len(t, f.piles, sharedMax)
	require.Zero(t, f.sharedBytes)
}
