package decode

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/ingest/source"
)

// debeziumChunk wraps the rows of events10 as Debezium's Postgres connector does.
func debeziumChunk(b *testing.B, start, end string) (*Plan, *source.Chunk) {
	fields, chunk := events10(b)
	for i := range chunk.Records {
		record := &chunk.Records[i]
		record.Value = fmt.Appendf(nil, `%s{"before":null,"after":%s,"source":{"version":"3.7.0.Final",`+
			`"connector":"postgresql","name":"pg","ts_ms":%d,"snapshot":"false","db":"shop",`+
			`"sequence":"[\"%d\",\"%d\"]","ts_us":%d,"ts_ns":%d,"schema":"public","table":"events",`+
			`"txId":%d,"lsn":%d,"xmin":null},"transaction":null,"op":"c","ts_ms":%d,"ts_us":%d,"ts_ns":%d}%s`,
			start, record.Value, 1_790_000_000_000+i, 26_000_000+i, 26_000_100+i, (1_790_000_000_000+i)*1000,
			(1_790_000_000_000+i)*1_000_000, 700+i, 26_000_100+i, 1_790_000_000_100+i, (1_790_000_000_100+i)*1000,
			(1_790_000_000_100+i)*1_000_000, end)
	}
	envelope := DebeziumEnvelope()
	envelope.Key = []string{"event_id"}
	plan, err := NewPlan(testSchema(withMetadata(fields)...), Options{Format: FormatJSON, Envelope: envelope})
	require.NoError(b, err)
	return plan, chunk
}

// BenchmarkDebeziumEvents10 has the rows of BenchmarkJSONEvents10.
func BenchmarkDebeziumEvents10(b *testing.B) {
	plan, chunk := debeziumChunk(b, "", "")
	benchmarkDecode(b, plan, chunk)
}

// BenchmarkDebeziumSchemaEvents10 has a schema of some kilobytes in each record besides.
func BenchmarkDebeziumSchemaEvents10(b *testing.B) {
	row := func(name string) string {
		fields := ""
		for i, field := range []string{"event_id string", "user_id int64", "event_type string", "ts int64",
			"url string", "amount double", "quantity int32", "country string", "is_mobile boolean",
			"session string"} {
			var column, kind string
			_, err := fmt.Sscan(field, &column, &kind)
			require.NoError(b, err)
			if i > 0 {
				fields += ","
			}
			fields += fmt.Sprintf(`{"type":"%s","optional":true,"field":"%s"}`, kind, column)
		}
		return `{"type":"struct","fields":[` + fields + `],"optional":true,"name":"pg.public.events.Value","field":"` +
			name + `"}`
	}
	origin := ""
	for i, field := range []string{"version", "connector", "name", "ts_ms", "snapshot", "db", "sequence",
		"ts_us", "ts_ns", "schema", "table", "txId", "lsn", "xmin"} {
		if i > 0 {
			origin += ","
		}
		origin += `{"type":"string","optional":true,"field":"` + field + `"}`
	}
	start := `{"schema":{"type":"struct","fields":[` + row("before") + "," + row("after") +
		`,{"type":"struct","fields":[` + origin + `],"optional":false,"name":` +
		`"io.debezium.connector.postgresql.Source","field":"source"},` +
		`{"type":"string","optional":false,"field":"op"}],"optional":false,` +
		`"name":"pg.public.events.Envelope","version":2},"payload":`
	plan, chunk := debeziumChunk(b, start, "}")
	benchmarkDecode(b, plan, chunk)
}
