package source

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
)

func TestSlabsAreUsedAgain(t *testing.T) {
	s := slabs[byte]{idleMax: 1 << 20}
	slab := s.get(1000)
	require.GreaterOrEqual(t, cap(slab), 1000)
	require.LessOrEqual(t, cap(slab), 1500)
	s.put(append(slab, 7))
	again := s.get(900)
	require.Empty(t, again)
	require.Same(t, &slab[:1][0], &again[:1][0])
	require.Zero(t, s.idleLen)
}

func TestSlabsKeepNoMoreThanTheirBound(t *testing.T) {
	s := slabs[byte]{idleMax: 10_000}
	for _, n := range []int{300, 3000, 5000, 6000, 20_000, 100} {
		s.put(make([]byte, 0, n))
		idle := 0
		for _, class := range s.idle {
			for _, slab := range class {
				idle += cap(slab)
			}
		}
		require.Equal(t, idle, s.idleLen)
		require.LessOrEqual(t, idle, 10_000)
	}
	require.NotZero(t, s.idleLen)
}

// What a backlog left is gone after the second sweep, and what is in use again and again stays.
func TestSlabsThatNobodyAsksForAreSwept(t *testing.T) {
	s := slabs[byte]{idleMax: 1 << 20}
	var got [][]byte
	for range 10 {
		got = append(got, s.get(3000))
	}
	for _, slab := range got {
		s.put(slab)
	}
	used := func() {
		for range 3 {
			one, other := s.get(3000), s.get(3000)
			s.put(one)
			s.put(other)
		}
	}
	s.sweep()
	require.Equal(t, 10*cap(got[0]), s.idleLen, "they have just been used")
	used()
	s.sweep()
	require.Equal(t, 2*cap(got[0]), s.idleLen)
	used()
	s.sweep()
	require.Equal(t, 2*cap(got[0]), s.idleLen)
	s.sweep()
	require.Zero(t, s.idleLen)
	s.put(s.get(3000))
	require.Equal(t, cap(got[0]), s.idleLen)
}

func TestSlabsHaveRoomForAnyLength(t *testing.T) {
	s := slabs[byte]{idleMax: 1 << 30}
	for _, n := range []int{0, 1, 7, 8, 9, 255, 256, 257, 1 << 20, 1<<20 + 1, 80 << 20} {
		slab := s.get(n)
		require.GreaterOrEqual(t, cap(slab), n)
		s.put(slab)
		require.GreaterOrEqual(t, cap(s.get(n)), n)
	}
}

// Values are read whole while their chunk is held, and their memory serves later batches once it is
// released.
func TestRecordsAreBorrowedUntilRelease(t *testing.T) {
	broker := startBroker(t, EmbeddedOptions{Topics: map[string]int32{"events": 1}})
	k := openKafka(t, broker, nil)
	r := newReader(k)
	var held []Chunk
	for round := range 5 {
		produce(t, broker, "events", 0, numbered(round*100, round*100+100)...)
		for read := 0; read < 100; {
			event := pollEvent(t, r)
			for _, c := range event.Chunks {
				held = append(held, c)
				read += len(c.Records)
			}
		}
		for _, c := range held {
			for i := range c.Records {
				record := &c.Records[i]
				require.Equal(t, fmt.Sprint(record.Offset), string(record.Value))
			}
		}
		if round%2 == 1 {
			for _, c := range held {
				c.Release()
			}
			held = nil
			require.NotZero(t, k.fetcher.unpacker.pools.records.idleLen)
		}
	}
}

func pollEvent(t *testing.T, r *reader) Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), pollPeriod)
	defer cancel()
	event, err := r.k.Poll(ctx)
	require.NoError(t, err)
	position := commit.Position{}
	for _, id := range event.Assigned {
		position[id] = 0
	}
	require.NoError(t, r.k.Seek(t.Context(), position))
	return event
}
