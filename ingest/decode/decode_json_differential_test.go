package decode

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/ingest/source"
)

// arrowValue is the i-th value in the form of the reference.
func arrowValue(a arrow.Array, i int, n *node) any {
	if a.IsNull(i) {
		return nil
	}
	switch a := a.(type) {
	case *array.Boolean:
		return a.Value(i)
	case *array.Int32:
		return int64(a.Value(i))
	case *array.Date32:
		return int64(a.Value(i))
	case *array.Int64:
		return a.Value(i)
	case *array.Time64:
		return int64(a.Value(i))
	case *array.Timestamp:
		return int64(a.Value(i))
	case *array.Float32:
		return math.Float64bits(float64(a.Value(i)))
	case *array.Float64:
		return math.Float64bits(a.Value(i))
	case *array.Decimal128:
		return a.Value(i).BigInt().String()
	case *array.String:
		return a.Value(i)
	case *array.Binary:
		return string(a.Value(i))
	case *array.FixedSizeBinary:
		return string(a.Value(i))
	case *array.Struct:
		values := make([]any, a.NumField())
		for k := range values {
			values[k] = arrowValue(a.Field(k), i, n.children[k])
		}
		return values
	case *array.Map:
		pairs := []any{}
		for k := int(a.Offsets()[i]); k < int(a.Offsets()[i+1]); k++ {
			pairs = append(pairs, []any{arrowValue(a.Keys(), k, n.children[0]), arrowValue(a.Items(), k,
				n.children[1])})
		}
		return pairs
	case *array.List:
		list := []any{}
		for k := int(a.Offsets()[i]); k < int(a.Offsets()[i+1]); k++ {
			list = append(list, arrowValue(a.ListValues(), k, n.children[0]))
		}
		return list
	case array.ExtensionArray:
		return arrowValue(a.Storage(), i, n)
	}
	panic(fmt.Sprintf("value of %s", a.DataType()))
}

