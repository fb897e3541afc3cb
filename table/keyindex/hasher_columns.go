package keyindex

import (
	"encoding/binary"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/zeebo/xxh3"
)

// adder mixes the values of a column into the states of its rows, dst, which is as long as arr. What it
// does to rows that are null is of no meaning.
type adder func(s *schedule, dst []Key, arr arrow.Array) error

// add mixes 128 bits into the state of a row.
func (s *schedule) add(k *Key, high, low uint64) {
	*k = s.permute(Key{k.High ^ high, k.Low ^ low})
}

// addIntegers takes every width as 64 bits, so that int and long agree.
func addIntegers(s *schedule, dst []Key, arr arrow.Array) error {
	switch a := arr.(type) {
	case *array.Int32:
		addWords(s, dst, a.Values())
	case *array.Int64:
		addWords(s, dst, a.Values())
	case *array.Time64:
		if a.DataType().(*arrow.Time64Type).Unit != arrow.Microsecond {
			return errUnexpected(arr)
		}
		addWords(s, dst, a.Values())
	default:
		return errUnexpected(arr)
	}
	return nil
}

func addWords[T ~int32 | ~int64](s *schedule, dst []Key, values []T) {
	for i, v := range values {
		s.add(&dst[i], 0, uint64(int64(v)))
	}
}

func addBooleans(s *schedule, dst []Key, arr arrow.Array) error {
	a, ok := arr.(*array.Boolean)
	if !ok {
		return errUnexpected(arr)
	}
	for i := range dst {
		var v uint64
		if a.Value(i) {
			v = 1
		}
		s.add(&dst[i], 0, v)
	}
	return nil
}

const secondsPerDay = 24 * 60 * 60

// addInstants takes dates and timestamps as seconds and nanoseconds within them, so that an instant has
// one key as date, timestamp and timestamp_ns, and none is out of range.
func addInstants(s *schedule, dst []Key, arr arrow.Array) error {
	switch a := arr.(type) {
	case *array.Date32:
		for i, v := range a.Values() {
			s.add(&dst[i], 0, uint64(int64(v)*secondsPerDay))
		}
	case *array.Timestamp:
		switch a.DataType().(*arrow.TimestampType).Unit {
		case arrow.Microsecond:
			for i, v := range a.Values() {
				seconds, rest := floorDiv(int64(v), 1_000_000)
				s.add(&dst[i], rest*1000, seconds)
			}
		case arrow.Nanosecond:
			for i, v := range a.Values() {
				seconds, rest := floorDiv(int64(v), 1_000_000_000)
				s.add(&dst[i], rest, seconds)
			}
		default:
			return errUnexpected(arr)
		}
	default:
		return errUnexpected(arr)
	}
	return nil
}

// floorDiv divides towards minus infinity, as calendars do before 1970; the rest is not negative.
func floorDiv(a, b int64) (quotient, rest uint64) {
	q, r := a/b, a%b
	if r < 0 {
		q, r = q-1, r+b
	}
	return uint64(q), uint64(r)
}

// addDecimals takes the unscaled value as 128 bits: a wider precision changes nothing.
func addDecimals(s *schedule, dst []Key, arr arrow.Array) error {
	a, ok := arr.(*array.Decimal128)
	if !ok {
		return errUnexpected(arr)
	}
	for i, v := range a.Values() {
		s.add(&dst[i], uint64(v.HighBits()), v.LowBits())
	}
	return nil
}

func addUUIDs(s *schedule, dst []Key, arr arrow.Array) error {
	if extension, ok := arr.(array.ExtensionArray); ok {
		arr = extension.Storage()
	}
	a, ok := arr.(*array.FixedSizeBinary)
	if !ok || a.DataType().(*arrow.FixedSizeBinaryType).ByteWidth != 16 {
		return errUnexpected(arr)
	}
	for i := range dst {
		if a.IsNull(i) {
			continue
		}
		v := a.Value(i)
		s.add(&dst[i], binary.BigEndian.Uint64(v), binary.BigEndian.Uint64(v[8:]))
	}
	return nil
}

// addBytes takes the hash of the bytes, which their number is part of: so it matters where the value of
// one column ends and that of the next begins.
func addBytes(s *schedule, dst []Key, arr arrow.Array) error {
	switch a := arr.(type) {
	case *array.String:
		addTexts(s, dst, a.Value)
	case *array.LargeString:
		addTexts(s, dst, a.Value)
	case *array.Binary:
		addTexts(s, dst, a.ValueString)
	case *array.LargeBinary:
		addTexts(s, dst, a.ValueString)
	case *array.FixedSizeBinary:
		for i := range dst {
			if a.IsNull(i) {
				continue
			}
			h := xxh3.Hash128Seed(a.Value(i), s.bytes)
			s.add(&dst[i], h.Hi, h.Lo)
		}
	default:
		return errUnexpected(arr)
	}
	return nil
}

func addTexts(s *schedule, dst []Key, value func(row int) string) {
	for i := range dst {
		h := xxh3.HashString128Seed(value(i), s.bytes)
		s.add(&dst[i], h.Hi, h.Lo)
	}
}

func errUnexpected(arr arrow.Array) error {
	return fmt.Errorf("batch holds %s, which is not the arrow form of the column", arr.DataType())
}
