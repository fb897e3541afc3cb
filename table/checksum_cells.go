package table

import (
	"fmt"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	"github.com/cespare/xxhash/v2"
)

// cellHasher sets dst[i] to the hash of value i of arr as a value of f, 0 when it is null. It sets
// every element of dst, which is as long as arr.
type cellHasher func(f *checksumField, dst []uint64, arr arrow.Array, scratch *scratchPool) error

const microsPerDay = 24 * 60 * 60 * 1_000_000

// canonicalNaN stands for every NaN.
const canonicalNaN = 0x7ff8000000000000

func hasherOf(typ iceberg.Type) (cellHasher, error) {
	switch typ.(type) {
	case iceberg.BooleanType, iceberg.Int32Type, iceberg.Int64Type, iceberg.TimeType:
		return hashIntegers, nil
	case iceberg.Float32Type, iceberg.Float64Type:
		return hashFloats, nil
	case iceberg.DateType, iceberg.TimestampType, iceberg.TimestampTzType,
		iceberg.TimestampNsType, iceberg.TimestampTzNsType:
		return hashInstants, nil
	case iceberg.DecimalType:
		return hashDecimals, nil
	case iceberg.StringType, iceberg.BinaryType, iceberg.FixedType, iceberg.UUIDType:
		return hashBytes, nil
	case *iceberg.StructType:
		return hashStructs, nil
	case *iceberg.ListType:
		return hashLists, nil
	case *iceberg.MapType:
		return hashMaps, nil
	}
	return nil, fmt.Errorf("type %s has no row checksum", typ)
}

// hashIntegers takes every width as 64 bits, so that int and long agree.
func hashIntegers(f *checksumField, dst []uint64, arr arrow.Array, _ *scratchPool) error {
	switch a := arr.(type) {
	case *array.Int32:
		for i, v := range a.Values() {
			dst[i] = mix(uint64(int64(v)) ^ f.seed)
		}
	case *array.Int64:
		for i, v := range a.Values() {
			dst[i] = mix(uint64(v) ^ f.seed)
		}
	case *array.Time64:
		for i, v := range a.Values() {
			dst[i] = mix(uint64(v) ^ f.seed)
		}
	case *array.Boolean:
		for i := range dst {
			var v uint64
			if a.Value(i) {
				v = 1
			}
			dst[i] = mix(v ^ f.seed)
		}
	default:
		return unexpectedArray(arr)
	}
	clearNulls(dst, arr)
	return nil
}

// hashFloats takes the bits of the value as a double. All NaNs are one; the zeros are two, as
// Parquet keeps them apart.
func hashFloats(f *checksumField, dst []uint64, arr arrow.Array, _ *scratchPool) error {
	switch a := arr.(type) {
	case *array.Float32:
		for i, v := range a.Values() {
			dst[i] = hashFloat(float64(v), f.seed)
		}
	case *array.Float64:
		for i, v := range a.Values() {
			dst[i] = hashFloat(v, f.seed)
		}
	default:
		return unexpectedArray(arr)
	}
	clearNulls(dst, arr)
	return nil
}

func hashFloat(v float64, seed uint64) uint64 {
	bits := math.Float64bits(v)
	if v != v {
		bits = canonicalNaN
	}
	return mix(bits ^ seed)
}

// hashInstants takes dates and timestamps as microseconds since the epoch, and the nanoseconds
// beyond them only where there are any: date, timestamp and timestamp_ns of one instant agree.
func hashInstants(f *checksumField, dst []uint64, arr arrow.Array, _ *scratchPool) error {
	switch a := arr.(type) {
	case *array.Date32:
		for i, v := range a.Values() {
			dst[i] = mix(uint64(int64(v)*microsPerDay) ^ f.seed)
		}
	case *array.Timestamp:
		unit := a.DataType().(*arrow.TimestampType).Unit
		if unit != arrow.Microsecond && unit != arrow.Nanosecond {
			return unexpectedArray(arr)
		}
		for i, v := range a.Values() {
			micros, nanos := int64(v), int64(0)
			if unit == arrow.Nanosecond {
				micros, nanos = floorDiv(int64(v), 1000), floorMod(int64(v), 1000)
			}
			h := uint64(micros) ^ f.seed
			if nanos != 0 {
				h ^= mix(uint64(nanos) ^ nanosSeed)
			}
			dst[i] = mix(h)
		}
	default:
		return unexpectedArray(arr)
	}
	clearNulls(dst, arr)
	return nil
}

// hashDecimals takes the unscaled value as 128 bits: a wider precision changes nothing.
func hashDecimals(f *checksumField, dst []uint64, arr arrow.Array, _ *scratchPool) error {
	a, ok := arr.(*array.Decimal128)
	if !ok {
		return unexpectedArray(arr)
	}
	for i := range dst {
		v := a.Value(i)
		dst[i] = mix(v.LowBits() ^ f.seed ^ mix(uint64(v.HighBits())^highSeed))
	}
	clearNulls(dst, arr)
	return nil
}

