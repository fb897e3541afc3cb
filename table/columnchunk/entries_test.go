package columnchunk

import (
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/stretchr/testify/require"
)

// TestElementsOfNullListsAreHidden has lists, maps and structs that are null although they have
// elements, which no builder makes.
func TestElementsOfNullListsAreHidden(t *testing.T) {
	element := arrow.StructOf(arrow.Field{Name: "x", Type: arrow.BinaryTypes.String, Nullable: true},
		arrow.Field{Name: "y", Type: arrow.FixedWidthTypes.Boolean},
		arrow.Field{Name: "z", Type: &arrow.Decimal128Type{Precision: 30, Scale: 2}, Nullable: true})
	fields := arrow.NewSchema([]arrow.Field{
		{Name: "l", Type: arrow.ListOf(element), Nullable: true},
		{Name: "s", Type: arrow.StructOf(arrow.Field{Name: "i", Type: arrow.PrimitiveTypes.Int64},
			arrow.Field{Name: "ll", Type: arrow.ListOf(arrow.ListOf(arrow.PrimitiveTypes.Int32))}), Nullable: true},
	}, nil)
	for seed := range uint64(20) {
		d := newDice(seed)
		d.nulls = 0.1
		batch := d.batch(memory.DefaultAllocator, fields, 300)
		columns := make([]arrow.Array, batch.NumCols())
		for i, column := range batch.Columns() {
			columns[i] = hideSome(d, column)
		}
		hidden := array.NewRecordBatch(fields, columns, 300)
		opts := options(t, fields)
		opts.Columns = d.encodings(opts.Schema)
		opts.PageBytes, opts.DictionaryBytes = []int{50, 1 << 20}[seed%2], 200
		raw, _ := write(t, opts, hidden, hidden)
		want := linesOf(hidden)
		require.Equal(t, append(want, want...), readRows(t, raw))
		hidden.Release()
		batch.Release()
	}
}

// hideSome makes rows null and leaves what is below them.
func hideSome(d *dice, column arrow.Array) arrow.Array {
	data := column.Data()
	valid := make([]byte, (data.Offset()+data.Len()+7)/8)
	for row := range data.Len() {
		if at := data.Offset() + row; column.IsValid(row) && d.IntN(3) > 0 {
			valid[at>>3] |= 1 << (at & 7)
		}
	}
	buffers := append([]*memory.Buffer{memory.NewBufferBytes(valid)}, data.Buffers()[1:]...)
	return array.MakeFromData(array.NewData(data.DataType(), data.Len(), buffers, data.Children(),
		array.UnknownNullCount, data.Offset()))
}

func TestListOfMoreElementsThanAPageTakesStaysWhole(t *testing.T) {
	list := arrow.ListOf(arrow.PrimitiveTypes.Int64)
	batch := columnBatch(list, 5, func(b array.Builder, row int) {
		b.(*array.ListBuilder).Append(true)
		for i := range 10_000 * (row % 2) {
			b.(*array.ListBuilder).ValueBuilder().(*array.Int64Builder).Append(int64(i))
		}
	})
	defer batch.Release()
	for _, dictionary := range []bool{false, true} {
		opts := options(t, batch.Schema(), Encoding{Values: parquet.Encodings.Plain, Dictionary: dictionary})
		opts.PageBytes, opts.DictionaryBytes, opts.RowGroupRows = 1000, 1000, 4
		raw, _ := write(t, opts, batch)
		require.Equal(t, linesOf(batch), readRows(t, raw))
		index, err := open(t, raw).GetPageIndexReader().RowGroup(0)
		require.NoError(t, err)
		require.Positive(t, checkIndex(t, "lists", open(t, raw).RowGroup(0), index, 0))
	}
}
