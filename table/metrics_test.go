package table

import (
	"testing"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
)

func TestMetricsCountWhatIsWritten(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	m := NewMetrics(registry)
	w := testWriter(t, newStore(), WriterOptions{Schema: everyType(), Metrics: m,
		SpillDir: t.TempDir(), Spec: partitionBy(1, iceberg.BucketTransform{NumBuckets: 4})})
	batch := newDice(5, memory.DefaultAllocator).batch(t, everyType(), 200)
	defer batch.Release()
	starve(w)
	require.NoError(t, w.Write(t.Context(), batch))
	require.Equal(t, 1.0, testutil.ToFloat64(m.spills))
	require.Positive(t, testutil.ToFloat64(m.spillBytes))
	require.Equal(t, 4.0, testutil.ToFloat64(m.partitions))
	files := write(t, w, batch)
	require.Equal(t, 4.0, testutil.ToFloat64(m.files))
	require.Equal(t, 400.0, testutil.ToFloat64(m.rows))
	require.Zero(t, testutil.ToFloat64(m.partitions))
	var bytes int64
	for _, f := range files {
		bytes += f.FileSizeBytes()
	}
	require.EqualValues(t, bytes, testutil.ToFloat64(m.bytes))
}
