package decode

import (
	"fmt"
	"math/rand/v2"
	"sort"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/ingest/source"
)

// checkEvents decodes records as one chunk and compares what they become with the reference.
func checkEvents(t *testing.T, plan *Plan, records []source.Record) {
	t.Helper()
	mem := memory.NewCheckedAllocator(memory.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	decoder := plan.NewDecoder(mem)
	defer decoder.Close()
	decoded, err := decoder.Decode(t.Context(), &source.Chunk{Records: records})
	require.NoError(t, err)
	defer decoded.Batch.Release()
	want := newEventReference(plan).events(records)
	for i, op := range want.records {
		require.Equal(t, op.String(), decoded.Changes.Records[i].String(), "record %d: %s %v", i, records[i].Value,
			decoded.Failures)
	}
	require.Len(t, decoded.Changes.Rows, len(want.rows))
	require.EqualValues(t, len(want.rows), decoded.Batch.NumRows())
	for i, row := range want.rows {
		value := records[row.record].Value
		require.Equal(t, RowChange{int32(row.record), row.op}, decoded.Changes.Rows[i], "row %d: %s", i, value)
		for k, n := range plan.columns {
			require.Equal(t, row.values[k], arrowValue(decoded.Batch.Column(k), i, n), "row %d column %s %s: %s",
				i, n.path, n.dataType, value)
		}
	}
	failures, lastRow := []string{}, 0
	for _, failure := range decoded.Failures {
		require.GreaterOrEqual(t, failure.Row, lastRow, "failures in the order of records")
		lastRow = failure.Row
		class := failure.Class
		if class == ClassTooDeep && contains(want.failures, fmt.Sprintf("%d 0 %s", failure.Row, ClassSyntax)) {
			class = ClassSyntax // the decoder gives up before it comes to the fault
		}
		failures = append(failures, fmt.Sprintf("%d %d %s", failure.Row, failure.FieldID, class))
	}
	sort.Strings(failures)
	for i, record := range records {
		require.Equal(t, of(i, want.failures), of(i, failures), "record %d: %s key %s", i, record.Value, record.Key)
	}
}

func contains(list []string, text string) bool {
	at := sort.SearchStrings(list, text)
	return at < len(list) && list[at] == text
}

// of returns the failures of a record.
func of(record int, failures []string) []string {
	var own []string
	for _, failure := range failures {
		if strings.HasPrefix(failure, fmt.Sprint(record, " ")) {
			own = append(own, failure)
		}
	}
	return own
}

// eventWorld makes random envelopes and events.
type eventWorld struct{ world }

// plan is a plan whose first column is the key.
func (w *eventWorld) plan(t *testing.T) *Plan {
	var fields []iceberg.NestedField
	var options Options
	for {
		fields = w.fieldList(2)
		kind, err := kindOf(fields[0].Type)
		require.NoError(t, err)
		if (&node{kind: kind}).identifies() {
			break
		}
	}
	options = w.options(fields)
	options.DepthMax += 3
	e := []Envelope{DebeziumEnvelope(), MaxwellEnvelope(), CanalEnvelope(), {After: []string{"new", "row"},
		Before: []string{"new", "old"}}, {After: []string{"row"}, Op: []string{"k\"ey", "op"},
		Operations: map[string]Op{"1": OpInsert, "true": OpDelete, "ü": OpUpdate}}}[w.random.IntN(5)]
	e.Key = []string{fields[0].Name}
	if len(fields) > 1 && w.chance(3) && e.After[0] != "new" {
		kind, _ := kindOf(fields[1].Type)
		if (&node{kind: kind}).identifies() {
			e.Key = append(e.Key, fields[1].Name)
		}
	}
	if last := fields[len(fields)-1].Name; len(fields) > 2 && w.chance(2) {
		e.Columns = map[string][]string{last: {"source", "lsn"}}
		if w.chance(4) && len(e.Op) > 0 {
			e.Columns[last] = e.Op
		}
	}
	e.RecordKey = w.chance(2)
	e.Unavailable = "a"
	options.Envelope = e
	plan, err := NewPlan(iceberg.NewSchema(0, fields...), options)
	require.NoError(t, err)
	return plan
}

// event is a record that mostly suits the plan.
func (w *eventWorld) event(plan *Plan) source.Record {
	var record source.Record
	if w.chance(3) {
		record.Key = []byte("{}")
		if !w.chance(4) {
			record.Key = w.document(plan.events.key)
		}
		if w.chance(4) {
			record.Key = fmt.Appendf(nil, `{"schema":null,"payload":%s}`, record.Key)
		}
		if w.chance(8) {
			record.Key = w.damage(record.Key)
		}
	}
	if w.chance(10) {
		return record
	}
	var b strings.Builder
	w.writeEnvelope(&b, plan, plan.events.root)
	record.Value = []byte(b.String())
	if w.chance(6) {
		record.Value = w.damage(record.Value)
	}
	return record
}

func (w *eventWorld) writeEnvelope(b *strings.Builder, plan *Plan, o *eventObject) {
	names := o.fields.names
	if o.payload != nil {
		names = names[:len(names)-2]
		if w.chance(4) {
			start := []string{`{"schema":null,"payload":`, `{"payload":`}[w.random.IntN(2)]
			b.WriteString(start)
			w.writeEnvelope(b, plan, o.payload)
			b.WriteString([]string{"}", ` ,"x":1}`, `,"schema":null}`, `,"op":"c"}`}[w.random.IntN(4)])
			return
		}
	}
	w.writeObject(b, names, func(i int) {
		t := &o.targets[i]
		switch {
		case w.chance(20):
			w.writeAny(b, 2)
		case w.chance(12):
			b.WriteString("null")
		case t.role == roleAfter:
			w.writeImages(b, plan)
		case t.role == roleBefore && w.chance(2):
			w.writeImages(b, plan)
		case t.role == roleBefore:
			b.WriteString("null")
		case t.role == roleOp:
			operations := plan.envelope.operations
			op := operations[w.random.IntN(len(operations))].text
			if op == "1" || op == "true" {
				b.WriteString(op)
			} else {
				w.writeString(b, op)
			}
		case t.inner != nil:
			w.writeEnvelope(b, plan, t.inner)
		case t.role == roleDDL:
			b.WriteString([]string{"false", "false", "false", "true"}[w.random.IntN(4)])
		default:
			w.writeValue(b, plan.columns[plan.envelope.outer[t.outer[0]]])
		}
	})
}

func (w *eventWorld) writeImages(b *strings.Builder, plan *Plan) {
	if !plan.options.Envelope.Many {
		b.Write(w.document(plan))
		return
	}
	b.WriteByte('[')
	for i := range 1 + w.random.IntN(2) {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(w.document(plan))
	}
	b.WriteByte(']')
}

func TestEventsAgreeWithReference(t *testing.T) {
	worlds := 400
	if testing.Short() {
		worlds = 40
	}
	for seed := range worlds {
		w := &eventWorld{world{random: rand.New(rand.NewPCG(uint64(seed), 17))}}
		plan := w.plan(t)
		var records []source.Record
		for range 60 {
			records = append(records, w.event(plan))
		}
		if !t.Run(fmt.Sprint(seed), func(t *testing.T) { checkEvents(t, plan, records) }) {
			return
		}
	}
}

// FuzzEvents has the events of one table, in all the envelopes, decoded as one chunk.
func FuzzEvents(f *testing.F) {
	for kind, text := range []string{
		`{"before":{"id":1},"after":{"id":2,"name":"a","price":1.5},"op":"u","source":{"lsn":5}}`,
		`{"type":"update","data":{"id":1,"name":"a"},"old":{"id":2},"xid":5}`,
		`{"type":"UPDATE","data":[{"id":"1","name":"a"},{"id":"2","name":"b"}],"old":[{"id":"3"},{}],"isDdl":false}`,
		`{"row":{"id":1,"name":"a"},"was":null}`,
	} {
		f.Add(uint8(kind), []byte(text), []byte(`{"schema":null,"payload":{"id":1}}`))
		f.Add(uint8(kind), []byte(`{"payload":`+text+`,"schema":null}`), []byte(nil))
	}
	var plans []*Plan
	for _, envelope := range []Envelope{DebeziumEnvelope(), MaxwellEnvelope(), CanalEnvelope(),
		{After: []string{"row"}, Before: []string{"was"}}} {
		envelope.RecordKey = true
		plan, err := NewPlan(testSchema(itemFields()...),
			itemEnvelope(envelope, "source", "lsn").with(FormatJSON))
		require.NoError(f, err)
		plans = append(plans, plan)
	}
	f.Fuzz(func(t *testing.T, kind uint8, value, key []byte) {
		plan := plans[int(kind)%len(plans)]
		good := source.Record{Key: []byte(`{"id":7}`)}
		record := source.Record{Value: append([]byte{}, value...)}
		if key != nil {
			record.Key = append([]byte{}, key...)
		}
		if plan.options.Envelope.Connect && (connectSchemaOf(value) || connectSchemaOf(key)) {
			t.Skip("the reference does not know schemas")
		}
		checkEvents(t, plan, []source.Record{good, record, good, record, {Key: record.Key}})
	})
}

// connectSchemaOf tells whether an event or a key may have a schema that is not null.
func connectSchemaOf(doc []byte) bool {
	text := strings.ToLower(string(doc))
	return strings.Contains(text, "schema") && !strings.Contains(text, `"schema":null`) ||
		strings.Contains(text, `\u00`)
}
