package rewrite

import (
	"testing"

	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/stretchr/testify/require"
)

// checkIndexes compares the page index of a row group with that of its copy.
func checkIndexes(t testing.TB, old *file.Reader, g int, now *file.Reader, at int) {
	t.Helper()
	a, errA := old.GetPageIndexReader().RowGroup(g)
	b, errB := now.GetPageIndexReader().RowGroup(at)
	require.Equal(t, errA == nil, errB == nil)
	if errA != nil || a == nil {
		return
	}
	for i := range everyColumn {
		before, err := a.GetOffsetIndex(i)
		require.NoError(t, err)
		after, err := b.GetOffsetIndex(i)
		require.NoError(t, err)
		if before == nil {
			require.Nil(t, after)
			continue
		}
		moved := chunkStart(t, now, at, i) - chunkStart(t, old, g, i)
		for p, page := range before.GetPageLocations() {
			got := after.GetPageLocations()[p]
			require.Equal(t, page.Offset+moved, got.Offset)
			require.Equal(t, page.CompressedPageSize, got.CompressedPageSize)
			require.Equal(t, page.FirstRowIndex, got.FirstRowIndex)
		}
		require.Equal(t, before.GetUnencodedByteArrayDataBytes(), after.GetUnencodedByteArrayDataBytes())
		columns, err := a.GetColumnIndex(i)
		require.NoError(t, err)
		same, err := b.GetColumnIndex(i)
		require.NoError(t, err)
		if columns == nil {
			require.Nil(t, same)
			continue
		}
		require.Equal(t, columns.GetMinValues(), same.GetMinValues())
		require.Equal(t, columns.GetMaxValues(), same.GetMaxValues())
		require.Equal(t, columns.GetNullCounts(), same.GetNullCounts())
	}
}

func chunkStart(t testing.TB, reader *file.Reader, g, i int) int64 {
	t.Helper()
	start, _ := chunkRange(reader.MetaData().RowGroups[g].Columns[i].MetaData)
	return start
}

// everyColumn is the number of leaf columns of everyType.
const everyColumn = 17 + 1 + 2 + 2

func TestOffsetsAreReadBackMoved(t *testing.T) {
	for _, pages := range []int{1, 14, 15, 300} {
		var builder metadata.OffsetIndexBuilder
		for p := range pages {
			require.NoError(t, builder.AddPage(int64(1000*p+4), int64(p*7), int32(900+p)))
		}
		require.NoError(t, builder.Finish(0))
		coded := appendOffsets(nil, builder.Build(), 1<<40)
		back, err := parseOffsets(coded)
		require.NoError(t, err)
		require.Len(t, back.GetPageLocations(), pages)
		for p, page := range back.GetPageLocations() {
			require.Equal(t, int64(1000*p+4)+1<<40, page.Offset)
			require.Equal(t, int64(p*7), page.FirstRowIndex)
			require.Equal(t, int32(900+p), page.CompressedPageSize)
		}
	}
}
