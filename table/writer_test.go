package table

import (
	"bytes"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/iceberg-go"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table/objstore"
)

func newStore() *objstore.Memory {
	return objstore.NewMemory(func() time.Time { return time.Unix(0, 0) })
}

var testChange = uuid.MustParse("0190a5c6-7d2e-7c3a-9f00-000000000001")

// testWriter fills in what tests do not care about.
func testWriter(t testing.TB, store objstore.Store, opts WriterOptions) *Writer {
	t.Helper()
	if opts.Location == "" {
		opts.Location = "mem://lake/db/events"
	}
	opts.ChangeID = testChange
	w, err := NewWriter(store, opts)
	require.NoError(t, err)
	return w
}

// objects lists what is in the store.
func objects(t testing.TB, store objstore.Store) []string {
	t.Helper()
	names := []string{}
	for object, err := range store.List(t.Context(), "mem://lake/") {
		require.NoError(t, err)
		names = append(names, object.Location)
	}
	return names
}

func objectBytes(t testing.TB, store objstore.Store, location string) []byte {
	t.Helper()
	body, err := store.Get(t.Context(), location, 0, -1)
	require.NoError(t, err)
	defer body.Close()
	raw, err := io.ReadAll(body)
	require.NoError(t, err)
	return raw
}

// readFile reads a data file back as rows of JSON, each column with its type.
func readFile(t testing.TB, store objstore.Store, location string) []string {
	t.Helper()
	reader, err := file.NewParquetReader(bytes.NewReader(objectBytes(t, store, location)))
	require.NoError(t, err)
	defer reader.Close()
	arrowReader, err := pqarrow.NewFileReader(reader, pqarrow.ArrowReadProperties{},
		memory.DefaultAllocator)
	require.NoError(t, err)
	tbl, err := arrowReader.ReadTable(t.Context())
	require.NoError(t, err)
	defer tbl.Release()
	var rows []string
	batches := array.NewTableReader(tbl, tbl.NumRows())
	defer batches.Release()
	for batches.Next() {
		rows = append(rows, rowsOf(batches.RecordBatch())...)
	}
	return rows
}

// rowsOf prints the rows of a batch exactly: floats keep NaN and the sign of zero.
func rowsOf(batch arrow.RecordBatch) []string {
	rows := make([]string, batch.NumRows())
	for i := range rows {
		var b strings.Builder
		for _, column := range batch.Columns() {
			b.WriteString(cellText(column, i))
			b.WriteByte('|')
		}
		rows[i] = b.String()
	}
	return rows
}

func cellText(column arrow.Array, i int) string {
	if ext, ok := column.(array.ExtensionArray); ok {
		column = ext.Storage()
	}
	if column.IsNull(i) {
		return "null"
	}
	var b strings.Builder
	switch a := column.(type) {
	case *array.Struct:
		for f := range a.NumField() {
			b.WriteString(cellText(a.Field(f), i) + ",")
		}
		return "{" + b.String() + "}"
	case *array.Map:
		start, end := a.ValueOffsets(i)
		for e := int(start); e < int(end); e++ {
			b.WriteString(cellText(a.Keys(), e) + ":" + cellText(a.Items(), e) + ",")
		}
		return "<" + b.String() + ">"
	case *array.List:
		start, end := a.ValueOffsets(i)
		for e := int(start); e < int(end); e++ {
			b.WriteString(cellText(a.ListValues(), e) + ",")
		}
		return "[" + b.String() + "]"
	case *array.FixedSizeBinary:
		return string(a.Value(i))
	}
	return column.ValueStr(i)
}

// write writes the batches and returns the files.
func write(t testing.TB, w *Writer, batches ...arrow.RecordBatch) []iceberg.DataFile {
	t.Helper()
	for _, batch := range batches {
		require.NoError(t, w.Write(t.Context(), batch))
	}
	files, err := w.Close(t.Context())
	require.NoError(t, err)
	return files
}

func TestWriterRoundTripsEveryType(t *testing.T) {
	for _, profile := range []Profile{ProfileSafe, ProfileDeltaInt, ProfileModern} {
		for _, nulls := range []float64{0, 0.2, 1} {
			mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
			d := newDice(uint64(nulls*10)+1, mem)
			d.nulls = nulls
			var batches []arrow.RecordBatch
			var want []string
			for _, rows := range []int{1, 700, 3, 2500} {
				whole := d.batch(t, everyType(), rows+2)
				batch := whole.NewSlice(1, int64(rows)+1) // arrays with an offset
				whole.Release()
				batches = append(batches, batch)
				want = append(want, rowsOf(batch)...)
			}
			store := newStore()
			w := testWriter(t, store, WriterOptions{Schema: everyType(), Allocator: mem,
				Parquet: ParquetOptions{Profile: profile, RowGroupRows: 1000}})
			files := write(t, w, batches...)
			require.Len(t, files, 1)
			require.Equal(t, "mem://lake/db/events/data/firth-"+testChange.String()+"-0.parquet",
				files[0].FilePath())
			require.EqualValues(t, len(want), files[0].Count())
			require.Equal(t, want, readFile(t, store, files[0].FilePath()))
			require.Len(t, files[0].SplitOffsets(), 4)
			for _, batch := range batches {
				batch.Release()
			}
			mem.AssertSize(t, 0)
		}
	}
}

