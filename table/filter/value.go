package filter

import (
	"encoding/binary"
	"math"
	"math/big"
	"strings"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/iceberg-go"
	"github.com/google/uuid"
)

// domain is how the values of a column are compared.
type domain int

const (
	// wholes are integers, dates, times, booleans as 0 and 1, and floats by floatKey.
	wholes domain = iota
	// decimals are unscaled 128-bit integers.
	decimals
	// texts are strings and binaries, compared byte by byte.
	texts
	// structural columns (struct, list, map and others) can only be tested for null.
	structural
)

func domainOf(typ iceberg.Type) domain {
	switch typ.(type) {
	case iceberg.BooleanType, iceberg.Int32Type, iceberg.Int64Type, iceberg.Float32Type,
		iceberg.Float64Type, iceberg.DateType, iceberg.TimeType, iceberg.TimestampType,
		iceberg.TimestampTzType, iceberg.TimestampNsType, iceberg.TimestampTzNsType:
		return wholes
	case iceberg.DecimalType:
		return decimals
	case iceberg.StringType, iceberg.BinaryType, iceberg.FixedType, iceberg.UUIDType:
		return texts
	}
	return structural
}

func isFloat(typ iceberg.Type) bool {
	switch typ.(type) {
	case iceberg.Float32Type, iceberg.Float64Type:
		return true
	}
	return false
}

// value is one value of a column, in the member of its domain.
type value struct {
	whole   int64
	decimal decimal128.Num
	text    string
}

// floatKey maps floats to integers in their total order: zeros are equal, NaNs are equal and above
// all others.
func floatKey(f float64) int64 {
	if f != f {
		return nanKey
	}
	if f == 0 {
		return 0 // for both zeros
	}
	bits := int64(math.Float64bits(f))
	return bits ^ (bits >> 63 & math.MaxInt64)
}

const nanKey = 0x7ff8 << 48

// decodeBound reads a bound of column metrics or of a partition summary. Bounds may have been
// written before the column was promoted, so int bounds of a long column, float bounds of a
// double column and date bounds of a timestamp column are taken too. It returns false when data
// cannot be read: the bound then says nothing.
func decodeBound(typ iceberg.Type, data []byte) (value, bool) {
	switch t := typ.(type) {
	case iceberg.BooleanType:
		if len(data) != 1 {
			return value{}, false
		}
		return value{whole: int64(min(data[0], 1))}, true
	case iceberg.Float32Type, iceberg.Float64Type:
		switch len(data) {
		case 4:
			f := math.Float32frombits(binary.LittleEndian.Uint32(data))
			return value{whole: floatKey(float64(f))}, true
		case 8:
			return value{whole: floatKey(math.Float64frombits(binary.LittleEndian.Uint64(data)))}, true
		}
		return value{}, false
	case iceberg.TimestampType, iceberg.TimestampNsType:
		if len(data) == 4 {
			return daysBound(t, int32(binary.LittleEndian.Uint32(data)))
		}
	case iceberg.DecimalType:
		if len(data) == 0 || len(data) > 16 {
			return value{}, false
		}
		return value{decimal: decimalFromBytes(data)}, true
	}
	switch domainOf(typ) {
	case texts:
		return value{text: string(data)}, true
	case structural:
		return value{}, false
	}
	switch len(data) {
	case 4:
		return value{whole: int64(int32(binary.LittleEndian.Uint32(data)))}, true
	case 8:
		return value{whole: int64(binary.LittleEndian.Uint64(data))}, true
	}
	return value{}, false
}

func daysBound(typ iceberg.Type, days int32) (value, bool) {
	perDay := unitsPerDay(typ)
	if int64(days) > math.MaxInt64/perDay || int64(days) < math.MinInt64/perDay {
		return value{}, false
	}
	return value{whole: int64(days) * perDay}, true
}

// unitsPerDay is the length of a day in units of a timestamp column.
func unitsPerDay(typ iceberg.Type) int64 {
	switch typ.(type) {
	case iceberg.TimestampNsType, iceberg.TimestampTzNsType:
		return 86_400_000_000_000
	}
	return 86_400_000_000
}

// decimalFromBytes reads a big-endian two's complement of up to 16 bytes.
func decimalFromBytes(data []byte) decimal128.Num {
	var full [16]byte
	if data[0]&0x80 != 0 {
		for i := range full {
			full[i] = 0xff
		}
	}
	copy(full[16-len(data):], data)
	return decimal128.New(
		int64(binary.BigEndian.Uint64(full[:8])), binary.BigEndian.Uint64(full[8:]))
}

// nativeValue turns a partition value, as iceberg-go hands it out, into a value. false says that
// it is of no known form.
func nativeValue(native any) (value, bool) {
	switch v := native.(type) {
	case bool:
		if v {
			return value{whole: 1}, true
		}
		return value{}, true
	case int32:
		return value{whole: int64(v)}, true
	case int64:
		return value{whole: v}, true
	case int:
		return value{whole: int64(v)}, true
	case float32:
		return value{whole: floatKey(float64(v))}, true
	case float64:
		return value{whole: floatKey(v)}, true
	case iceberg.Date:
		return value{whole: int64(v)}, true
	case iceberg.Time:
		return value{whole: int64(v)}, true
	case iceberg.Timestamp:
		return value{whole: int64(v)}, true
	case iceberg.TimestampNano:
		return value{whole: int64(v)}, true
	case iceberg.Decimal:
		return value{decimal: v.Val}, true
	case iceberg.DecimalLiteral:
		return value{decimal: v.Val}, true
	case string:
		return value{text: v}, true
	case []byte:
		return value{text: string(v)}, true
	case uuid.UUID:
		return value{text: string(v[:])}, true
	}
	return value{}, false
}

