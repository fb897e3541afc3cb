package rewrite

import (
	"encoding/binary"

	"github.com/apache/arrow-go/v18/parquet/metadata"
)

// Thrift's compact protocol, as far as an offset index needs it: the distance to the next field's id
// and a type, then the value.
const (
	thriftNextI32  = 0x15
	thriftNextI64  = 0x16
	thriftNextList = 0x19
	thriftEnd      = 0x00
	elementI64     = 0x06
	elementStruct  = 0x0c
	listShortMax   = 14
)

// appendOffsets appends an offset index whose pages have moved by so many bytes.
func appendOffsets(dst []byte, index metadata.OffsetIndex, moved int64) []byte {
	pages := index.GetPageLocations()
	dst = appendList(append(dst, thriftNextList), len(pages), elementStruct)
	for _, page := range pages {
		dst = binary.AppendVarint(append(dst, thriftNextI64), page.Offset+moved)
		dst = binary.AppendVarint(append(dst, thriftNextI32), int64(page.CompressedPageSize))
		dst = binary.AppendVarint(append(dst, thriftNextI64), page.FirstRowIndex)
		dst = append(dst, thriftEnd)
	}
	if sizes := index.GetUnencodedByteArrayDataBytes(); sizes != nil {
		dst = appendList(append(dst, thriftNextList), len(sizes), elementI64)
		for _, size := range sizes {
			dst = binary.AppendVarint(dst, size)
		}
	}
	return append(dst, thriftEnd)
}

func appendList(dst []byte, n int, element byte) []byte {
	if n <= listShortMax {
		return append(dst, byte(n)<<4|element)
	}
	return binary.AppendUvarint(append(dst, 0xf0|element), uint64(n))
}