// checkJSON decodes documents as one chunk and compares every row with the reference.
func checkJSON(t *testing.T, plan *Plan, documents [][]byte) {
	t.Helper()
	mem := memory.NewCheckedAllocator(memory.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	chunk := &source.Chunk{}
	for _, document := range documents {
		chunk.Records = append(chunk.Records, source.Record{Value: append([]byte{}, document...)})
	}
	decoder := plan.NewDecoder(mem)
	defer decoder.Close()
	decoded, err := decoder.Decode(t.Context(), chunk)
	require.NoError(t, err)
	defer decoded.Batch.Release()
	require.EqualValues(t, len(documents), decoded.Batch.NumRows())
	failures := map[[2]int]Class{}
	lastRow := 0
	for _, failure := range decoded.Failures {
		require.GreaterOrEqual(t, failure.Row, lastRow, "failures in row order")
		lastRow = failure.Row
		at := [2]int{failure.Row, failure.FieldID}
		require.NotContains(t, failures, at)
		failures[at] = failure.Class
	}
	for i, document := range documents {
		want := (&reference{plan: plan}).row(document)
		class := failures[[2]int{i, 0}]
		delete(failures, [2]int{i, 0})
		if want.class == ClassSyntax && class == ClassTooDeep {
			class = ClassSyntax // the decoder gives up before it comes to the fault
		}
		require.Equal(t, want.class, class, "record %d: %s", i, document)
		for k, n := range plan.columns {
			got := arrowValue(decoded.Batch.Column(k), i, n)
			require.Equal(t, want.values[k], got, "record %d column %s %s: %s", i, n.path, n.dataType, document)
			if want.class == "" {
				require.Equal(t, want.classes[k], failures[[2]int{i, n.id}],
					"record %d column %s %s: %s", i, n.path, n.dataType, document)
				delete(failures, [2]int{i, n.id})
			}
		}
	}
	require.Empty(t, failures, "failures nobody expected")
}

// world makes random schemas and documents for them.
type world struct {
	random *rand.Rand
	nextID int
}

func (w *world) id() int { w.nextID++; return w.nextID }

func (w *world) chance(n int) bool { return w.random.IntN(n) == 0 }

func (w *world) scalarType() iceberg.Type {
	prim := iceberg.PrimitiveTypes
	precision := 1 + w.random.IntN(38)
	types := []iceberg.Type{prim.Bool, prim.Int32, prim.Int64, prim.Float32, prim.Float64, prim.Date, prim.Time,
		prim.Timestamp, prim.TimestampTz, prim.TimestampNs, prim.TimestampTzNs, prim.String, prim.Binary, prim.UUID,
		iceberg.FixedTypeOf(1 + w.random.IntN(70)), iceberg.DecimalTypeOf(precision, w.random.IntN(precision+1))}
	return types[w.random.IntN(len(types))]
}

func (w *world) fieldType(depth int) iceberg.Type {
	if depth == 0 || !w.chance(3) {
		return w.scalarType()
	}
	switch w.random.IntN(3) {
	case 0:
		return &iceberg.StructType{FieldList: w.fieldList(depth - 1)}
	case 1:
		return &iceberg.ListType{ElementID: w.id(), Element: w.fieldType(depth - 1), ElementRequired: w.chance(3)}
	}
	key := w.scalarType()
	return &iceberg.MapType{KeyID: w.id(), KeyType: key, ValueID: w.id(), ValueType: w.fieldType(depth - 1),
		ValueRequired: w.chance(3)}
}

func (w *world) fieldList(depth int) []iceberg.NestedField {
	var fields []iceberg.NestedField
	for i := range 1 + w.random.IntN(6) {
		name := []string{"a", "b", "ts", "käse", `q"x`, "a_rather_long_name_of_a_field", "z"}[i]
		fields = append(fields, iceberg.NestedField{ID: w.id(), Name: name, Type: w.fieldType(depth),
			Required: w.chance(5)})
	}
	return fields
}

func (w *world) options(fields []iceberg.NestedField) Options {
	o := Options{Format: FormatJSON, Columns: map[string]ColumnOptions{}, DepthMax: 5 + w.random.IntN(4)}
	o.StrictNumbers = w.chance(4)
	switch w.random.IntN(4) {
	case 0:
		o.DuplicateKeys = DuplicateLast
	case 1:
		o.UnknownFields = UnknownDeadLetter
	}
	for _, field := range fields {
		var column ColumnOptions
		column.JSONText = w.chance(3)
		column.Time = []TimeFormat{TimeAuto, TimeISO, TimeSeconds, TimeMillis, TimeMicros, TimeNanos}[w.random.IntN(6)]
		if w.chance(5) {
			column.Path = []string{"in", []string{"a", "x", field.Name}[w.random.IntN(3)]}[:1+w.random.IntN(2)]
		}
		o.Columns[field.Name] = column
	}
	return o
}

// document is an object that mostly suits the columns.
func (w *world) document(plan *Plan) []byte {
	var b strings.Builder
	w.writeTarget(&b, plan, plan.object)
	return []byte(b.String())
}

func (w *world) writeTarget(b *strings.Builder, plan *Plan, o *jsonObject) {
	w.writeObject(b, o.fields.names, func(i int) {
		switch t := o.targets[i]; {
		case t.inner != nil && !w.chance(8):
			w.writeTarget(b, plan, t.inner)
		case len(t.columns) > 0:
			w.writeValue(b, plan.columns[t.columns[w.random.IntN(len(t.columns))]])
		default:
			w.writeAny(b, 2)
		}
	})
}

func (w *world) space(b *strings.Builder) {
	for w.chance(6) {
		b.WriteByte(" \t\n\r"[w.random.IntN(4)])
	}
}

func (w *world) writeObject(b *strings.Builder, names []string, value func(i int)) {
	b.WriteByte('{')
	w.space(b)
	order := w.random.Perm(len(names))
	if !w.chance(3) {
		for i := range order {
			order[i] = i
		}
	}
	first := true
	write := func(key string, value func()) {
		if !first {
			b.WriteByte(',')
		}
		first = false
		w.space(b)
		w.writeString(b, key)
		w.space(b)
		b.WriteByte(':')
		w.space(b)
		value()
		w.space(b)
	}
	for _, i := range order {
		if w.chance(8) {
			write([]string{"zz", "other", "A", ""}[w.random.IntN(4)], func() { w.writeAny(b, 2) })
		}
		for repeat := true; repeat && !w.chance(12); repeat = w.chance(12) {
			write(names[i], func() { value(i) })
		}
	}
	b.WriteByte('}')
}

func (w *world) writeString(b *strings.Builder, text string) {
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || w.chance(15) && r < 0x10000:
			fmt.Fprintf(b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	if w.chance(60) {
		b.WriteString([]string{`\ud800`, `\udc00\ud800`, "\xff", `\ud83d\ude00`, `\/`, "\u2028",
			"\x7f"}[w.random.IntN(7)])
	}
	b.WriteByte('"')
}

func (w *world) numberText() string {
	texts := []string{"0", "-0", "1", "-1", "1.5", "-0.0", "1e400", "1e-400", "1e5", "12E+3",
		"2147483647", "2147483648",
		"-2147483648", "-2147483649", "9223372036854775807", "9223372036854775808", "-9223372036854775808",
		"-9223372036854775809", "1.0000000000000000000000000", "0.1", "123456789012345678901234567890",
		"99999999999", "100000000000", "99999999999999", "1e14", "1e17", "1700000000.123456789", "-1.5", "1e-9",
		"179769313486231580793728971405301e276", "5e-324", "0.000001", "9007199254740993", "9007199254740992.5",
		"16777217", "340282356779733661637539395458142568448", "1e99999999999999999999", "-1e-99999999999999999999",
		"0e99999999999999999999", "0.30000000000000004", "100e-2", "99999999999999999999999999999999999999"}
	switch w.random.IntN(4) {
	case 0:
		return texts[w.random.IntN(len(texts))]
	case 1:
		return fmt.Sprint(w.random.Int64() >> w.random.IntN(64))
	case 2:
		return fmt.Sprintf("%.*f", 1+w.random.IntN(8), float64(w.random.Int32())/1000)
	}
	return fmt.Sprint(w.random.IntN(2000))
}

func (w *world) timeText() string {
	texts := []string{"2024-02-29", "2023-02-29", "0001-01-01", "9999-12-31", "0000-01-01", "2024-13-01", "2024-1-1",
		"12:34:56", "12:34", "23:59:59.999999999", "24:00:00", "12:34:56.1234567891", "1:2:3", "12:34:60", "12:34:56."}
	if w.chance(2) {
		return texts[w.random.IntN(len(texts))]
	}
	text := fmt.Sprintf("%04d-%02d-%02d", 1600+w.random.IntN(700), 1+w.random.IntN(12), 1+w.random.IntN(30))
	text += []string{"T", " ", "t", "x"}[w.random.IntN(20)%4] + fmt.Sprintf("%02d:%02d",
		w.random.IntN(24), w.random.IntN(60))
	if !w.chance(4) {
		text += fmt.Sprintf(":%02d", w.random.IntN(60))
	}
	if w.chance(2) {
		text += fmt.Sprintf(".%d", w.random.IntN(1e9))
	}
	return text + []string{"Z", "z", "", "+01:00", "-0330", "+14", "+25:00", "+1"}[w.random.IntN(8)]
}

func (w *world) word() string {
	return []string{"", "a", "true", "false", "NaN", "Infinity", "hello wörld", "Zürich 😀 long text that is no word",
		"tab\tnew\nline", "AAECAw==", "AAECAw", "_-8=", "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
		"6ba7b8109dad11d180b400c04fd430c8", "6ba7b810-9dad-11d1-80b4-00c04fd430cg", "01", "1.",
		"\"\\/"}[w.random.IntN(18)]
}

func (w *world) writeValue(b *strings.Builder, n *node) {
	switch {
	case w.chance(15):
		w.writeAny(b, 3)
		return
	case w.chance(12):
		b.WriteString("null")
		return
	}
	switch n.kind {
	case kindBool:
		b.WriteString([]string{"true", "false", `"true"`}[w.random.IntN(3)])
	case kindStruct:
		w.writeObject(b, n.fields.names, func(i int) { w.writeValue(b, n.children[i]) })
	case kindList:
		b.WriteByte('[')
		for i := range w.random.IntN(4) {
			if i > 0 {
				b.WriteByte(',')
			}
			w.space(b)
			w.writeValue(b, n.children[0])
			w.space(b)
		}
		b.WriteByte(']')
	case kindMap:
		var keys []string
		for range w.random.IntN(4) {
			keys = append(keys, w.mapKey(n.children[0]))
		}
		if w.chance(20) {
			for i := range 40 {
				keys = append(keys, fmt.Sprint(i+w.random.IntN(2)))
			}
		}
		w.writeObject(b, keys, func(int) { w.writeValue(b, n.children[1]) })
	case kindDate, kindTime, kindTimestamp, kindTimestampNs:
		if w.chance(2) {
			w.writeString(b, w.timeText())
			return
		}
		w.writeNumber(b)
	case kindString, kindBinary, kindUUID:
		w.writeString(b, w.word())
	case kindFixed:
		text, _ := json.Marshal(make([]byte, n.width))
		b.Write(text)
	default:
		w.writeNumber(b)
	}
}

func (w *world) mapKey(n *node) string {
	if n.kind == kindString || w.chance(8) {
		return w.word()
	}
	var b strings.Builder
	w.writeValue(&b, n)
	return strings.Trim(b.String(), `"`)
}

func (w *world) writeNumber(b *strings.Builder) {
	if w.chance(4) {
		w.writeString(b, w.numberText())
		return
	}
	b.WriteString(w.numberText())
}

func (w *world) writeAny(b *strings.Builder, depth int) {
	kinds := 6
	if depth == 0 {
		kinds = 4
	}
	switch w.random.IntN(kinds) {
	case 0:
		b.WriteString(w.numberText())
	case 1:
		w.writeString(b, w.word())
	case 2:
		b.WriteString([]string{"true", "false", "null"}[w.random.IntN(3)])
	case 3:
		w.writeString(b, w.timeText())
	case 4:
		b.WriteByte('[')
		w.writeAny(b, depth-1)
		b.WriteString(" ,")
		w.writeAny(b, depth-1)
		b.WriteByte(']')
	case 5:
		w.writeObject(b, []string{"a", "a", "k"}, func(int) { w.writeAny(b, depth-1) })
	}
}

// damage makes a document that is probably no JSON.
func (w *world) damage(document []byte) []byte {
	at := w.random.IntN(len(document) + 1)
	switch w.random.IntN(5) {
	case 0:
		return document[:at]
	case 1:
		return append(document[:at:at], document[min(len(document), at+1+w.random.IntN(3)):]...)
	case 2:
		insert := []string{",", `"`, "\\", "{", "]", "\x00", "\xef\xbb\xbf", "NaN", "-", "0", ".", "e", " ", "\n", "1"}
		return append(append(document[:at:at], insert[w.random.IntN(len(insert))]...), document[at:]...)
	case 3:
		other := append([]byte{}, document...)
		other[w.random.IntN(len(other))] = byte(w.random.Uint32())
		return other
	}
	return append(append([]byte{}, document...), document...)
}

func TestJSONAgreesWithReference(t *testing.T) {
	worlds := 400
	if testing.Short() {
		worlds = 40
	}
	for seed := range worlds {
		w := &world{random: rand.New(rand.NewPCG(uint64(seed), 7))}
		fields := w.fieldList(3)
		plan, err := NewPlan(iceberg.NewSchema(0, fields...), w.options(fields))
		require.NoError(t, err, "seed %d", seed)
		var documents [][]byte
		for range 60 {
			document := w.document(plan)
			if w.chance(4) {
				document = w.damage(document)
			}
			documents = append(documents, document)
		}
		ok := t.Run(fmt.Sprint(seed), func(t *testing.T) { checkJSON(t, plan, documents) })
		if !ok {
			return
		}
	}
}

// depthOf counts containers, as far as the document is one.
func depthOf(document []byte) int {
	depth, deepest := 0, 0
	text := false
	for i := 0; i < len(document); i++ {
		switch c := document[i]; {
		case text && c == '\\':
			i++
		case c == '"':
			text = !text
		case text:
		case c == '{' || c == '[':
			depth++
			deepest = max(deepest, depth)
		case c == '}' || c == ']':
			depth--
		}
	}
	return deepest
}
