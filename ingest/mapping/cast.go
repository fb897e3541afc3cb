package mapping

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// castType is a type that a value can be cast to.
type castType struct {
	names   []string
	convert func(value any) (any, error)
}

// casts are those that there are, by their names in the order of error messages.
func casts() []castType {
	return []castType{
		{[]string{"double", "float"}, toDouble},
		{[]string{"long", "bigint", "int", "integer"}, toLong},
		{[]string{"decimal"}, toDecimal},
		{[]string{"text", "string", "varchar"}, toText},
		{[]string{"boolean", "bool"}, toBoolean},
		{[]string{"timestamp"}, toTimestamp},
	}
}

func cannot(value any, kind string) error {
	shown, err := json.Marshal(value)
	if err != nil {
		shown = fmt.Append(nil, value)
	}
	return fmt.Errorf("%.60s is no %s", shown, kind)
}

// written is a number or a text as text.
func written(value any) (string, bool) {
	switch value := value.(type) {
	case string:
		return strings.TrimSpace(value), true
	case json.Number:
		return value.String(), true
	}
	return "", false
}

func toDouble(value any) (any, error) {
	text, ok := written(value)
	number, err := strconv.ParseFloat(text, 64)
	if !ok || err != nil || math.IsInf(number, 0) || math.IsNaN(number) || strings.ContainsAny(text, "xX_") {
		return nil, cannot(value, "number")
	}
	return json.Number(strconv.FormatFloat(number, 'g', -1, 64)), nil
}

// toLong takes 12.0 too, for it is 12.
func toLong(value any) (any, error) {
	text, ok := written(value)
	if whole, zeros, found := strings.Cut(text, "."); found && strings.Trim(zeros, "0") == "" {
		text = whole
	}
	number, err := strconv.ParseInt(text, 10, 64)
	if !ok || err != nil {
		return nil, cannot(value, "whole number of 64 bits")
	}
	return json.Number(strconv.FormatInt(number, 10)), nil
}

// toDecimal keeps every digit.
func toDecimal(value any) (any, error) {
	text, ok := written(value)
	digits := strings.TrimPrefix(text, "+")
	if !ok || !json.Valid([]byte(digits)) || !strings.ContainsRune("-0123456789", rune(digits[0])) {
		return nil, cannot(value, "decimal number")
	}
	return json.Number(digits), nil
}

func toText(value any) (any, error) {
	switch value := value.(type) {
	case string:
		return value, nil
	case json.Number:
		return value.String(), nil
	}
	text, err := json.Marshal(value)
	return string(text), err
}

func toBoolean(value any) (any, error) {
	if is, ok := value.(bool); ok {
		return is, nil
	}
	text, _ := written(value)
	switch strings.ToLower(text) {
	case "true", "t", "yes", "y", "on", "1":
		return true, nil
	case "false", "f", "no", "n", "off", "0":
		return false, nil
	}
	return nil, cannot(value, "boolean")
}

// timestampLayouts are read in this order; a text without zone is UTC.
var timestampLayouts = [...]string{
	"2006-01-02T15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999Z07:00",
	"2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999", "2006-01-02 15:04:05.999999999 -0700",
	"2006-01-02", "2006/01/02 15:04:05.999999999", "2006/01/02", time.RFC1123, time.RFC1123Z,
}

// toTimestamp takes texts, and numbers since 1970 in seconds, milli-, micro- or nanoseconds by their size: as
// seconds those below 10^11 reach to the year 5138.
func toTimestamp(value any) (any, error) {
	text, ok := written(value)
	if !ok {
		return nil, cannot(value, "timestamp")
	}
	if number, err := strconv.ParseFloat(text, 64); err == nil {
		return epoch(value, text, number)
	}
	for _, layout := range timestampLayouts {
		if at, err := time.Parse(layout, text); err == nil {
			return at.UTC().Format(time.RFC3339Nano), nil
		}
	}
	return nil, cannot(value, "timestamp")
}

func epoch(value any, text string, number float64) (any, error) {
	whole, err := strconv.ParseInt(text, 10, 64)
	if err != nil { // seconds with a fraction
		if math.Abs(number) >= 1e11 || math.IsNaN(number) {
			return nil, cannot(value, "timestamp")
		}
		return time.UnixMicro(int64(math.Round(number * 1e6))).UTC().Format(time.RFC3339Nano), nil
	}
	var at time.Time
	switch size := math.Abs(number); {
	case size < 1e11:
		at = time.Unix(whole, 0)
	case size < 1e14:
		at = time.UnixMilli(whole)
	case size < 1e17:
		at = time.UnixMicro(whole)
	default:
		at = time.Unix(0, whole)
	}
	return at.UTC().Format(time.RFC3339Nano), nil
}
