package source

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestWhatFailsIsTriedAgainLaterAndLater(t *testing.T) {
	now := time.Unix(0, 0)
	random := 0.0
	failed := func(b *backoff) time.Duration { return b.failed(now, func() float64 { return random }) }
	var b backoff
	require.Equal(t, backoffMin, failed(&b))
	require.Equal(t, now.Add(backoffMin), b.until)
	require.Equal(t, 2*backoffMin, failed(&b))
	random = 0.5
	require.Equal(t, 4*backoffMin*7/8, failed(&b))
	for range 100 {
		require.LessOrEqual(t, failed(&b), backoffMax)
	}
}
