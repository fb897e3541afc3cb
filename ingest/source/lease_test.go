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
