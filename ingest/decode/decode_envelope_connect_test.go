package decode

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/ingest/messageschema"
	"github.com/firthlake/firth/ingest/source"
)

// connectEvent wraps an event of one column "v" beside the key as Connect's converter does.
func connectEvent(column, value string) string {
	row := func(field string) string {
		return `{"type":"struct","optional":true,"field":"` + field + `","fields":[{"type":"int64","field":"id"},` +
			strings.Replace(column, "{", `{"field":"v","optional":true,`, 1) + `]}`
	}
	return `{"schema":{"type":"struct","name":"pg.public.t.Envelope","optional":false,"fields":[` + row("before") +
		"," + row("after") + `,{"type":"string","field":"op"}]},"payload":{"before":null,"after":{"id":1,"v":` +
		value + `},"op":"c"}}`
}

func TestConnectSchemasSayWhatValuesMean(t *testing.T) {
	const dbz, connect = `"name":"io.debezium.time.`, `"name":"org.apache.kafka.connect.data.`
	prim := iceberg.PrimitiveTypes
	money := iceberg.DecimalTypeOf(10, 2)
	const cents = `{"type":"bytes","parameters":{"scale":"2"},` + connect + `Decimal"}`
	const tenths = `{"type":"bytes","parameters":{"scale":"1"},` + connect + `Decimal"}`
	const mills = `{"type":"bytes","parameters":{"scale":"3"},` + connect + `Decimal"}`
	const variable = `{"type":"struct","fields":[],"name":"io.debezium.data.VariableScaleDecimal"}`
	const bits = `{"type":"bytes","name":"io.debezium.data.Bits","parameters":{"length":"9"}}`
	const enum = `{"type":"string","name":"io.debezium.data.Enum","parameters":{"allowed":"a,b"}}`
	unscaled := func(v ...byte) string { return `"` + base64.StdEncoding.EncodeToString(v) + `"` }
	for _, c := range []struct {
		column string // of the schema
		of     iceberg.Type
		value  string
		want   string // the value, or the class of its failure
	}{
		{`{"type":"int32",` + dbz + `Date"}`, prim.Date, `20000`, `"2024-10-04"`},
		{`{"type":"int32",` + dbz + `Date"}`, prim.Int32, `20000`, `20000`},
		{`{"type":"int32",` + dbz + `Date"}`, prim.Timestamp, `20000`, "type"},
		{`{"type":"int32",` + dbz + `Time"}`, prim.Time, `3600001`, `"01:00:00.001"`},
		{`{"type":"int64",` + dbz + `MicroTime"}`, prim.Time, `3600000001`, `"01:00:00.000001"`},
		{`{"type":"int64",` + dbz + `NanoTime"}`, prim.Time, `3600000001999`, `"01:00:00.000001"`},
		{`{"type":"int64",` + dbz + `MicroTime"}`, prim.Int64, `3600000001`, `3600000001`},
		{`{"type":"int64",` + dbz + `MicroTime"}`, prim.Timestamp, `3600000001`, "type"},
		{`{"type":"int64",` + dbz + `MicroTime"}`, prim.Date, `36`, "type"},
		{`{"type":"int64",` + dbz + `Timestamp"}`, prim.Timestamp, `1000`, `"1970-01-01T00:00:01"`},
		{`{"type":"int64",` + dbz + `MicroTimestamp"}`, prim.Timestamp, `1000`, `"1970-01-01T00:00:00.001"`},
		{`{"type":"int64",` + dbz + `MicroTimestamp"}`, prim.Timestamp, `-1`, `"1969-12-31T23:59:59.999999"`},
		{`{"type":"int64",` + dbz + `NanoTimestamp"}`, prim.TimestampNs, `1000`, `"1970-01-01T00:00:00.000001"`},
		{`{"type":"int64",` + dbz + `NanoTimestamp"}`, prim.Timestamp, `1999`, `"1970-01-01T00:00:00.000001"`},
		{`{"type":"int64",` + dbz + `Timestamp"}`, prim.Time, `1000`, "type"},
		{`{"type":"int64",` + dbz + `Timestamp"}`, prim.Date, `1000`, "type"},
		{`{"type":"string",` + dbz + `ZonedTimestamp"}`, prim.TimestampTz, `"2024-10-04T02:00:00.5+02:00"`,
			`"2024-10-04T00:00:00.5Z"`},
		{`{"type":"string",` + dbz + `ZonedTime"}`, prim.Time, `"01:30:00.25+02:00"`, `"23:30:00.25"`},
		{`{"type":"string",` + dbz + `ZonedTime"}`, prim.String, `"01:30:00Z"`, `"01:30:00Z"`},
		{`{"type":"string",` + dbz + `ZonedTime"}`, prim.Time, `"1:30"`, "type"},
		{`{"type":"int32",` + dbz + `Year"}`, prim.Int32, `2024`, `2024`},
		{`{"type":"int64",` + dbz + `MicroDuration"}`, prim.Int64, `5`, `5`},
		{`{"type":"string",` + dbz + `Interval"}`, prim.String, `"P1Y2M3DT4H5M6.7S"`, `"P1Y2M3DT4H5M6.7S"`},
		{`{"type":"int32",` + connect + `Date"}`, prim.Date, `20000`, `"2024-10-04"`},
		{`{"type":"int32",` + connect + `Time"}`, prim.Time, `1000`, `"00:00:01"`},
		{`{"type":"int64",` + connect + `Timestamp"}`, prim.TimestampTz, `1000`, `"1970-01-01T00:00:01Z"`},
		{cents, money, unscaled(0x30, 0x39), `"123.45"`},
		{cents, money, unscaled(0xff), `"-0.01"`},
		{tenths, money, unscaled(5), `"0.5"`},
		{mills, money, unscaled(5), "range"},
		{cents, money, unscaled(1, 2, 3, 4, 5, 6, 7), "range"},
		{cents, money, `123.45`, "type"},
		{cents, money, `""`, "type"},
		{cents, prim.Int64, `"1234"`, "type"},
		{`{"type":"bytes","parameters":{"scale":"x"},` + connect + `Decimal"}`, money, unscaled(5), "type"},
		{`{"type":"string"}`, money, `"123.45"`, `"123.45"`},
		{`{"type":"double"}`, money, `123.45`, `"123.45"`},
		{`{"type":"struct","fields":[{"type":"int32","field":"scale"},{"type":"bytes","field":"value"}],` +
			`"name":"io.debezium.data.VariableScaleDecimal"}`, money,
			`{"scale":1,"value":` + unscaled(5) + `}`, `"0.5"`},
		{variable, money,
			`{"scale":-1,"value":` + unscaled(5) + `}`, `"50"`},
		{variable, money, `{"scale":1}`, "type"},
		{variable, money, `{"scale":99,"value":"BQ=="}`,
			"range"},
		{`{"type":"string","name":"io.debezium.data.Uuid"}`, prim.UUID, `"6ba7b810-9dad-11d1-80b4-00c04fd430c8"`,
			`"a6e4EJ2tEdGAtADAT9QwyA=="`},
		{`{"type":"string","name":"io.debezium.data.Json"}`, prim.String, `"{\"a\":1}"`, `"{\"a\":1}"`},
		{`{"type":"string","name":"io.debezium.data.Xml"}`, prim.String, `"<a/>"`, `"\u003ca/\u003e"`},
		{enum, prim.String, `"a"`, `"a"`},
		{bits, prim.Binary, unscaled(1, 1), `"AQE="`},
		{bits, prim.Int64, `"1234"`, "type"},
		{`{"type":"struct","fields":[],"name":"io.debezium.data.geometry.Point"}`,
			prim.String, `{"x":1,"y":2}`, "type"},
		{`{"type":"array","items":{"type":"int32",` + dbz + `Date"}}`, &iceberg.ListType{ElementID: 9,
			Element: prim.Date}, `[20000]`, `["2024-10-04"]`},
		{`{"type":"map","keys":{"type":"string"},"values":{"type":"int64",` + dbz + `MicroTime"}}`,
			&iceberg.MapType{KeyID: 8, KeyType: prim.String, ValueID: 9, ValueType: prim.Time}, `{"a":1}`,
			`[{"key":"a","value":"00:00:00.000001"}]`},
		{`{"type":"struct","fields":[{"type":"int64","field":"at",` + dbz + `Timestamp"}]}`,
			structOf(iceberg.NestedField{ID: 9, Name: "at", Type: prim.Timestamp}),
			`{"at":1000}`, `{"at":"1970-01-01T00:00:01"}`},
	} {
		name := fmt.Sprint(c.column, " ", c.of, " ", c.value)
		plan := jsonPlan(t, itemEnvelope(DebeziumEnvelope()), iceberg.NestedField{Name: "id",
			Type: prim.Int64}, iceberg.NestedField{Name: "v", Type: c.of})
		// The second record is read by the known start of the first.
		got := decodeEvents(t, plan, values(connectEvent(c.column, c.value), connectEvent(c.column, c.value))...)
		if len(got.failures) > 0 {
			require.Equal(t, []string{"0 2 " + c.want, "1 2 " + c.want}, got.failures, name)
			continue
		}
		for i, row := range got.rows {
			require.Equal(t, fmt.Sprintf(`%d insert {"id":1,"v":%s}`, i, c.want), row, name)
		}
	}
}

