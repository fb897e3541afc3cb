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

func TestPartsAreWhatRowsCopiesOfTheirColumns(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	schema := everyType()
	for seed := range uint64(30) {
		d := newDice(seed, mem)
		batch := d.batch(schema, 1+d.IntN(200))
		parts := make([]Part, d.IntN(5))
		for i := range parts {
			parts[i].Columns = d.Perm(schema.NumFields())[:d.IntN(schema.NumFields()+1)]
			var fields []arrow.Field
			for _, place := range parts[i].Columns {
				fields = append(fields, schema.Field(place))
			}
			parts[i].Schema = arrow.NewSchema(fields, nil)
			for row := range uint32(batch.NumRows()) {
				if d.IntN(3) == 0 {
					parts[i].Rows = append(parts[i].Rows, row)
				}
			}
		}
		for i, got := range Parts(mem, batch, parts) {
			whole := Rows(mem, batch, parts[i].Rows)
			require.Equal(t, whole.NumRows(), got.NumRows())
			require.True(t, got.Schema().Equal(parts[i].Schema))
			for field, place := range parts[i].Columns {
				require.Equal(t, whole.Column(place).String(), got.Column(field).String())
			}
			whole.Release()
			got.Release()
		}
		batch.Release()
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
		parts[i] = Part{Schema: schema, Columns: columns}
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
		for _, part := range Parts(mem, batch, parts) {
			part.Release()
		}
	}
}
