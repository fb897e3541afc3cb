package table

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

func TestBudgetGrantsUpToItsLimit(t *testing.T) {
	b := NewBudget(100)
	require.EqualValues(t, 100, b.Limit())
	require.True(t, b.TryAcquire(60))
	require.False(t, b.TryAcquire(41))
	require.True(t, b.TryAcquire(40))
	b.Charge(10)
	require.EqualValues(t, 110, b.Used())
	b.Release(110)
	require.Zero(t, b.Used())
	require.True(t, b.TryAcquire(1000), "more than the limit is granted when nothing else is held")
}

func TestBudgetSignalsPressure(t *testing.T) {
	b := NewBudget(80)
	pressed := func() bool {
		select {
		case <-b.Pressed():
			return true
		default:
			return false
		}
	}
	early := b.Pressed()
	b.Charge(69)
	require.False(t, pressed())
	b.Charge(1)
	require.True(t, pressed())
	<-early
	b.Charge(50)
	require.True(t, pressed())
	b.Release(51)
	require.False(t, pressed())
	b.Charge(1)
	require.True(t, pressed())
}

func TestBudgetServesWaitersInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(100)
		b.Charge(100)
		var mu sync.Mutex // the last two are served at once
		var order []int
		for i, n := range []int64{80, 10, 10} {
			go func() {
				if b.Acquire(t.Context(), n) == nil {
					mu.Lock()
					defer mu.Unlock()
					order = append(order, i)
				}
			}()
			synctest.Wait()
		}
		b.Release(30)
		synctest.Wait()
		require.Empty(t, order, "those behind the large request wait for it")
		require.False(t, b.TryAcquire(1), "nobody overtakes")
		b.Release(50)
		synctest.Wait()
		require.Equal(t, []int{0}, order)
		b.Release(20)
		synctest.Wait()
		require.ElementsMatch(t, []int{0, 1, 2}, order)
		require.EqualValues(t, 100, b.Used())
	})
}

func TestBudgetForgetsWaitersThatGiveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(100)
		b.Charge(60)
		ctx, cancel := context.WithCancel(t.Context())
		failed := make(chan error, 1)
		go func() { failed <- b.Acquire(ctx, 80) }()
		synctest.Wait()
		granted := make(chan error, 1)
		go func() { granted <- b.Acquire(t.Context(), 40) }()
		synctest.Wait()
		cancel()
		require.ErrorIs(t, <-failed, context.Canceled)
		require.NoError(t, <-granted, "the one behind it fits now")
		require.EqualValues(t, 100, b.Used())
	})
}

func TestBudgetHoldsUnderContention(t *testing.T) {
	b := NewBudget(1000)
	var held atomic.Int64
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			r := rand.New(rand.NewPCG(uint64(worker), 1))
			for range 500 {
				n := 1 + r.Int64N(400)
				if r.IntN(2) == 0 {
					if !b.TryAcquire(n) {
						continue
					}
				} else if b.Acquire(t.Context(), n) != nil {
					t.Error("acquire failed")
					return
				}
				if held.Add(n) > 1000 {
					t.Error("more is held than there is")
				}
				held.Add(-n)
				b.Release(n)
			}
		})
	}
	group.Wait()
	require.Zero(t, b.Used())
}

func TestBudgetRefusesToReleaseWhatIsNotHeld(t *testing.T) {
	b := NewBudget(10)
	require.PanicsWithValue(t, "BUG: releasing 1 of 0 bytes to a memory budget", func() { b.Release(1) })
	require.PanicsWithValue(t, "BUG: memory budget of 0 bytes", func() { NewBudget(0) })
}
