package tail_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/tail"
)

func TestAMirrorShowsWhatAnotherProcessTells(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	id := table.TopicPartition{Topic: "events"}
	there, here := tail.NewIndex("mem://lake/db.events"), tail.NewIndex("mem://lake/db.events")
	feed := there.Feed()
	feed.Reads(map[table.TopicPartition]bool{id: true}, func(table.TopicPartition) bool { return true })
	feed.Give(chunk(1, 10, 20))
	mirror := here.Mirror(nil)
	require.False(t, here.Fed())
	mirror.Set(there.Tell(), now)
	require.True(t, here.Fed())
	require.Empty(t, here.Tell().Chunks, "what others told is not told on")
	position := table.Position{id: 10, {Topic: "events", Partition: 1}: 5}
	require.Equal(t, []table.TopicPartition{{Topic: "events", Partition: 1}}, here.Elsewhere(position))
	first := here.At(position)
	require.Equal(t, table.Offset(20), first.Cut[id])

	feed.Give(chunk(2, 20, 30))
	told := there.Tell()
	told.Chunks[0] = tail.Chunk{} // it was told before
	after, some := mirror.After()
	require.True(t, some)
	require.Equal(t, told.Numbers[0], after)
	mirror.Set(told, now)
	second := here.At(position)
	require.Equal(t, table.Offset(30), second.Cut[id])
	require.Equal(t, first.Numbers(), second.Numbers()[:1])

	feed.Withdraw(uuid.UUID{2}, now)
	mirror.Set(there.Tell(), now)
	again := here.At(position)
	require.True(t, first.Same(&again))
	resumed := here.Resume(position, second)
	require.True(t, second.Same(&resumed), "what was shown can be shown on")
	mirror.Close(now)
	require.Empty(t, here.At(position).Chunks)
	require.False(t, here.Fed())
	require.Empty(t, here.Forget(now.Add(time.Hour), now.Add(time.Hour)), "the files are those of the other process")
}

func TestChunksOfOtherRulesAreNotShown(t *testing.T) {
	now, position := time.Unix(1_700_000_000, 0), table.Position{{Topic: "events"}: 10}
	there, here := tail.NewIndex("mem://lake/db.events"), tail.NewIndex("mem://lake/db.events")
	there.Feed().Give(chunk(1, 10, 20))
	there.Rule("one")
	mirror := here.Mirror(nil)
	mirror.Set(there.Tell(), now)
	require.Len(t, here.At(position).Chunks, 1, "it has no rules of its own")
	here.Rule("two")
	mirror.Set(there.Tell(), now)
	require.Empty(t, here.At(position).Chunks)
	there.Rule("two")
	mirror.Set(there.Tell(), now)
	require.Len(t, here.At(position).Chunks, 1)
}

func TestNothingIsToldOfAKeyedTableWithSeveralSources(t *testing.T) {
	x := tail.NewIndex("mem://lake/db.users")
	feed := x.FeedKeyed(noHider{})
	feed.Reads(map[table.TopicPartition]bool{{Topic: "events"}: true}, func(table.TopicPartition) bool { return true })
	feed.Give(chunk(1, 10, 20))
	require.True(t, x.Tells())
	require.Len(t, x.Tell().Chunks, 1)
	x.FeedKeyed(noHider{})
	require.False(t, x.Tells())
	require.Empty(t, x.Tell())
}

// noHider knows nothing.
type noHider struct{ tail.NewestHider }
