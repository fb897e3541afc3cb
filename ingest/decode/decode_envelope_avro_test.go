package decode

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/hamba/avro/v2"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/ingest/messageschema"
	"github.com/firthlake/firth/ingest/registry"
	"github.com/firthlake/firth/ingest/source"
)

// itemEventAvro is the schema of Debezium's events as Confluent's converter writes it.
const itemEventAvro = `{"type":"record","name":"Envelope","namespace":"pg.public.items","fields":[
	{"name":"before","type":["null",{"type":"record","name":"Value","fields":[
		{"name":"id","type":"long"},{"name":"name","type":["null","string"],"default":null},
		{"name":"price","type":["null",{"type":"bytes","scale":2,"precision":64,"connect.version":1,
			"connect.parameters":{"scale":"2","connect.decimal.precision":"10"},
			"connect.name":"org.apache.kafka.connect.data.Decimal","logicalType":"decimal"}],"default":null}],
		"connect.name":"pg.public.items.Value"}],"default":null},
	{"name":"after","type":["null","Value"],"default":null},
	{"name":"source","type":{"type":"record","name":"Source","namespace":"io.debezium.connector.postgresql",
		"fields":[{"name":"version","type":"string"},{"name":"lsn","type":["null","long"],"default":null}]}},
	{"name":"op","type":"string"},{"name":"ts_ms","type":["null","long"],"default":null}],
	"connect.name":"pg.public.items.Envelope"}`

const itemKeyAvro = `{"type":"record","name":"Key","namespace":"pg.public.items","fields":[
	{"name":"id","type":"long"}]}`

func avroEventPlan(t testing.TB, envelope Envelope, texts ...string) *Plan {
	t.Helper()
	options := itemEnvelope(envelope, "source", "lsn").with(FormatAvro)
	plan, err := NewWriterPlan(t.Context(), testSchema(itemFields()...), options,
		WriterOptions{Schemas: avroSchemas(texts...)})
	require.NoError(t, err)
	return plan
}

// avroEvent is an event of itemEventAvro; a row is an id and a name.
func avroEvent(t testing.TB, op string, lsn any, before, after []any) []byte {
	t.Helper()
	row := func(row []any) any {
		if row == nil {
			return nil
		}
		return map[string]any{"pg.public.items.Value": map[string]any{"id": row[0],
			"name": map[string]any{"string": row[1]}, "price": nil}}
	}
	payload, err := avro.Marshal(avro.MustParse(itemEventAvro), map[string]any{"before": row(before),
		"after": row(after), "source": map[string]any{"version": "3.7", "lsn": lsn}, "op": op, "ts_ms": nil})
	require.NoError(t, err)
	return append(registry.AppendHeader(nil, 1), payload...)
}

func TestDebeziumEventsInAvro(t *testing.T) {
	envelope := DebeziumEnvelope()
	envelope.RecordKey = true
	other := `{"type":"record","name":"Heartbeat","fields":[{"name":"ts_ms","type":"long"}]}`
	plan := avroEventPlan(t, envelope, itemEventAvro, itemKeyAvro, other)
	old, renamed, moved := []any{int64(1), "a"}, []any{int64(1), "b"}, []any{int64(2), "b"}
	lsn := func(v int64) any { return map[string]any{"long": v} }
	key := framed(2, 4)
	whole := avroEvent(t, "c", nil, nil, old)
	records := []source.Record{
		{Value: avroEvent(t, "c", lsn(1), nil, old)}, {Value: avroEvent(t, "u", lsn(2), old, renamed)},
		{Value: avroEvent(t, "u", lsn(3), renamed, moved)}, {Value: avroEvent(t, "d", lsn(4), moved, nil)},
		{Key: key}, {Value: avroEvent(t, "r", nil, nil, old)}, {Value: avroEvent(t, "d", lsn(5), nil, nil), Key: key},
		{Value: avroEvent(t, "t", nil, nil, nil)}, {Value: avroEvent(t, "u", nil, nil, nil)},
		{Value: framed(3, 2)}, {Value: framed(9, 2)}, {Value: []byte("{}")}, {Key: framed(9, 2)}, {Key: framed(2)},
		{Value: whole[:len(whole)-2]}, {Value: append(slices.Clip(whole), 0)}, {},
	}
	got := decodeEvents(t, plan, records...)
	require.Equal(t, []string{
		`0 insert {"id":1,"lsn":1,"name":"a"}`, `1 update {"id":1,"lsn":2,"name":"b"}`,
		`2 update {"id":2,"lsn":3,"name":"b"}`, `2 delete {"id":1,"lsn":3}`, `3 delete {"id":2,"lsn":4}`,
		`4 delete {"id":2}`, `5 snapshot {"id":1,"name":"a"}`, `6 delete {"id":2,"lsn":5}`,
	}, got.rows)
	require.Equal(t, []string{"7 0 operation", "8 0 required", "9 0 operation", "10 0 schema_id", "11 0 syntax",
		"12 0 schema_id", "13 0 syntax", "14 0 syntax", "15 0 syntax"}, got.failures)
	require.Equal(t, "tombstone", got.records[16])
}

