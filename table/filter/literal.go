package filter

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/google/uuid"
)

// exponentMax bounds the exponent of a number: above it lies no value of any column, and the
// digits would fill the memory.
const exponentMax = 400

// number reads a literal of a number.
func number(text string) (*big.Rat, error) {
	if at := strings.IndexAny(text, "eE"); at >= 0 {
		exponent, err := strconv.Atoi(text[at+1:])
		if err != nil || exponent > exponentMax || exponent < -exponentMax {
			return nil, fmt.Errorf("the exponent of %s is beyond ±%d", shorten(text), exponentMax)
		}
	}
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		return nil, fmt.Errorf("%s is not a number", shorten(text))
	}
	return r, nil
}

// ordered turns a literal into its place among the integers that stand for the column's values.
// The place may lie between two of them (10.5 of an int column, a nanosecond of a timestamp in
// microseconds), which decides what < and = mean.
func ordered(typ iceberg.Type, l literal) (*big.Rat, error) {
	switch t := typ.(type) {
	case iceberg.Int32Type, iceberg.Int64Type:
		if l.kind != literalNumber {
			return nil, errWant("a number", l)
		}
		return number(l.text)
	case iceberg.DecimalType:
		if l.kind != literalNumber {
			return nil, errWant("a number", l)
		}
		r, err := number(l.text)
		if err != nil {
			return nil, err
		}
		scale := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(t.Scale())), nil)
		return r.Mul(r, new(big.Rat).SetInt(scale)), nil
	case iceberg.Float32Type, iceberg.Float64Type:
		return floatPlace(typ, l)
	case iceberg.BooleanType:
		if l.kind != literalBool {
			return nil, errWant("TRUE or FALSE", l)
		}
		return new(big.Rat).SetInt64(int64(len("false") - len(l.text))), nil
	case iceberg.TimeType:
		return timePlace(l)
	}
	return instantPlace(typ, l)
}

func errWant(want string, l literal) error {
	return fmt.Errorf("the column takes %s, not %s", want, shorten(l.String()))
}

// floatPlace is the key of a number. A literal for a float column is rounded to float first, as
// other engines do, so that f = 0.1 finds the float written as 0.1.
func floatPlace(typ iceberg.Type, l literal) (*big.Rat, error) {
	special := l.kind == literalString && isSpecialFloat(l.text)
	if l.kind != literalNumber && !special {
		return nil, errWant("a number, 'NaN' or 'Infinity'", l)
	}
	bits := 64
	if _, ok := typ.(iceberg.Float32Type); ok {
		bits = 32
	}
	f, err := strconv.ParseFloat(l.text, bits)
	if err != nil && !errors.Is(err, strconv.ErrRange) { // out of range is infinite, which is right
		return nil, fmt.Errorf("%s is not a number", shorten(l.text))
	}
	return new(big.Rat).SetInt64(floatKey(f)), nil
}

func isSpecialFloat(text string) bool {
	switch strings.ToLower(strings.TrimLeft(text, "+-")) {
	case "nan", "inf", "infinity":
		return true
	}
	return false
}

func timePlace(l literal) (*big.Rat, error) {
	if l.kind != literalString {
		return nil, errWant("a time such as '15:04:05.000001'", l)
	}
	for _, layout := range []string{"15:04:05", "15:04"} { // fractions are taken too
		if t, err := time.Parse(layout, l.text); err == nil {
			nanos := t.Sub(t.Truncate(24 * time.Hour)).Nanoseconds()
			return big.NewRat(nanos, 1000), nil
		}
	}
	return nil, fmt.Errorf("'%s' is not a time; write '15:04:05'", shorten(l.text))
}

// instantPlace reads a date or timestamp literal for a column of days, micro- or nanoseconds.
func instantPlace(typ iceberg.Type, l literal) (*big.Rat, error) {
	if l.kind != literalString && l.kind != literalDate && l.kind != literalTimestamp {
		return nil, errWant(fmt.Sprintf("a %s such as '2024-05-31 15:04:05'", typ), l)
	}
	t, zoned, err := parseInstant(l.text)
	if err != nil {
		return nil, err
	}
	switch typ.(type) {
	case iceberg.TimestampType, iceberg.TimestampNsType, iceberg.DateType:
		if zoned {
			return nil, fmt.Errorf("'%s' has a zone and the column (%s) has none: leave the zone out",
				shorten(l.text), typ)
		}
	}
	nanos := new(big.Int).Mul(big.NewInt(t.Unix()), big.NewInt(int64(time.Second)))
	nanos.Add(nanos, big.NewInt(int64(t.Nanosecond())))
	unit := int64(time.Microsecond)
	switch typ.(type) {
	case iceberg.DateType:
		unit = int64(24 * time.Hour)
	case iceberg.TimestampNsType, iceberg.TimestampTzNsType:
		unit = 1
	}
	return new(big.Rat).SetFrac(nanos, big.NewInt(unit)), nil
}

// parseInstant reads "2024-05-31", optionally with a time of day after a blank or T, and a zone
// after that. Without a zone it is UTC.
func parseInstant(text string) (t time.Time, zoned bool, err error) {
	normal := strings.Replace(text, " ", "T", 1)
	for _, layout := range []string{"2006-01-02", "2006-01-02T15:04", "2006-01-02T15:04:05"} {
		if t, err := time.Parse(layout, normal); err == nil {
			return t, false, nil
		}
		for _, zone := range []string{"Z07:00", "Z07", " Z07:00"} {
			if len(layout) == len("2006-01-02") {
				continue
			}
			if t, err := time.Parse(layout+zone, normal); err == nil {
				return t, true, nil
			}
		}
	}
	return time.Time{}, false, fmt.Errorf(
		"'%s' is not a date or timestamp; write '2024-05-31' or '2024-05-31T15:04:05.000001Z'",
		shorten(text))
}

// textOf turns a literal into the bytes that stand for the column's values.
func textOf(typ iceberg.Type, l literal) (string, error) {
	switch t := typ.(type) {
	case iceberg.StringType:
		if l.kind != literalString {
			return "", errWant("a string in single quotes", l)
		}
		return l.text, nil
	case iceberg.UUIDType:
		id, err := uuid.Parse(l.text)
		if l.kind != literalString || err != nil {
			return "", errWant("a UUID in single quotes", l)
		}
		return string(id[:]), nil
	case iceberg.FixedType:
		if l.kind != literalBinary || len(l.text) != t.Len() {
			return "", errWant(fmt.Sprintf("%d bytes written as X'%s'", t.Len(),
				hex.EncodeToString(make([]byte, min(t.Len(), 4)))), l)
		}
		return l.text, nil
	}
	if l.kind != literalBinary {
		return "", errWant("bytes written as X'00ff'", l)
	}
	return l.text, nil
}
