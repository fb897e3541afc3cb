package point

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/google/uuid"

	"github.com/firthlake/firth/table"
)

// ErrKey says that a text or a JSON value is no key of the table.
var ErrKey = errors.New("no key of the table")

// KeyColumns are the identifier's columns in the order of the schema: the order of the values of a key. Those in
// structs have the names of the structs before their own.
func KeyColumns(schema *iceberg.Schema) []iceberg.NestedField {
	var out []iceberg.NestedField
	var collect func(prefix string, fields []iceberg.NestedField)
	collect = func(prefix string, fields []iceberg.NestedField) {
		for _, f := range fields {
			name := prefix + f.Name
			if nested, ok := f.Type.(*iceberg.StructType); ok {
				collect(name+".", nested.FieldList)
			}
			if slices.Contains(schema.IdentifierFieldIDs, f.ID) {
				f.Name = name
				out = append(out, f)
			}
		}
	}
	collect("", schema.Fields())
	return out
}

// ParseKey makes a key of a text: the value, or values divided by commas where the identifier has several columns.
// Values are escaped as in a URL, so that they may hold commas. The caller releases the batch.
func ParseKey(schema *iceberg.Schema, text string) (arrow.RecordBatch, error) {
	columns := KeyColumns(schema)
	parts := []string{text}
	if len(columns) > 1 {
		parts = strings.Split(text, ",")
	}
	for i, part := range parts {
		plain, err := url.PathUnescape(part)
		if err != nil {
			return nil, fmt.Errorf("%w: %q is not escaped as in a URL", ErrKey, part)
		}
		parts[i] = plain
	}
	return makeKey(columns, parts)
}

// ParseJSONKey makes a key of a JSON value: a list of the values, an object with one for each column, or the value
// alone, which is a text as ParseKey takes it where the identifier has several columns. The caller releases the
// batch.
func ParseJSONKey(schema *iceberg.Schema, value json.RawMessage) (arrow.RecordBatch, error) {
	columns := KeyColumns(schema)
	decoder := json.NewDecoder(strings.NewReader(string(value)))
	decoder.UseNumber()
	var decoded any
	if err := decoder.Decode(&decoded); err != nil || decoder.More() {
		return nil, fmt.Errorf("%w: %q is not one JSON value", ErrKey, value)
	}
	var list []any
	switch v := decoded.(type) {
	case []any:
		list = v
	case map[string]any:
		for _, column := range columns {
			one, found := v[column.Name]
			if !found {
				return nil, fmt.Errorf("%w: column %s of the identifier is missing", ErrKey, column.Name)
			}
			list = append(list, one)
		}
		if len(v) > len(columns) {
			return nil, fmt.Errorf("%w: the identifier is %s, and no column besides", ErrKey, namesOf(columns))
		}
	case string:
		if len(columns) > 1 {
			return ParseKey(schema, v)
		}
		list = []any{v}
	default:
		list = []any{v}
	}
	texts := make([]string, len(list))
	for i, one := range list {
		text, err := textOf(one)
		if err != nil {
			return nil, err
		}
		texts[i] = text
	}
	return makeKey(columns, texts)
}

// textOf is the text of a JSON value.
func textOf(value any) (string, error) {
	switch v := value.(type) {
	case string:
		return v, nil
	case json.Number:
		return v.String(), nil
	case bool:
		return strconv.FormatBool(v), nil
	}
	return "", fmt.Errorf("%w: a value of the identifier is a text, a number or a boolean, not %v", ErrKey, value)
}

func namesOf(columns []iceberg.NestedField) string {
	names := make([]string, len(columns))
	for i, column := range columns {
		names[i] = column.Name
	}
	return strings.Join(names, ",")
}