func hashBytes(f *checksumField, dst []uint64, arr arrow.Array, _ *scratchPool) error {
	switch a := arr.(type) {
	case *array.String:
		for i := range dst {
			dst[i] = mix(xxhash.Sum64String(a.Value(i)) ^ f.seed)
		}
	case *array.LargeString:
		for i := range dst {
			dst[i] = mix(xxhash.Sum64String(a.Value(i)) ^ f.seed)
		}
	case *array.Binary:
		for i := range dst {
			dst[i] = mix(xxhash.Sum64(a.Value(i)) ^ f.seed)
		}
	case *array.LargeBinary:
		for i := range dst {
			dst[i] = mix(xxhash.Sum64(a.Value(i)) ^ f.seed)
		}
	case *array.FixedSizeBinary:
		for i := range dst {
			dst[i] = 0
			if a.IsValid(i) {
				dst[i] = mix(xxhash.Sum64(a.Value(i)) ^ f.seed)
			}
		}
	case array.ExtensionArray:
		return hashBytes(f, dst, a.Storage(), nil)
	default:
		return unexpectedArray(arr)
	}
	clearNulls(dst, arr)
	return nil
}

// hashStructs adds up the fields, each with its own id, so that a field added later as null changes
// nothing. A struct of nulls is not a null struct.
func hashStructs(f *checksumField, dst []uint64, arr arrow.Array, scratch *scratchPool) error {
	a, ok := arr.(*array.Struct)
	if !ok || a.NumField() != len(f.children) {
		return unexpectedArray(arr)
	}
	clear(dst)
	cells := scratch.get(len(dst))
	defer func() { scratch.put(cells) }()
	for i := range f.children {
		child := &f.children[i]
		if err := child.hash(child, cells, a.Field(i), scratch); err != nil {
			return err
		}
		for row, cell := range cells {
			dst[row] += cell
		}
	}
	for row := range dst {
		dst[row] = mix((dst[row] + groupSeed) ^ f.seed)
	}
	clearNulls(dst, arr)
	return nil
}

// hashLists chains the elements, so that their order and number count, nulls included.
func hashLists(f *checksumField, dst []uint64, arr arrow.Array, scratch *scratchPool) error {
	a, ok := arr.(*array.List)
	if !ok {
		return unexpectedArray(arr)
	}
	first, last := valueRange(a)
	cells := scratch.get(last - first)
	defer func() { scratch.put(cells) }()
	if err := hashSlice(&f.children[0], cells, a.ListValues(), first, scratch); err != nil {
		return err
	}
	for row := range dst {
		start, end := a.ValueOffsets(row)
		h := f.seed ^ listSeed
		for _, cell := range cells[int(start)-first : int(end)-first] {
			h = mix(h*seedStep + cell)
		}
		dst[row] = mix(h + uint64(end-start))
	}
	clearNulls(dst, arr)
	return nil
}

// hashMaps adds up the entries, each as key with value: the order of entries means nothing.
func hashMaps(f *checksumField, dst []uint64, arr arrow.Array, scratch *scratchPool) error {
	a, ok := arr.(*array.Map)
	if !ok {
		return unexpectedArray(arr)
	}
	first, last := valueRange(a)
	keys, items := scratch.get(last-first), scratch.get(last-first)
	defer func() { scratch.put(keys); scratch.put(items) }()
	if err := hashSlice(&f.children[0], keys, a.Keys(), first, scratch); err != nil {
		return err
	}
	if err := hashSlice(&f.children[1], items, a.Items(), first, scratch); err != nil {
		return err
	}
	for row := range dst {
		start, end := a.ValueOffsets(row)
		h := uint64(end-start) + mapSeed
		for i := int(start) - first; i < int(end)-first; i++ {
			h += mix(keys[i]*seedStep + items[i])
		}
		dst[row] = mix(h ^ f.seed)
	}
	clearNulls(dst, arr)
	return nil
}

// hashSlice hashes the len(dst) values of arr from first on.
func hashSlice(f *checksumField, dst []uint64, arr arrow.Array, first int, s *scratchPool) error {
	slice := array.NewSlice(arr, int64(first), int64(first+len(dst)))
	defer slice.Release()
	return f.hash(f, dst, slice, s)
}

// valueRange is the part of the child values that the lists of a cover.
func valueRange(a array.ListLike) (first, last int) {
	if a.Len() == 0 {
		return 0, 0
	}
	start, _ := a.ValueOffsets(0)
	_, end := a.ValueOffsets(a.Len() - 1)
	return int(start), int(end)
}

func clearNulls(dst []uint64, arr arrow.Array) {
	if arr.NullN() == 0 {
		return
	}
	for i := range dst {
		if arr.IsNull(i) {
			dst[i] = 0
		}
	}
}

func unexpectedArray(arr arrow.Array) error {
	return fmt.Errorf("batch holds %s, which is not the arrow form of the column", arr.DataType())
}

// floorDiv divides towards minus infinity, as calendars do before 1970.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b != 0 && (a < 0) != (b < 0) {
		q--
	}
	return q
}

func floorMod(a, b int64) int64 { return a - floorDiv(a, b)*b }
