//go:build e2e

package columnchunk

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/memory"
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