func TestAvroEventsThatCannotBeReadAreRefused(t *testing.T) {
	row := `{"type":"record","name":"V","fields":[{"name":"id","type":"long"},{"name":"name","type":"string"}]}`
	event := func(after, op string) string {
		return `{"type":"record","name":"E","fields":[{"name":"after","type":` + after + `},{"name":"op","type":` + op +
			`}]}`
	}
	enum := `{"type":"enum","name":"O","symbols":["x","c"]}`
	plan := avroEventPlan(t, DebeziumEnvelope(), event(row, enum), event(`"long"`, enum), event(row, `"long"`),
		`"string"`, event(row, `["null","string"]`), `{"type":`)
	good := []byte{2, 2, 'a'}
	got := decodeEvents(t, plan, []source.Record{
		{Value: framed(1, append(good, 2)...)}, {Value: framed(1, append(good, 0)...)},
		{Value: framed(1, append(good, 4)...)}, {Value: framed(2, 2, 2)}, {Value: framed(3, append(good, 2)...)},
		{Value: framed(4, 2, 'a')}, {Value: framed(5, append(good, 0)...)}, {Value: framed(5, append(good, 4)...)},
		{Value: framed(6, 2)}, {Value: framed(1, 2, 2, 0xff, 2)},
	}...)
	require.Equal(t, []string{`0 insert {"id":1,"name":"a"}`, `9 insert {"id":1}`}, got.rows)
	require.Equal(t, []string{"1 0 operation", "2 0 operation", "3 0 type", "4 0 type", "5 0 schema_id",
		"6 0 operation", "7 0 syntax", "8 0 schema_id", "9 2 utf8"}, got.failures)
}

func TestEnvelopesThatAvroDoesNotHaveAreRefused(t *testing.T) {
	key := DebeziumEnvelope()
	key.RecordKey = true
	schemas := WriterOptions{Schemas: avroSchemas(itemEventAvro)}
	fixed := WriterOptions{Fixed: avroSchemas(itemEventAvro)[1]}
	for _, c := range []struct {
		want     string
		format   Format
		envelope Envelope
		writer   WriterOptions
	}{
		{"read in JSON and Avro", FormatProtobuf, DebeziumEnvelope(), schemas},
		{"read in JSON only", FormatAvro, MaxwellEnvelope(), schemas},
		{"use a schema registry", FormatAvro, key, fixed},
	} {
		options := itemEnvelope(c.envelope).with(c.format)
		_, err := NewWriterPlan(t.Context(), testSchema(itemFields()...), options, c.writer)
		require.ErrorContains(t, err, c.want)
	}
}

// TestColumnsOfAvroEventsAreThoseOfTheRow reads the table's columns out of the envelope's schema.
func TestColumnsOfAvroEventsAreThoseOfTheRow(t *testing.T) {
	parsed, err := messageschema.ParseAvro(itemEventAvro)
	require.NoError(t, err)
	columns := parsed.At("after").Columns(messageschema.Options{})
	require.Empty(t, columns.Refusals)
	require.Equal(t, "id long true, name string false, price decimal(10, 2) false", columnList(columns.Fields))
	require.Nil(t, parsed.At("after", "what"))
}

func columnList(fields []iceberg.NestedField) string {
	var out []string
	for _, f := range fields {
		out = append(out, fmt.Sprintf("%s %s %t", f.Name, f.Type, f.Required))
	}
	return strings.Join(out, ", ")
}

// avroEventWorld makes random rows and events of them. What the rows must become is what the plain
// decoder makes of them, which has a reference of its own.
type avroEventWorld struct {
	avroWorld
	row           *avroShape
	plain, events *Plan
	keys          []int
}

