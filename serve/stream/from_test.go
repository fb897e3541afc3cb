package stream_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/serve/stream"
)

func TestFromIsReadFromText(t *testing.T) {
	token := sampleToken()
	for text, want := range map[string]stream.From{
		"": {}, "snapshot": {}, "beginning": {Oldest: true}, "end": {End: true}, "8123": {SnapshotID: 8123},
		"2026-01-31T12:00:00Z": {Time: time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)},
		token.String():         {Token: &token},
	} {
		from, err := stream.ParseFrom(text)
		require.NoError(t, err, text)
		require.Equal(t, want, from)
	}
	for _, text := range []string{"yesterday", "-5", "2026-01-31", "0"} {
		_, err := stream.ParseFrom(text)
		require.ErrorIs(t, err, stream.ErrToken, text)
		require.ErrorContains(t, err, "beginning, end, the id of a snapshot")
	}
}
