package table

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/iceberg-go"
)

// keys are the transformed values of one column of a batch, by which rows are partitioned or sorted.
// One of ints, decimals and text holds them, as the transform's kind says. Scratch is kept from
// batch to batch.
type keys struct {
	ints     []int64 // floats as their bits
	decimals []decimal128.Num
	text     func(row int) []byte // valid until the batch is released
	nulls    []bool               // nil when there is none
}

func (k *keys) isNull(row int) bool { return k.nulls != nil && k.nulls[row] }

type keyKind int

const (
	keyInts keyKind = iota
	keyFloats32
	keyFloats64
	keyDecimals
	keyText
	keyNothing // void: all null
)

// transform is an Iceberg transform of one source column, compiled for its type.
type transform struct {
	name   string
	path   []int // child indices from the batch down to the source column
	result iceberg.Type
	kind   keyKind
	// One of these runs after the source values were loaded; nil is identity.
	onInts     func([]int64)
	onDecimals func([]decimal128.Num)
	onText     func([]byte) []byte
	hashText   bool  // text becomes ints by its hash
	hashNums   bool  // decimals become ints by their hash
	buckets    int64 // of a bucket transform
}

// compileTransform prepares t over the column sourceID, which may lie inside structs.
func compileTransform(
	schema *iceberg.Schema, sourceIDs []int, t iceberg.Transform,
) (*transform, error) {
	if len(sourceIDs) != 1 {
		return nil, fmt.Errorf("transform %s of %d columns is not known", t, len(sourceIDs))
	}
	field, ok := schema.FindFieldByID(sourceIDs[0])
	if !ok {
		return nil, fmt.Errorf("transform %s: the schema has no field with id %d", t, sourceIDs[0])
	}
	path, ok := columnPath(schema.Fields(), sourceIDs[0])
	if !ok {
		return nil, fmt.Errorf("transform %s of %s: values in lists and maps have no transform",
			t, field.Name)
	}
	if !t.CanTransform(field.Type) {
		return nil, fmt.Errorf("transform %s does not take column %s of type %s",
			t, field.Name, field.Type)
	}
	c := &transform{name: field.Name, path: path, result: t.ResultType(field.Type)}
	if err := c.compile(t, field.Type); err != nil {
		return nil, fmt.Errorf("transform %s of %s: %w", t, field.Name, err)
	}
	return c, nil
}

// columnPath finds the way through structs to the field with id.
func columnPath(fields []iceberg.NestedField, id int) ([]int, bool) {
	for i, field := range fields {
		if field.ID == id {
			return []int{i}, true
		}
		group, ok := field.Type.(*iceberg.StructType)
		if !ok {
			continue
		}
		if below, ok := columnPath(group.FieldList, id); ok {
			return append([]int{i}, below...), true
		}
	}
	return nil, false
}

func kindOf(typ iceberg.Type) (keyKind, error) {
	switch typ.(type) {
	case iceberg.BooleanType, iceberg.Int32Type, iceberg.Int64Type, iceberg.DateType,
		iceberg.TimeType, iceberg.TimestampType, iceberg.TimestampTzType,
		iceberg.TimestampNsType, iceberg.TimestampTzNsType:
		return keyInts, nil
	case iceberg.Float32Type:
		return keyFloats32, nil
	case iceberg.Float64Type:
		return keyFloats64, nil
	case iceberg.DecimalType:
		return keyDecimals, nil
	case iceberg.StringType, iceberg.BinaryType, iceberg.FixedType, iceberg.UUIDType:
		return keyText, nil
	}
	return 0, fmt.Errorf("type %s cannot be a key", typ)
}

func (c *transform) compile(t iceberg.Transform, source iceberg.Type) error {
	if _, isVoid := t.(iceberg.VoidTransform); isVoid {
		c.kind = keyNothing
		return nil
	}
	var err error
	if c.kind, err = kindOf(source); err != nil {
		return err
	}
	switch t := t.(type) {
	case iceberg.IdentityTransform:
		return nil
	case iceberg.BucketTransform:
		if t.NumBuckets <= 0 || t.NumBuckets > math.MaxInt32 {
			return fmt.Errorf("number of buckets is %d", t.NumBuckets)
		}
		c.bucket(int64(t.NumBuckets), source)
		return nil
	case iceberg.TruncateTransform:
		if t.Width <= 0 || t.Width > math.MaxInt32 {
			return fmt.Errorf("width is %d", t.Width)
		}
		c.truncate(int64(t.Width), source)
		return nil
	}
	perDay, ok := unitsPerDay(source)
	if !ok {
		return fmt.Errorf("not known")
	}
	switch t.(type) {
	case iceberg.YearTransform:
		c.onInts = func(v []int64) {
			eachDay(v, perDay, func(day int64) int64 { return floorDiv(months(day), 12) })
		}
	case iceberg.MonthTransform:
		c.onInts = func(v []int64) { eachDay(v, perDay, months) }
	case iceberg.DayTransform:
		c.onInts = func(v []int64) { divide(v, perDay) }
	case iceberg.HourTransform:
		c.onInts = func(v []int64) { divide(v, perDay/24) }
	default:
		return fmt.Errorf("not known")
	}
	return nil
}

