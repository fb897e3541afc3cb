package stage

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/ingest/gen"
)

func TestEncodeCountsRowsAndTheBytesTheyCameFrom(t *testing.T) {
	for _, workload := range gen.Workloads() {
		decoded, err := Decode(t.Context(), options(t, Feed{workload, "json"}, 2_000))
		require.NoError(t, err)
		result, err := Encode(t.Context(), options(t, Feed{workload, "json"}, 2_000))
		require.NoError(t, err)
		require.Equal(t, decoded.Rows, result.Rows)
		require.Equal(t, decoded.BytesRead, result.BytesRead)
		require.Equal(t, int64(1), result.Files)
		require.Positive(t, result.BytesWritten)
		require.Less(t, result.BytesWritten, result.BytesRead)
	}
}
