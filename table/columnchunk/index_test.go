package columnchunk

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/arrow-go/v18/parquet/schema"
	"github.com/stretchr/testify/require"
)

// TestPageIndexDescribesThePages reads random files column by column and compares what the index says of
// each page with its rows.
func TestPageIndexDescribesThePages(t *testing.T) {
	indexed, seeds := 0, uint64(50)
	if testing.Short() {
		seeds = 12
	}
	for seed := range seeds {
		_, opts, batches := newDice(seed+5000).file(t, memory.DefaultAllocator)
		raw, _ := write(t, opts, batches...)
		reader := open(t, raw)
		for g := range reader.NumRowGroups() {
			index, err := reader.GetPageIndexReader().RowGroup(g)
			require.NoError(t, err)
			for i := range reader.MetaData().Schema.NumColumns() {
				name := fmt.Sprintf("seed %d, row group %d, column %d", seed, g, i)
				indexed += checkIndex(t, name, reader.RowGroup(g), index, i)
			}
		}
		for _, batch := range batches {
			batch.Release()
		}
	}
	require.Greater(t, indexed, 6*int(seeds))
}

// checkIndex returns the number of pages with bounds.
func checkIndex(
	t *testing.T, name string, group *file.RowGroupReader, index *metadata.RowGroupPageIndexReader, i int,
) (bounded int) {
	t.Helper()
	entries, begins := chunkEntries(t, group, i)
	chunk, err := group.MetaData().ColumnChunk(i)
	require.NoError(t, err)
	offsets, err := index.GetOffsetIndex(i)
	require.NoError(t, err)
	columns, err := index.GetColumnIndex(i)
	require.NoError(t, err)
	descr := columnOf(group, i)

	checkChunkBounds(t, name, descr, chunk, entries)

	pages := offsets.GetPageLocations()
	at, end := chunk.DataPageOffset(), chunk.TotalCompressedSize()
	if chunk.HasDictionaryPage() {
		end += chunk.DictionaryPageOffset()
	} else {
		end += chunk.DataPageOffset()
	}
	row := int64(0)
	for p, page := range pages {
		require.Equal(t, at, page.Offset, name)
		require.Equal(t, row, page.FirstRowIndex, name)
		at += int64(page.CompressedPageSize)
		row = group.NumRows()
		if p+1 < len(pages) {
			row = pages[p+1].FirstRowIndex
		}
		if columns == nil {
			continue // a page without bounds: NaNs only
		}
		bounded += checkPage(t, name, descr, columns, p,
			entries[begins[page.FirstRowIndex]:begins[row]])
	}
	require.Equal(t, end, at, name)
	return bounded
}

// checkChunkBounds wants exactly the least and the greatest value of the chunk.
func checkChunkBounds(
	t *testing.T, name string, descr *schema.Column, chunk *metadata.ColumnChunkMetaData, entries [][]byte,
) {
	t.Helper()
	var least, top []byte
	nulls := int64(0)
	for _, value := range entries {
		if value == nil {
			nulls++
		}
		if value == nil || isNaN(descr, value) {
			continue
		}
		if least == nil || compareValues(descr, value, least) < 0 {
			least = value
		}
		if top == nil || compareValues(descr, value, top) > 0 {
			top = value
		}
	}
	stats, err := chunk.Statistics()
	require.NoError(t, err)
	require.Equal(t, nulls, stats.NullCount(), name)
	require.Equal(t, least != nil, stats.HasMinMax(), name)
	if least != nil {
		require.Zero(t, compareValues(descr, least, stats.EncodeMin()), name)
		require.Zero(t, compareValues(descr, top, stats.EncodeMax()), name)
	}
}

func checkPage(
	t *testing.T, name string, descr *schema.Column, index metadata.ColumnIndex, p int, rows [][]byte,
) int {
	t.Helper()
	least, top := index.GetMinValues()[p], index.GetMaxValues()[p]
	nulls := 0
	for _, value := range rows {
		if value == nil {
			nulls++
			continue
		}
		if isNaN(descr, value) {
			continue
		}
		require.LessOrEqual(t, compareValues(descr, least, value), 0, name)
		require.GreaterOrEqual(t, compareValues(descr, top, value), 0, name)
	}
	require.EqualValues(t, nulls, index.GetNullCounts()[p], name)
	require.Equal(t, nulls == len(rows), index.GetNullPages()[p], name)
	if nulls == len(rows) {
		return 0
	}
	if descr.PhysicalType() == parquet.Types.ByteArray {
		require.LessOrEqual(t, len(least), sizeIndexBound, name)
		if descr.LogicalType().Equals(schema.StringLogicalType{}) {
			require.True(t, utf8.Valid(least) && utf8.Valid(top), name)
		}
	}
	return 1
}

func columnOf(group *file.RowGroupReader, i int) *schema.Column {
	column, err := group.Column(i)
	if err != nil {
		panic(err)
	}
	return column.Descriptor()
}

// chunkRows are the values of a chunk outside lists.
func chunkRows(t *testing.T, group *file.RowGroupReader, i int) [][]byte {
	t.Helper()
	entries, _ := chunkEntries(t, group, i)
	return entries
}