func unitsPerDay(source iceberg.Type) (int64, bool) {
	switch source.(type) {
	case iceberg.DateType:
		return 1, true
	case iceberg.TimestampType, iceberg.TimestampTzType:
		return microsPerDay, true
	case iceberg.TimestampNsType, iceberg.TimestampTzNsType:
		return microsPerDay * 1000, true
	}
	return 0, false
}

// divide rounds down, so that moments before 1970 fall into their own day or hour.
func divide(v []int64, by int64) {
	if by == 1 {
		return
	}
	for i := range v {
		v[i] = floorDiv(v[i], by)
	}
}

// eachDay replaces moments by a function of their day. Neighbours are mostly of one day.
func eachDay(v []int64, perDay int64, of func(day int64) int64) {
	divide(v, perDay)
	last, result := int64(math.MinInt64), int64(0)
	for i, day := range v {
		if day != last {
			last, result = day, of(day)
		}
		v[i] = result
	}
}

// months is the number of months from January 1970 to the month of a day (proleptic Gregorian).
func months(day int64) int64 {
	const daysPer400Years, daysPer100Years, daysPer4Years = 146097, 36524, 1461
	const marchFirstYear0 = 719468 // days before 1970-01-01
	shifted := day + marchFirstYear0
	era := floorDiv(shifted, daysPer400Years)
	dayOfEra := shifted - era*daysPer400Years
	yearOfEra := (dayOfEra - dayOfEra/(daysPer4Years-1) + dayOfEra/daysPer100Years -
		dayOfEra/(daysPer400Years-1)) / 365
	dayOfYear := dayOfEra - (365*yearOfEra + yearOfEra/4 - yearOfEra/100)
	monthFromMarch := (5*dayOfYear + 2) / 153
	return (era*400+yearOfEra-1970)*12 + monthFromMarch + 2
}

func (c *transform) bucket(n int64, source iceberg.Type) {
	c.buckets = n
	switch c.kind {
	case keyInts:
		nanos := false
		switch source.(type) {
		case iceberg.TimestampNsType, iceberg.TimestampTzNsType:
			nanos = true // hashed as microseconds
		}
		c.onInts = func(v []int64) {
			if nanos {
				divide(v, 1000)
			}
			for i := range v {
				v[i] = int64(murmurInt(uint64(v[i]))&math.MaxInt32) % n
			}
		}
	case keyDecimals:
		c.hashNums, c.kind = true, keyInts
	case keyText:
		c.hashText, c.kind = true, keyInts
	}
}

func (c *transform) truncate(width int64, source iceberg.Type) {
	switch source.(type) {
	case iceberg.Int32Type:
		c.onInts = func(v []int64) {
			for i := range v { // wraps as 32-bit arithmetic does
				v[i] = int64(int32(v[i] - floorMod(v[i], width)))
			}
		}
	case iceberg.Int64Type:
		c.onInts = func(v []int64) {
			for i := range v {
				v[i] -= floorMod(v[i], width)
			}
		}
	case iceberg.DecimalType:
		c.onDecimals = func(v []decimal128.Num) {
			for i := range v {
				v[i] = v[i].Sub(decimal128.FromU64(decimalMod(v[i], uint64(width))))
			}
		}
	case iceberg.StringType:
		c.onText = func(text []byte) []byte {
			n := int64(0)
			for at := range unsafeString(text) {
				if n == width {
					return text[:at]
				}
				n++
			}
			return text
		}
	default:
		c.onText = func(text []byte) []byte { return text[:min(int64(len(text)), width)] }
	}
}

// decimalMod is v modulo width, never negative.
func decimalMod(v decimal128.Num, width uint64) uint64 {
	high, low := uint64(v.HighBits()), v.LowBits()
	negative := v.HighBits() < 0
	if negative {
		var borrow uint64
		low, borrow = bits.Sub64(0, low, 0)
		high, _ = bits.Sub64(0, high, borrow)
	}
	rest := bits.Rem64(bits.Rem64(0, high, width), low, width)
	if negative && rest != 0 {
		return width - rest
	}
	return rest
}

