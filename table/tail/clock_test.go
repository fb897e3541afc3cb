package tail_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/tail"
)

func at(seconds int) time.Time { return time.Unix(1_700_000_000+int64(seconds), 0) }

func position(offsets ...table.Offset) table.Position {
	p := table.Position{}
	for i, next := range offsets {
		p[table.TopicPartition{Topic: "events", Partition: int32(i)}] = next
	}
	return p
}

func TestCutIsOfTheLastMomentAtWhichItWasAll(t *testing.T) {
	clock := tail.NewSet().Clock([16]byte{1})
	_, known := clock.Through(position(5))
	require.False(t, known, "nobody reads")
	hand := clock.Hand()
	hand.Mark(position(5, 7), at(1))
	hand.Mark(position(5, 7), at(2))
	hand.Mark(position(5, 9), at(2)) // no later than what is known already
	hand.Mark(position(5, 9), at(3))
	hand.Mark(position(6, 9, 4), at(4)) // a topic partition that had nothing
	for _, c := range []struct {
		cut  table.Position
		want int
	}{
		{position(5, 7), 2}, {position(5, 8), 2}, {position(5, 9), 3}, {position(6, 9), 3}, {position(6, 8, 4), 2},
		{position(6, 9, 4), 4}, {position(9, 9, 9), 4},
	} {
		through, known := clock.Through(c.cut)
		require.True(t, known, c.cut)
		require.Equal(t, at(c.want), through, c.cut)
	}
	_, known = clock.Through(position(4, 9))
	require.False(t, known, "it is older than all that is known")
}

func TestCutIsAsOldAsItsOldestSource(t *testing.T) {
	clock := tail.NewSet().Clock([16]byte{1})
	one, two := clock.Hand(), clock.Hand()
	other := func(next table.Offset) table.Position {
		return table.Position{{Topic: "other"}: next}
	}
	one.Mark(position(5), at(1))
	_, known := clock.Through(position(5))
	require.False(t, known, "the other source has not been read yet")
	two.Mark(table.Position{}, at(2))
	through, known := clock.Through(position(5))
	require.True(t, known)
	require.Equal(t, at(1), through, "the other source is empty")
	two.Mark(other(3), at(2))
	through, known = clock.Through(position(5))
	require.True(t, known)
	require.Equal(t, at(1), through)
	cut := other(3)
	cut[table.TopicPartition{Topic: "events"}] = 5
	through, known = clock.Through(cut)
	require.True(t, known)
	require.Equal(t, at(1), through)
	one.Close()
	through, _ = clock.Through(cut)
	require.Equal(t, at(2), through)
}

func TestTopicPartitionThatLeftCountsNoMore(t *testing.T) {
	clock := tail.NewSet().Clock([16]byte{1})
	hand := clock.Hand()
	hand.Mark(position(5, 7), at(1))
	hand.Mark(position(5), at(2))
	through, known := clock.Through(position(5))
	require.True(t, known)
	require.Equal(t, at(2), through)
	hand.Mark(position(3), at(3)) // the topic was made again
	through, _ = clock.Through(position(3))
	require.Equal(t, at(3), through)
}

// TestManyMarksAgeByShare marks for hours: what is told stays true, and is not much older than it could be.
func TestManyMarksAgeByShare(t *testing.T) {
	clock := tail.NewSet().Clock([16]byte{1})
	hand := clock.Hand()
	rng := rand.New(rand.NewPCG(1, 1))
	const seconds = 20_000
	for s := range seconds {
		hand.Mark(position(table.Offset(s)), at(s))
		if s == 0 {
			continue
		}
		cut := rng.IntN(s)
		through, known := clock.Through(position(table.Offset(cut)))
		if !known {
			require.Greater(t, s-cut, 10_000, "after %d s", s)
			continue
		}
		told := int(through.Sub(at(0)).Seconds())
		require.LessOrEqual(t, told, cut, "it would be fresher than it is")
		age := s - cut
		require.LessOrEqual(t, s-told, age+age/8+2, "after %d s", s)
	}
}
