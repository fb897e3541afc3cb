package sourcetest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/source"
)

func poll(t *testing.T, r *Reader) source.Event {
	t.Helper()
	event, err := r.Poll(t.Context())
	require.NoError(t, err)
	return event
}

func TestPartitionsMoveOnlyWhenReleased(t *testing.T) {
	log := NewLog("c")
	log.Create("events", 2)
	one := log.Join("g", 10, "events")
	require.Len(t, poll(t, one).Assigned, 2)
	two := log.Join("g", 10, "events")
	require.Empty(t, poll(t, two).Assigned)
	event := poll(t, one)
	require.Len(t, event.Revoked, 1)
	event.Release()
	require.Equal(t, event.Revoked, poll(t, two).Assigned)
	log.Crash(one)
	require.Len(t, poll(t, two).Assigned, 1)
}

func TestChunksTouchOverGapsAndEndAtRetention(t *testing.T) {
	log := NewLog("c")
	log.Create("events", 1)
	for range 3 {
		log.Append("events", 0, source.Record{})
		log.Skip("events", 0, 2)
	}
	r := log.Join("g", 2, "events")
	id := poll(t, r).Assigned[0]
	require.NoError(t, r.Seek(t.Context(), commit.Position{id: 0}))
	first := poll(t, r).Chunks[0]
	second := poll(t, r).Chunks[0]
	require.Equal(t, []commit.Offset{0, 4, 4, 7}, []commit.Offset{first.From, first.Next, second.From, second.Next})
	log.Truncate("events", 0, 6)
	require.NoError(t, r.Seek(t.Context(), commit.Position{id: 3}))
	require.Equal(t, commit.Offset(6), poll(t, r).OutOfRange[0].First)
}
