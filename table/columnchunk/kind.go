package columnchunk

import (
	"bytes"
	"fmt"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/schema"
)

// kind is a physical type of Parquet.
type kind uint8

const (
	kindBool kind = iota
	kindInt32
	kindInt64
	kindFloat
	kindDouble
	kindBytes // BYTE_ARRAY
	kindFixed // FIXED_LEN_BYTE_ARRAY
)

func kindOf(column *schema.Column) (kind, error) {
	switch column.PhysicalType() {
	case parquet.Types.Boolean:
		return kindBool, nil
	case parquet.Types.Int32:
		return kindInt32, nil
	case parquet.Types.Int64:
		return kindInt64, nil
	case parquet.Types.Float:
		return kindFloat, nil
	case parquet.Types.Double:
		return kindDouble, nil
	case parquet.Types.ByteArray:
		return kindBytes, nil
	case parquet.Types.FixedLenByteArray:
		return kindFixed, nil
	}
	return 0, fmt.Errorf("column %s: physical type %s is not written here",
		column.Path(), column.PhysicalType())
}

// numberWidth is the size of numbers, 0 for other kinds.
func (k kind) numberWidth() int {
	switch k {
	case kindInt32, kindFloat:
		return 4
	case kindInt64, kindDouble:
		return 8
	}
	return 0
}

func (k kind) isFloat() bool { return k == kindFloat || k == kindDouble }

// compareFixed orders values of fixed length: as two's complement, most significant byte first, when
// signed, else byte by byte.
func compareFixed(a, b []byte, signed bool) int {
	if signed && len(a) > 0 && len(b) > 0 && a[0]^b[0] >= 0x80 {
		return int(b[0]>>7) - int(a[0]>>7)
	}
	return bytes.Compare(a, b)
}