func newAvroEventWorld(t *testing.T, seed uint64) *avroEventWorld {
	w := &avroEventWorld{avroWorld: avroWorld{writerWorld: newWriterWorld(seed, FormatAvro)}}
	w.options.DepthMax = 0
	w.row = w.record(1 + w.random.IntN(3))
	told := map[*avroShape]bool{}
	text, err := json.Marshal(w.row.schemaText(told))
	require.NoError(t, err)
	event := fmt.Sprintf(`{"type":"record","name":"Envelope","fields":[{"name":"before","type":["null",%s]},`+
		`{"name":"ts","type":"long"},{"name":"after","type":["null",%q]},{"name":"op","type":"string"}]}`,
		text, w.row.name)
	parsed, err := messageschema.ParseAvro(string(text))
	require.NoError(t, err)
	w.writer.Schemas = avroSchemas(string(text), event)
	w.plain = w.table(t, parsed.Columns(messageschema.Options{}))
	envelope := DebeziumEnvelope()
	envelope.Unavailable = ""
	for i, n := range w.plain.columns {
		if n.identifies() {
			envelope.Key, w.keys = append(envelope.Key, n.name), append(w.keys, i)
			if w.chance(2) {
				break
			}
		}
	}
	if len(w.keys) == 0 {
		t.Skip("no column identifies a row")
	}
	options := w.options
	options.Envelope = envelope
	w.events, err = NewWriterPlan(t.Context(), w.plain.schema, options, w.writer)
	require.NoError(t, err)
	return w
}

// plainRow is what the plain decoder makes of a row: its values, and the class of each column.
type plainRow struct {
	values  []any
	classes map[int]Class
}

func (w *avroEventWorld) decodePlain(t *testing.T, rows [][]byte) []plainRow {
	decoder := w.plain.NewDecoder(memory.DefaultAllocator)
	defer decoder.Close()
	var values [][]byte
	for _, row := range rows {
		values = append(values, append(registry.AppendHeader(nil, 1), row...))
	}
	decoded, err := decoder.Decode(t.Context(), chunkOf(values...))
	require.NoError(t, err)
	defer decoded.Batch.Release()
	out := make([]plainRow, len(rows))
	for i := range out {
		out[i].classes = map[int]Class{}
		for k, n := range w.plain.columns {
			out[i].values = append(out[i].values, arrowValue(decoded.Batch.Column(k), i, n))
		}
	}
	for _, failure := range decoded.Failures {
		out[failure.Row].classes[failure.FieldID] = failure.Class
	}
	return out
}

// checkAvroEvents compares the events of a random world with the plain decoder.
func checkAvroEvents(t *testing.T, seed uint64) {
	w := newAvroEventWorld(t, seed)
	var rows [][]byte
	for range 12 {
		rows = append(rows, w.value(nil, w.row, 6))
	}
	plain := w.decodePlain(t, rows)
	var records []source.Record
	var want, failures []string
	for i := range 30 {
		before, after := w.random.IntN(len(rows)), w.random.IntN(len(rows))
		op := []string{"c", "u", "d", "r"}[w.random.IntN(4)]
		hasBefore, hasAfter := op == "d" || op == "u" && w.chance(2), op != "d"
		value := registry.AppendHeader(nil, 2)
		value = appendImage(value, hasBefore, rows[before])
		value = binary.AppendVarint(value, w.random.Int64())
		value = appendImage(value, hasAfter, rows[after])
		records = append(records, source.Record{Value: append(value, 2, op[0])})
		upserted, removed := plain[after], plain[before]
		if upserted.classes[0] != "" || removed.classes[0] != "" {
			t.Skip("a row that cannot be read at all")
		}
		if hasAfter {
			want = append(want, fmt.Sprint(i, " ", w.events.options.Envelope.Operations[op], " ", upserted.values))
			for k, n := range w.plain.columns {
				class := upserted.classes[n.id]
				if class == "" && upserted.values[k] == nil && slices.Contains(w.keys, k) {
					class = ClassRequired
				}
				if class != "" {
					failures = append(failures, fmt.Sprint(i, " ", n.id, " ", class))
				}
			}
		}
		if !hasBefore || op == "u" && w.sameKey(upserted, removed) {
			continue
		}
		values := make([]any, len(removed.values))
		for _, k := range w.keys {
			id := w.plain.columns[k].id
			class := removed.classes[id]
			if values[k] = removed.values[k]; values[k] == nil && class == "" {
				class = ClassRequired
			}
			if class != "" {
				failures = append(failures, fmt.Sprint(i, " ", id, " ", class))
			}
		}
		want = append(want, fmt.Sprint(i, " ", OpDelete, " ", values))
	}
	got, gotFailures := w.decodeEvents(t, records)
	require.Equal(t, want, got, "table %s", w.plain.schema)
	sort.Strings(failures)
	sort.Strings(gotFailures)
	require.Equal(t, failures, gotFailures)
	for i := range records {
		records[i].Value = w.damaged(records[i].Value)
	}
	w.decodeEvents(t, records)
}

func appendImage(value []byte, has bool, row []byte) []byte {
	if !has {
		return append(value, 0)
	}
	return append(append(value, 2), row...)
}

