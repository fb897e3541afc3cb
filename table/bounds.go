package table

import (
	"encoding/binary"
	"math"

	"github.com/apache/iceberg-go"
)

// CompareBounds orders two bounds of a column as manifests hold them; negative zero is below zero. ok is
// false when one is no value of the type. Bounds of before a promotion, from int to long and from float
// to double, are values of the new type too.
func CompareBounds(typ iceberg.PrimitiveType, a, b []byte) (order int, ok bool) {
	a, okA := boundOf(typ, a)
	b, okB := boundOf(typ, b)
	if !okA || !okB {
		return 0, false
	}
	if order = compareBound(typ, a, b); order == 0 && isFloat(typ) {
		// The sign is in the last byte.
		return int(b[len(b)-1]>>7) - int(a[len(a)-1]>>7), true
	}
	return order, true
}

// boundOf returns a bound in the form of its type, or false when it cannot be one.
func boundOf(typ iceberg.PrimitiveType, bound []byte) ([]byte, bool) {
	switch typ.(type) {
	case iceberg.Int32Type, iceberg.DateType:
		return bound, len(bound) == 4
	case iceberg.Int64Type:
		if len(bound) == 4 {
			wide := int64(int32(binary.LittleEndian.Uint32(bound)))
			return binary.LittleEndian.AppendUint64(nil, uint64(wide)), true
		}
		return bound, len(bound) == 8
	case iceberg.TimeType, iceberg.TimestampType, iceberg.TimestampTzType, iceberg.TimestampNsType,
		iceberg.TimestampTzNsType:
		return bound, len(bound) == 8
	case iceberg.Float32Type:
		return bound, len(bound) == 4 && !isNaN32(bound)
	case iceberg.Float64Type:
		if len(bound) == 4 {
			wide := float64(math.Float32frombits(binary.LittleEndian.Uint32(bound)))
			return binary.LittleEndian.AppendUint64(nil, math.Float64bits(wide)), wide == wide
		}
		return bound, len(bound) == 8 && !math.IsNaN(math.Float64frombits(binary.LittleEndian.Uint64(bound)))
	case iceberg.DecimalType:
		return bound, len(bound) > 0
	}
	return bound, true
}

func isNaN32(bound []byte) bool {
	v := math.Float32frombits(binary.LittleEndian.Uint32(bound))
	return v != v
}
