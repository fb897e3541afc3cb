package messageschema

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAvroTypesThatConnectNames(t *testing.T) {
	const decimal = `{"type":"bytes","connect.name":"org.apache.kafka.connect.data.Decimal","logicalType":"decimal",`
	for text, want := range map[string]string{
		`{"type":"int","connect.name":"io.debezium.time.Date"}`:              "date",
		`{"type":"int","connect.name":"io.debezium.time.Time"}`:              "time",
		`{"type":"long","connect.name":"io.debezium.time.MicroTime"}`:        "time",
		`{"type":"long","connect.name":"io.debezium.time.NanoTime"}`:         "time",
		`{"type":"long","connect.name":"io.debezium.time.Timestamp"}`:        "timestamp",
		`{"type":"long","connect.name":"io.debezium.time.MicroTimestamp"}`:   "timestamp",
		`{"type":"long","connect.name":"io.debezium.time.NanoTimestamp"}`:    "timestamp_ns",
		`{"type":"string","connect.name":"io.debezium.time.ZonedTimestamp"}`: "timestamptz",
		`{"type":"string","connect.name":"io.debezium.time.ZonedTime"}`:      "string",
		`{"type":"int","connect.name":"io.debezium.time.Year"}`:              "int",
		`{"type":"long","connect.name":"io.debezium.time.MicroDuration"}`:    "long",
		`{"type":"string","connect.name":"io.debezium.data.Uuid"}`:           "uuid",
		`{"type":"string","connect.name":"io.debezium.data.Json"}`:           "string",
		`{"type":"string","connect.name":"io.debezium.time.MicroTimestamp"}`: "string",
		`{"type":"int","connect.name":"org.apache.kafka.connect.data.Date"}`: "date",
		decimal + `"precision":64,"scale":2}`:                                "decimal(38, 2)",
		decimal + `"precision":12,"scale":2}`:                                "decimal(12, 2)",
		decimal + `"precision":50,"scale":2}`:                                "a decimal of 50 digits; Iceberg has 38",
		decimal + `"precision":64,"scale":2,` +
			`"connect.parameters":{"connect.decimal.precision":"9"}}`: "decimal(9, 2)",
		`{"type":"record","name":"Point","namespace":"io.debezium.data.geometry",` +
			`"fields":[{"name":"x","type":"int"}]}`: "io.debezium.data.geometry.Point has no column type",
		`{"type":"record","name":"io.debezium.data.VariableScaleDecimal",` +
			`"fields":[{"name":"scale","type":"int"},` +
			`{"name":"value","type":"bytes"}]}`: "a decimal without precision and scale",
	} {
		parsed, err := ParseAvro(text)
		require.NoError(t, err)
		of, _, refusals := parsed.Iceberg(Options{Nanoseconds: true})
		got := fmt.Sprint(of)
		if of == nil {
			require.Len(t, refusals, 1)
			got = refusals[0].Reason
		}
		require.Contains(t, got, want, text)
	}
}
