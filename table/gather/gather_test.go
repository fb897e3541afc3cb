package gather

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/stretchr/testify/require"
)

// everyType has columns of every type, with and without nulls, and nested three levels deep.
func everyType() *arrow.Schema {
	flat := []arrow.DataType{arrow.FixedWidthTypes.Boolean, arrow.PrimitiveTypes.Int8,
		arrow.PrimitiveTypes.Int16, arrow.PrimitiveTypes.Int32, arrow.PrimitiveTypes.Int64,
		arrow.PrimitiveTypes.Float64, arrow.FixedWidthTypes.Timestamp_us,
		&arrow.Decimal128Type{Precision: 38, Scale: 2}, &arrow.FixedSizeBinaryType{ByteWidth: 16},
		&arrow.FixedSizeBinaryType{ByteWidth: 5}, arrow.BinaryTypes.String, arrow.BinaryTypes.Binary}
	text := arrow.BinaryTypes.String
	pair := arrow.StructOf(arrow.Field{Name: "b", Type: arrow.FixedWidthTypes.Boolean, Nullable: true},
		arrow.Field{Name: "s", Type: text})
	nested := []arrow.DataType{pair, arrow.ListOf(text), arrow.MapOf(text, arrow.PrimitiveTypes.Int64),
		arrow.ListOf(pair), arrow.ListOf(arrow.ListOf(arrow.PrimitiveTypes.Int32)),
		arrow.StructOf(arrow.Field{Name: "l", Type: arrow.ListOf(pair), Nullable: true}),
		arrow.MapOf(arrow.PrimitiveTypes.Int32, pair), extensions.NewUUIDType()}
	var fields []arrow.Field
	for i, typ := range append(flat, nested...) {
		fields = append(fields, arrow.Field{Name: fmt.Sprint("c", i), Type: typ, Nullable: true},
			arrow.Field{Name: fmt.Sprint("r", i), Type: typ})
	}
	return arrow.NewSchema(fields, nil)
}

type dice struct {
	*rand.Rand
	mem memory.Allocator
}

func newDice(seed uint64, mem memory.Allocator) *dice {
	return &dice{Rand: rand.New(rand.NewPCG(seed, 11)), mem: mem}
}

// batch returns rows of schema, as often as not a slice that begins inside its buffers.
func (d *dice) batch(schema *arrow.Schema, rows int) arrow.RecordBatch {
	before, after := d.IntN(70)*d.IntN(2), d.IntN(20)*d.IntN(2)
	builder := array.NewRecordBuilder(d.mem, schema)
	defer builder.Release()
	for range before + rows + after {
		for i, field := range schema.Fields() {
			d.append(builder.Field(i), field)
		}
	}
	whole := builder.NewRecordBatch()
	defer whole.Release()
	return whole.NewSlice(int64(before), int64(before+rows))
}

func (d *dice) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(d.Uint32())
	}
	return b
}

func (d *dice) append(b array.Builder, field arrow.Field) {
	if field.Nullable && d.IntN(4) == 0 {
		b.AppendNull()
		return
	}
	switch b := b.(type) {
	case *array.BooleanBuilder:
		b.Append(d.IntN(2) == 1)
	case *array.Int8Builder:
		b.Append(int8(d.Uint32()))
	case *array.Int16Builder:
		b.Append(int16(d.Uint32()))
	case *array.Int32Builder:
		b.Append(int32(d.Uint32()))
	case *array.Int64Builder:
		b.Append(int64(d.Uint64()))
	case *array.Float64Builder:
		b.Append(d.NormFloat64())
	case *array.TimestampBuilder:
		b.Append(arrow.Timestamp(d.Uint64()))
	case *array.Decimal128Builder:
		b.Append(decimal128.New(int64(d.Uint64()), d.Uint64()))
	case *array.FixedSizeBinaryBuilder:
		b.Append(d.bytes(b.Type().(*arrow.FixedSizeBinaryType).ByteWidth))
	case *array.StringBuilder:
		b.Append(string(d.bytes(d.IntN(50) * d.IntN(3) / 2)))
	case *array.BinaryBuilder:
		b.Append(d.bytes(d.IntN(20)))
	case *array.StructBuilder:
		b.Append(true)
		for i, child := range b.Type().(*arrow.StructType).Fields() {
			d.append(b.FieldBuilder(i), child)
		}
	case *array.MapBuilder:
		b.Append(true)
		for range d.IntN(4) {
			d.append(b.KeyBuilder(), arrow.Field{})
			d.append(b.ItemBuilder(), arrow.Field{Nullable: true})
		}
	case *array.ListBuilder:
		b.Append(true)
		for range d.IntN(4) {
			d.append(b.ValueBuilder(), arrow.Field{Nullable: true})
		}
	case *extensions.UUIDBuilder:
		b.AppendBytes([16]byte(d.bytes(16)))
	default:
		panic(fmt.Sprintf("no values for %T", b))
	}
}

