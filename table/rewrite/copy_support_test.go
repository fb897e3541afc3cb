package rewrite

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/iceberg-go"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

const lake = "mem://lake/db/events"

func newStore() *objstore.Memory {
	return objstore.NewMemory(func() time.Time { return time.Unix(0, 0) })
}

// change is an id of a change, by a number.
func change(n int) uuid.UUID { return uuid.NewSHA1(uuid.NameSpaceOID, []byte{byte(n), byte(n >> 8)}) }

// everyType is a schema of all that firth writes.
func everyType() *iceberg.Schema {
	types := []iceberg.Type{
		iceberg.PrimitiveTypes.Int64, iceberg.PrimitiveTypes.Bool, iceberg.PrimitiveTypes.Int32,
		iceberg.PrimitiveTypes.Float32, iceberg.PrimitiveTypes.Float64, iceberg.PrimitiveTypes.Date,
		iceberg.PrimitiveTypes.Time, iceberg.PrimitiveTypes.Timestamp, iceberg.PrimitiveTypes.TimestampTz,
		iceberg.PrimitiveTypes.String, iceberg.PrimitiveTypes.String, iceberg.PrimitiveTypes.Binary,
		iceberg.PrimitiveTypes.UUID, iceberg.FixedTypeOf(5), iceberg.DecimalTypeOf(9, 2),
		iceberg.DecimalTypeOf(18, 4), iceberg.DecimalTypeOf(38, 6),
		&iceberg.ListType{ElementID: 101, Element: iceberg.PrimitiveTypes.String},
		&iceberg.MapType{KeyID: 102, KeyType: iceberg.PrimitiveTypes.String, ValueID: 103,
			ValueType: iceberg.PrimitiveTypes.Float64},
		&iceberg.StructType{FieldList: []iceberg.NestedField{
			{ID: 104, Name: "a", Type: iceberg.PrimitiveTypes.Int32},
			{ID: 105, Name: "b", Type: &iceberg.ListType{ElementID: 106,
				Element: iceberg.PrimitiveTypes.Int64, ElementRequired: true}},
		}},
	}
	var fields []iceberg.NestedField
	for i, typ := range types {
		fields = append(fields, iceberg.NestedField{ID: i + 1, Name: fmt.Sprintf("c%d", i), Type: typ,
			Required: i == 0})
	}
	return iceberg.NewSchema(0, fields...)
}

var nullShares = [...]float64{0, 0.1, 1}

// dice makes random rows, the same for the same seed.
type dice struct {
	*rand.Rand
	nulls float64
}

func newDice(seed uint64) *dice {
	d := &dice{Rand: rand.New(rand.NewPCG(seed, 3))}
	d.nulls = nullShares[d.IntN(len(nullShares))]
	return d
}

func (d *dice) batch(t testing.TB, schema *iceberg.Schema, rows int) arrow.RecordBatch {
	t.Helper()
	form, err := table.ArrowSchema(schema)
	require.NoError(t, err)
	b := array.NewRecordBuilder(memory.DefaultAllocator, form)
	defer b.Release()
	for range rows {
		for i, field := range form.Fields() {
			d.append(b.Field(i), field)
		}
	}
	return b.NewRecordBatch()
}

func (d *dice) append(b array.Builder, field arrow.Field) {
	if field.Nullable && d.Float64() < d.nulls {
		b.AppendNull()
		return
	}
	switch b := b.(type) {
	case *array.BooleanBuilder:
		b.Append(d.IntN(2) == 0)
	case *array.Int32Builder:
		b.Append(int32(d.Uint32()))
	case *array.Int64Builder:
		b.Append(int64(d.Uint64()) >> d.IntN(60))
	case *array.Float32Builder:
		b.Append(float32(d.float()))
	case *array.Float64Builder:
		b.Append(d.float())
	case *array.Date32Builder:
		b.Append(arrow.Date32(d.IntN(40000) - 20000))
	case *array.Time64Builder:
		b.Append(arrow.Time64(d.Int64N(86_400_000_000)))
	case *array.TimestampBuilder:
		b.Append(arrow.Timestamp(d.Int64N(4e15)))
	case *array.StringBuilder:
		b.Append(strings.Repeat(string(rune('a'+d.IntN(26))), d.IntN(30)))
	case *array.BinaryBuilder:
		b.Append([]byte{byte(d.IntN(256)), byte(d.IntN(256))})
	case *array.FixedSizeBinaryBuilder:
		value := make([]byte, b.Type().(*arrow.FixedSizeBinaryType).ByteWidth)
		for i := range value {
			value[i] = byte(d.IntN(256))
		}
		b.Append(value)
	case *array.Decimal128Builder:
		b.Append(decimal128.FromI64(d.Int64N(1_000_000) - 500_000))
	case *array.MapBuilder:
		b.Append(true)
		entry := b.Type().(*arrow.MapType)
		for n := range d.IntN(3) {
			b.KeyBuilder().(*array.StringBuilder).Append(fmt.Sprint(n))
			d.append(b.ItemBuilder(), entry.ItemField())
		}
	case *array.ListBuilder:
		b.Append(true)
		for range d.IntN(4) {
			d.append(b.ValueBuilder(), b.Type().(*arrow.ListType).ElemField())
		}
	case *array.StructBuilder:
		b.Append(true)
		for i, child := range b.Type().(*arrow.StructType).Fields() {
			d.append(b.FieldBuilder(i), child)
		}
	default:
		panic("BUG: no values of " + field.Type.String())
	}
}

