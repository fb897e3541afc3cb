package table

import (
	"bytes"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"
)

func TestIntegersAreNotAnnotated(t *testing.T) {
	schema := iceberg.NewSchema(0,
		optional(1, "n", iceberg.PrimitiveTypes.Int32), optional(2, "big", iceberg.PrimitiveTypes.Int64),
		optional(3, "list", &iceberg.ListType{ElementID: 4, Element: iceberg.PrimitiveTypes.Int32}))
	batch := newDice(5, memory.DefaultAllocator).batch(t, schema, 100)
	defer batch.Release()
	store := newStore()
	files := write(t, testWriter(t, store, WriterOptions{Schema: schema}), batch)
	reader, err := file.NewParquetReader(bytes.NewReader(objectBytes(t, store, files[0].FilePath())))
	require.NoError(t, err)
	defer reader.Close()
	for i := range reader.MetaData().Schema.NumColumns() {
		column := reader.MetaData().Schema.Column(i)
		require.True(t, column.LogicalType().IsNone(), column.Path())
		require.Equal(t, "NONE", column.ConvertedType().String(), column.Path())
	}
	chunk, err := reader.MetaData().RowGroup(0).ColumnChunk(0)
	require.NoError(t, err)
	statistics, err := chunk.Statistics()
	require.NoError(t, err)
	require.True(t, statistics.HasMinMax())
	require.Len(t, files[0].LowerBoundValues()[1], 4)
	require.Equal(t, rowsOf(batch), readFile(t, store, files[0].FilePath()))
}