// native is the inverse of nativeValue for the types that bucket transforms take.
func (v value) native(typ iceberg.Type) any {
	switch t := typ.(type) {
	case iceberg.Int32Type:
		return int32(v.whole)
	case iceberg.Int64Type:
		return v.whole
	case iceberg.DateType:
		return iceberg.Date(v.whole)
	case iceberg.TimeType:
		return iceberg.Time(v.whole)
	case iceberg.TimestampType, iceberg.TimestampTzType:
		return iceberg.Timestamp(v.whole)
	case iceberg.TimestampNsType, iceberg.TimestampTzNsType:
		return iceberg.TimestampNano(v.whole)
	case iceberg.DecimalType:
		return iceberg.Decimal{Val: v.decimal, Scale: t.Scale()}
	case iceberg.StringType:
		return v.text
	case iceberg.UUIDType:
		return uuid.UUID([]byte(v.text))
	}
	return []byte(v.text)
}

func (d domain) compare(a, b value) int {
	switch d {
	case decimals:
		return a.decimal.Cmp(b.decimal)
	case texts:
		return strings.Compare(a.text, b.text)
	}
	switch {
	case a.whole < b.whole:
		return -1
	case a.whole > b.whole:
		return 1
	}
	return 0
}

// span is the closed interval [low, high] of a domain; an end that is not bounded is open.
type span struct {
	low, high         value
	openLow, openHigh bool
	// belowHigh makes the interval half-open, as texts have no predecessor.
	belowHigh bool
}

func (s span) contains(d domain, v value) bool {
	return (s.openLow || d.compare(s.low, v) <= 0) && (s.openHigh || s.above(d, v))
}

// above says that the upper end of the span lies at or behind v.
func (s span) above(d domain, v value) bool {
	c := d.compare(v, s.high)
	return c < 0 || c == 0 && !s.belowHigh
}

// overlaps says whether the span has a value in [low, high].
func (s span) overlaps(d domain, low, high value) bool {
	return (s.openLow || d.compare(s.low, high) <= 0) && (s.openHigh || s.above(d, low))
}

// intSpan is the span of the integers v of a domain with v op r, and whether there are any.
func intSpan(d domain, op compareOp, r *big.Rat) (span, bool) {
	floor := new(big.Int).Div(r.Num(), r.Denom()) // Euclidean, the denominator is positive
	one := big.NewInt(1)
	ceil := new(big.Int).Set(floor)
	if !r.IsInt() {
		ceil.Add(ceil, one)
	}
	var low, high *big.Int
	switch op {
	case opEqual:
		low, high = ceil, floor // empty for a fraction
	case opLess:
		high = ceil.Sub(ceil, one)
	case opLessEqual:
		high = floor
	case opGreater:
		low = floor.Add(floor, one)
	case opGreaterEqual:
		low = ceil
	default:
		panic("BUG: no span for operator " + op.String())
	}
	return clampSpan(d, low, high)
}

func clampSpan(d domain, low, high *big.Int) (span, bool) {
	smallest, largest := big.NewInt(math.MinInt64), big.NewInt(math.MaxInt64)
	if d == decimals {
		largest = decimal128.GetMaxValue(38).BigInt()
		smallest = new(big.Int).Neg(largest)
	}
	if low != nil && low.Cmp(largest) > 0 || high != nil && high.Cmp(smallest) < 0 ||
		low != nil && high != nil && low.Cmp(high) > 0 {
		return span{}, false
	}
	var s span
	s.low, s.openLow = clampedEnd(d, low, smallest, low == nil || low.Cmp(smallest) < 0)
	s.high, s.openHigh = clampedEnd(d, high, largest, high == nil || high.Cmp(largest) > 0)
	return s, true
}

// clampedEnd is end, or the limit when it lies outside.
func clampedEnd(d domain, end, limit *big.Int, open bool) (value, bool) {
	if open {
		end = limit
	}
	if d == decimals {
		return value{decimal: decimal128.FromBigInt(end)}, open
	}
	return value{whole: end.Int64()}, open
}

// keySpan is intSpan for keys of floats.
func keySpan(op compareOp, key int64) (span, bool) {
	return intSpan(wholes, op, new(big.Rat).SetInt64(key))
}

// textSpan is the span of the texts v with v op s.
func textSpan(op compareOp, s string) span {
	after := s + "\x00" // the least text above s
	switch op {
	case opEqual:
		return span{low: value{text: s}, high: value{text: after}, belowHigh: true}
	case opLess:
		return span{openLow: true, high: value{text: s}, belowHigh: true}
	case opLessEqual:
		return span{openLow: true, high: value{text: after}, belowHigh: true}
	case opGreater:
		return span{low: value{text: after}, openHigh: true}
	case opGreaterEqual:
		return span{low: value{text: s}, openHigh: true}
	}
	panic("BUG: no span for operator " + op.String())
}

// prefixSpan is the span of the texts that begin with prefix.
func prefixSpan(prefix string) span {
	after, bounded := successor(prefix)
	return span{
		low: value{text: prefix}, high: value{text: after}, openHigh: !bounded, belowHigh: true,
	}
}

// successor is the least text above all that begin with prefix, if there is one.
func successor(prefix string) (string, bool) {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] < 0xff {
			return prefix[:i] + string([]byte{prefix[i] + 1}), true
		}
	}
	return "", false
}
