package main

import (
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestThreadsAreKeptForLookUpsAMinute(t *testing.T) {
	own, now := runtime.GOMAXPROCS(0), time.Unix(1000, 0)
	t.Cleanup(func() { runtime.GOMAXPROCS(own) })
	var threads turns
	threads.look(now)
	require.Equal(t, own, runtime.GOMAXPROCS(0))
	threads.want(now)
	threads.look(now)
	require.Equal(t, turnsEach*own, runtime.GOMAXPROCS(0))
	threads.look(now.Add(turnsFor - 1))
	require.Equal(t, turnsEach*own, runtime.GOMAXPROCS(0))
	threads.look(now.Add(turnsFor))
	require.Equal(t, own, runtime.GOMAXPROCS(0))
}