func TestGeometryIsRefusedByName(t *testing.T) {
	plan := jsonPlan(t, itemEnvelope(DebeziumEnvelope()), iceberg.NestedField{Name: "id",
		Type: iceberg.PrimitiveTypes.Int64}, iceberg.NestedField{Name: "v", Type: iceberg.PrimitiveTypes.Binary})
	got := decodeEvents(t, plan, values(connectEvent(
		`{"type":"struct","fields":[],"name":"io.debezium.data.geometry.Geometry"}`, `{"wkb":"AQ==","srid":null}`))...)
	require.Equal(t, []string{"v: io.debezium.data.geometry.Geometry cannot go into a column of binary"}, got.messages)
}

// TestSchemaOfEventsMayChangeMidway has events with two schemas, and with none, in one chunk.
func TestSchemaOfEventsMayChangeMidway(t *testing.T) {
	plan := jsonPlan(t, itemEnvelope(DebeziumEnvelope()), iceberg.NestedField{Name: "id",
		Type: iceberg.PrimitiveTypes.Int64}, iceberg.NestedField{Name: "v", Type: iceberg.PrimitiveTypes.Timestamp})
	micro := `{"type":"int64","name":"io.debezium.time.MicroTimestamp"}`
	milli := `{"type":"int64","name":"io.debezium.time.Timestamp"}`
	late := strings.Replace(connectEvent(micro, "1"), `{"schema":`, ``, 1)
	at := strings.Index(late, `,"payload":`)
	late = `{"payload":` + strings.TrimSuffix(late[at+len(`,"payload":`):], "}") + `,"schema":` + late[:at] + "}"
	require.True(t, json.Valid([]byte(late)))
	got := decodeEvents(t, plan, values(connectEvent(micro, "1"), connectEvent(milli, "1"), connectEvent(milli, "2"),
		`{"op":"c","after":{"id":1,"v":"2024-01-01"}}`, late, connectEvent(micro, "2"),
		connectEvent(micro, "3")+"x", connectEvent(micro, "4"))...)
	require.Equal(t, []string{
		`0 insert {"id":1,"v":"1970-01-01T00:00:00.000001"}`,
		`1 insert {"id":1,"v":"1970-01-01T00:00:00.001"}`,
		`2 insert {"id":1,"v":"1970-01-01T00:00:00.002"}`,
		`3 insert {"id":1,"v":"2024-01-01T00:00:00"}`,
		`4 insert {"id":1,"v":"1970-01-01T00:00:00.000001"}`,
		`5 insert {"id":1,"v":"1970-01-01T00:00:00.000002"}`,
		`7 insert {"id":1,"v":"1970-01-01T00:00:00.000004"}`,
	}, got.rows)
	require.Equal(t, []string{"6 0 syntax"}, got.failures)
}

