package table

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"
)

// TestReadOfSomeRowsIsReadOfAllWithoutTheOthers takes rows out of files of several row groups and pages.
func TestReadOfSomeRowsIsReadOfAllWithoutTheOthers(t *testing.T) {
	store, d := newStore(), newDice(9, memory.DefaultAllocator)
	w := testWriter(t, store, WriterOptions{Schema: everyType(), Parquet: ParquetOptions{RowGroupRows: 800}})
	for range 4 {
		batch := d.batch(t, everyType(), 500)
		require.NoError(t, w.Write(t.Context(), batch))
		batch.Release()
	}
	files, err := w.Close(t.Context())
	require.NoError(t, err)
	require.Len(t, files, 1)
	all := readFile(t, store, files[0].FilePath())
	require.Len(t, all, 2000)
	random := rand.New(rand.NewPCG(4, 2))
	for round := range 8 {
		wanted := []uint32{}
		for row := random.IntN(1000); row < len(all); row += 1 + random.IntN(1+round*round*5) {
			wanted = append(wanted, uint32(row))
		}
		if round == 7 {
			wanted = wanted[:1]
		}
		t.Run(fmt.Sprint(len(wanted)), func(t *testing.T) {
			task := Task{File: files[0], Schema: everyType()}
			var got, want []string
			for _, row := range wanted {
				want = append(want, all[row])
			}
			// The library's decoder of deltas keeps 64 bytes when it is left early, so allocations are not checked.
			opts := ReadOptions{BatchRows: 1 + random.IntN(200), Rows: wanted}
			for batch, err := range ReadWith(t.Context(), store, task, opts) {
				require.NoError(t, err)
				got = append(got, rowsOf(batch)...)
			}
			require.Equal(t, want, got)
		})
	}
	for _, err := range ReadWith(t.Context(), store, Task{File: files[0], Schema: everyType()},
		ReadOptions{Rows: []uint32{5, 2000}}) {
		if err != nil {
			require.ErrorIs(t, err, ErrNoRow)
			require.ErrorContains(t, err, "row 2000")
			return
		}
	}
	t.Fatal("a row that is not there was found")
}

// TestReadOfSomeRowsPassesOverPages reads single rows of a column chunk of many pages.
func TestReadOfSomeRowsPassesOverPages(t *testing.T) {
	const rows = 30_000
	schema := iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64},
		iceberg.NestedField{ID: 2, Name: "text", Type: iceberg.PrimitiveTypes.String})
	form, err := ArrowSchema(schema)
	require.NoError(t, err)
	b := array.NewRecordBuilder(memory.DefaultAllocator, form)
	defer b.Release()
	text := func(id int64) string { return fmt.Sprint(strings.Repeat(fmt.Sprint(id*id), 30), id) }
	for id := range int64(rows) {
		b.Field(0).(*array.Int64Builder).Append(id)
		if id%7 == 0 {
			b.Field(1).AppendNull()
			continue
		}
		b.Field(1).(*array.StringBuilder).Append(text(id))
	}
	batch := b.NewRecordBatch()
	defer batch.Release()
	store := newStore()
	w := testWriter(t, store, WriterOptions{Schema: schema})
	require.NoError(t, w.Write(t.Context(), batch))
	files, err := w.Close(t.Context())
	require.NoError(t, err)
	wanted := []uint32{1, 5000, 5001, 11_000, 29_990, 29_999}
	var got []int64
	for batch, err := range ReadWith(t.Context(), store, Task{File: files[0], Schema: schema},
		ReadOptions{BatchRows: 100, Rows: wanted}) {
		require.NoError(t, err)
		for i, id := range batch.Column(0).(*array.Int64).Int64Values() {
			got = append(got, id)
			require.Equal(t, id%7 == 0, batch.Column(1).IsNull(i))
			if id%7 != 0 {
				require.Equal(t, text(id), batch.Column(1).(*array.String).Value(i))
			}
		}
	}
	require.Equal(t, []int64{1, 5000, 5001, 11_000, 29_990, 29_999}, got)
}

// TestReadOfSomeRowsBeginsFarIntoARowGroup reads rows of a row group that begins with many nobody asks for. Columns
// are of every way in which columns are stored.
func TestReadOfSomeRowsBeginsFarIntoARowGroup(t *testing.T) {
	const rows, first = 250_000, 131_072
	schema := iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64},
		iceberg.NestedField{ID: 2, Name: "few", Type: iceberg.PrimitiveTypes.String},
		iceberg.NestedField{ID: 3, Name: "odd", Type: iceberg.PrimitiveTypes.Bool},
		iceberg.NestedField{ID: 4, Name: "half", Type: iceberg.PrimitiveTypes.Float64})
	form, err := ArrowSchema(schema)
	require.NoError(t, err)
	b := array.NewRecordBuilder(memory.DefaultAllocator, form)
	defer b.Release()
	for id := range int64(rows) {
		b.Field(0).(*array.Int64Builder).Append(id)
		b.Field(1).(*array.StringBuilder).Append(fmt.Sprint("word", id%11))
		if id%3 == 0 {
			b.Field(2).AppendNull()
		} else {
			b.Field(2).(*array.BooleanBuilder).Append(id%2 == 1)
		}
		b.Field(3).(*array.Float64Builder).Append(float64(id) / 2)
	}
	batch := b.NewRecordBatch()
	defer batch.Release()
	store := newStore()
	w := testWriter(t, store, WriterOptions{Schema: schema})
	require.NoError(t, w.Write(t.Context(), batch))
	files, err := w.Close(t.Context())
	require.NoError(t, err)
	var wanted []uint32
	for row := first; row < rows; row += 1 + row%97 + row%4099*(row%2) {
		wanted = append(wanted, uint32(row))
	}
	n, task := 0, Task{File: files[0], Schema: schema}
	for batch, err := range ReadWith(t.Context(), store, task, ReadOptions{Rows: wanted}) {
		require.NoError(t, err)
		for i, id := range batch.Column(0).(*array.Int64).Int64Values() {
			require.EqualValues(t, wanted[n], id)
			require.Equal(t, fmt.Sprint("word", id%11), batch.Column(1).(*array.String).Value(i), id)
			require.Equal(t, id%3 == 0, batch.Column(2).IsNull(i), id)
			if id%3 != 0 {
				require.Equal(t, id%2 == 1, batch.Column(2).(*array.Boolean).Value(i), id)
			}
			require.InDelta(t, float64(id)/2, batch.Column(3).(*array.Float64).Value(i), 0, id)
			n++
		}
	}
	require.Len(t, wanted, n)
}
