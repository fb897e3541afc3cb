package ingest

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/ingest/source"
	"github.com/firthlake/firth/table"
)

// chunkOf has so many records of so many bytes.
func chunkOf(records, bytes int) source.Chunk {
	chunk := source.Chunk{}
	for range records {
		chunk.Records = append(chunk.Records, source.Record{Value: make([]byte, bytes), Offset: chunk.Next})
		chunk.Next++
	}
	return chunk
}

func TestUnitsAreBoundedByBytesAndByWidth(t *testing.T) {
	wide := rowsOfUnit(16 << 10) // two thousand columns
	require.Equal(t, unitBytes>>14, wide)
	require.Equal(t, unitRows, rowsOfUnit(80))
	require.Equal(t, 1, rowsOfUnit(unitBytes*2))
	for _, each := range []struct{ records, bytes, rowsMax, units int }{
		{3 * unitRows, 200, unitRows, 3},
		{4 * wide, 200, wide, 4},
		{5, unitBytes, unitRows, 5},
		{0, 0, unitRows, 1},
	} {
		chunk := chunkOf(each.records, each.bytes)
		pieces := split(chunk, each.rowsMax)
		require.Len(t, pieces, each.units)
		next := chunk.From
		for _, piece := range pieces {
			require.Equal(t, next, piece.From)
			next = piece.Next
		}
		require.Equal(t, chunk.Next, next)
	}
}

func TestAUnitIsHandedOverWhenThereIsMemory(t *testing.T) {
	g := &Ingester{underWay: table.NewBudget(1 << 20)}
	narrow, other := &group{rowBytes: 100}, &group{rowBytes: 200}
	unitOf := func(records, bytes int) *unit {
		return &unit{chunk: chunkOf(records, bytes), wants: []want{{group: narrow}, {group: narrow}, {group: other}}}
	}
	queue := make(chan *unit, 8)
	large := unitOf(1, 2<<20) // beyond all that there is: it goes alone
	require.True(t, g.hand(t.Context(), large, queue))
	require.EqualValues(t, 3*(2<<20)+100+200, large.taken)
	require.True(t, g.hand(t.Context(), &unit{event: &source.Event{}}, queue), "events take none")

	roomy := make(chan bool)
	go func() { roomy <- g.hasRoom(t.Context()) }()
	handed := make(chan bool)
	small := unitOf(10, 100)
	go func() { handed <- g.hand(t.Context(), small, queue) }()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.False(t, g.hand(ended, unitOf(10, 100), queue))
	require.False(t, g.hasRoom(ended))
	require.EqualValues(t, large.taken, g.underWay.Used())
	select {
	case <-roomy:
		t.Fatal("there is room beside a unit that takes more than all")
	default:
	}
	g.discard(large)
	require.True(t, <-handed)
	require.True(t, <-roomy)
	require.EqualValues(t, 10*(300+100+200), g.underWay.Used())
	g.discard(small)
	require.Zero(t, g.underWay.Used())
}
