package gather

import (
	"strconv"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table/recycle"
)

func TestSharedRowsAreWhatRowsCopies(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	schema := everyType()
	for seed := range uint64(60) {
		d := newDice(seed, mem)
		pieces := 1 + d.IntN(4)
		batches := make([]arrow.RecordBatch, pieces)
		for i := range batches {
			batches[i] = d.batch(schema, 1+d.IntN(200))
		}
		parts := make([]Part, d.IntN(5))
		chosen := make([][]Run, len(parts))
		for i := range parts {
			parts[i].Columns = d.Perm(schema.NumFields())[:d.IntN(schema.NumFields()+1)]
			var fields []arrow.Field
			for _, place := range parts[i].Columns {
				fields = append(fields, schema.Field(place))
			}
			parts[i].To = NewGathered(mem, arrow.NewSchema(fields, nil), 1+d.IntN(pieces))
		}
		for at, batch := range batches {
			for i := range parts {
				parts[i].Rows = parts[i].Rows[:0]
				often := d.IntN(10)
				for row := range uint32(batch.NumRows()) {
					if d.IntN(10) < often {
						parts[i].Rows = append(parts[i].Rows, row)
						chosen[i] = append(chosen[i], Run{uint32(at), row, 1})
					}
				}
			}
			Share(batch, parts)
		}
		all := New(batches)
		for i, part := range parts {
			whole := all.Runs(mem, chosen[i])
			require.Equal(t, len(chosen[i]), part.To.Count())
			got := part.To.Batch()
			require.Equal(t, whole.NumRows(), got.NumRows())
			for field, place := range part.Columns {
				require.Equal(t, whole.Column(place).NullN(), got.Column(field).NullN())
				require.True(t, array.Equal(whole.Column(place), got.Column(field)), "column %s of seed %d",
					schema.Field(place).Name, seed)
			}
			whole.Release()
			got.Release()
		}
		for _, batch := range batches {
			batch.Release()
		}
	}
}

// BenchmarkParts shares rows out to ten tables, as ingest does with a topic that many read.
func BenchmarkParts(b *testing.B) {
	const tables = 10
	d := newDice(1, memory.DefaultAllocator)
	types := []arrow.DataType{arrow.BinaryTypes.String, arrow.BinaryTypes.String, arrow.BinaryTypes.String,
		arrow.PrimitiveTypes.Int64, arrow.PrimitiveTypes.Int64, arrow.PrimitiveTypes.Float64,
		arrow.PrimitiveTypes.Int32, arrow.FixedWidthTypes.Boolean}
	fields := make([]arrow.Field, len(types))
	columns := make([]int, len(types))
	for i, typ := range types {
		fields[i], columns[i] = arrow.Field{Name: strconv.Itoa(i), Type: typ}, i
	}
	schema := arrow.NewSchema(fields, nil)
	parts := make([]Part, tables)
	for i := range parts {
		parts[i] = Part{Columns: columns}
	}
	builder := array.NewRecordBuilder(d.mem, schema)
	for row := range 8192 {
		for i, field := range fields {
			d.append(builder.Field(i), field)
		}
		part := &parts[d.IntN(tables)]
		part.Rows = append(part.Rows, uint32(row))
	}
	batch := builder.NewRecordBatch()
	mem := recycle.New()
	b.ReportAllocs()
	for b.Loop() {
		for i := range parts {
			parts[i].To = NewGathered(mem, schema, 1)
		}
		Share(batch, parts)
		for _, part := range parts {
			part.To.Batch().Release()
		}
	}
}

func TestPiecesThatDoNotComeTakeNoMemory(t *testing.T) {
	mem := recycle.New()
	schema := arrow.NewSchema([]arrow.Field{{Name: "a", Type: arrow.PrimitiveTypes.Int64}}, nil)
	builder := array.NewRecordBuilder(mem, schema)
	rows := make([]uint32, 1000)
	for i := range rows {
		rows[i] = uint32(i)
		builder.Field(0).(*array.Int64Builder).Append(int64(i))
	}
	batch := builder.NewRecordBatch()
	defer batch.Release()
	gathered := NewGathered(mem, schema, 4)
	Share(batch, []Part{{To: gathered, Columns: []int{0}, Rows: rows}})
	got := gathered.Batch()
	defer got.Release()
	require.True(t, array.RecordEqual(batch, got))
	require.Less(t, cap(got.Column(0).Data().Buffers()[1].Bytes()), 2*8*len(rows))
}
