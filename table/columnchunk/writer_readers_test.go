//go:build e2e

package columnchunk

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/schema"
	"github.com/stretchr/testify/require"
)

// pairs of files are compared; sparkPairs are those that Spark reads as well, with both of its readers: without
// BYTE_STREAM_SPLIT, on which its batch reader fails outside Iceberg.
const (
	pairs      = 60
	sparkPairs = 20
)

// TestOtherReadersFindTheSameAsInTheLibrarysFiles lets pyarrow, DuckDB and Spark compare pairs of files of
// the same random rows. Spark, Trino and PyIceberg read firth's tables in the e2e folder.
func TestOtherReadersFindTheSameAsInTheLibrarysFiles(t *testing.T) {
	dir := t.TempDir()
	for seed := range uint64(pairs) {
		fields, opts, batches := newDice(seed+1000).file(t, memory.DefaultAllocator)
		for i := range opts.Columns {
			if seed%2 == 1 && !blobs(opts.Schema.Column(i)) {
				opts.Columns[i] = filtered(opts.Columns[i], 64<<10)
			}
			if seed < sparkPairs && opts.Columns[i].Values == parquet.Encodings.ByteStreamSplit {
				opts.Columns[i].Values = parquet.Encodings.Plain
			}
		}
		raw, _ := write(t, opts, batches...)
		if open(t, raw).NumRows() == 0 {
			continue // pqarrow writes a row group without rows
		}
		library := writeLibrary(t, fields, opts.RowGroupRows, batches...)
		own := filepath.Join(dir, fmt.Sprintf("%03d.own", seed))
		require.NoError(t, os.WriteFile(own, raw, 0o600))
		require.NoError(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("%03d.library", seed)), library, 0o600))
	}
	require.NoError(t, ask(t, "pyarrow", "compare.py", dir, fmt.Sprint(pairs)))
	require.NoError(t, ask(t, "duckdb", "compare.py", dir, fmt.Sprint(pairs)))
	require.NoError(t, ask(t, "spark", "compare.py", dir, fmt.Sprint(sparkPairs-1)))
}

// blobs says whether DuckDB takes a column for binaries: it finds none of them through a filter.
func blobs(column *schema.Column) bool {
	_, text := column.LogicalType().(schema.StringLogicalType)
	_, decimal := column.LogicalType().(*schema.DecimalLogicalType)
	kind := column.PhysicalType()
	return !text && !decimal && (kind == parquet.Types.ByteArray || kind == parquet.Types.FixedLenByteArray)
}

// ask runs a program of testdata with the Python of a reader.
func ask(t *testing.T, reader, program string, args ...string) error {
	t.Helper()
	cache := os.Getenv("FIRTH_E2E_CACHE")
	if cache == "" {
		home, err := os.UserHomeDir()
		require.NoError(t, err)
		cache = filepath.Join(home, ".cache", "firth-e2e")
	}
	python := map[string]string{"pyarrow": "py-iceberg", "duckdb": "py-duckdb", "spark": "py-spark"}[reader]
	cmd := exec.CommandContext(t.Context(), filepath.Join(cache, python, "bin", "python"),
		append([]string{"testdata/" + program, reader}, args...)...)
	cmd.Env = append(os.Environ(), "TZ=UTC")
	out, err := cmd.CombinedOutput()
	t.Logf("%s: %s", reader, out[max(0, len(out)-2000):])
	return err
}

// TestOtherReadersSeeAFlippedBit changes one bit of a page that decompresses as well as before.
func TestOtherReadersSeeAFlippedBit(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	batch := integers(5000, func(int) int64 { return int64(r.Uint64()) }) // stored as they are
	defer batch.Release()
	raw, _ := write(t, options(t, batch.Schema()), batch)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "0.library"), raw, 0o600))
	raw[20_000] ^= 4
	require.NotEqual(t, linesOf(batch), readRows(t, raw), "the library reads without a look at checksums")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "0.own"), raw, 0o600))
	require.Error(t, ask(t, "pyarrow", "compare.py", dir, "1"))
}

// TestOtherReadersLookValuesUpByFilters has values in no order, so that bounds tell nothing.
func TestOtherReadersLookValuesUpByFilters(t *testing.T) {
	const groups, rows = 8, 4000
	fields := arrow.NewSchema([]arrow.Field{{Name: "i", Type: arrow.PrimitiveTypes.Int64},
		{Name: "s", Type: arrow.BinaryTypes.String}, {Name: "d", Type: arrow.PrimitiveTypes.Float64}}, nil)
	r := rand.New(rand.NewPCG(2, 2))
	b := array.NewRecordBuilder(memory.DefaultAllocator, fields)
	defer b.Release()
	for range groups * rows {
		b.Field(0).(*array.Int64Builder).Append(int64(r.Uint64() >> 1))
		b.Field(1).(*array.StringBuilder).Append(fmt.Sprintf("%032x", r.Uint64()))
		b.Field(2).(*array.Float64Builder).Append(r.NormFloat64())
	}
	batch := b.NewRecordBatch()
	defer batch.Release()
	one := filtered(Encoding{}, 1<<20)
	one.Filter.FalsePositives = 0.001
	opts := options(t, fields, one, one, one)
	opts.RowGroupRows = rows
	raw, _ := write(t, opts, batch)
	path := filepath.Join(t.TempDir(), "filters.parquet")
	require.NoError(t, os.WriteFile(path, raw, 0o600))
	for _, reader := range []string{"duckdb", "spark"} {
		require.NoError(t, ask(t, reader, "prune.py", path, fmt.Sprint(rows)))
	}
}

// TestRowGroupOfMoreTextThanAnArrayHolds has 2^31 bytes and more in one chunk, and in the long form more of
// them in further row groups, for readers of all kinds.
func TestRowGroupOfMoreTextThanAnArrayHolds(t *testing.T) {
	const rows, width = 64, 1 << 19
	batch := texts(rows, func(row int) string { return strings.Repeat(string(rune('a'+row%26)), width) })
	defer batch.Release()
	batches := make([]arrow.RecordBatch, math.MaxInt32/(rows*width)+2)
	for i := range batches {
		batches[i] = batch
	}
	opts := options(t, batch.Schema())
	raw, _ := write(t, opts, batches...)
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
	if os.Getenv("FIRTH_SOAK") == "" {
		return
	}
	opts.RowGroupRows = int64(len(batches) * rows)
	raw, _ = write(t, opts, append(batches, batches[:7]...)...)
	path := filepath.Join(t.TempDir(), "long.parquet")
	require.NoError(t, os.WriteFile(path, raw, 0o600))
	want := map[string]int{}
	for row := range rows {
		want[string(rune('a'+row%26))] += len(batches) + 7
	}
	counts, err := json.Marshal(want)
	require.NoError(t, err)
	for _, reader := range []string{"pyarrow", "duckdb", "spark"} {
		require.NoError(t, ask(t, reader, "long.py", path, fmt.Sprint(width), string(counts)))
	}
}