func unsafeString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// eval fills k with the transformed values of batch.
func (c *transform) eval(k *keys, batch arrow.RecordBatch) error {
	n := int(batch.NumRows())
	k.nulls = nil
	if c.kind == keyNothing {
		return nil
	}
	column := batch.Column(c.path[0])
	k.addNulls(column, n)
	for _, child := range c.path[1:] {
		column = column.(*array.Struct).Field(child)
		k.addNulls(column, n)
	}
	if ext, ok := column.(array.ExtensionArray); ok {
		column = ext.Storage()
	}
	if err := k.load(column); err != nil {
		return fmt.Errorf("column %s: %w", c.name, err)
	}
	switch {
	case c.hashText:
		text := k.text
		k.ints = resizeInts(k.ints, n)
		for i := range k.ints {
			if !k.isNull(i) {
				k.ints[i] = int64(murmur(text(i))&math.MaxInt32) % c.buckets
			}
		}
	case c.hashNums:
		k.ints = resizeInts(k.ints, n)
		for i, v := range k.decimals {
			k.ints[i] = int64(murmurDecimal(v)&math.MaxInt32) % c.buckets
		}
	case c.onInts != nil:
		c.onInts(k.ints)
	case c.onDecimals != nil:
		c.onDecimals(k.decimals)
	case c.onText != nil:
		text := k.text
		k.text = func(row int) []byte { return c.onText(text(row)) }
	}
	return nil
}

func (k *keys) addNulls(column arrow.Array, n int) {
	if column.NullN() == 0 {
		return
	}
	if k.nulls == nil {
		k.nulls = make([]bool, n)
	}
	for i := range k.nulls {
		k.nulls[i] = k.nulls[i] || column.IsNull(i)
	}
}

func (k *keys) load(column arrow.Array) error {
	n := column.Len()
	switch a := column.(type) {
	case *array.Boolean:
		k.ints = resizeInts(k.ints, n)
		for i := range k.ints {
			k.ints[i] = 0
			if a.Value(i) {
				k.ints[i] = 1
			}
		}
	case *array.Int32:
		k.ints = widenInts(k.ints, a.Values())
	case *array.Date32:
		k.ints = widenInts(k.ints, a.Values())
	case *array.Int64:
		k.ints = widenInts(k.ints, a.Values())
	case *array.Time64:
		k.ints = widenInts(k.ints, a.Values())
	case *array.Timestamp:
		k.ints = widenInts(k.ints, a.Values())
	case *array.Float32:
		k.ints = resizeInts(k.ints, n)
		for i, v := range a.Values() {
			k.ints[i] = int64(math.Float32bits(v))
			if v != v {
				k.ints[i] = 0x7fc00000
			}
		}
	case *array.Float64:
		k.ints = resizeInts(k.ints, n)
		for i, v := range a.Values() {
			k.ints[i] = int64(math.Float64bits(v))
			if v != v {
				k.ints[i] = canonicalNaN
			}
		}
	case *array.Decimal128:
		k.decimals = append(k.decimals[:0], a.Values()...)
	case *array.String:
		k.text = func(row int) []byte { return unsafeBytes(a.Value(row)) }
	case *array.Binary:
		k.text = a.Value
	case *array.FixedSizeBinary:
		k.text = a.Value
	default:
		return unexpectedArray(column)
	}
	return nil
}

func unsafeBytes(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

func widenInts[T ~int32 | ~int64](dst []int64, src []T) []int64 {
	dst = resizeInts(dst, len(src))
	for i, v := range src {
		dst[i] = int64(v)
	}
	return dst
}

func resizeInts(s []int64, n int) []int64 {
	if cap(s) < n {
		return make([]int64, n)
	}
	return s[:n]
}

// murmur is the 32-bit x86 Murmur3 hash with seed 0 (Iceberg spec, appendix B).
func murmur(b []byte) uint32 {
	var h uint32
	n := len(b)
	for ; len(b) >= 4; b = b[4:] {
		h = murmurBlock(h, binary.LittleEndian.Uint32(b))
	}
	if len(b) > 0 {
		var tail uint32
		for i := len(b) - 1; i >= 0; i-- {
			tail = tail<<8 | uint32(b[i])
		}
		h ^= murmurScramble(tail)
	}
	return murmurFinish(h, n)
}

// murmurInt hashes an integer as its 8 bytes, little end first.
func murmurInt(v uint64) uint32 {
	return murmurFinish(murmurBlock(murmurBlock(0, uint32(v)), uint32(v>>32)), 8)
}

// murmurDecimal hashes the shortest big-endian form of the unscaled value.
func murmurDecimal(v decimal128.Num) uint32 {
	var buf [16]byte
	binary.BigEndian.PutUint64(buf[:8], uint64(v.HighBits()))
	binary.BigEndian.PutUint64(buf[8:], v.LowBits())
	return murmur(shortestTwosComplement(buf[:]))
}

func murmurScramble(k uint32) uint32 {
	return bits.RotateLeft32(k*0xcc9e2d51, 15) * 0x1b873593
}

func murmurBlock(h, k uint32) uint32 {
	return bits.RotateLeft32(h^murmurScramble(k), 13)*5 + 0xe6546b64
}

func murmurFinish(h uint32, n int) uint32 {
	h ^= uint32(n)
	h = (h ^ h>>16) * 0x85ebca6b
	h = (h ^ h>>13) * 0xc2b2ae35
	return h ^ h>>16
}
