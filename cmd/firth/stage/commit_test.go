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

// committerOptions are a process's.
func committerOptions() commit.Options {
	return commit.Options{Now: time.Now, NewID: uuid.New, Random: rand.Uint64, Writer: "test",
		Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }}
}

func TestCommitCountsWhatItCommits(t *testing.T) {
	var told int64
	result, err := Commit(t.Context(), CommitOptions{Commits: 10, Partitions: 4, Dir: t.TempDir(),
		Progress: func(commits int64) { told = commits }, Committer: committerOptions()})
	require.NoError(t, err)
	require.Equal(t, int64(10), told)
	require.Equal(t, int64(10), result.Files)
	require.Equal(t, int64(10*commitRows), result.Rows)
	require.Positive(t, result.MedianMsFirst)
	require.LessOrEqual(t, result.MedianMsLast, result.P99MsLast)
	require.Greater(t, result.BytesWritten, int64(10*1_000), "metadata")
	require.Positive(t, result.CPUShare["commit"]+result.CPUShare["other"]+result.CPUShare["upload"])
}

func TestCommitReplacesVectors(t *testing.T) {
	result, err := Commit(t.Context(), CommitOptions{Commits: 12, Partitions: 4, Vectors: 3, Dir: t.TempDir(),
		Progress: func(int64) {}, Committer: committerOptions()})
	require.NoError(t, err)
	require.Equal(t, int64(12), result.Files)
	require.GreaterOrEqual(t, result.Vectors, int64(3))
	require.Less(t, result.Vectors, int64(12), "the newest file has none")
}
