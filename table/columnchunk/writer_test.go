package columnchunk

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/arrow-go/v18/parquet/schema"
	"github.com/stretchr/testify/require"
)

func parquetSchema(t testing.TB, fields *arrow.Schema) *schema.Schema {
	t.Helper()
	columns, err := pqarrow.ToParquet(fields, libraryProperties(1), pqarrow.DefaultWriterProps())
	require.NoError(t, err)
	return columns
}

func libraryProperties(rowGroupRows int64) *parquet.WriterProperties {
	return parquet.NewWriterProperties(parquet.WithVersion(parquet.V2_LATEST),
		parquet.WithCompression(compress.Codecs.Zstd), parquet.WithStoreDecimalAsInteger(true),
		parquet.WithMaxRowGroupLength(rowGroupRows), parquet.WithDictionaryDefault(false))
}

// options are those of tests that do not care.
func options(t testing.TB, fields *arrow.Schema, encodings ...Encoding) Options {
	t.Helper()
	columns := parquetSchema(t, fields)
	for len(encodings) < columns.NumColumns() {
		encodings = append(encodings, Encoding{Values: parquet.Encodings.Plain})
	}
	return Options{Schema: columns, Columns: encodings, CreatedBy: "firth version 0.0.1",
		RowGroupRows: 1 << 20, PageBytes: 1 << 20, DictionaryBytes: 256 << 10}
}

// write makes a file of the batches.
func write(t testing.TB, opts Options, batches ...arrow.RecordBatch) ([]byte, *Writer) {
	t.Helper()
	var out bytes.Buffer
	w, err := New(&out, opts)
	require.NoError(t, err)
	for _, batch := range batches {
		require.NoError(t, w.Write(batch))
	}
	footer, err := w.Close()
	require.NoError(t, err)
	require.NotNil(t, footer)
	return out.Bytes(), w
}

// writeWhole makes a file of the batches, of which the first few are written one by one.
func writeWhole(t testing.TB, opts Options, few int, batches []arrow.RecordBatch) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := New(&out, opts)
	require.NoError(t, err)
	for _, batch := range batches[:few] {
		require.NoError(t, w.Write(batch))
	}
	require.NoError(t, w.WriteRowGroup(batches[few:]...))
	_, err = w.Close()
	require.NoError(t, err)
	return out.Bytes()
}

// writeLibrary makes a file of the batches with pqarrow.
func writeLibrary(
	t testing.TB, fields *arrow.Schema, rowGroupRows int64, batches ...arrow.RecordBatch,
) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := pqarrow.NewFileWriter(fields, &out, libraryProperties(rowGroupRows),
		pqarrow.DefaultWriterProps())
	require.NoError(t, err)
	for _, batch := range batches {
		if batch.NumRows() > 0 {
			require.NoError(t, w.WriteBuffered(batch))
		}
	}
	require.NoError(t, w.Close())
	return out.Bytes()
}

func open(t testing.TB, raw []byte) *file.Reader {
	t.Helper()
	reader, err := file.NewParquetReader(bytes.NewReader(raw))
	require.NoError(t, err)
	t.Cleanup(func() { reader.Close() })
	return reader
}

