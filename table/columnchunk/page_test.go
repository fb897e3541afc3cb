package columnchunk

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestPagesCarryTheirChecksum takes the headers apart: a reader that verifies refuses what differs.
func TestPagesCarryTheirChecksum(t *testing.T) {
	batch := texts(9000, func(row int) string { return fmt.Sprint("value ", row%50+max(0, row-6000)*100) })
	defer batch.Release()
	for _, encoding := range fitting(batch.Column(0).DataType()) {
		opts := options(t, batch.Schema(), encoding)
		opts.PageBytes, opts.DictionaryBytes = 8000, 2000
		raw, _ := write(t, opts, batch)
		reader := open(t, raw)
		chunk, err := reader.MetaData().RowGroup(0).ColumnChunk(0)
		require.NoError(t, err)
		if encoding.Dictionary {
			requireChecksum(t, raw[chunk.DictionaryPageOffset():chunk.DataPageOffset()])
		}
		group, err := reader.GetPageIndexReader().RowGroup(0)
		require.NoError(t, err)
		offsets, err := group.GetOffsetIndex(0)
		require.NoError(t, err)
		pages := offsets.GetPageLocations()
		require.Greater(t, len(pages), 3)
		for _, page := range pages {
			requireChecksum(t, raw[page.Offset:page.Offset+int64(page.CompressedPageSize)])
		}
	}
}

// requireChecksum reads the first four fields of a page's header; the page is what ends it.
func requireChecksum(t *testing.T, page []byte) {
	t.Helper()
	rest, fields := page, [4]int64{}
	for i := range fields {
		require.Equal(t, byte(thriftI32), rest[0])
		v, n := binary.Varint(rest[1:])
		fields[i], rest = v, rest[1+n:]
	}
	frame := page[len(page)-int(fields[2]):]
	require.Equal(t, int64(int32(crc32.ChecksumIEEE(frame))), fields[3])
}
