package compaction

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table/objstore"
)

func TestPaceKeepsToItsShare(t *testing.T) {
	for _, share := range []float64{1, 0.5, 0.1} {
		var clock time.Time
		var rested, worked time.Duration
		p := NewPace(func() time.Time { return clock }, func(_ context.Context, d time.Duration) error {
			rested += d
			clock = clock.Add(d)
			return nil
		})
		p.begin(share)
		store := &paced{Store: objstore.NewMemory(time.Now), pace: p}
		for range 1000 {
			_, err := store.Get(t.Context(), "mem://nothing", 0, 1)
			require.ErrorIs(t, err, objstore.ErrNotFound)
			clock = clock.Add(3 * time.Millisecond)
			worked += 3 * time.Millisecond
		}
		require.InDelta(t, share, worked.Seconds()/(worked+rested).Seconds(), 0.01)
	}
	p := NewPace(time.Now, func(ctx context.Context, _ time.Duration) error { return ctx.Err() })
	p.begin(1e-9)
	p.since = p.since.Add(-time.Second)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := (&paced{pace: p}).Get(ctx, "mem://nothing", 0, 1)
	require.ErrorIs(t, err, context.Canceled)
}

func TestPaceSavesWhatItDoesNotTake(t *testing.T) {
	var clock time.Time
	var rested time.Duration
	p := NewPace(func() time.Time { return clock }, func(_ context.Context, d time.Duration) error {
		rested += d
		clock = clock.Add(d)
		return nil
	})
	work := func(d time.Duration) time.Duration {
		rested = 0
		clock = clock.Add(d)
		require.NoError(t, p.rest(t.Context()))
		return rested
	}
	clock = clock.Add(4 * time.Second)
	p.begin(0.25)
	require.Zero(t, work(time.Second), "a quarter of 4 seconds was saved, of which this takes three quarters")
	require.Equal(t, 2*time.Second, work(time.Second), "8 seconds for 2 of work")
	clock = clock.Add(time.Hour)
	p.begin(0.25)
	require.Zero(t, work(creditMax))
	require.Equal(t, time.Second, work(time.Second), "no more is saved than for one go")
}
