package columnchunk

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/parquet"
)

// pageRecord is a finished data page of the chunk.
type pageRecord struct {
	offset     int // in the heap
	size       int // with its header
	rows       int
	entries    int
	nulls      int
	known      bool   // there are bounds
	least, top extent // in the bounds of the chunk
}

// extent is a range of a buffer that may still move.
type extent struct{ from, to int }

// chunk sums up the finished pages.
type chunk struct {
	entries      int64
	nulls        int64
	nans         int64
	uncompressed int64 // pages and headers
	bounded      bool  // least and top are those of the values so far
	encodings    [encodingsKnown]int32
}

// endPage encodes and compresses the open page and begins the next.
func (c *column) endPage(work *scratch) error {
	encoding := c.pageEncoding(work)
	frame, uncompressed, err := c.compress(encoding, work)
	if err != nil {
		return err
	}
	work.header = appendDataHeader(work.header[:0], pageHeader{uncompressed: uncompressed,
		checksum: crc32.ChecksumIEEE(frame), compressed: len(frame), values: c.open.entries,
		encoding: encoding})
	start, headed := c.heap.size, len(work.header)
	c.heap.append(work.header)
	c.heap.append(frame)

	nulls := c.open.entries - c.open.values
	record := pageRecord{offset: start, size: headed + len(frame), rows: c.open.rows,
		entries: c.open.entries, nulls: nulls}
	c.measure(&work.bounds)
	c.keepBounds(&record, &work.bounds)
	c.filterPage()
	c.records = append(c.records, record)
	c.chunk.entries += int64(c.open.entries)
	c.chunk.nulls += int64(nulls)
	c.chunk.nans += work.bounds.nans
	c.chunk.uncompressed += int64(uncompressed + headed)
	c.chunk.encodings[encoding]++
	c.beginPage()
	work.shrink()
	return nil
}

// compress makes the frame of the open page and says how large its content is.
func (c *column) compress(encoding parquet.Encoding, work *scratch) (frame []byte, size int, err error) {
	body := appendLevels(work.body[:0], c.repeatLevels, c.open.entries, c.repeats)
	body = appendLevels(body, c.levels, c.open.entries, c.greatest)
	if c.kind == kindBytes && encoding == parquet.Encodings.Plain {
		size = len(body) + len(c.values) + 4*len(c.lengths)
		if err := c.checkSize(size); err != nil {
			return nil, 0, err
		}
		if c.open.values > 0 && c.open.shortest == c.open.most {
			work.body = body
			if frame, ok := c.codec.fixedStrings(work, body, c.open.most, c.values); ok {
				return frame, size, nil
			}
		}
		if c.open.values == 1 && len(c.values) > storageBytesMax {
			work.body = binary.LittleEndian.AppendUint32(body, c.lengths[0])
			return c.codec.compressValue(work, work.body, c.values), size, nil
		}
	}
	var values valueList
	switch encoding {
	case parquet.Encodings.RLEDict:
		body = c.dictionary.appendIndexes(body, c.indexes)
	case parquet.Encodings.DeltaBinaryPacked:
		if c.kind == kindInt32 {
			body = appendDelta[int32, uint32](body, arrow.Int32Traits.CastFromBytes(c.values))
		} else {
			body = appendDelta[int64, uint64](body, arrow.Int64Traits.CastFromBytes(c.values))
		}
	case parquet.Encodings.DeltaLengthByteArray:
		body = append(appendLengths(body, c.lengths), c.values...)
		values = valueList{bytes: c.values, lengths: c.lengths}
	case parquet.Encodings.ByteStreamSplit:
		body = appendSplit(body, c.values, c.width)
	default:
		body = c.appendPlain(body)
		values = valueList{bytes: c.values, lengths: c.lengths, width: c.width}
	}
	work.body = body
	if err := c.checkSize(len(body)); err != nil {
		return nil, 0, err
	}
	if encoding == parquet.Encodings.ByteStreamSplit {
		return work.literals(body), len(body), nil // a block for each byte of a full page's values
	}
	return c.codec.compress(work, body, values), len(body), nil
}

// checkSize refuses what the header cannot say; only a value of almost 2 GiB gets here.
func (c *column) checkSize(size int) error {
	if size > math.MaxInt32 {
		return fmt.Errorf("column %s: a page of %d bytes is larger than Parquet allows: "+
			"keep its values below 2 GiB", c.name, size)
	}
	return nil
}

// pageHeader is what the header of a data page of version 1, or of a dictionary page, says.
type pageHeader struct {
	uncompressed, compressed, values int
	checksum                         uint32 // of the compressed page
	encoding                         parquet.Encoding
}

// Headers are structs of Thrift's compact protocol, so few fields that they are written out here: a
// byte with the distance to the next field's id and its type, then the value.
const (
	thriftI32    = 0x15 // next field, zigzag varint
	thriftFalse  = 0x12
	thriftStruct = 0x0c // the distance goes into the upper half
	thriftEnd    = 0x00

	pageTypeData       = 0
	pageTypeDictionary = 2
)

func appendI32(dst []byte, v int) []byte {
	return binary.AppendVarint(append(dst, thriftI32), int64(v))
}

func appendDataHeader(dst []byte, h pageHeader) []byte {
	dst = appendI32(dst, pageTypeData)
	dst = appendI32(dst, h.uncompressed)
	dst = appendI32(dst, h.compressed)
	dst = appendI32(dst, int(int32(h.checksum)))
	dst = append(dst, 1<<4|thriftStruct) // field 5
	dst = appendI32(dst, h.values)
	dst = appendI32(dst, int(h.encoding))
	dst = appendI32(dst, int(parquet.Encodings.RLE)) // definition levels
	dst = appendI32(dst, int(parquet.Encodings.RLE)) // repetition levels
	return append(dst, thriftEnd, thriftEnd)
}

func appendDictionaryHeader(dst []byte, h pageHeader) []byte {
	dst = appendI32(dst, pageTypeDictionary)
	dst = appendI32(dst, h.uncompressed)
	dst = appendI32(dst, h.compressed)
	dst = appendI32(dst, int(int32(h.checksum)))
	dst = append(dst, 3<<4|thriftStruct) // field 7
	dst = appendI32(dst, h.values)
	dst = appendI32(dst, int(parquet.Encodings.Plain))
	return append(dst, thriftFalse, thriftEnd, thriftEnd)
}