func (d *dice) float() float64 {
	switch d.IntN(20) {
	case 0:
		return math.NaN()
	case 1:
		return math.Copysign(0, -1)
	case 2:
		return 0
	}
	return d.NormFloat64()
}

// written makes files of batches with table.Writer, one of all when whole.
func written(t testing.TB, store objstore.Store, opts table.WriterOptions, batches ...arrow.RecordBatch,
) []iceberg.DataFile {
	t.Helper()
	opts.Location = lake
	w, err := table.NewWriter(store, opts)
	require.NoError(t, err)
	for _, batch := range batches {
		require.NoError(t, w.Write(t.Context(), batch))
	}
	files, err := w.Close(t.Context())
	require.NoError(t, err)
	return files
}

// tasksOf makes tasks of files, with row ids from first on when it is not negative.
func tasksOf(schema *iceberg.Schema, first int64, files ...iceberg.DataFile) []table.Task {
	var tasks []table.Task
	for i, f := range files {
		if first >= 0 {
			f = withRowIDs(f, first)
			first += f.Count()
		}
		tasks = append(tasks, table.Task{File: f, Schema: schema, SequenceNumber: int64(i + 1)})
	}
	return tasks
}

// withRowIDs is a file as a v3 table has it.
func withRowIDs(f iceberg.DataFile, first int64) iceberg.DataFile {
	builder, err := iceberg.NewDataFileBuilder(iceberg.NewPartitionSpec(), f.ContentType(), f.FilePath(),
		f.FileFormat(), nil, nil, nil, f.Count(), f.FileSizeBytes())
	if err != nil {
		panic(err)
	}
	return builder.ColumnSizes(f.ColumnSizes()).ValueCounts(f.ValueCounts()).
		NullValueCounts(f.NullValueCounts()).NaNValueCounts(f.NaNValueCounts()).
		LowerBoundValues(f.LowerBoundValues()).UpperBoundValues(f.UpperBoundValues()).
		FirstRowID(first).Build()
}

// rowsOf are the checksums of the rows of tasks, in order.
func rowsOf(t testing.TB, store objstore.Store, tasks ...table.Task) []uint64 {
	t.Helper()
	var rows []uint64
	for _, task := range tasks {
		sums, err := table.NewChecksummer(task.Schema)
		require.NoError(t, err)
		for batch, err := range table.Read(t.Context(), store, task) {
			require.NoError(t, err)
			rows, err = sums.Rows(rows, batch)
			require.NoError(t, err)
		}
	}
	return rows
}

func bytesOf(t testing.TB, store objstore.Store, location string) []byte {
	t.Helper()
	body, err := store.Get(t.Context(), location, 0, -1)
	require.NoError(t, err)
	defer body.Close()
	raw, err := io.ReadAll(body)
	require.NoError(t, err)
	return raw
}

func opened(t testing.TB, raw []byte) *file.Reader {
	t.Helper()
	reader, err := file.NewParquetReader(bytes.NewReader(raw))
	require.NoError(t, err)
	t.Cleanup(func() { reader.Close() })
	return reader
}

// foreign makes a file of a batch as another program does, with its entry.
func foreign(t testing.TB, store objstore.Store, n int, batch arrow.RecordBatch,
	options ...parquet.WriterProperty) iceberg.DataFile {
	t.Helper()
	var out bytes.Buffer
	options = append([]parquet.WriterProperty{parquet.WithCompression(compress.Codecs.Snappy),
		parquet.WithPageIndexEnabled(true), parquet.WithDataPageSize(2000)}, options...)
	w, err := pqarrow.NewFileWriter(batch.Schema(), &out, parquet.NewWriterProperties(options...),
		pqarrow.NewArrowWriterProperties(pqarrow.WithStoreSchema()))
	require.NoError(t, err)
	require.NoError(t, w.Write(batch))
	require.NoError(t, w.Close())
	location := fmt.Sprintf("%s/data/foreign-%d.parquet", lake, n)
	_, err = store.Put(t.Context(), location, bytes.NewReader(out.Bytes()), int64(out.Len()),
		objstore.PutOptions{})
	require.NoError(t, err)
	builder, err := iceberg.NewDataFileBuilder(iceberg.NewPartitionSpec(), iceberg.EntryContentData, location,
		iceberg.ParquetFile, nil, nil, nil, batch.NumRows(), int64(out.Len()))
	require.NoError(t, err)
	return builder.Build()
}