// chunkEntries are the values of a chunk as PLAIN has them, without lengths, nil for nulls, and where the
// rows begin and the last one ends.
func chunkEntries(t *testing.T, group *file.RowGroupReader, i int) (entries [][]byte, begins []int) {
	t.Helper()
	column, err := group.Column(i)
	require.NoError(t, err)
	chunk, err := group.MetaData().ColumnChunk(i)
	require.NoError(t, err)
	levels := striping{make([]int16, chunk.NumValues()), make([]int16, chunk.NumValues())}
	var values [][]byte
	switch c := column.(type) {
	case *file.BooleanColumnChunkReader:
		values = readChunk(t, c.ReadBatch, levels, func(v bool) []byte {
			if v {
				return []byte{1}
			}
			return []byte{0}
		})
	case *file.Int32ColumnChunkReader:
		values = readChunk(t, c.ReadBatch, levels, func(v int32) []byte {
			return binary.LittleEndian.AppendUint32(nil, uint32(v))
		})
	case *file.Int64ColumnChunkReader:
		values = readChunk(t, c.ReadBatch, levels, func(v int64) []byte {
			return binary.LittleEndian.AppendUint64(nil, uint64(v))
		})
	case *file.Float32ColumnChunkReader:
		values = readChunk(t, c.ReadBatch, levels, func(v float32) []byte {
			return binary.LittleEndian.AppendUint32(nil, math.Float32bits(v))
		})
	case *file.Float64ColumnChunkReader:
		values = readChunk(t, c.ReadBatch, levels, func(v float64) []byte {
			return binary.LittleEndian.AppendUint64(nil, math.Float64bits(v))
		})
	case *file.ByteArrayColumnChunkReader:
		values = readChunk(t, c.ReadBatch, levels, func(v parquet.ByteArray) []byte { return keep(v) })
	case *file.FixedLenByteArrayColumnChunkReader:
		values = readChunk(t, c.ReadBatch, levels, func(v parquet.FixedLenByteArray) []byte {
			return keep(v)
		})
	}
	greatest := column.Descriptor().MaxDefinitionLevel()
	entries = make([][]byte, len(levels.levels))
	at := 0
	for e := range entries {
		if greatest == 0 || levels.levels[e] == greatest {
			entries[e] = values[at]
			at++
		}
		if levels.repeats[e] == 0 {
			begins = append(begins, e)
		}
	}
	return entries, append(begins, len(entries))
}

type striping struct{ levels, repeats []int16 }

func readChunk[T any](
	t *testing.T, read func(int64, []T, []int16, []int16) (int64, int, error), levels striping,
	plain func(T) []byte,
) [][]byte {
	t.Helper()
	var out [][]byte
	values := make([]T, len(levels.levels))
	for at := 0; at < len(values); {
		total, n, err := read(int64(len(values)-at), values, levels.levels[at:], levels.repeats[at:])
		require.NoError(t, err)
		require.Positive(t, total)
		for _, v := range values[:n] {
			out = append(out, plain(v))
		}
		at += int(total)
	}
	return out
}

func isNaN(descr *schema.Column, value []byte) bool {
	switch descr.PhysicalType() {
	case parquet.Types.Float:
		return math.IsNaN(float64(math.Float32frombits(binary.LittleEndian.Uint32(value))))
	case parquet.Types.Double:
		return math.IsNaN(math.Float64frombits(binary.LittleEndian.Uint64(value)))
	}
	return false
}

// compareValues orders values as the Parquet format says, written a second time for the test.
func compareValues(descr *schema.Column, a, b []byte) int {
	sign := func(less, more bool) int {
		switch {
		case less:
			return -1
		case more:
			return 1
		}
		return 0
	}
	switch descr.PhysicalType() {
	case parquet.Types.Int32:
		x, y := int32(binary.LittleEndian.Uint32(a)), int32(binary.LittleEndian.Uint32(b))
		return sign(x < y, x > y)
	case parquet.Types.Int64:
		x, y := int64(binary.LittleEndian.Uint64(a)), int64(binary.LittleEndian.Uint64(b))
		return sign(x < y, x > y)
	case parquet.Types.Float:
		x, y := math.Float32frombits(binary.LittleEndian.Uint32(a)), math.Float32frombits(binary.LittleEndian.Uint32(b))
		return sign(x < y, x > y)
	case parquet.Types.Double:
		x, y := math.Float64frombits(binary.LittleEndian.Uint64(a)), math.Float64frombits(binary.LittleEndian.Uint64(b))
		return sign(x < y, x > y)
	case parquet.Types.FixedLenByteArray:
		if descr.SortOrder() == schema.SortSIGNED {
			a, b = append([]byte{}, a...), append([]byte{}, b...)
			a[0] ^= 0x80
			b[0] ^= 0x80
		}
	}
	return bytes.Compare(a, b)
}

func TestBoundsAreCutWithoutExcludingValues(t *testing.T) {
	top := string(utf8.MaxRune)
	long := strings.Repeat("a", sizeIndexBound-1)
	for _, c := range []struct {
		value string
		text  bool
		least string
		above string
	}{
		{"", true, "", ""},
		{"short", true, "short", "short"},
		{long + "b", true, long + "b", long + "b"},
		{long + "bc", true, long + "b", long + "c"},
		{long + "éz", true, long, long[1:] + "b"},
		{long + "\u007fz", true, long + "\u007f", long + "\u0080"},
		{long[2:] + "\ud7ffz", true, long[2:] + "\ud7ff", long[2:] + "\ue000"},
		{long[3:] + top + "z", true, long[3:] + top, long[4:] + "b"},
		{strings.Repeat(top, 17), true, strings.Repeat(top, 16), strings.Repeat(top, 17)},
		{long + "\xffz", false, long + "\xff", long[1:] + "b"},
		{long + "\xfez", true, long + "\xfe", long + "\xff"}, // no text after all
		{strings.Repeat("\xff", 70), false, strings.Repeat("\xff", 64), strings.Repeat("\xff", 70)},
	} {
		value := []byte(c.value)
		require.Equal(t, c.least, string(value[:cut(value, c.text)]), "%q", c.value)
		above := appendAbove(nil, value, c.text)
		require.Equal(t, c.above, string(above), "%q", c.value)
		require.GreaterOrEqual(t, bytes.Compare(above, value), 0)
	}
}
