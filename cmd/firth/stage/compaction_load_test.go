package stage

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCompactionEndsUnderLoad(t *testing.T) {
	o := compactionOptions(t)
	o.UnderLoad, o.Runs = true, 2
	result, err := Compaction(t.Context(), o)
	require.NoError(t, err)
	require.Equal(t, 4, result.Runs)
	require.Equal(t, 4, result.Completed)
	require.Zero(t, result.Mismatches)
	require.Zero(t, result.Load.Stale)
	require.Positive(t, result.Load.Moved)
	require.GreaterOrEqual(t, result.Load.Commits, 4*loadAfter)
	require.Positive(t, result.Load.Updated)
}
