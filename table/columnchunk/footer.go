package columnchunk

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/arrow-go/v18/parquet/schema"
)

// encodingsKnown is above the number of every encoding of Parquet.
const encodingsKnown = 10

// endChunk writes the chunk of column i and describes it.
func (w *Writer) endChunk(i int, described *metadata.ColumnChunkMetaDataBuilder) error {
	c := &w.columns[i]
	if c.open.entries > 0 {
		if err := c.endPage(w.work); err != nil {
			return err
		}
	}
	start := w.sink.at
	numbered := c.chunk.encodings[parquet.Encodings.RLEDict] > 0
	if numbered {
		if err := w.writeDictionary(c); err != nil {
			return err
		}
		c.filterDictionary()
	}
	pages := w.sink.at
	for _, page := range c.records {
		if err := w.heap.write(&w.sink, page.offset, page.size); err != nil {
			return err
		}
	}
	described.SetStats(c.statistics())
	place := metadata.ChunkMetaInfo{NumValues: c.chunk.entries, IndexPageOffset: -1, DataPageOffset: pages,
		CompressedSize: w.sink.at - start, UncompressedSize: c.chunk.uncompressed}
	if numbered {
		place.DictPageOffset = start
	}
	if err := c.describeEncodings(described, place); err != nil {
		return err
	}
	w.nans[i] += c.chunk.nans
	return c.describe(&w.index, i, pages)
}

func (w *Writer) writeDictionary(c *column) error {
	frame := c.codec.dictionary.compress(w.work, c.dictionary.plain, valueList{})
	head := appendDictionaryHeader(w.work.header[:0], pageHeader{uncompressed: len(c.dictionary.plain),
		compressed: len(frame), checksum: crc32.ChecksumIEEE(frame), values: c.dictionary.entries()})
	w.work.header = head
	if _, err := w.sink.Write(head); err != nil {
		return err
	}
	_, err := w.sink.Write(frame)
	c.chunk.uncompressed += int64(len(head) + len(c.dictionary.plain))
	return err
}

// statistics are those of the chunk.
func (c *column) statistics() metadata.EncodedStatistics {
	stats := metadata.EncodedStatistics{Signed: c.descr.SortOrder() == schema.SortSIGNED}
	stats.SetNullCount(c.chunk.nulls)
	if !c.chunk.bounded {
		return stats
	}
	if len(c.least) <= sizeChunkBound {
		stats.SetMin(keep(c.least))
	}
	if len(c.top) <= sizeChunkBound {
		stats.SetMax(keep(c.top))
	}
	return stats
}

// keep copies b; an empty b is a bound too, which nil is not.
func keep(b []byte) []byte { return append(make([]byte, 0, len(b)), b...) }

// describeEncodings completes the description of a chunk. The library lists encodings in the order of a
// map; here they are sorted, so that the same rows make the same bytes.
func (c *column) describeEncodings(
	described *metadata.ColumnChunkMetaDataBuilder, place metadata.ChunkMetaInfo,
) error {
	numbered := place.DictPageOffset > 0
	counts := metadata.EncodingStats{DataEncodingStats: map[parquet.Encoding]int32{}}
	for encoding, pages := range c.chunk.encodings {
		if pages > 0 {
			counts.DataEncodingStats[parquet.Encoding(encoding)] = pages
		}
	}
	if numbered {
		counts.DictEncodingStats = map[parquet.Encoding]int32{parquet.Encodings.Plain: 1}
	}
	if err := described.Finish(place, numbered, false, counts); err != nil {
		return err
	}
	chunk := described.Contents().MetaData
	stats := chunk.EncodingStats
	for i := range stats {
		for j := i; j > 0; j-- {
			if stats[j-1].PageType > stats[j].PageType || stats[j-1].PageType == stats[j].PageType &&
				stats[j-1].Encoding <= stats[j].Encoding {
				break
			}
			stats[j-1], stats[j] = stats[j], stats[j-1]
		}
	}
	chunk.Encodings = listEncodings(chunk.Encodings[:0], c.chunk.encodings, numbered)
	return nil
}

// listEncodings lists what readers of a chunk must know: the encodings of its data pages, of its
// dictionary and of levels. E is a type of the library without a public name.
func listEncodings[E ~int64](list []E, pages [encodingsKnown]int32, numbered bool) []E {
	if numbered {
		pages[parquet.Encodings.Plain]++
	}
	pages[parquet.Encodings.RLE]++
	for encoding, n := range pages {
		if n > 0 {
			list = append(list, E(encoding))
		}
	}
	return list
}

// writeFooter ends the file.
func (w *Writer) writeFooter() (*metadata.FileMetaData, error) {
	w.index.Finish()
	var places metadata.PageIndexLocation
	if err := w.index.WriteTo(&w.sink, &places); err != nil {
		return nil, err
	}
	if err := w.footer.SetPageIndexLocation(places); err != nil {
		return nil, err
	}
	footer, err := w.footer.Finish()
	if err != nil {
		return nil, err
	}
	start := w.sink.at
	if _, err := footer.WriteTo(&w.sink, nil); err != nil {
		return nil, err
	}
	tail := binary.LittleEndian.AppendUint32(nil, uint32(w.sink.at-start))
	if _, err := w.sink.Write(append(tail, magic...)); err != nil {
		return nil, err
	}
	return footer, nil
}