// oneByOne is what Batches.Runs should give, made of one slice a row.
func oneByOne(t *testing.T, d *dice, batches []arrow.RecordBatch, runs []Run) arrow.RecordBatch {
	t.Helper()
	var columns []arrow.Array
	rows := 0
	for i := range int(batches[0].NumCols()) {
		parts := []arrow.Array{array.NewSlice(batches[0].Column(i), 0, 0)}
		for _, run := range runs {
			for row := int64(run.Row); row < int64(run.Row+run.Rows); row++ {
				parts = append(parts, array.NewSlice(batches[run.Batch].Column(i), row, row+1))
			}
		}
		column, err := array.Concatenate(parts, d.mem)
		require.NoError(t, err)
		for _, part := range parts {
			part.Release()
		}
		columns, rows = append(columns, column), len(parts)-1
	}
	batch := array.NewRecordBatch(batches[0].Schema(), columns, int64(rows))
	for _, column := range columns {
		column.Release()
	}
	return batch
}

func requireEqual(t *testing.T, want, got arrow.RecordBatch) {
	t.Helper()
	require.True(t, want.Schema().Equal(got.Schema()))
	require.Equal(t, want.NumRows(), got.NumRows())
	for i, column := range want.Columns() {
		require.Equal(t, column.NullN(), got.Column(i).NullN())
		if !array.Equal(column, got.Column(i)) {
			require.FailNow(t, column.DataType().String(), "want %s\n got %s", column, got.Column(i))
		}
	}
}

func TestRunsCopyRowsOfSeveralBatches(t *testing.T) {
	for seed := range uint64(24) {
		mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
		d := newDice(seed, mem)
		var batches []arrow.RecordBatch
		for range 1 + d.IntN(4) {
			batches = append(batches, d.batch(everyType(), d.IntN(200)*min(1, d.IntN(5))))
		}
		var runs []Run
		for range d.IntN(60) {
			at := d.IntN(len(batches))
			rows := int(batches[at].NumRows())
			if rows == 0 {
				continue
			}
			row := d.IntN(rows)
			runs = append(runs, Run{uint32(at), uint32(row), uint32(1 + d.IntN(rows-row)*d.IntN(2))})
		}
		want := oneByOne(t, d, batches, runs)
		got := New(batches).Runs(mem, runs)
		requireEqual(t, want, got)
		for _, batch := range append(batches, want, got) {
			batch.Release()
		}
		mem.AssertSize(t, 0)
	}
}

func TestRowsCopyRowsOfOneBatch(t *testing.T) {
	for seed := range uint64(24) {
		mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
		d := newDice(seed, mem)
		batch := d.batch(everyType(), 1+d.IntN(300))
		n := int(batch.NumRows())
		var rows []uint32
		switch seed % 4 {
		case 0: // a filter that wants few
			for row := range n {
				if d.IntN(10) == 0 {
					rows = append(rows, uint32(row))
				}
			}
		case 1: // a filter that wants most
			for row := range n {
				if d.IntN(10) != 0 {
					rows = append(rows, uint32(row))
				}
			}
		case 2:
			for _, row := range d.Perm(n) {
				rows = append(rows, uint32(row))
			}
		}
		var runs []Run
		for _, row := range rows {
			runs = append(runs, Run{Row: row, Rows: 1})
		}
		want := oneByOne(t, d, []arrow.RecordBatch{batch}, runs)
		got := Rows(mem, batch, rows)
		requireEqual(t, want, got)
		for _, batch := range []arrow.RecordBatch{batch, want, got} {
			batch.Release()
		}
		mem.AssertSize(t, 0)
	}
}

