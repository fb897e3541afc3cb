package filter

import (
	"math"
	"math/big"
	"time"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/iceberg-go"
)

// mayMatchPartition says whether rows whose partition value is native can match. Each transform is
// turned around: from the value to the facts that hold for the source column.
func (l *leaf) mayMatchPartition(transform iceberg.Transform, native any) bool {
	if _, void := transform.(iceberg.VoidTransform); void {
		return true // also null for rows whose source is not
	}
	if native == nil {
		return l.mayMatch(facts{allNull: true})
	}
	v, ok := nativeValue(native)
	if !ok {
		return true
	}
	if bucket, ok := transform.(iceberg.BucketTransform); ok {
		return l.mayMatchBuckets(bucket, v.whole, v.whole)
	}
	f := l.sourceFacts(transform, v, v)
	f.noNulls = true
	return l.mayMatch(f)
}

// mayMatchSummary is mayMatchPartition for all partitions that a summary covers.
func (l *leaf) mayMatchSummary(transform iceberg.Transform, s iceberg.FieldSummary) bool {
	if _, void := transform.(iceberg.VoidTransform); void {
		return true
	}
	f := facts{noNulls: !s.ContainsNull}
	if s.LowerBound != nil && s.UpperBound != nil {
		typ := transform.ResultType(l.typ)
		low, lowOK := decodeEnd(typ, *s.LowerBound)
		high, highOK := decodeEnd(typ, *s.UpperBound)
		bucket, isBucket := transform.(iceberg.BucketTransform)
		switch {
		case !lowOK || !highOK:
		case isBucket && l.kind == leafNull:
		case isBucket:
			return l.mayMatchBuckets(bucket, low.whole, high.whole)
		default:
			bounds := l.sourceFacts(transform, low, high)
			f.bounded, f.low, f.high = bounds.bounded, bounds.low, bounds.high
		}
	}
	f.noNaNs = s.ContainsNaN != nil && !*s.ContainsNaN
	return l.mayMatch(f)
}

// mayMatchBuckets says whether a value that matches can be in one of the buckets [low, high].
func (l *leaf) mayMatchBuckets(bucket iceberg.BucketTransform, low, high int64) bool {
	if l.kind == leafNull {
		return l.negate
	}
	members := len(l.wholes) + len(l.decimals) + len(l.texts)
	if l.negate || l.kind == leafPattern || members > bucketSetMax {
		return true
	}
	hash := bucket.Transformer(l.typ)
	inRange := func(v value) bool {
		n := hash(v.native(l.typ))
		return !n.Valid || low <= int64(n.Val) && int64(n.Val) <= high
	}
	if l.kind == leafSet {
		return l.anyMember(inRange)
	}
	only, single := l.span.single(l.domain)
	return !single || inRange(only)
}

// single is the only member of the span, when it was made by an equality.
func (s span) single(d domain) (value, bool) {
	switch {
	case s.openLow || s.openHigh:
		return value{}, false
	case d == texts:
		return s.low, s.high.text == s.low.text+"\x00"
	}
	return s.low, d.compare(s.low, s.high) == 0
}

// sourceFacts bounds the source column of rows whose partition values are in [low, high].
func (l *leaf) sourceFacts(transform iceberg.Transform, low, high value) facts {
	f := facts{bounded: l.domain != structural, low: low, high: high}
	switch t := transform.(type) {
	case iceberg.IdentityTransform:
		f.noNaNs = isFloat(l.typ) && high.whole != nanKey
		if isFloat(l.typ) && !f.noNaNs {
			f.bounded = false
		}
	case iceberg.TruncateTransform:
		f.high, f.bounded = l.truncatedTop(t.Width, high)
	case iceberg.YearTransform, iceberg.MonthTransform, iceberg.DayTransform, iceberg.HourTransform:
		f.low, f.high, f.bounded = l.timeBounds(transform, low.whole, high.whole)
	default:
		return facts{}
	}
	return f
}

// truncatedTop is the greatest value that truncates to high, or one above it.
func (l *leaf) truncatedTop(width int, high value) (value, bool) {
	switch l.domain {
	case wholes:
		if high.whole > math.MaxInt64-int64(width) {
			return value{whole: math.MaxInt64}, true
		}
		return value{whole: high.whole + int64(width) - 1}, true
	case decimals:
		return value{decimal: high.decimal.Add(decimal128.FromI64(int64(width) - 1))}, true
	case texts:
		length := len(high.text)
		if _, ok := l.typ.(iceberg.StringType); ok {
			length = utf8.RuneCountInString(high.text)
		}
		if length < width {
			return high, true // nothing was cut off
		}
		after, bounded := successor(high.text)
		return value{text: after}, bounded
	}
	return value{}, false
}

// timeBounds is the first and last moment of the periods [low, high] in units of the column. Some
// old writers rounded times before 1970 towards it, so periods up to 0 reach back one more.
func (l *leaf) timeBounds(transform iceberg.Transform, low, high int64) (from, to value, ok bool) {
	if low <= 0 {
		low--
	}
	first, firstOK := l.periodStart(transform, low)
	end, endOK := l.periodStart(transform, high+1)
	return value{whole: first}, value{whole: end - 1}, firstOK && endOK
}

func (l *leaf) periodStart(transform iceberg.Transform, n int64) (int64, bool) {
	const farthest = 10_000_000 // periods; beyond lies no date that anybody stores
	if n > farthest || n < -farthest {
		return 0, false
	}
	var start time.Time
	switch transform.(type) {
	case iceberg.YearTransform:
		start = time.Date(1970+int(n), 1, 1, 0, 0, 0, 0, time.UTC)
	case iceberg.MonthTransform:
		start = time.Date(1970, time.Month(1+n), 1, 0, 0, 0, 0, time.UTC)
	case iceberg.DayTransform:
		start = time.Unix(n*24*60*60, 0)
	default:
		start = time.Unix(n*60*60, 0)
	}
	seconds := big.NewInt(start.Unix())
	const day = 24 * 60 * 60
	if _, ok := l.typ.(iceberg.DateType); ok {
		seconds.Div(seconds, big.NewInt(day))
	} else {
		seconds.Mul(seconds, big.NewInt(unitsPerDay(l.typ)/day))
	}
	return seconds.Int64(), seconds.IsInt64()
}
