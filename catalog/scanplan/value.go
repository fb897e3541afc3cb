package scanplan

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/google/uuid"
)

// The forms of single values (Iceberg spec, "JSON single-value serialization").
const (
	dateForm  = "2006-01-02"
	timeForm  = "15:04:05.000000"
	microForm = "2006-01-02T15:04:05.000000"
	nanoForm  = "2006-01-02T15:04:05.000000000"
	zone      = "+00:00"
)

// literal is a value of the protocol as firth's filter has it. Days and microseconds may come as numbers, too.
func literal(raw json.RawMessage, typ iceberg.Type) (string, error) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return "", err
	}
	switch v := value.(type) {
	case bool:
		return strings.ToUpper(strconv.FormatBool(v)), nil
	case json.Number:
		return numberLiteral(v, typ)
	case string:
		return textLiteral(v, typ)
	}
	return "", errNotUnderstood
}

func numberLiteral(v json.Number, typ iceberg.Type) (string, error) {
	n, err := v.Int64()
	switch typ.(type) {
	case iceberg.DateType:
		return "'" + time.Unix(n*86400, 0).UTC().Format(dateForm) + "'", inYears(n, 86400*1e6, err)
	case iceberg.TimestampType, iceberg.TimestampTzType:
		return "'" + time.UnixMicro(n).UTC().Format(microForm) + "'", inYears(n, 1, err)
	case iceberg.TimestampNsType, iceberg.TimestampTzNsType, iceberg.TimeType:
		return "", errNotUnderstood // which unit it is depends on the client
	}
	return v.String(), nil
}

// inYears says whether a time lies where four digits make a year.
func inYears(n, micros int64, err error) error {
	const from, to = -62_135_596_800_000_000, 253_402_300_800_000_000 // years 1 to 9999
	if err != nil || n < from/micros || n >= to/micros {
		return errNotUnderstood
	}
	return nil
}

func textLiteral(text string, typ iceberg.Type) (string, error) {
	switch typ.(type) {
	case iceberg.DecimalType:
		if strings.Trim(text, "+-.0123456789eE") != "" {
			return "", errNotUnderstood
		}
		return text, nil
	case iceberg.BinaryType, iceberg.FixedType:
		return "X'" + text + "'", nil
	}
	return "'" + strings.ReplaceAll(text, "'", "''") + "'", nil
}

// single is a partition value as the protocol has it: something that JSON encodes so. Values have the Go types that
// manifests are read with.
func single(typ iceberg.Type, value any) (any, error) {
	switch v := value.(type) {
	case nil, bool, string, int64:
		return value, nil
	case int32:
		if _, ok := typ.(iceberg.DateType); ok {
			return date(int64(v)), nil
		}
		return v, nil
	case float32:
		return finite(float64(v), value)
	case float64:
		return finite(v, value)
	case iceberg.Date:
		return date(int64(v)), nil
	case iceberg.Time:
		return time.UnixMicro(int64(v)).UTC().Format(timeForm), nil
	case iceberg.Timestamp:
		return time.UnixMicro(int64(v)).UTC().Format(microForm) + zoneOf(typ), nil
	case iceberg.TimestampNano:
		return time.Unix(0, int64(v)).UTC().Format(nanoForm) + zoneOf(typ), nil
	case uuid.UUID:
		return v.String(), nil
	case []byte:
		return hex.EncodeToString(v), nil
	case iceberg.Decimal:
		return v.Val.ToString(int32(v.Scale)), nil
	}
	return nil, fmt.Errorf("a partition value of type %T", value)
}

func date(days int64) string { return time.Unix(days*86400, 0).UTC().Format(dateForm) }

// finite refuses what JSON has no number for.
func finite(f float64, value any) (any, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, fmt.Errorf("%w: files of the partition %v", ErrUnsupported, f)
	}
	return value, nil
}

func zoneOf(typ iceberg.Type) string {
	switch typ.(type) {
	case iceberg.TimestampTzType, iceberg.TimestampTzNsType:
		return zone
	}
	return ""
}