// TestElementsBelowANullListAreLeftOut takes lists whose nulls still have elements.
func TestElementsBelowANullListAreLeftOut(t *testing.T) {
	values := array.NewInt32Builder(memory.DefaultAllocator)
	values.AppendValues([]int32{1, 2, 3, 4, 5, 6}, nil)
	offsets := arrow.Int32Traits.CastToBytes([]int32{0, 2, 4, 6})
	lists := array.MakeFromData(array.NewData(arrow.ListOf(arrow.PrimitiveTypes.Int32), 3,
		[]*memory.Buffer{memory.NewBufferBytes([]byte{0b101}), memory.NewBufferBytes(offsets)},
		[]arrow.ArrayData{values.NewArray().Data()}, 1, 0))
	schema := arrow.NewSchema([]arrow.Field{{Name: "l", Type: lists.DataType(), Nullable: true}}, nil)
	batch := array.NewRecordBatch(schema, []arrow.Array{lists}, 3)
	for _, rows := range [][]uint32{{0, 1, 2}, {2, 1, 0}} {
		got := Rows(memory.DefaultAllocator, batch, rows).Column(0).(*array.List)
		require.Equal(t, 4, got.ListValues().Len())
		require.True(t, got.IsNull(1))
	}
}

func TestBitsAreCopiedFromAnywhereToAnywhere(t *testing.T) {
	d := newDice(1, memory.DefaultAllocator)
	for range 5000 {
		src := d.bytes(1 + d.IntN(30))
		from := d.IntN(len(src) * 8)
		n, at := d.IntN(len(src)*8-from), d.IntN(70)
		dst := make([]byte, (at+n+7)/8)
		setBits(dst, 0, at)
		want := make([]byte, len(dst))
		for i := range at {
			want[i/8] |= 1 << (i % 8)
		}
		for i := range n {
			want[(at+i)/8] |= src[(from+i)/8] >> ((from + i) % 8) & 1 << ((at + i) % 8)
		}
		copyBits(dst, at, src, from, n)
		require.Equal(t, want, dst)
	}
}

func TestUnknownTypesAreABug(t *testing.T) {
	schema := arrow.NewSchema([]arrow.Field{{Name: "v", Type: arrow.BinaryTypes.LargeString}}, nil)
	builder := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	builder.Field(0).(*array.LargeStringBuilder).Append("v")
	require.Panics(t, func() { Rows(memory.DefaultAllocator, builder.NewRecordBatch(), []uint32{0}) })
}

// BenchmarkRows shuffles batches of the size that a writer puts in order at a time.
func BenchmarkRows(b *testing.B) {
	schema := arrow.NewSchema([]arrow.Field{{Name: "id", Type: arrow.BinaryTypes.String},
		{Name: "n", Type: arrow.PrimitiveTypes.Int64}, {Name: "x", Type: arrow.PrimitiveTypes.Float64},
		{Name: "b", Type: arrow.FixedWidthTypes.Boolean}}, nil)
	d := newDice(1, memory.DefaultAllocator)
	builder := array.NewRecordBuilder(d.mem, schema)
	for range 8192 {
		builder.Field(0).(*array.StringBuilder).Append(string(d.bytes(36)))
		for i := 1; i < 4; i++ {
			d.append(builder.Field(i), schema.Field(i))
		}
	}
	batch := builder.NewRecordBatch()
	n := int(batch.NumRows())
	shuffled, some := make([]uint32, n), make([]uint32, 0, n)
	for i, row := range d.Perm(n) {
		shuffled[i] = uint32(row)
		if i%16 != 0 {
			some = append(some, uint32(i))
		}
	}
	for name, rows := range map[string][]uint32{"shuffled": shuffled, "filtered": some} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Rows(memory.DefaultAllocator, batch, rows).Release()
			}
			b.ReportMetric(float64(len(rows)*b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
