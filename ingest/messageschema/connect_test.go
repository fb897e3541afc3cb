package messageschema

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestConnectTypesBecomeColumns(t *testing.T) {
	field := func(name, rest string) string { return `{"field":"` + name + `",` + rest + `}` }
	schema, err := ParseConnect([]byte(`{"type":"struct","fields":[` + strings.Join([]string{
		field("small", `"type":"int16"`), field("long", `"type":"int64","optional":true`),
		field("real", `"type":"float"`), field("double", `"type":"double"`), field("flag", `"type":"boolean"`),
		field("text", `"type":"string","doc":"words"`), field("raw", `"type":"bytes"`),
		field("day", `"type":"int32","name":"io.debezium.time.Date"`),
		field("clock", `"type":"int64","name":"io.debezium.time.MicroTime"`),
		field("local", `"type":"int64","name":"io.debezium.time.MicroTimestamp"`),
		field("nanos", `"type":"int64","name":"io.debezium.time.NanoTimestamp"`),
		field("zoned", `"type":"string","name":"io.debezium.time.ZonedTimestamp"`),
		field("zonedtime", `"type":"string","name":"io.debezium.time.ZonedTime"`),
		field("instant", `"type":"int64","name":"org.apache.kafka.connect.data.Timestamp"`),
		field("year", `"type":"int32","name":"io.debezium.time.Year"`),
		field("price", `"type":"bytes","name":"org.apache.kafka.connect.data.Decimal",`+
			`"parameters":{"scale":"2","connect.decimal.precision":"10"}`),
		field("wide", `"type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"4"}`),
		field("wider", `"type":"bytes","name":"org.apache.kafka.connect.data.Decimal",`+
			`"parameters":{"scale":"2","connect.decimal.precision":"60"}`),
		field("any", `"type":"struct","name":"io.debezium.data.VariableScaleDecimal",`+
			`"fields":[{"field":"scale","type":"int32"},{"field":"value","type":"bytes"}]`),
		field("uuid", `"type":"string","name":"io.debezium.data.Uuid"`),
		field("json", `"type":"string","name":"io.debezium.data.Json"`),
		field("odd", `"type":"string","name":"io.debezium.time.Date"`),
		field("point", `"type":"struct","name":"io.debezium.data.geometry.Point","fields":[]`),
		field("list", `"type":"array","items":{"type":"string","optional":true}`),
		field("map", `"type":"map","keys":{"type":"string"},"values":{"type":"int64"}`),
		field("badmap", `"type":"map","keys":{"type":"int32"},"values":{"type":"int64"}`),
	}, ",") + `]}`))
	require.NoError(t, err)
	columns := schema.Columns(Options{Nanoseconds: true})
	var got []string
	for _, f := range columns.Fields {
		got = append(got, fmt.Sprintf("%s %s %t", f.Name, f.Type, f.Required))
	}
	require.Equal(t, []string{
		"small int true", "long long false", "real float true", "double double true", "flag boolean true",
		"text string true", "raw binary true", "day date true", "clock time true", "local timestamp true",
		"nanos timestamp_ns true", "zoned timestamptz true", "zonedtime string true", "instant timestamptz true",
		"year int true", "price decimal(10, 2) true", "wide decimal(38, 4) true", "uuid uuid true",
		"json string true", "odd string true", "list list<string> true", "map map<string, long> true",
	}, got)
	var refused []string
	for _, refusal := range columns.Refusals {
		refused = append(refused, refusal.String())
	}
	require.Len(t, refused, 4)
	require.Contains(t, refused[0], "wider: a decimal of 60 digits")
	require.Contains(t, refused[1], "any: a decimal without precision and scale")
	require.Contains(t, refused[2], "point: io.debezium.data.geometry.Point has no column type")
	require.Contains(t, refused[3], "badmap: a map whose keys are not strings")
	require.Equal(t, "long", schema.At("long").Field)
	require.Nil(t, schema.At("long", "deeper"))
}

func TestConnectSchemasThatMakeNoSenseAreRefused(t *testing.T) {
	deep := strings.Repeat(`{"type":"array","items":`, 100) + `{"type":"string"}` + strings.Repeat("}", 100)
	for text, want := range map[string]string{
		`{`:                               "parse Connect schema",
		`[]`:                              "parse Connect schema",
		`{}`:                              `unknown type ""`,
		`{"type":"array"}`:                "without items",
		`{"type":"map","keys":null}`:      "without keys or values",
		`{"type":"struct","fields":[{}]}`: "without a name",
		deep:                              "nested deeper",
		`{"type":"struct","fields":[{"field":"a","type":"string"},{"field":"a","type":"string"}]}`: "a name of its own",
	} {
		_, err := ParseConnect([]byte(text))
		require.ErrorContains(t, err, want)
	}
}
