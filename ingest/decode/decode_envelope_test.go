package decode

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/ingest/source"
)

// events are what a chunk of change events became: "record operation row" for each row, the operation
// of each record, and "record field class" for each failure.
type events struct {
	rows, records, failures []string
	messages                []string
}

func decodeEvents(t testing.TB, plan *Plan, records ...source.Record) events {
	t.Helper()
	mem := memory.NewCheckedAllocator(memory.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	decoder := plan.NewDecoder(mem)
	defer decoder.Close()
	decoded, err := decoder.Decode(t.Context(), &source.Chunk{Records: records})
	require.NoError(t, err)
	defer decoded.Batch.Release()
	require.Len(t, decoded.Changes.Records, len(records))
	require.Len(t, decoded.Changes.Rows, int(decoded.Batch.NumRows()))
	text, err := decoded.Batch.MarshalJSON()
	require.NoError(t, err)
	var rows []json.RawMessage
	require.NoError(t, json.Unmarshal(text, &rows))
	out := events{rows: []string{}, records: []string{}, failures: []string{}}
	for i, row := range decoded.Changes.Rows {
		out.rows = append(out.rows, fmt.Sprintf("%d %s %s", row.Record, row.Op, withoutNulls(t, rows[i])))
	}
	for _, op := range decoded.Changes.Records {
		out.records = append(out.records, op.String())
	}
	for _, failure := range decoded.Failures {
		require.Less(t, len(failure.Message), 400, "messages are shortened")
		out.failures = append(out.failures, fmt.Sprintf("%d %d %s", failure.Row, failure.FieldID, failure.Class))
		out.messages = append(out.messages, failure.Message)
	}
	return out
}

// withoutNulls is a row without the columns that are null, which are most of a deleted one.
func withoutNulls(t testing.TB, row json.RawMessage) string {
	var fields map[string]any
	decoder := json.NewDecoder(strings.NewReader(string(row)))
	decoder.UseNumber()
	require.NoError(t, decoder.Decode(&fields))
	for name, value := range fields {
		if value == nil {
			delete(fields, name)
		}
	}
	text, err := json.Marshal(fields)
	require.NoError(t, err)
	return string(text)
}

func values(texts ...string) []source.Record {
	var records []source.Record
	for _, text := range texts {
		records = append(records, source.Record{Value: []byte(text)})
	}
	return records
}

// itemFields are the columns of the tables in these tests.
func itemFields() []iceberg.NestedField {
	prim := iceberg.PrimitiveTypes
	return []iceberg.NestedField{
		{Name: "id", Type: prim.Int64, Required: true},
		{Name: "name", Type: prim.String, Required: true},
		{Name: "price", Type: iceberg.DecimalTypeOf(10, 2)},
		{Name: "lsn", Type: prim.Int64},
	}
}

func itemEnvelope(e Envelope, sequence ...string) Options {
	e.Key = []string{"id"}
	if len(sequence) > 0 {
		e.Columns = map[string][]string{"lsn": sequence}
	}
	return Options{Envelope: e}
}

func TestDebeziumEventsBecomeRowsWithOperations(t *testing.T) {
	plan := jsonPlan(t, itemEnvelope(DebeziumEnvelope(), "source", "lsn"), itemFields()...)
	got := decodeEvents(t, plan, append(values(
		`{"before":null,"after":{"id":1,"name":"a","price":"1.50"},"source":{"db":"x","lsn":10},"op":"c"}`,
		`{"op":"r","source":{"lsn":11},"after":{"id":2,"name":"b","price":2}}`,
		`{"before":{"id":1,"name":"a"},"after":{"id":1,"name":"c"},"source":{"lsn":12},"op":"u"}`,
		`{"before":{"id":1,"name":null},"after":{"id":7,"name":"c"},"source":{"lsn":13},"op":"u"}`,
		`{"before":{"id":7,"name":"","price":null},"after":null,"source":{"lsn":14},"op":"d","ts_ms":5}`,
	), source.Record{Key: []byte(`{"id":7}`)})...)
	require.Equal(t, []string{
		`0 insert {"id":1,"lsn":10,"name":"a","price":"1.5"}`,
		`1 snapshot {"id":2,"lsn":11,"name":"b","price":"2"}`,
		`2 update {"id":1,"lsn":12,"name":"c"}`,
		`3 update {"id":7,"lsn":13,"name":"c"}`,
		`3 delete {"id":1,"lsn":13}`,
		`4 delete {"id":7,"lsn":14}`,
	}, got.rows)
	require.Equal(t, []string{"insert", "snapshot", "update", "update", "delete", "tombstone"}, got.records)
	require.Empty(t, got.failures)
}

func TestMaxwellEventsBecomeRowsWithOperations(t *testing.T) {
	plan := jsonPlan(t, itemEnvelope(MaxwellEnvelope(), "xid"), itemFields()...)
	got := decodeEvents(t, plan, values(
		`{"database":"d","table":"t","type":"insert","ts":1,"xid":5,"commit":true,"data":{"id":1,"name":"a"}}`,
		`{"type":"update","xid":6,"data":{"id":1,"name":"b"},"old":{"name":"a"}}`,
		`{"type":"update","xid":7,"data":{"id":2,"name":"b"},"old":{"id":1}}`,
		`{"type":"delete","xid":8,"data":{"id":2,"name":"b"}}`,
		`{"type":"bootstrap-insert","xid":9,"data":{"id":3,"name":"c"}}`,
		`{"type":"bootstrap-start","xid":9,"data":{}}`,
		`{"type":"table-alter","database":"d","table":"t","old":{},"def":{},"sql":"ALTER TABLE t"}`,
	)...)
	require.Equal(t, []string{
		`0 insert {"id":1,"lsn":5,"name":"a"}`,
		`1 update {"id":1,"lsn":6,"name":"b"}`,
		`2 update {"id":2,"lsn":7,"name":"b"}`,
		`2 delete {"id":1,"lsn":7}`,
		`3 delete {"id":2,"lsn":8}`,
		`4 snapshot {"id":3,"lsn":9,"name":"c"}`,
	}, got.rows)
	require.Equal(t, []string{"insert", "update", "update", "delete", "snapshot", "failed", "failed"}, got.records)
	require.Equal(t, []string{"5 0 operation", "6 0 operation"}, got.failures)
}

func TestCanalMessagesHoldSeveralRows(t *testing.T) {
	plan := jsonPlan(t, itemEnvelope(CanalEnvelope(), "es"), itemFields()...)
	got := decodeEvents(t, plan, values(
		`{"data":[{"id":"1","name":"a","price":"1.5"},{"id":"2","name":"b","price":null}],"es":7,"isDdl":false,`+
			`"old":null,"pkNames":["id"],"sqlType":{"id":-5},"table":"t","type":"INSERT"}`,
		`{"data":[{"id":"1","name":"x"},{"id":"9","name":"b"}],"es":8,"isDdl":false,`+
			`"old":[{"name":"a"},{"id":"2"}],"type":"UPDATE"}`,
		`{"data":[{"id":"1","name":"x"},{"id":"9","name":"b"}],"es":9,"isDdl":false,"old":null,"type":"DELETE"}`,
		`{"data":null,"es":9,"isDdl":true,"sql":"ALTER TABLE t ADD c INT","type":"ALTER"}`,
		`{"data":null,"es":9,"isDdl":true,"sql":"TRUNCATE t","type":"TRUNCATE"}`,
		`{"data":[{"id":"1","name":"x"}],"old":[{},{}],"type":"UPDATE"}`,
		`{"data":[],"type":"INSERT"}`,
		`{"data":[1],"type":"INSERT"}`,
	)...)
	require.Equal(t, []string{
		`0 insert {"id":1,"lsn":7,"name":"a","price":"1.5"}`,
		`0 insert {"id":2,"lsn":7,"name":"b"}`,
		`1 update {"id":1,"lsn":8,"name":"x"}`,
		`1 update {"id":9,"lsn":8,"name":"b"}`,
		`1 delete {"id":2,"lsn":8}`,
		`2 delete {"id":1,"lsn":9}`,
		`2 delete {"id":9,"lsn":9}`,
	}, got.rows)
	require.Equal(t, []string{"insert", "update", "delete", "failed", "failed", "failed", "failed", "failed"},
		got.records)
	require.Equal(t, []string{"3 0 operation", "4 0 operation", "5 0 type", "6 0 required", "7 0 type"}, got.failures)
}

func TestGenericEnvelopeIsReadByPaths(t *testing.T) {
	envelope := Envelope{After: []string{"data", "row"}, Before: []string{"data", "was"}, RecordKey: true}
	plan := jsonPlan(t, itemEnvelope(envelope, "meta", "position"), itemFields()...)
	got := decodeEvents(t, plan,
		source.Record{Value: []byte(`{"meta":{"position":1},"data":{"row":{"id":1,"name":"a"},"was":null}}`)},
		source.Record{Value: []byte(`{"meta":{"position":2},"data":{"row":null,"was":{"id":1}}}`)},
		source.Record{Key: []byte(`{"id":4}`), Value: []byte(`{"meta":{"position":3}}`)},
		source.Record{Key: []byte(`{"id":5}`)},
		source.Record{Key: []byte(`{"other":5}`)},
		source.Record{Key: []byte(`5`)},
		source.Record{})
	require.Equal(t, []string{
		`0 update {"id":1,"lsn":1,"name":"a"}`, `1 delete {"id":1,"lsn":2}`, `2 delete {"id":4,"lsn":3}`,
		`3 delete {"id":5}`, `4 delete {}`,
	}, got.rows)
	require.Equal(t, []string{"update", "delete", "delete", "delete", "delete", "failed", "tombstone"}, got.records)
	require.Equal(t, []string{"4 1 required", "5 0 type"}, got.failures)
}

// TestEventsThatChangeNoRowFailWithAReason goes through what else lies on the topics of a source.
func TestEventsThatChangeNoRowFailWithAReason(t *testing.T) {
	plan := jsonPlan(t, itemEnvelope(DebeziumEnvelope()), itemFields()...)
	const heartbeat, begin = `{"ts_ms":1790000000000}`,
		`{"status":"BEGIN","id":"571:1","event_count":null,"data_collections":null}`
	for text, want := range map[string]string{
		heartbeat: "0 0 operation: no operation",
		begin:     "0 0 operation: no operation",
		`{"status":"END","id":"571:1","event_count":2}`:                    "0 0 operation: no operation",
		`{"source":{},"ddl":"ALTER TABLE t","tableChanges":[]}`:            "0 0 operation: no operation",
		`{"op":"m","message":{"prefix":"p","content":"YQ=="}}`:             `0 0 operation: operation "m"`,
		`{"op":"t","before":null,"after":null}`:                            "0 0 operation: the source table",
		`{"op":"x","after":{"id":1,"name":"a"}}`:                           `0 0 operation: operation "x"`,
		`{"op":null,"after":{"id":1,"name":"a"}}`:                          `0 0 operation: operation "null"`,
		`{"op":"d","before":null,"after":null}`:                            "0 0 required: delete without",
		`{"op":"d","before":{"name":"a"}}`:                                 "0 1 required: id: a column of",
		`{"op":"c","before":null,"after":null}`:                            "0 0 required: insert without a",
		`{"op":"u","after":[{"id":1}]}`:                                    "0 0 type: after: not an object",
		`{"op":"u","after":"row"}`:                                         "0 0 type: after: not an object",
		`{"op":"c","op":"d","after":{"id":1,"name":"a"}}`:                  "0 0 duplicate_key: the event",
		`{"op":"c","after":{"id":"x","name":"a"}}`:                         "0 1 type: id: not long",
		`{"op":"c","after":{"id":1}}`:                                      "0 2 required: name: required",
		`{"schema":{"type":"what"},"payload":{"op":"c","after":{"id":1}}}`: "0 0 schema_changed: the event",
		`{"payload":5}`:    "0 0 type: not an object on a path",
		`[]`:               "0 0 type: record is not an object",
		`{"op":"c"`:        "0 0 syntax: record ends",
		`{"op":"c"} `:      "0 0 required: insert without a row",
		`{"op":"c"}{`:      "0 0 syntax: not JSON",
		``:                 "0 0 syntax: record is empty",
		`{"after":{"id":}`: "0 0 syntax: not JSON",
	} {
		got := decodeEvents(t, plan, values(text)...)
		require.Len(t, got.failures, 1, text)
		require.Contains(t, got.failures[0]+": "+got.messages[0], want, text)
	}
}

func TestUnavailableValuesAreNeverData(t *testing.T) {
	prim := iceberg.PrimitiveTypes
	plan := jsonPlan(t, itemEnvelope(DebeziumEnvelope()), iceberg.NestedField{Name: "id", Type: prim.Int64},
		iceberg.NestedField{Name: "text", Type: prim.String}, iceberg.NestedField{Name: "raw", Type: prim.Binary},
		iceberg.NestedField{Name: "list", Type: &iceberg.ListType{ElementID: 10, Element: prim.String}},
		iceberg.NestedField{Name: "map", Type: &iceberg.MapType{KeyID: 11, KeyType: prim.String, ValueID: 12,
			ValueType: prim.String}})
	row := `"after":{"id":%d,"text":"__debezium_unavailable_value",` +
		`"raw":"X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==","list":["__debezium_unavailable_value"],` +
		`"map":{"__debezium_unavailable_value":"__debezium_unavailable_value"}}`
	got := decodeEvents(t, plan, values(
		`{"op":"u","after":{"id":1,"text":"x","list":[],"map":{}}}`,
		`{"op":"u",`+fmt.Sprintf(row, 2)+`}`,
		`{"op":"u","after":{"id":3,"text":"__debezium_unavailable_values",`+
			`"list":["x","__debezium_unavailable_value"]}}`,
		`{"op":"r",`+fmt.Sprintf(row, 4)+`}`,
		`{"op":"c","after":{"id":5,"text":"__debezium_unavailable_value"}}`)...)
	require.Equal(t, []string{"1 2 unavailable", "1 3 unavailable", "1 4 unavailable", "1 5 unavailable",
		"4 2 unavailable"}, got.failures)
	require.Equal(t, `1 update {"id":2}`, got.rows[1])
	require.Contains(t, got.rows[3], `"text":"__debezium_unavailable_value"`, "a snapshot holds what it says")
}

func TestEnvelopesThatCannotWorkAreRefused(t *testing.T) {
	id, a, o := []string{"id"}, []string{"a"}, []string{"o"}
	for want, envelope := range map[string]Envelope{
		"needs the key columns":       {After: a},
		"key column what":             {After: a, Key: []string{"what"}},
		"names column what":           {After: a, Key: id, Columns: map[string][]string{"what": o}},
		"its path is empty":           {After: a, Key: id, Columns: map[string][]string{"lsn": {}}},
		"has two meanings":            {After: a, Before: a, Key: id},
		"leads into a":                {After: a, Before: []string{"a", "b"}, Key: id},
		"needs the operation's value": {After: a, Op: o, Key: id},
		"must not begin with schema":  {After: []string{"schema"}, Connect: true, Key: id},
		"has an empty name":           {After: []string{""}, Key: id},
		"write insert, update":        {After: a, Op: o, Operations: map[string]Op{"x": OpTombstone}, Key: id},
		"needs the path to them":      {After: a, BeforePartial: true, Key: id},
	} {
		_, err := NewPlan(testSchema(itemFields()...), Options{Format: FormatJSON, Envelope: envelope})
		require.ErrorContains(t, err, want)
	}
	csv := Options{Format: FormatCSV, Envelope: Envelope{After: a, Key: id}}
	_, err := NewPlan(testSchema(itemFields()...), csv)
	require.ErrorContains(t, err, "format csv holds no change events")
	_, err = NewPlan(testSchema(iceberg.NestedField{Name: "id", Type: iceberg.PrimitiveTypes.Float64}),
		itemEnvelope(DebeziumEnvelope()).with(FormatJSON))
	require.ErrorContains(t, err, "double cannot identify a row")
}

func (o Options) with(format Format) Options {
	o.Format = format
	return o
}
