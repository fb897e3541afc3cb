package table_test

import (
	"context"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// countingStore counts reads of manifests.
type countingStore struct {
	objstore.Store
	manifests atomic.Int64
}

func (s *countingStore) Get(ctx context.Context, location string, from, length int64,
) (io.ReadCloser, error) {
	if strings.Contains(location, "/m-") {
		s.manifests.Add(1)
	}
	return s.Store.Get(ctx, location, from, length)
}

func TestPlanCacheReadsEachManifestOnce(t *testing.T) {
	l := newLake(t, "2", eventsSchema(), *iceberg.UnpartitionedSpec)
	store := &countingStore{Store: l.store}
	var cache table.PlanCache
	for n := range 5 {
		l.commit(l.parquet(eventsSchema(), idRows(10*n, 10)))
		if n == 2 {
			l.commit(l.deletes(`[{"file_path": "mem://lake/db/events/data/0.parquet", "pos": 3}]`))
		}
		cached, err := cache.Plan(t.Context(), l.table(), store, table.Scan{})
		require.NoError(t, err)
		plain, err := table.Plan(t.Context(), l.table(), l.store, table.Scan{})
		require.NoError(t, err)
		require.Len(t, cached, len(plain))
		for i, task := range cached {
			require.Equal(t, plain[i].File.UpperBoundValues()[1], task.File.UpperBoundValues()[1])
			require.Empty(t, task.File.ValueCounts())
			require.Equal(t, plain[i].File.FilePath(), task.File.FilePath())
			require.Equal(t, plain[i].SequenceNumber, task.SequenceNumber)
			require.Equal(t, plain[i].FileSequenceNumber, task.FileSequenceNumber)
			require.Equal(t, plain[i].SnapshotID, task.SnapshotID)
			require.Len(t, task.Deletes, len(plain[i].Deletes))
		}
		want, err := l.readTasks(plain)
		require.NoError(t, err)
		got, err := l.readTasks(cached)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	require.EqualValues(t, 6, store.manifests.Load())
}