// makeKey makes a batch of one row of texts, one a column.
func makeKey(columns []iceberg.NestedField, texts []string) (arrow.RecordBatch, error) {
	if len(texts) != len(columns) {
		return nil, fmt.Errorf("%w: it has %d values, and the identifier is %s", ErrKey, len(texts), namesOf(columns))
	}
	schema, err := table.ArrowSchema(iceberg.NewSchema(0, columns...))
	if err != nil {
		return nil, err
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	for i, column := range columns {
		if err := appendValue(b.Field(i), column.Type, texts[i]); err != nil {
			return nil, fmt.Errorf("%w: column %s is of type %s: %w", ErrKey, column.Name, column.Type, err)
		}
	}
	return b.NewRecordBatch(), nil
}

// appendValue appends the value that a text is of a type.
func appendValue(b array.Builder, typ iceberg.Type, text string) error {
	fault := fmt.Errorf("%q is none", text)
	switch t := typ.(type) {
	case iceberg.StringType:
		if !utf8.ValidString(text) {
			return fmt.Errorf("%q is not UTF-8", text)
		}
		b.(*array.StringBuilder).Append(text)
		return nil
	case iceberg.BinaryType, iceberg.FixedType:
		bytes, err := base64.StdEncoding.Strict().DecodeString(text)
		if err != nil {
			return fmt.Errorf("%q is not base64", text)
		}
		if fixed, ok := t.(iceberg.FixedType); ok {
			if len(bytes) != fixed.Len() {
				return fmt.Errorf("%q is of %d bytes", text, len(bytes))
			}
			b.(*array.FixedSizeBinaryBuilder).Append(bytes)
			return nil
		}
		b.(*array.BinaryBuilder).Append(bytes)
		return nil
	case iceberg.BooleanType:
		if text != "true" && text != "false" {
			return fault
		}
		b.(*array.BooleanBuilder).Append(text == "true")
		return nil
	case iceberg.Int32Type:
		v, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			return fault
		}
		b.(*array.Int32Builder).Append(int32(v))
		return nil
	case iceberg.Int64Type:
		v, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return fault
		}
		b.(*array.Int64Builder).Append(v)
		return nil
	case iceberg.DecimalType:
		return appendDecimal(b, t, text)
	case iceberg.UUIDType:
		// As rows show it.
		if bytes, err := base64.StdEncoding.Strict().DecodeString(text); err == nil && len(bytes) == len(uuid.UUID{}) {
			b.(*array.FixedSizeBinaryBuilder).Append(bytes)
			return nil
		}
	}
	literal, err := iceberg.StringLiteral(text).To(typ)
	if err != nil {
		return fault
	}
	return appendLiteral(b, literal, fault)
}

// appendDecimal takes no more digits than the type has, since a rounded value is of another key.
func appendDecimal(b array.Builder, t iceberg.DecimalType, text string) error {
	fault := fmt.Errorf("%q is none", text)
	digits := strings.TrimPrefix(text, "-")
	whole, fraction, _ := strings.Cut(digits, ".")
	plain := func(s string) bool { return strings.Trim(s, "0123456789") == "" }
	if whole == "" || !plain(whole) || !plain(fraction) || len(fraction) > t.Scale() {
		return fault
	}
	v, err := decimal128.FromString(text, int32(t.Precision()), int32(t.Scale()))
	if err != nil || !v.FitsInPrecision(int32(t.Precision())) {
		return fault
	}
	b.(*array.Decimal128Builder).Append(v)
	return nil
}

// appendLiteral appends a value of a type whose texts the library reads.
func appendLiteral(b array.Builder, literal iceberg.Literal, fault error) error {
	switch v := literal.(type) {
	case iceberg.DateLiteral:
		b.(*array.Date32Builder).Append(arrow.Date32(v))
	case iceberg.TimeLiteral:
		b.(*array.Time64Builder).Append(arrow.Time64(v))
	case iceberg.TimestampLiteral:
		b.(*array.TimestampBuilder).Append(arrow.Timestamp(v))
	case iceberg.TimestampNsLiteral:
		b.(*array.TimestampBuilder).Append(arrow.Timestamp(v))
	case iceberg.UUIDLiteral:
		b.(*array.FixedSizeBinaryBuilder).Append(v[:])
	default:
		return fault
	}
	return nil
}
