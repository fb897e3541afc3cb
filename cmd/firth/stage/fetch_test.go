package stage

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/ingest/gen"
	"github.com/firthlake/firth/ingest/source"
)

func TestFetchReadsAllOfATopic(t *testing.T) {
	broker, err := source.StartEmbedded(source.EmbeddedOptions{Topics: map[string]int32{"events": 3}})
	require.NoError(t, err)
	defer broker.Close()
	g, err := Feed{"events10", "json"}.Generator()
	require.NoError(t, err)
	made, err := gen.Produce(t.Context(), broker.Connection(), "events", g, gen.Run{Rows: 5_000})
	require.NoError(t, err)
	o := FetchOptions{Connection: broker.Connection(), Topic: "events", Rows: 5_000, Now: time.Now,
		Progress: func(int64) {}}
	var result Result
	require.NoError(t, Fetch(t.Context(), o, &result))
	require.Equal(t, made.Rows, result.Rows)
	require.Equal(t, made.Bytes, result.BytesRead)

	ctx, cancel := context.WithCancel(t.Context())
	o.Rows++ // there is no such record
	o.Progress = func(rows int64) {
		if rows == made.Rows {
			cancel()
		}
	}
	require.ErrorIs(t, Fetch(ctx, o, &Result{}), context.Canceled)
}
