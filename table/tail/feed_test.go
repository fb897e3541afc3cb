package tail_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table/tail"
)

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestWhoeverFollowsLearnsWhenAllIsHandedOver(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	x := tail.NewIndex("mem://lake/db.events")
	require.True(t, isClosed(x.Follow(now)), "nobody feeds it")
	one, two := x.Feed(), x.Feed()
	require.False(t, one.Wanted(now))
	ready := x.Follow(now.Add(time.Minute))
	require.True(t, one.Wanted(now))
	one.Ready()
	require.False(t, isClosed(ready), "the other feed does not yet")
	two.Ready()
	require.True(t, isClosed(ready))
	require.True(t, isClosed(x.Follow(now)))
	require.True(t, one.Wanted(now.Add(59*time.Second)), "an older follower takes nothing from a newer one")
	require.False(t, one.Wanted(now.Add(time.Minute)))
	two.Pause()
	require.False(t, isClosed(x.Follow(now)))
}

func TestASetHasOneIndexATable(t *testing.T) {
	s := tail.NewSet()
	id := [16]byte{1}
	require.Nil(t, s.Find(id))
	require.Same(t, s.Index(id, "mem://lake/t"), s.Index(id, "mem://lake/t"))
	require.Same(t, s.Index(id, "mem://lake/t"), s.Find(id))
}
