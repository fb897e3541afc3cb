package stage

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/ingest/gen"
)

// options measure rows of a feed, and want to be told of all of them.
func options(t *testing.T, feed Feed, rows int64) Options {
	t.Helper()
	var told int64
	t.Cleanup(func() { require.GreaterOrEqual(t, told, rows) })
	return Options{Feed: feed, Rows: rows, Now: time.Now, Progress: func(rows int64) { told = rows }}
}

func TestDecodeTakesEveryWorkloadAndFormat(t *testing.T) {
	for _, workload := range gen.Workloads() {
		for _, format := range []string{"json", "avro", "protobuf", "jsonschema"} {
			result, err := Decode(t.Context(), options(t, Feed{workload, format}, 2_000))
			require.NoError(t, err, "%s as %s", workload, format)
			require.Equal(t, int64(2_000), result.Rows)
			require.Greater(t, result.BytesRead, result.Rows)
		}
	}
	result, err := Decode(t.Context(), options(t, Feed{"events10", "csv"}, 2_000))
	require.NoError(t, err)
	require.Equal(t, int64(2_000), result.Rows)
}

func TestDecodeTakesRowsAgainWhenThereAreMoreThanWereMade(t *testing.T) {
	result, err := Decode(t.Context(), options(t, Feed{"wide50", "json"}, 60_001))
	require.NoError(t, err)
	require.Equal(t, int64(60_001), result.Rows)
	require.Greater(t, result.BytesRead, int64(poolBytesMax+chunkBytes))
}
