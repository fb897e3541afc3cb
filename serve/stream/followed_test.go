package stream

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table"
)

// countingTables counts loads.
type countingTables struct {
	Tables
	loads atomic.Int64
}

func (c *countingTables) LoadTable(ctx context.Context, ident table.Ident) (*table.Table, error) {
	c.loads.Add(1)
	return c.Tables.LoadTable(ctx, ident)
}

func memoryInUse() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapInuse + stats.StackInuse
}

// TestIdleStreamsCostLittle has 2,000 of them wait: they take no work and little memory, and none is forgotten.
func TestIdleStreamsCostLittle(t *testing.T) {
	const readers = 2000
	w := one(t, 10, 0)
	tables := &countingTables{Tables: w.streams.opts.Tables}
	w.streams.opts.Tables = tables
	before := memoryInUse()
	ctx, cancel := context.WithCancel(t.Context())
	var wait, caughtUp, woken sync.WaitGroup
	for range readers {
		sub, err := w.streams.Open(ctx, events, Request{From: From{End: true}})
		require.NoError(t, err)
		wait.Add(1)
		caughtUp.Add(1)
		woken.Add(1)
		go func() {
			defer wait.Done()
			defer sub.Close()
			quiet, rows := 0, int64(0)
			for batch := range sub.Rows(ctx) {
				if batch == nil {
					if quiet++; quiet == 1 {
						caughtUp.Done()
					}
				} else if rows += batch.NumRows(); rows == 1 {
					woken.Done()
				}
			}
		}()
	}
	caughtUp.Wait()
	perReader := (memoryInUse() - before) / readers
	require.Less(t, perReader, uint64(16<<10), "bytes a reader")
	loads := tables.loads.Load()
	for range 10 {
		require.NoError(t, w.streams.Step(ctx))
	}
	require.Equal(t, loads+10, tables.loads.Load(), "the table is looked at once for all")
	w.add(1)
	w.flush()
	begun := time.Now()
	require.NoError(t, w.streams.Step(ctx))
	woken.Wait()
	t.Logf("%d bytes a reader; %v until all have a row", perReader, time.Since(begun))
	cancel()
	wait.Wait()
	require.Empty(t, w.streams.followed)
	require.Zero(t, w.streams.open)
}

func TestThereIsABoundToStreams(t *testing.T) {
	w := one(t, 10, 0)
	w.streams.open = subscriptionsMax
	_, err := w.streams.Open(t.Context(), events, Request{})
	require.ErrorIs(t, err, ErrBusy)
	w.streams.open--
	sub, err := w.streams.Open(t.Context(), events, Request{})
	require.NoError(t, err)
	sub.Close()
	sub.Close()
	require.Equal(t, subscriptionsMax-1, w.streams.open)
}