func TestKeysAreReadWithTheirOwnSchema(t *testing.T) {
	envelope := DebeziumEnvelope()
	envelope.RecordKey = true
	plan := jsonPlan(t, itemEnvelope(envelope), iceberg.NestedField{Name: "id", Type: iceberg.PrimitiveTypes.Timestamp})
	key := `{"schema":{"type":"struct","fields":[{"type":"int64","field":"id","name":"io.debezium.time.%s"}]},` +
		`"payload":{"id":1000}}`
	got := decodeEvents(t, plan,
		source.Record{Key: fmt.Appendf(nil, key, "Timestamp")},
		source.Record{Key: fmt.Appendf(nil, key, "MicroTimestamp")},
		source.Record{Key: []byte(`{"payload":{"id":"2024-01-01"},"schema":null}`)},
		source.Record{Key: []byte(`{"schema":{"type":"struct"},"payload":null}`)},
		source.Record{Key: []byte(`{"schema":`)},
		source.Record{Key: []byte(`{"schema":{}}`)})
	require.Equal(t, []string{`0 delete {"id":"1970-01-01T00:00:01"}`, `1 delete {"id":"1970-01-01T00:00:00.001"}`,
		`2 delete {"id":"2024-01-01T00:00:00"}`}, got.rows)
	require.Equal(t, []string{"3 0 type", "4 0 syntax", "5 0 schema_changed"}, got.failures)
}

