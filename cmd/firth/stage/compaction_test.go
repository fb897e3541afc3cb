package stage

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
)

func compactionOptions(t *testing.T) CompactionOptions {
	o := CompactionOptions{Files: 2, Runs: 1, Dir: t.TempDir(), Committer: commit.Options{Now: time.Now,
		NewID: uuid.New, Random: rand.Uint64, Writer: "test",
		Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }}}
	o.Feed, o.Rows, o.Now, o.Progress = Feed{Workload: "events10", Format: "json"}, 60_000, time.Now, func(int64) {}
	return o
}

func TestCompactionMeasuresBothForms(t *testing.T) {
	o := compactionOptions(t)
	result, err := Compaction(t.Context(), o)
	require.NoError(t, err)
	for name, form := range map[string]CompactionForm{"clean": result.Clean, "decoded": result.Decoded} {
		require.Equal(t, 1, form.Runs, name)
		require.Equal(t, 1, form.Completed, name)
		require.Zero(t, form.Mismatches, name)
		require.EqualValues(t, 60_000, form.Rows, name)
		require.Positive(t, form.RowsPerCPU, name)
		require.Positive(t, form.MBPerCPU, name)
	}
	require.Equal(t, 2, result.Completed)
	require.Equal(t, result.Clean.Bytes+result.Decoded.Bytes, result.Bytes)
}