func TestWriterFileCarriesFieldIDsAndUUIDAnnotation(t *testing.T) {
	store := newStore()
	batch := newDice(3, memory.DefaultAllocator).batch(t, everyType(), 10)
	defer batch.Release()
	files := write(t, testWriter(t, store, WriterOptions{Schema: everyType()}), batch)
	reader, err := file.NewParquetReader(
		bytes.NewReader(objectBytes(t, store, files[0].FilePath())))
	require.NoError(t, err)
	defer reader.Close()
	ids := map[string]int32{}
	columns := reader.MetaData().Schema
	for i := range columns.NumColumns() {
		column := columns.Column(i)
		ids[column.Path()] = column.SchemaNode().FieldID()
		if column.Name() == "uuid" || column.Name() == "owner" {
			require.Equal(t, "UUID", column.LogicalType().String())
		}
	}
	require.Equal(t, int32(26), ids["tags.list.element"])
	require.Equal(t, int32(30), ids["lines.list.element.price"])
	require.Equal(t, int32(33), ids["attributes.key_value.value"])
	require.Equal(t, int32(24), ids["place.inner.owner"])
	require.Equal(t, int16(0), columns.Column(0).MaxDefinitionLevel(), "id is required")
}

// TestWriterFileHasTheSchemaOfTheLibrary compares each element of the schema with an empty file that
// pqarrow writes for the same arrow schema.
func TestWriterFileHasTheSchemaOfTheLibrary(t *testing.T) {
	store := newStore()
	batch := newDice(3, memory.DefaultAllocator).batch(t, everyType(), 10)
	defer batch.Release()
	files := write(t, testWriter(t, store, WriterOptions{Schema: everyType()}), batch)
	var library bytes.Buffer
	writer, err := pqarrow.NewFileWriter(fileSchema(batch.Schema(), everyType()), &library,
		parquet.NewWriterProperties(parquet.WithVersion(parquet.V2_LATEST),
			parquet.WithStoreDecimalAsInteger(true), parquet.WithRootName("table")),
		pqarrow.DefaultWriterProps())
	require.NoError(t, err)
	require.NoError(t, writer.Close())
	var footers []*metadata.FileMetaData
	for _, raw := range [][]byte{library.Bytes(), objectBytes(t, store, files[0].FilePath())} {
		reader, err := file.NewParquetReader(bytes.NewReader(raw))
		require.NoError(t, err)
		defer reader.Close()
		footers = append(footers, reader.MetaData())
	}
	require.Equal(t, footers[0].FileMetaData.Schema, footers[1].FileMetaData.Schema)
	require.Empty(t, footers[0].KeyValueMetadata())
	require.Empty(t, footers[1].KeyValueMetadata())
	version := footers[1].WriterVersion()
	require.Equal(t, "firth", version.App)
	require.Equal(t, 1, version.Version.Minor)
}

// TestSameBatchesMakeTheSameBytes writes with a budget that earlier writers have left memory to.
func TestSameBatchesMakeTheSameBytes(t *testing.T) {
	budget := NewBudget(64 << 20)
	d := newDice(8, memory.DefaultAllocator)
	batch, other := d.batch(t, everyType(), 2000), d.batch(t, everyType(), 500)
	defer batch.Release()
	defer other.Release()
	var first []byte
	for range 5 {
		store := newStore()
		write(t, testWriter(t, newStore(), WriterOptions{Schema: everyType(), Memory: budget}), other, other)
		files := write(t, testWriter(t, store, WriterOptions{Schema: everyType(), Memory: budget}), batch)
		raw := objectBytes(t, store, files[0].FilePath())
		if first == nil {
			first = raw
		}
		require.True(t, bytes.Equal(first, raw))
	}
}

func TestWriterWithoutRowsMakesNoFile(t *testing.T) {
	store := newStore()
	require.Empty(t, write(t, testWriter(t, store, WriterOptions{Schema: everyType()})))
	require.Empty(t, objects(t, store))
}

