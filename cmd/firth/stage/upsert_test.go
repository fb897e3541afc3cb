package stage

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/spec"
)

func TestUpsertHoldsTheTableAgainstTheRecords(t *testing.T) {
	for i, merge := range []spec.Merge{spec.MergeLast, spec.MergePartial, spec.MergeAggregate} {
		o := UpsertOptions{Keys: 3003, Distribution: []string{Uniform, Zipf, Zipf}[i], Merge: merge,
			Interval: time.Millisecond, Workers: 2, BudgetBytes: 4 << 20, IndexBytes: 8 << 20, Dir: t.TempDir(),
			Committer: commit.Options{Now: time.Now, NewID: uuid.New, Random: rand.Uint64, Writer: "test",
				Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }}}
		o.Feed, o.Rows = Feed{Workload: "events10", Format: "json"}, 100_000
		o.Now, o.Progress = time.Now, func(int64) {}
		result, err := Upsert(t.Context(), o)
		require.NoError(t, err)
		require.Zero(t, result.Mismatches)
		require.EqualValues(t, 100_000, result.Rows)
		require.EqualValues(t, 100_000, result.Counts.Sum())
		require.Positive(t, result.Counts.Updated+result.Counts.Superseded)
		require.Positive(t, result.Counts.Deleted)
		require.Positive(t, result.RowsPerCPU)
		require.Positive(t, result.IndexBytesPerKey)
	}
}

func TestKeyedLogIsWhatItsModelSays(t *testing.T) {
	o := UpsertOptions{Keys: 100}
	o.Feed, o.Rows = Feed{Workload: "events10", Format: "json"}, 20_000
	log, err := newKeyedLog(o)
	require.NoError(t, err)
	chunk := log.chunk(3, 500)
	last := make([]keyState, o.Keys)
	for i, r := range chunk.Records {
		if r.Value == nil {
			key, err := KeyNumber(string(r.Key[len(`{"row_key":"`) : len(r.Key)-2]))
			require.NoError(t, err)
			last[key] = keyState{}
			continue
		}
		key, err := KeyNumber(string(r.Value[len(`{"row_key":"`):][:keyDigits+1]))
		require.NoError(t, err)
		require.Equal(t, 3, key%upsertPartitions)
		require.Contains(t, string(r.Value), `"row_version":`)
		version := VersionBegin + int64(i)
		last[key] = keyState{version, last[key].count + 1, last[key].sum + version}
	}
	require.Equal(t, last, log.last)
}
