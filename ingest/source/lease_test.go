package source

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestChunkIsTakenBackWithItsLastRelease(t *testing.T) {
	ended := 0
	chunk := Chunk{Records: make([]Record, 4)}
	chunk.Lend(func() { ended++ })
	piece := chunk
	piece.Records = chunk.Records[:2]
	piece.Retain()
	chunk.Release()
	require.Zero(t, ended)
	piece.Release()
	require.Equal(t, 1, ended)
	require.Panics(t, piece.Release)
}

func TestChunkWithoutLeaseNeedsNoRelease(t *testing.T) {
	var chunk Chunk
	chunk.Retain()
	chunk.Release()
	chunk.Release()
}

func TestJoinedChunksAreTakenBackTogether(t *testing.T) {
	var ended []string
	first := Chunk{Next: 2, Records: []Record{{Offset: 1}}}
	first.Lend(func() { ended = append(ended, "first") })
	second := Chunk{Next: 3, Records: []Record{{Offset: 2}}}
	second.Lend(func() { ended = append(ended, "second") })
	joined := joinChunks([]Chunk{first, second})
	require.Len(t, joined, 1)
	require.Len(t, joined[0].Records, 2)
	require.EqualValues(t, 3, joined[0].Next)
	require.Empty(t, ended)
	joined[0].Release()
	require.Equal(t, []string{"first", "second"}, ended)
}
