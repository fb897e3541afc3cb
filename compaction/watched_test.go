package compaction

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestATableIsLookedAtByWhatChanged(t *testing.T) {
	g := newGround(t, 2, true)
	g.feed(t, 20, "eu")
	var w watched
	begin := time.UnixMilli(g.table(t).Metadata().CurrentSnapshot().TimestampMs)
	require.Equal(t, wholeLook, w.look(g.table(t), begin))
	w.whole = begin
	require.Equal(t, noLook, w.look(g.table(t), begin.Add(wholeEvery/4)), "nothing is new")
	g.feed(t, 20, "eu")
	require.Equal(t, hastyLook, w.look(g.table(t), begin.Add(wholeEvery/4)))
	require.Equal(t, noLook, w.look(g.table(t), begin.Add(wholeEvery/2)))
	g.deleteEqual(t, 1)
	require.Equal(t, noLook, w.look(g.table(t), begin.Add(wholeEvery/2)), "others write")
	require.True(t, w.shared(begin.Add(wholeEvery)))
	require.Equal(t, wholeLook, w.look(g.table(t), begin.Add(wholeEvery)))
	require.False(t, w.shared(begin.Add(2*wholeEvery)))
}

func TestTheLedgerOfATableIsReadOnceASnapshot(t *testing.T) {
	g := newGround(t, 2, true)
	for range FilesMinAutomatic {
		g.feed(t, 20, "eu", "us")
	}
	var w watched
	w.look(g.table(t), time.UnixMilli(0))
	w.foreign = 7 // as the ledger does not say
	require.False(t, w.shared(time.UnixMilli(0)))
	w.look(g.table(t), time.UnixMilli(0))
	require.False(t, w.shared(time.UnixMilli(0)), "a snapshot that was seen is not judged again")
	g.feed(t, 20, "eu")
	w.look(g.table(t), time.UnixMilli(0))
	require.True(t, w.shared(time.UnixMilli(0)))
}

func TestOthersWhoWroteAreSeenForAMinute(t *testing.T) {
	g := newGround(t, 2, true)
	g.feed(t, 20, "eu")
	require.False(t, othersWrote(g.table(t), time.UnixMilli(0)))
	g.deleteEqual(t, 1)
	s := g.table(t).Metadata().CurrentSnapshot()
	require.True(t, othersWrote(g.table(t), time.UnixMilli(s.TimestampMs)))
	require.False(t, othersWrote(g.table(t), time.UnixMilli(s.TimestampMs+1)))
	g.feed(t, 20, "eu")
	require.True(t, othersWrote(g.table(t), time.UnixMilli(s.TimestampMs)))
}
