//go:build e2e

package columnchunk

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/stretchr/testify/require"
)

// TestOtherReadersFindTheSameAsInTheLibrarysFiles lets pyarrow and DuckDB compare pairs of files of the
// same random rows. Spark, Trino and PyIceberg read firth's tables in the e2e folder.
func TestOtherReadersFindTheSameAsInTheLibrarysFiles(t *testing.T) {
	dir := t.TempDir()
	for seed := range uint64(150) {
		fields, opts, batches := newDice(seed+1000).file(t, memory.DefaultAllocator)
		raw, _ := write(t, opts, batches...)
		if open(t, raw).NumRows() == 0 {
			continue // pqarrow writes a row group without rows
		}
		library := writeLibrary(t, fields, opts.RowGroupRows, batches...)
		own := filepath.Join(dir, fmt.Sprintf("%d.own", seed))
		require.NoError(t, os.WriteFile(own, raw, 0o600))
		require.NoError(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.library", seed)), library, 0o600))
	}
	cache := os.Getenv("FIRTH_E2E_CACHE")
	if cache == "" {
		home, err := os.UserHomeDir()
		require.NoError(t, err)
		cache = filepath.Join(home, ".cache", "firth-e2e")
	}
	for reader, python := range map[string]string{"pyarrow": "py-iceberg", "duckdb": "py-duckdb"} {
		out, err := exec.Command(filepath.Join(cache, python, "bin", "python"), "testdata/compare.py",
			reader, dir).CombinedOutput()
		t.Logf("%s: %s", reader, out)
		require.NoError(t, err)
	}
}

// TestRowGroupOfMoreTextThanAnArrayHolds has 2^31 bytes and more in one chunk.
func TestRowGroupOfMoreTextThanAnArrayHolds(t *testing.T) {
	const rows, width = 64, 1 << 19
	batch := texts(rows, func(row int) string { return strings.Repeat(string(rune('a'+row%26)), width) })
	defer batch.Release()
	batches := make([]arrow.RecordBatch, math.MaxInt32/(rows*width)+2)
	for i := range batches {
		batches[i] = batch
	}
	raw, _ := write(t, options(t, batch.Schema()), batches...)
	reader := open(t, raw)
	require.Equal(t, 1, reader.NumRowGroups())
	chunk, err := reader.MetaData().RowGroup(0).ColumnChunk(0)
	require.NoError(t, err)
	require.Greater(t, chunk.TotalUncompressedSize(), int64(math.MaxInt32))
	column, err := reader.RowGroup(0).Column(0)
	require.NoError(t, err)
	values, levels := make([]parquet.ByteArray, rows), make([]int16, rows)
	for at := 0; at < len(batches)*rows; {
		total, n, err := column.(*file.ByteArrayColumnChunkReader).ReadBatch(rows, values, levels, nil)
		require.NoError(t, err)
		require.EqualValues(t, total, n)
		for _, v := range values[:n] {
			require.Len(t, v, width)
			require.Equal(t, byte('a'+at%rows%26), v[width-1])
			at++
		}
	}
}
