package point

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table/cell"
	"github.com/firthlake/firth/table/keyindex"
)

// keyed is a schema whose identifier has these types, in columns a, b, ...
func keyed(types ...iceberg.Type) *iceberg.Schema {
	var fields []iceberg.NestedField
	var ids []int
	for i, typ := range types {
		fields = append(fields, iceberg.NestedField{ID: i + 1, Name: string(rune('a' + i)), Type: typ, Required: true})
		ids = append(ids, i+1)
	}
	return iceberg.NewSchemaWithIdentifiers(0, ids, fields...)
}

// values are the values of a key as they are shown.
func values(key arrow.RecordBatch) string {
	var out []string
	for i, column := range key.Columns() {
		text, err := json.Marshal(cell.Value(column, 0))
		if err != nil {
			return err.Error()
		}
		out = append(out, fmt.Sprintf("%q:%s", key.ColumnName(i), text))
	}
	return "{" + strings.Join(out, ",") + "}"
}

func TestTextsBecomeKeysOfTheirTypes(t *testing.T) {
	p := iceberg.PrimitiveTypes
	for _, c := range []struct {
		typ  iceberg.Type
		text string
		want string // "" is none
	}{
		{p.Int64, "42", `{"a":42}`}, {p.Int64, "-9223372036854775808", `{"a":-9223372036854775808}`},
		{p.Int64, "9223372036854775808", ""}, {p.Int64, "4.0", ""}, {p.Int64, "", ""}, {p.Int64, "0x10", ""},
		{p.Int32, "2147483647", `{"a":2147483647}`}, {p.Int32, "2147483648", ""},
		{p.Bool, "true", `{"a":true}`}, {p.Bool, "TRUE", ""},
		{p.String, "a,b", `{"a":"a,b"}`}, {p.String, "a%2Fb", `{"a":"a/b"}`}, {p.String, "%zz", ""},
		{p.String, "", `{"a":""}`}, {p.String, "%FF", ""},
		{p.Date, "2026-01-31", `{"a":"2026-01-31"}`}, {p.Date, "2026-02-31", ""},
		{p.Timestamp, "2026-01-31T12:00:00.5", `{"a":"2026-01-31T12:00:00.5"}`}, {p.Timestamp, "now", ""},
		{p.TimestampTz, "2026-01-31T12:00:00+00:00", `{"a":"2026-01-31T12:00:00Z"}`},
		{p.TimestampTz, "2026-01-31T12:00:00Z", `{"a":"2026-01-31T12:00:00Z"}`},
		{p.UUID, "f47ac10b-58cc-4372-a567-0e02b2c3d479", `{"a":"9HrBC1jMQ3KlZw4CssPUeQ=="}`},
		{p.UUID, "9HrBC1jMQ3KlZw4CssPUeQ==", `{"a":"9HrBC1jMQ3KlZw4CssPUeQ=="}`},
		{p.UUID, "f47ac10b", ""},
		{iceberg.DecimalTypeOf(5, 2), "123.45", `{"a":"123.45"}`},
		{iceberg.DecimalTypeOf(5, 2), "-1.5", `{"a":"-1.5"}`},
		{iceberg.DecimalTypeOf(5, 2), "1.005", ""}, {iceberg.DecimalTypeOf(5, 2), "1234.00", ""},
		{iceberg.DecimalTypeOf(5, 2), "1e2", ""},
		{p.Binary, "AQI=", `{"a":"AQI="}`}, {p.Binary, "AQI", ""},
		{iceberg.FixedTypeOf(2), "AQI=", `{"a":"AQI="}`}, {iceberg.FixedTypeOf(2), "AQID", ""},
	} {
		name := fmt.Sprintf("%s %s", c.typ, c.text)
		key, err := ParseKey(keyed(c.typ), c.text)
		if c.want == "" {
			require.ErrorIs(t, err, ErrKey, name)
			if c.text != "%zz" {
				require.ErrorContains(t, err, "column a is of type "+c.typ.String(), name)
			}
			continue
		}
		require.NoError(t, err, name)
		require.Equal(t, c.want, values(key), name)
	}
}

func TestKeysOfSeveralColumns(t *testing.T) {
	schema := keyed(iceberg.PrimitiveTypes.String, iceberg.PrimitiveTypes.Int64)
	want := `{"a":"x,y","b":7}`
	key, err := ParseKey(schema, "x%2Cy,7")
	require.NoError(t, err)
	require.Equal(t, want, values(key))
	for _, text := range []string{`["x,y",7]`, `{"b":7,"a":"x,y"}`, `["x,y","7"]`, `"x%2Cy,7"`} {
		key, err := ParseJSONKey(schema, json.RawMessage(text))
		require.NoError(t, err, text)
		require.Equal(t, want, values(key), text)
	}
	for _, text := range []string{`["x"]`, `{"a":"x"}`, `{"a":"x","b":7,"c":1}`, `7`, `null`, `["x",null]`, `["x",[7]]`,
		`["x",7] 8`, `[`, ``, `["x",7.5]`} {
		_, err := ParseJSONKey(schema, json.RawMessage(text))
		require.ErrorIs(t, err, ErrKey, text)
	}
	_, err = ParseKey(schema, "x")
	require.ErrorContains(t, err, "it has 1 values, and the identifier is a,b")
}

// FuzzParseKey looks for texts that make the parser fail otherwise than by its error, and for a key that another
// writing of the same values does not have.
func FuzzParseKey(f *testing.F) {
	for _, text := range []string{"42", "a,b", "2026-01-31", "1.5,x", "%2C,7", "AQI=", "true,2026-01-31T00:00:00Z"} {
		f.Add(text, uint8(0), uint8(5))
	}
	p := iceberg.PrimitiveTypes
	types := []iceberg.Type{p.Int64, p.Int32, p.Bool, p.String, p.Date, p.Timestamp, p.TimestampTz, p.UUID, p.Binary,
		p.Time, iceberg.DecimalTypeOf(20, 3), iceberg.FixedTypeOf(3)}
	f.Fuzz(func(t *testing.T, text string, first, second uint8) {
		schema := keyed(types[int(first)%len(types)])
		if int(second) < len(types) {
			schema = keyed(types[int(first)%len(types)], types[second])
		}
		key, err := ParseKey(schema, text)
		if err != nil {
			require.ErrorIs(t, err, ErrKey)
			return
		}
		defer key.Release()
		again, err := ParseJSONKey(schema, json.RawMessage(values(key)))
		require.NoError(t, err, values(key))
		defer again.Release()
		hasher, err := keyindex.NewHasher(schema, keyindex.Seed{High: 1, Low: 2})
		require.NoError(t, err)
		one, _, err := hasher.Keys(nil, key)
		require.NoError(t, err)
		other, _, err := hasher.Keys(nil, again)
		require.NoError(t, err)
		require.Equal(t, one, other)
	})
}