func TestUnscaledDecimalsWithoutASchema(t *testing.T) {
	envelope := DebeziumEnvelope()
	envelope.Unscaled = true
	plan := jsonPlan(t, itemEnvelope(envelope), itemFields()...)
	got := decodeEvents(t, plan, values(`{"op":"c","after":{"id":1,"name":"a","price":"MDk="}}`,
		`{"op":"c","after":{"id":1,"name":"a","price":"1234"}}`,
		`{"op":"c","after":{"id":1,"name":"a","price":12}}`)...)
	require.Equal(t, []string{
		`0 insert {"id":1,"name":"a","price":"123.45"}`,
		`1 insert {"id":1,"name":"a","price":"-26588.24"}`, `2 insert {"id":1,"name":"a"}`,
	}, got.rows)
	require.Equal(t, []string{"2 3 type"}, got.failures)
}

func TestColumnsOfAConnectSchemaAreProposed(t *testing.T) {
	options := itemEnvelope(DebeziumEnvelope())
	options.UnknownFields = UnknownEvolve
	plan := jsonPlan(t, options, iceberg.NestedField{Name: "id", Type: iceberg.PrimitiveTypes.Int64})
	decoder := plan.NewDecoder(memory.DefaultAllocator)
	defer decoder.Close()
	records := values(connectEvent(`{"type":"int64","name":"io.debezium.time.MicroTimestamp","doc":"when"}`, "1"))
	_, err := decoder.Decode(t.Context(), &source.Chunk{Records: records})
	var ahead *EvolutionError
	require.ErrorAs(t, err, &ahead)
	require.Equal(t, []Proposal{{Kind: AddColumn, Path: []string{"v"}, Type: iceberg.PrimitiveTypes.Timestamp,
		Doc: "when"}}, ahead.Proposals)
}

// capturedEvents are events that Debezium 3.7 wrote of a Postgres 15 table, a line each: the key, a tab, the
// value. The table got a row, an update that leaves a stored-apart text alone, a change of the key, a
// delete, full images before and a column, a row, a change of the key and a delete. The event of the first
// writing of the long text is left out, and of those with a schema the later ones.
func capturedEvents(t *testing.T, name string) []source.Record {
	text, err := os.ReadFile(filepath.Join("testdata", "debezium", name+".tsv"))
	require.NoError(t, err)
	var records []source.Record
	for line := range strings.Lines(string(text)) {
		key, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		require.True(t, ok)
		record := source.Record{Key: []byte(key)}
		if value != "NULL" {
			record.Value = []byte(value)
		}
		records = append(records, record)
	}
	return records
}

