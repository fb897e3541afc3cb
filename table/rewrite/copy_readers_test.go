//go:build e2e

package rewrite

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table"
)

// TestOtherReadersFindTheSameInCopies lets pyarrow, DuckDB and Spark compare copies of random files with one
// file of the same rows that table.Writer made, with bloom filters and page indexes.
func TestOtherReadersFindTheSameInCopies(t *testing.T) {
	const pairs = 12
	dir := t.TempDir()
	schema := everyType()
	for seed := range uint64(pairs) {
		store, d := newStore(), newDice(seed)
		opts := table.WriterOptions{Schema: schema, Properties: filters,
			Parquet: table.ParquetOptions{RowGroupRows: int64(50 + d.IntN(400))}}
		var files []iceberg.DataFile
		var all []arrow.RecordBatch
		for n := range 2 + d.IntN(6) {
			d.nulls = nullShares[d.IntN(len(nullShares))]
			batch := d.batch(t, schema, 1+d.IntN(500))
			opts.ChangeID = change(n)
			files = append(files, written(t, store, opts, batch)...)
			all = append(all, batch)
		}
		opts.ChangeID = change(500)
		whole := written(t, store, opts, all...)
		got := copied(t, store, tasksOf(schema, -1, files...), Options{})
		for suffix, location := range map[string]string{
			"own": got.File.FilePath(), "library": whole[0].FilePath(),
		} {
			require.NoError(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("%03d.%s", seed, suffix)),
				bytesOf(t, store, location), 0o600))
		}
	}
	compareBy(t, dir, pairs)
}

// TestOtherReadersFindLineageInCopies does the same with rows that inherit ids.
func TestOtherReadersFindLineageInCopies(t *testing.T) {
	dir := t.TempDir()
	schema := everyType()
	withLineage := iceberg.NewSchema(0, append(schema.Fields(), iceberg.RowID(),
		iceberg.LastUpdatedSequenceNumber())...)
	store, d := newStore(), newDice(3)
	opts := table.WriterOptions{Schema: schema, Parquet: table.ParquetOptions{RowGroupRows: 170}}
	var files []iceberg.DataFile
	for n := range 4 {
		opts.ChangeID = change(n)
		files = append(files, written(t, store, opts, d.batch(t, schema, 500))...)
	}
	tasks := tasksOf(schema, 1<<33, files...)
	got := copied(t, store, tasks, Options{})
	opts.Schema, opts.ChangeID, opts.Location = withLineage, change(10), lake
	w, err := table.NewWriter(store, opts)
	require.NoError(t, err)
	for _, task := range tasks {
		task.Schema = withLineage
		for batch, err := range table.Read(t.Context(), store, task) {
			require.NoError(t, err)
			require.NoError(t, w.Write(t.Context(), batch))
		}
	}
	whole, err := w.Close(t.Context())
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "0.own"), bytesOf(t, store, got.File.FilePath()), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "0.library"),
		bytesOf(t, store, whole[0].FilePath()), 0o600))
	compareBy(t, dir, 1)
}

// compareBy runs the program that compares pairs of files with the Python of each reader.
func compareBy(t *testing.T, dir string, pairs int) {
	t.Helper()
	cache := os.Getenv("FIRTH_E2E_CACHE")
	if cache == "" {
		home, err := os.UserHomeDir()
		require.NoError(t, err)
		cache = filepath.Join(home, ".cache", "firth-e2e")
	}
	for reader, python := range map[string]string{
		"pyarrow": "py-iceberg", "duckdb": "py-duckdb", "spark": "py-spark",
	} {
		cmd := exec.CommandContext(t.Context(), filepath.Join(cache, python, "bin", "python"),
			"../columnchunk/testdata/compare.py", reader, dir, fmt.Sprint(pairs))
		cmd.Env = append(os.Environ(), "TZ=UTC")
		out, err := cmd.CombinedOutput()
		t.Logf("%s: %s", reader, out[max(0, len(out)-2000):])
		require.NoError(t, err, reader)
	}
}