// readRows reads a file back, a line for each row.
func readRows(t testing.TB, raw []byte) []string {
	t.Helper()
	rows := open(t, raw)
	reader, err := pqarrow.NewFileReader(rows, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	require.NoError(t, err)
	tbl, err := reader.ReadTable(t.Context())
	require.NoError(t, err)
	defer tbl.Release()
	var lines []string
	batches := array.NewTableReader(tbl, 1<<20)
	defer batches.Release()
	for batches.Next() {
		lines = append(lines, linesOf(batches.RecordBatch())...)
	}
	require.NoError(t, batches.Err())
	return lines
}

// linesOf prints rows exactly: NaN and the sign of zero too.
func linesOf(batch arrow.RecordBatch) []string {
	lines := make([]string, batch.NumRows())
	for i := range lines {
		var b strings.Builder
		for _, column := range batch.Columns() {
			b.WriteString(cell(column, i) + "|")
		}
		lines[i] = b.String()
	}
	return lines
}

func cell(column arrow.Array, i int) string {
	if column.IsNull(i) {
		return "null"
	}
	switch a := column.(type) {
	case array.ExtensionArray:
		return cell(a.Storage(), i)
	case *array.Struct:
		var b strings.Builder
		for f := range a.NumField() {
			b.WriteString(cell(a.Field(f), i) + ",")
		}
		return "{" + b.String() + "}"
	case *array.Map:
		return "<" + cells(a.Keys(), a, i) + ":" + cells(a.Items(), a, i) + ">"
	case *array.List:
		return "[" + cells(a.ListValues(), a, i) + "]"
	case *array.Binary:
		return string(a.Value(i))
	case *array.String:
		return a.Value(i)
	case *array.FixedSizeBinary:
		return string(a.Value(i))
	}
	return column.ValueStr(i)
}

func cells(values arrow.Array, lists array.ListLike, i int) string {
	var b strings.Builder
	for first, end := lists.ValueOffsets(i); first < end; first++ {
		b.WriteString(cell(values, int(first)) + ",")
	}
	return b.String()
}

// encodings chooses among those that fit each column.
func (d *dice) encodings(columns *schema.Schema) []Encoding {
	out := make([]Encoding, columns.NumColumns())
	for i := range out {
		out[i] = Encoding{Dictionary: d.IntN(2) == 0, Values: parquet.Encodings.Plain}
		switch columns.Column(i).PhysicalType() {
		case parquet.Types.Int32, parquet.Types.Int64:
			if d.IntN(2) == 0 {
				out[i].Values = parquet.Encodings.DeltaBinaryPacked
			}
		case parquet.Types.ByteArray:
			if d.IntN(3) == 0 {
				out[i].Values = parquet.Encodings.DeltaLengthByteArray
			}
		case parquet.Types.Float, parquet.Types.Double:
			if d.IntN(2) == 0 {
				out[i].Values = parquet.Encodings.ByteStreamSplit
			}
		}
	}
	return out
}

// file makes the rows of a file and how it is to be written.
func (d *dice) file(
	t testing.TB, mem memory.Allocator,
) (fields *arrow.Schema, opts Options, batches []arrow.RecordBatch) {
	fields = d.schema()
	opts = options(t, fields)
	opts.Columns = d.encodings(opts.Schema)
	opts.RowGroupRows = []int64{1, 100, 1000, 1 << 20}[d.IntN(4)]
	opts.PageBytes = []int{1, 100, 5000, 1 << 20}[d.IntN(4)]
	opts.DictionaryBytes = []int{0, 50, 1000, 256 << 10}[d.IntN(4)]
	rowsMost := []int{1, 20, 400, 3000}[d.IntN(4)]
	if opts.PageBytes == 1 || opts.RowGroupRows == 1 {
		rowsMost = min(rowsMost, 20)
	}
	for range 1 + d.IntN(4) {
		batches = append(batches, d.batch(mem, fields, d.IntN(rowsMost+1)))
	}
	return fields, opts, batches
}

// checkRandomFile writes random rows here and with pqarrow and compares values and statistics.
func checkRandomFile(t *testing.T, seed uint64, buffers *Buffers) {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	fields, opts, batches := newDice(seed).file(t, mem)
	opts.Buffers = buffers
	var want []string
	for _, batch := range batches {
		defer batch.Release()
		want = append(want, linesOf(batch)...)
	}
	raw, w := write(t, opts, batches...)
	if len(want) == 0 {
		return
	}
	require.Equal(t, want, readRows(t, raw))
	require.True(t, bytes.Equal(raw, writeWhole(t, opts, 1, batches)), "the same rows made other bytes")
	whole := writeWhole(t, opts, 0, batches)
	require.Equal(t, want, readRows(t, whole))
	if int64(len(want)) <= opts.RowGroupRows {
		require.True(t, bytes.Equal(raw, whole), "written chunk after chunk, the same rows made other bytes")
	}
	library := writeLibrary(t, fields, opts.RowGroupRows, batches...)
	checkFooters(t, open(t, library).MetaData(), open(t, raw).MetaData())
	if !nested(fields.Fields()) {
		require.Equal(t, nansOf(batches, opts.Schema), w.NaNs())
	}
}

// checkFooters compares the schema and the statistics of two files of the same rows.
func checkFooters(t *testing.T, want, got *metadata.FileMetaData) {
	t.Helper()
	require.True(t, want.Schema.Equals(got.Schema), "%s\n%s", want.Schema, got.Schema)
	require.Equal(t, want.FileMetaData.Schema, got.FileMetaData.Schema)
	require.Equal(t, want.NumRows, got.NumRows)
	require.Equal(t, want.NumRowGroups(), got.NumRowGroups())
	for g := range want.NumRowGroups() {
		require.Equal(t, want.RowGroup(g).NumRows(), got.RowGroup(g).NumRows())
		for i := range want.Schema.NumColumns() {
			a, err := want.RowGroup(g).ColumnChunk(i)
			require.NoError(t, err)
			b, err := got.RowGroup(g).ColumnChunk(i)
			require.NoError(t, err)
			require.Equal(t, a.NumValues(), b.NumValues())
			wanted, err := a.Statistics()
			require.NoError(t, err)
			stats, err := b.Statistics()
			require.NoError(t, err)
			name := fmt.Sprintf("row group %d, %s", g, want.Schema.Column(i))
			require.Equal(t, wanted.NullCount(), stats.NullCount(), name)
			if want.Schema.Column(i).MaxRepetitionLevel() > 0 {
				continue // the library has bounds of values that nulls hide
			}
			require.Equal(t, wanted.HasMinMax(), stats.HasMinMax(), name)
			if stats.HasMinMax() {
				require.Equal(t, wanted.EncodeMin(), stats.EncodeMin(), name)
				require.Equal(t, wanted.EncodeMax(), stats.EncodeMax(), name)
			}
		}
	}
}

// nested says whether there are lists or maps.
func nested(fields []arrow.Field) bool {
	for _, f := range fields {
		switch typ := f.Type.(type) {
		case *arrow.ListType, *arrow.MapType:
			return true
		case *arrow.StructType:
			if nested(typ.Fields()) {
				return true
			}
		}
	}
	return false
}

// nansOf counts the NaNs of each leaf that no struct above hides.
func nansOf(batches []arrow.RecordBatch, columns *schema.Schema) []int64 {
	counts := make([]int64, columns.NumColumns())
	for _, batch := range batches {
		at := 0
		var visit func(values arrow.Array, above []arrow.Array)
		visit = func(values arrow.Array, above []arrow.Array) {
			if group, ok := values.(*array.Struct); ok {
				for i := range group.NumField() {
					visit(group.Field(i), append(above[:len(above):len(above)], group))
				}
				return
			}
			for row := range values.Len() {
				shown := values.IsValid(row)
				for _, a := range above {
					shown = shown && a.IsValid(row)
				}
				if shown && cell(values, row) == "NaN" && columns.Column(at).PhysicalType() != parquet.Types.ByteArray {
					counts[at]++
				}
			}
			at++
		}
		for _, column := range batch.Columns() {
			visit(column, nil)
		}
	}
	return counts
}

func TestRandomFilesEqualTheLibrarys(t *testing.T) {
	buffers := new(Buffers) // what one file leaves behind must not show in the next
	seeds := uint64(120)
	if testing.Short() {
		seeds = 12
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { checkRandomFile(t, seed, buffers) })
	}
}

func FuzzFilesEqualTheLibrarys(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) { checkRandomFile(t, seed, nil) })
}