func TestCapturedEventsOfDebezium(t *testing.T) {
	prim := iceberg.PrimitiveTypes
	options := itemEnvelope(DebeziumEnvelope(), "source", "lsn")
	options.Columns = map[string]ColumnOptions{"clock": {Time: TimeMicros}, "local": {Time: TimeMicros}}
	plan := jsonPlan(t, options, append(itemFields(),
		iceberg.NestedField{Name: "anything", Type: iceberg.DecimalTypeOf(20, 5)},
		iceberg.NestedField{Name: "made", Type: prim.Date}, iceberg.NestedField{Name: "clock", Type: prim.Time},
		iceberg.NestedField{Name: "local", Type: prim.Timestamp},
		iceberg.NestedField{Name: "zoned", Type: prim.TimestampTz},
		iceberg.NestedField{Name: "zclock", Type: prim.String}, iceberg.NestedField{Name: "span", Type: prim.Int64},
		iceberg.NestedField{Name: "doc", Type: prim.String}, iceberg.NestedField{Name: "mark", Type: prim.UUID},
		iceberg.NestedField{Name: "raw", Type: prim.Binary}, iceberg.NestedField{Name: "bits", Type: prim.Binary},
		iceberg.NestedField{Name: "tags", Type: &iceberg.ListType{ElementID: 100, Element: prim.String}},
		iceberg.NestedField{Name: "big", Type: prim.String}, iceberg.NestedField{Name: "added", Type: prim.Int32})...)
	row := func(id, lsn int, name string) string {
		return fmt.Sprintf(`{"anything":"5.678","bits":"AQE=","clock":"01:02:03.456789","doc":"{\"a\": 1}","id":%d,`+
			`"local":"2024-10-04T01:02:03.456789","lsn":%d,"made":"2024-10-04","mark":"a6e4EJ2tEdGAtADAT9QwyA==",`+
			`"name":%q,"price":"12.34","raw":"AQI=","span":31730400000000,"tags":["x","y"],"zclock":"23:02:03Z",`+
			`"zoned":"2024-10-03T23:02:03.456789Z"}`, id, lsn, name)
	}
	got := decodeEvents(t, plan, capturedEvents(t, "plain")...)
	const full = `"name":"ü \"quoted\"","price":"-0.5"}`
	require.Equal(t, []string{
		"0 snapshot " + row(1, 22255752, "a"), "1 update " + row(1, 22265096, "b"),
		`2 delete {"id":1,"lsn":22265464}`, "4 insert " + row(2, 22265464, "b"), `5 delete {"id":2,"lsn":22265888}`,
		`7 insert {"added":7,"id":3,"lsn":22267624,` + full, `8 delete {"id":3,"lsn":22267832}`,
		`10 insert {"added":8,"id":4,"lsn":22267832,` + full, `11 delete {"id":4,"lsn":22268096}`,
	}, got.rows)
	require.Equal(t, []string{"1 17 unavailable", "4 17 unavailable"}, got.failures)
	require.Equal(t, "snapshot update delete tombstone insert delete tombstone insert delete tombstone insert delete "+
		"tombstone", strings.Join(got.records, " "))

	got = decodeEvents(t, plan, capturedEvents(t, "schema")...)
	require.Equal(t, "0 snapshot "+row(1, 22255152, "a"), got.rows[0])
	require.Equal(t, []string{"1 17 unavailable", "4 17 unavailable"}, got.failures)
	require.Equal(t, "snapshot update delete tombstone insert insert", strings.Join(got.records, " "))
}

// TestColumnsOfCapturedEvents makes a table out of the schema of events.
func TestColumnsOfCapturedEvents(t *testing.T) {
	var event struct{ Schema json.RawMessage }
	require.NoError(t, json.Unmarshal(capturedEvents(t, "schema")[0].Value, &event))
	schema, err := messageschema.ParseConnect(event.Schema)
	require.NoError(t, err)
	columns := schema.At("after").Columns(messageschema.Options{})
	require.Equal(t, "id long true, name string true, price decimal(10, 2) false, made date false, clock time false, "+
		"local timestamp false, zoned timestamptz false, zclock string false, span long false, doc string false, "+
		"mark uuid false, raw binary false, bits binary false, tags list<string> false, big string false",
		columnList(columns.Fields))
	require.Len(t, columns.Refusals, 1)
	require.Contains(t, columns.Refusals[0].String(), "anything: a decimal without precision and scale")
}
