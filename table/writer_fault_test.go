package table

import (
	"bytes"
	"fmt"
	"os"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table/objstore"
)

// TestWriterSurvivesEveryFault runs a writer once for each operation on the store and each way it
// can fail. Whatever happens, objects are whole, an error comes back to the caller, and Abort leaves
// nothing of the writer's and all of its neighbour's.
func TestWriterSurvivesEveryFault(t *testing.T) {
	d := newDice(77, memory.DefaultAllocator)
	schema := iceberg.NewSchema(0, required(1, "id", iceberg.PrimitiveTypes.Int64),
		optional(2, "text", iceberg.PrimitiveTypes.String))
	var batches []arrow.RecordBatch
	for range 3 {
		batch := d.batch(t, schema, 40)
		defer batch.Release()
		batches = append(batches, batch)
	}
	for name, opts := range map[string]WriterOptions{
		"rolled":      {Parquet: ParquetOptions{FileBytesTarget: 1}},
		"partitioned": {Spec: partitionBy(1, iceberg.BucketTransform{NumBuckets: 3})},
		"parallel":    {Spec: partitionBy(1, iceberg.BucketTransform{NumBuckets: 3}), Parallel: 2},
	} {
		t.Run(name, func(t *testing.T) {
			opts.Schema, opts.SpillDir = schema, t.TempDir()
			clean := objstore.NewFaulty(newStore(), nil)
			require.NoError(t, runWriter(t, clean, opts, batches))
			require.Positive(t, clean.Ops())
			for n := range clean.Ops() {
				for _, kind := range []objstore.FaultKind{objstore.ErrorBefore, objstore.AnswerLost,
					objstore.CrashBefore, objstore.CrashAfter} {
					checkFault(t, opts, batches, objstore.FailAt(n, objstore.Fault{Kind: kind}))
				}
			}
		})
	}
}

func checkFault(t *testing.T, opts WriterOptions, batches []arrow.RecordBatch, plan objstore.Plan) {
	t.Helper()
	store := newStore()
	const neighbour = "mem://lake/db/events/data/firth-other-0.parquet"
	_, err := store.Put(t.Context(), neighbour, bytes.NewReader([]byte("PAR1")), 4, objstore.PutOptions{})
	require.NoError(t, err)
	faulty := objstore.NewFaulty(store, plan)
	opts.Memory = NewBudget(1 << 20)
	require.Error(t, runWriter(t, faulty, opts, batches))
	require.Zero(t, opts.Memory.Used(), "the failed writer gave its memory back")
	left, err := os.ReadDir(opts.SpillDir)
	require.NoError(t, err)
	require.Empty(t, left)
	for _, location := range objects(t, store) {
		if location == neighbour {
			continue
		}
		require.True(t, faulty.Crashed(), "abort left %s", location)
		reader, err := file.NewParquetReader(bytes.NewReader(objectBytes(t, store, location)))
		require.NoError(t, err, "half a file is visible")
		require.NoError(t, reader.Close())
	}
	require.Contains(t, objects(t, store), neighbour)
}

// runWriter writes the batches, each but the last flushed at once, and aborts on an error.
func runWriter(
	t *testing.T, store objstore.Store, opts WriterOptions, batches []arrow.RecordBatch,
) error {
	t.Helper()
	w := testWriter(t, store, opts)
	err := func() error {
		for i, batch := range batches {
			if i < len(batches)-1 {
				starve(w)
			}
			if err := w.Write(t.Context(), batch); err != nil {
				return err
			}
		}
		_, err := w.Close(t.Context())
		return err
	}()
	if err == nil {
		return nil
	}
	if aborted := w.Abort(t.Context()); aborted != nil {
		return fmt.Errorf("%w; %w", err, aborted)
	}
	return err
}

// TestFileWithoutItsEndIsAnError breaks the stream of a file before its row group is written.
func TestFileWithoutItsEndIsAnError(t *testing.T) {
	schema := everyType()
	batch := newDice(3, memory.DefaultAllocator).batch(t, schema, 3000)
	defer batch.Release()
	opts, err := ParquetOptions{}.withDefaults()
	require.NoError(t, err)
	layout, err := newLayout(&WriterOptions{Schema: schema, Parquet: opts})
	require.NoError(t, err)
	layout.chooseEncodings([]arrow.RecordBatch{batch})
	file, err := createDataFile(t.Context(), newStore(), "mem://lake/db/events/data/a.parquet",
		fileOptions{layout: layout})
	require.NoError(t, err)
	file.sink.to = brokenWriter{}
	require.NoError(t, file.write(batch))
	_, err = file.finish(partitionValue{spec: iceberg.UnpartitionedSpec})
	require.ErrorIs(t, err, objstore.ErrInjected)
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, objstore.ErrInjected }

func TestAbortThatFailsCanBeTriedAgain(t *testing.T) {
	store := newStore()
	batch := newDice(5, memory.DefaultAllocator).batch(t, everyType(), 10)
	defer batch.Release()
	faulty := objstore.NewFaulty(store, func(op objstore.Op) objstore.Fault {
		if op.Kind == objstore.OpRemove && op.N < 2 {
			return objstore.Fault{Kind: objstore.ErrorBefore}
		}
		return objstore.Fault{}
	})
	w := testWriter(t, faulty, WriterOptions{Schema: everyType()})
	write(t, w, batch)
	require.ErrorIs(t, w.Abort(t.Context()), objstore.ErrInjected)
	require.Len(t, objects(t, store), 1)
	require.NoError(t, w.Abort(t.Context()))
	require.Empty(t, objects(t, store))
}