func TestWriterMakesNoEmptyFileBesideAHugeRow(t *testing.T) {
	schema := iceberg.NewSchema(0, optional(1, "text", iceberg.PrimitiveTypes.String))
	arrowSchema, err := ArrowSchema(schema)
	require.NoError(t, err)
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrowSchema)
	defer b.Release()
	b.Field(0).(*array.StringBuilder).Append(strings.Repeat("x", 4*laneBytes))
	batch := b.NewRecordBatch()
	defer batch.Release()
	store := newStore()
	files := write(t, testWriter(t, store, WriterOptions{Schema: schema, Parallel: 4}), batch)
	require.Len(t, files, 1)
	require.Len(t, objects(t, store), 1)
	require.EqualValues(t, 1, files[0].Count())
}

func TestWriterRollsFilesBySize(t *testing.T) {
	store := newStore()
	d := newDice(5, memory.DefaultAllocator)
	names := new(FileNumbers)
	names.next.Store(7)
	w := testWriter(t, store, WriterOptions{Schema: everyType(), Names: names,
		Memory: NewBudget(floorBytes), Parquet: ParquetOptions{FileBytesTarget: 200_000, RowGroupRows: 500}})
	var want []string
	for range 40 {
		batch := d.batch(t, everyType(), 500)
		want = append(want, rowsOf(batch)...)
		require.NoError(t, w.Write(t.Context(), batch))
		batch.Release()
	}
	files, err := w.Close(t.Context())
	require.NoError(t, err)
	require.Greater(t, len(files), 2)
	require.Contains(t, files[0].FilePath(), "-7.parquet")
	var got []string
	for _, f := range files {
		got = append(got, readFile(t, store, f.FilePath())...)
		require.EqualValues(t, len(objectBytes(t, store, f.FilePath())), f.FileSizeBytes())
	}
	require.Equal(t, want, got)
}

func TestWriterGivesBudgetBack(t *testing.T) {
	d := newDice(5, memory.DefaultAllocator)
	for _, end := range []string{"close", "abort"} {
		budget := NewBudget(3 << 20)
		w := testWriter(t, newStore(), WriterOptions{Schema: everyType(), Memory: budget})
		for range 20 {
			batch := d.batch(t, everyType(), 1000)
			require.NoError(t, w.Write(t.Context(), batch))
			batch.Release()
			require.Equal(t, budget.Used(), w.Bytes())
		}
		if end == "close" {
			_, err := w.Close(t.Context())
			require.NoError(t, err)
		}
		require.NoError(t, w.Abort(t.Context()))
		require.Zero(t, budget.Used())
	}
}

func TestWriterAbortRemovesItsFilesOnly(t *testing.T) {
	store := newStore()
	other := testWriter(t, store, WriterOptions{Schema: everyType(), Location: "mem://lake/db/other"})
	batch := newDice(5, memory.DefaultAllocator).batch(t, everyType(), 100)
	defer batch.Release()
	kept := write(t, other, batch)
	w := testWriter(t, store, WriterOptions{Schema: everyType()})
	write(t, w, batch)
	require.Len(t, objects(t, store), 2)
	require.NoError(t, w.Abort(t.Context()))
	require.NoError(t, w.Abort(t.Context()))
	require.Equal(t, []string{kept[0].FilePath()}, objects(t, store))
	require.ErrorContains(t, w.Write(t.Context(), batch), "has ended")
}

func TestParallelWriterIsDeterministicAndComplete(t *testing.T) {
	schema := iceberg.NewSchema(0, optional(1, "blob", iceberg.PrimitiveTypes.Binary))
	arrowSchema, err := ArrowSchema(schema)
	require.NoError(t, err)
	d := newDice(9, memory.DefaultAllocator)
	var batches []arrow.RecordBatch
	var want []string
	for range 100 { // some 32 MB
		b := array.NewRecordBuilder(memory.DefaultAllocator, arrowSchema)
		for range 5 {
			b.Field(0).(*array.BinaryBuilder).Append(bytes.Repeat([]byte(d.text()+"."), 65_536/20))
		}
		batch := b.NewRecordBatch()
		defer batch.Release()
		batches = append(batches, batch)
		want = append(want, rowsOf(batch)...)
	}
	slices.Sort(want)
	var first map[string][]byte
	for range 2 {
		store := newStore()
		files := write(t, testWriter(t, store, WriterOptions{Schema: schema, Parallel: 3}), batches...)
		require.Greater(t, len(files), 1)
		var got []string
		contents := map[string][]byte{}
		for _, f := range files {
			got = append(got, readFile(t, store, f.FilePath())...)
			contents[f.FilePath()] = objectBytes(t, store, f.FilePath())
		}
		slices.Sort(got)
		require.True(t, slices.Equal(want, got))
		if first == nil {
			first = contents
		}
		require.True(t, maps.EqualFunc(first, contents, bytes.Equal))
	}
}