func (w *avroEventWorld) sameKey(a, b plainRow) bool {
	for _, k := range w.keys {
		if fmt.Sprint(a.values[k]) != fmt.Sprint(b.values[k]) {
			return false
		}
	}
	return true
}

// decodeEvents returns rows as "record operation values" and failures as "record field class".
func (w *avroEventWorld) decodeEvents(t *testing.T, records []source.Record) (rows, failures []string) {
	mem := memory.NewCheckedAllocator(memory.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	decoder := w.events.NewDecoder(mem)
	defer decoder.Close()
	decoded, err := decoder.Decode(t.Context(), &source.Chunk{Records: records})
	require.NoError(t, err)
	defer decoded.Batch.Release()
	require.EqualValues(t, len(decoded.Changes.Rows), decoded.Batch.NumRows())
	for i, row := range decoded.Changes.Rows {
		var values []any
		for k, n := range w.events.columns {
			values = append(values, arrowValue(decoded.Batch.Column(k), i, n))
		}
		rows = append(rows, fmt.Sprint(row.Record, " ", row.Op, " ", values))
	}
	whole := map[int]bool{}
	for _, failure := range decoded.Failures {
		failures = append(failures, fmt.Sprint(failure.Row, " ", failure.FieldID, " ", failure.Class))
		whole[failure.Row] = whole[failure.Row] || failure.FieldID == 0
	}
	for i, op := range decoded.Changes.Records {
		require.Equal(t, op == OpFailed, whole[i], "record %d", i)
	}
	return rows, failures
}

func TestAvroEventsAgreeWithPlainRows(t *testing.T) {
	worlds := uint64(300)
	if testing.Short() {
		worlds = 50
	}
	for seed := range worlds {
		if !t.Run(fmt.Sprint(seed), func(t *testing.T) { checkAvroEvents(t, seed) }) {
			return
		}
	}
}

func TestConnectTypesInAvroBecomeValues(t *testing.T) {
	prim := iceberg.PrimitiveTypes
	long := func(v int64) []byte { return binary.AppendVarint(nil, v) }
	text := func(v string) []byte { return append(long(int64(len(v))), v...) }
	variable := `{"type":"record","name":"io.debezium.data.VariableScaleDecimal","fields":[%s,%s]}`
	scale, value := `{"name":"scale","type":"int"}`, `{"name":"value","type":"bytes"}`
	named := func(of, name string) string { return fmt.Sprintf(`{"type":%q,"connect.name":%q}`, of, name) }
	for _, c := range []struct {
		writer string
		of     iceberg.Type
		value  []byte
		want   string
	}{
		{named("long", "io.debezium.time.NanoTime"), prim.Time, long(3_600_000_001_999), `"01:00:00.000001"`},
		{named("long", "io.debezium.time.MicroTimestamp"), prim.Timestamp, long(1000), `"1970-01-01T00:00:00.001"`},
		{named("long", "io.debezium.time.MicroTimestamp"), prim.Int64, long(1000), `1000`},
		{named("string", "io.debezium.time.ZonedTimestamp"), prim.TimestampTz, text("2024-10-04T02:00:00+02:00"),
			`"2024-10-04T00:00:00Z"`},
		{named("string", "io.debezium.time.ZonedTimestamp"), prim.String, text("x"), `"x"`},
		{named("string", "io.debezium.time.ZonedTimestamp"), prim.TimestampTz, text("x"), "type"},
		{fmt.Sprintf(variable, scale, value), iceberg.DecimalTypeOf(9, 2), append(long(1), 2, 5), `"0.5"`},
		{fmt.Sprintf(variable, value, scale), iceberg.DecimalTypeOf(9, 2), append([]byte{2, 5}, long(-1)...), `"50"`},
		{fmt.Sprintf(variable, scale, value), iceberg.DecimalTypeOf(9, 2), append(long(3), 2, 5), "range"},
		{fmt.Sprintf(variable, scale, value), iceberg.DecimalTypeOf(9, 2), append(long(99), 2, 5), "range"},
		{fmt.Sprintf(variable, scale, value), prim.String, append(long(1), 2, 5), "schema_changed"},
		{`{"type":"record","name":"io.debezium.data.geometry.Point","fields":[` + scale + `]}`,
			structOf(iceberg.NestedField{ID: 9, Name: "scale", Type: prim.Int32}), long(1), "schema_changed"},
	} {
		f := writerFixture{columns: testSchema(iceberg.NestedField{Name: "v", Type: c.of}),
			options: Options{Format: FormatAvro},
			writer:  WriterOptions{Schemas: avroSchemas(avroRecordText("v " + c.writer))}}
		got, err := f.decode(t, framed(1, c.value...))
		require.NoError(t, err)
		require.Contains(t, got, c.want, c.writer)
	}
}
