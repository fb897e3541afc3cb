package decode

import (
	"encoding/base64"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/google/uuid"
	"github.com/hamba/avro/v2"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/ingest/messageschema"
)

// avroRecord is a record of fields, each "name type".
func avroRecordText(fields ...string) string {
	for i, field := range fields {
		name, of, _ := strings.Cut(field, " ")
		if !strings.HasPrefix(of, "{") && !strings.HasPrefix(of, "[") {
			of = `"` + of + `"`
		}
		fields[i] = fmt.Sprintf(`{"name":%q,"type":%s}`, name, of)
	}
	return `{"type":"record","name":"R","fields":[` + strings.Join(fields, ",") + `]}`
}

// columnsOf is a table schema made from an Avro schema.
func columnsOf(t testing.TB, text string) *iceberg.Schema {
	t.Helper()
	parsed, err := messageschema.ParseAvro(text)
	require.NoError(t, err)
	return parsed.Columns(messageschema.Options{}).Schema()
}

func avroFixture(t testing.TB, table string, writers ...string) writerFixture {
	return writerFixture{columns: columnsOf(t, table), options: Options{Format: FormatAvro},
		writer: WriterOptions{Schemas: avroSchemas(writers...)}}
}

func TestAvroResolvesWriterToColumns(t *testing.T) {
	for _, test := range []struct {
		name, table, writer string
		payload             []byte
		want                string
	}{
		{"same", avroRecordText("a long", "b string"), avroRecordText("a long", "b string"),
			[]byte{2, 4, 'h', 'i'}, `{"a":1,"b":"hi"}`},
		{"other order", avroRecordText("a long", "b string"), avroRecordText("b string", "a int"),
			[]byte{4, 'h', 'i', 3}, `{"a":-2,"b":"hi"}`},
		{"promotion", avroRecordText("a double", "b bytes"), avroRecordText("a int", "b string"),
			[]byte{3, 2, 'x'}, `{"a":-2,"b":"eA=="}`},
		{"bytes to string", avroRecordText("a string"), avroRecordText("a bytes"), []byte{2, 'x'},
			`{"a":"x"}`},
		{"unknown field", avroRecordText("b int"),
			avroRecordText(`a {"type":"array","items":"string"}`, "b int"),
			[]byte{4, 2, 'x', 0, 0, 6}, `{"b":3}`},
		{"unknown blocks with sizes", avroRecordText("b int"),
			avroRecordText(`a {"type":"map","values":"int"}`, "b int"),
			[]byte{3, 8, 2, 'x', 2, 'y', 0, 6}, `{"b":3}`},
		{"missing optional", avroRecordText(`a ["null","int"]`, "b int"), avroRecordText("b int"),
			[]byte{6}, `{"a":null,"b":3}`},
		{"missing required", avroRecordText("a int", "b int"), avroRecordText("b int"),
			[]byte{6}, `{"a":null,"b":3} !1 required a: required and missing`},
		{"null in required", avroRecordText("a int", "b int"), avroRecordText(`a ["null","int"]`,
			"b int"),
			[]byte{0, 6}, `{"a":null,"b":3} !1 required a: required and null`},
		{"narrowing that fits", avroRecordText("a int"), avroRecordText("a long"), []byte{6},
			`{"a":3}`},
		{"narrowing that does not", avroRecordText("a int"), avroRecordText("a long"),
			[]byte{0x80, 0x80, 0x80, 0x80, 0x10},
			`{"a":null} !1 range a: 2147483648 is out of range`},
		{"type change", avroRecordText("a int", "b int"), avroRecordText("a string", "b int"),
			[]byte{2, 'x', 2},
			`{"a":null,"b":1} !1 schema_changed a: the writer's string cannot go into a column of int32`},
		{"invalid UTF-8", avroRecordText("a string", "b int"), avroRecordText("a string", "b int"),
			[]byte{2, 0xff, 2}, `{"a":null,"b":1} !1 utf8 a: not UTF-8: "\xff"`},
		{"list and map", avroRecordText(`a {"type":"array","items":"int"}`,
			`m {"type":"map","values":"int"}`),
			avroRecordText(`a {"type":"array","items":"int"}`, `m {"type":"map","values":"int"}`),
			[]byte{4, 2, 4, 1, 2, 6, 0, 2, 2, 'k', 8, 0},
			`{"a":[1,2,3],"m":[{"key":"k","value":4}]}`},
		{"duplicate key", avroRecordText(`m {"type":"map","values":"int"}`),
			avroRecordText(`m {"type":"map","values":"int"}`),
			[]byte{4, 2, 'k', 8, 2, 'k', 8, 0},
			`{"m":null} !1 duplicate_key m: a map with one key twice`},
		{"general union", avroRecordText(`u ["null","int","string"]`),
			avroRecordText(`u ["null","int","string"]`),
			[]byte{4, 2, 'x'}, `{"u":{"int":null,"string":"x"}}`},
		{"general union null", avroRecordText(`u ["null","int","string"]`),
			avroRecordText(`u ["null","int","string"]`),
			[]byte{0}, `{"u":null}`},
		{"union of numbers into one column", avroRecordText("u double"),
			avroRecordText(`u ["int","string","double"]`),
			[]byte{0, 4}, `{"u":2}`},
		{"bare value", `"long"`, `"int"`, []byte{4}, `{"value":2}`},
		{"optional record", avroRecordText(`a ["null","int"]`),
			`["null",` + avroRecordText("a int") + `]`, []byte{0}, `{"a":null}`},
		{"nested null",
			avroRecordText(`s {"type":"record","name":"S","fields":[{"name":"x","type":"int"}]}`),
			avroRecordText(`s ` +
				`{"type":"record","name":"S","fields":[{"name":"x","type":["null","int"]}]}`),
			[]byte{0}, `{"s":null} !1 required s.x: required and null`},
		{"enum", avroRecordText("e string"),
			avroRecordText(`e {"type":"enum","name":"E","symbols":["A","B"]}`),
			[]byte{2}, `{"e":"B"}`},
		{"recursive field skipped", avroRecordText("b int"),
			`{"type":"record","name":"N","fields":[{"name":"next","type":["null","N"]},
				{"name":"b","type":"int"}]}`,
			[]byte{2, 2, 0, 2, 4, 6}, `{"b":3}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := avroFixture(t, test.table, test.writer).decode(t, framed(1,
				test.payload...))
			require.NoError(t, err)
			require.Equal(t, test.want+"\n", got)
		})
	}
}

func TestAvroReadsLogicalTypes(t *testing.T) {
	writer := avroRecordText(
		`d {"type":"bytes","logicalType":"decimal","precision":9,"scale":2}`,
		`f {"type":"fixed","name":"F","size":4,"logicalType":"decimal","precision":9,"scale":2}`,
		`day {"type":"int","logicalType":"date"}`,
		`tm {"type":"int","logicalType":"time-millis"}`,
		`tu {"type":"long","logicalType":"time-micros"}`,
		`ms {"type":"long","logicalType":"timestamp-millis"}`,
		`us {"type":"long","logicalType":"timestamp-micros"}`,
		`ns {"type":"long","logicalType":"timestamp-nanos"}`,
		`l {"type":"long","logicalType":"local-timestamp-millis"}`,
		`u {"type":"string","logicalType":"uuid"}`,
	)
	value := framed(1, 2, 0xff, 0, 0, 4, 0, 2, 2, 2, 2, 2, 1, 2, 72)
	value = append(value, "00000000-0000-0000-0000-0000000000ff"...)
	got, err := avroFixture(t, writer, writer).decode(t, value)
	require.NoError(t, err)
	require.Equal(t, `{"d":"-0.01","day":"1970-01-02","f":"10.24","l":"1970-01-01T00:00:00.001",`+
		`"ms":"1970-01-01T00:00:00.001Z","ns":"1969-12-31T23:59:59.999999Z","tm":"00:00:00.001",`+
		`"tu":"00:00:00.000001","u":"AAAAAAAAAAAAAAAAAAAA/w==","us":"1970-01-01T00:00:00.000001Z"}`+"\n", got)
}

func TestAvroBrokenValuesFailTheirRow(t *testing.T) {
	table := avroRecordText(`a {"type":"array","items":"int"}`, "b string",
		`e {"type":"enum","name":"E","symbols":["A"]}`, `n {"type":"array","items":["null","int"]}`)
	writer := avroRecordText(`a {"type":"array","items":"int"}`, "b string",
		`e {"type":"enum","name":"E","symbols":["A"]}`, `n {"type":"array","items":"null"}`,
		`x {"type":"array","items":"null"}`)
	good := framed(1, 2, 2, 0, 2, 'x', 0, 0, 0)
	for name, test := range map[string]struct {
		value []byte
		class Class
	}{
		"no frame":        {[]byte("{}"), ClassSyntax},
		"empty":           {[]byte{}, ClassSyntax},
		"unknown id":      {framed(9, 0), ClassSchemaID},
		"no payload":      {framed(1), ClassSyntax},
		"truncated":       {good[:8], ClassSyntax},
		"trailing bytes":  {append(append([]byte{}, good...), 0), ClassSyntax},
		"negative length": {framed(1, 0, 1), ClassSyntax},
		"giant string":    {framed(1, 0, 0xfe, 0xff, 0xff, 0xff, 0xf), ClassSyntax},
		"giant block":     {framed(1, 0xfe, 0xff, 0xff, 0xff, 0xf), ClassSyntax},
		"lowest block count": {framed(1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
			1, 0), ClassSyntax},
		"varint too long": {framed(1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
			0xff, 1), ClassSyntax},
		"enum index":          {framed(1, 0, 0, 2, 0, 0), ClassRange},
		"negative enum index": {framed(1, 0, 0, 1, 0, 0), ClassRange},
		"many elements of null": {framed(1, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff, 0xe, 0, 0),
			ClassTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := avroFixture(t, table, writer).decode(t, good, test.value, good)
			require.NoError(t, err)
			lines := strings.Split(got, "\n")
			require.Equal(t, `{"a":[1],"b":"x","e":"A","n":[]}`, lines[0])
			require.Contains(t, lines[1],
				`{"a":null,"b":null,"e":null,"n":null} !0 `+string(test.class))
			require.Equal(t, lines[0], lines[2])
		})
	}
}

func TestSkippedNullsTakeNoTime(t *testing.T) {
	writer := avroRecordText(`x {"type":"array","items":"null"}`, "a int")
	got, err := avroFixture(t, avroRecordText("a int"), writer).
		decode(t, framed(1, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0, 4))
	require.NoError(t, err)
	require.Equal(t, `{"a":2}`+"\n", got)
}

func TestAvroPathOptionLeadsThroughRecords(t *testing.T) {
	writer := avroRecordText(`after ["null",{"type":"record","name":"P","fields":[
		{"name":"id","type":"long"},{"name":"user","type":{"type":"record","name":"U","fields":[
		{"name":"name","type":"string"}]}}]}]`, "ts long")
	f := avroFixture(t, avroRecordText(`id ["null","long"]`, `who ["null","string"]`, "ts long"),
		writer)
	f.options.Columns = map[string]ColumnOptions{
		"id": {Path: []string{"after", "id"}}, "who": {Path: []string{"after", "user", "name"}}}
	got, err := f.decode(t, framed(1, 2, 2, 2, 'x', 4), framed(1, 0, 4))
	require.NoError(t, err)
	require.Equal(t, `{"id":1,"ts":2,"who":"x"}`+"\n"+`{"id":null,"ts":2,"who":null}`+"\n", got)
}

// randomAvro makes schemas and values that hamba/avro can encode.
type randomAvro struct {
	*rand.Rand
	names int
}

func (r *randomAvro) name(prefix string) string {
	r.names++
	return fmt.Sprintf("%s%d", prefix, r.names)
}

// pick returns the text of a type and a function that makes values of it, as hamba takes them, with
// the text that the row's JSON must show.
func (r *randomAvro) pick(depth int) (string, func() (any, string)) {
	kinds := 11
	if depth > 0 {
		kinds = 15
	}
	quoted := func(s string) string { return fmt.Sprintf("%q", s) }
	switch r.IntN(kinds) {
	case 0:
		return `"int"`, func() (any, string) {
			v := int32(r.Uint32())
			return int(v),
				fmt.Sprint(v)
		}
	case 1:
		return `"long"`, func() (any, string) {
			v := int64(r.Uint64()) >> r.IntN(64)
			return v,
				fmt.Sprint(v)
		}
	case 2:
		return `"boolean"`, func() (any, string) { v := r.IntN(2) == 0; return v, fmt.Sprint(v) }
	case 3:
		return `"float"`, func() (any, string) {
			v := float32(r.IntN(1000)) / 8
			return v,
				fmt.Sprint(v)
		}
	case 4:
		return `"double"`, func() (any, string) {
			v := float64(r.IntN(100000)) / 64
			return v,
				fmt.Sprint(v)
		}
	case 5:
		return `"string"`, func() (any, string) {
			v := strings.Repeat("ä€x", r.IntN(30))
			return v, quoted(v)
		}
	case 6:
		name := r.name("E")
		return `{"type":"enum","name":"` + name + `","symbols":["A","B","C"]}`, func() (any,
			string) {
			v := string(rune('A' + r.IntN(3)))
			return v, quoted(v)
		}
	case 7:
		return `{"type":"long","logicalType":"timestamp-millis"}`, func() (any, string) {
			v := time.UnixMilli(int64(r.IntN(math.MaxInt32)) * 1000).UTC()
			return v, quoted(v.Format("2006-01-02T15:04:05Z"))
		}
	case 8:
		return `{"type":"bytes","logicalType":"decimal","precision":18,"scale":2}`, func() (any,
			string) {
			v := big.NewRat(int64(r.IntN(2_000_000))-1_000_000, 100)
			return v, quoted(strings.TrimSuffix(strings.TrimRight(v.FloatString(2), "0"), "."))
		}
	case 9:
		return `{"type":"int","logicalType":"date"}`, func() (any, string) {
			v := time.Unix(int64(r.IntN(20000))*86400, 0).UTC()
			return v, quoted(v.Format("2006-01-02"))
		}
	case 10:
		return `{"type":"string","logicalType":"uuid"}`, func() (any, string) {
			v := uuid.UUID{byte(r.IntN(256)), 1, 2, 3}
			return v.String(), quoted(base64.StdEncoding.EncodeToString(v[:]))
		}
	case 11:
		of, make1 := r.pick(depth - 1)
		return `{"type":"array","items":` + of + `}`, func() (any, string) {
			values, texts := []any{}, []string{}
			for range r.IntN(5) {
				v, text := make1()
				values, texts = append(values, v), append(texts, text)
			}
			return values, "[" + strings.Join(texts, ",") + "]"
		}
	case 12:
		of, make1 := r.pick(depth - 1)
		return `{"type":"map","values":` + of + `}`, func() (any, string) {
			if r.IntN(3) == 0 {
				return map[string]any{}, "[]"
			}
			v, text := make1()
			return map[string]any{"k": v}, `[{"key":"k","value":` + text + `}]`
		}
	case 13:
		of, make1 := r.pick(0)
		return `["null",` + of + `]`, func() (any, string) {
			if r.IntN(2) == 0 {
				return nil, "null"
			}
			v, text := make1()
			return v, text
		}
	}
	return r.record(depth)
}

func (r *randomAvro) record(depth int) (string, func() (any, string)) {
	var fields, names []string
	var makes []func() (any, string)
	for range 1 + r.IntN(5) {
		name := string(rune('a'+len(fields))) + "f"
		of, make1 := r.pick(depth - 1)
		fields = append(fields, fmt.Sprintf(`{"name":%q,"type":%s}`, name, of))
		names, makes = append(names, name), append(makes, make1)
	}
	text := `{"type":"record","name":"` + r.name("R") + `","fields":[` + strings.Join(fields,
		",") + `]}`
	return text, func() (any, string) {
		value, texts := map[string]any{}, []string{}
		for i, name := range names {
			v, text := makes[i]()
			value[name] = v
			texts = append(texts, fmt.Sprintf("%q:%s", name, text))
		}
		return value, "{" + strings.Join(texts, ",") + "}"
	}
}

func TestAvroAgreesWithAnotherEncoder(t *testing.T) {
	r := &randomAvro{Rand: rand.New(rand.NewPCG(1, 2))}
	for range 300 {
		text, make1 := r.record(3)
		schema, err := avro.Parse(text)
		require.NoError(t, err, text)
		var values [][]byte
		var want strings.Builder
		for range 20 {
			value, row := make1()
			payload, err := avro.Marshal(schema, value)
			if err != nil { // hamba wants unions of logical types in its own wrapping
				values = nil
				break
			}
			values = append(values, framed(1, payload...))
			want.WriteString(row + "\n")
		}
		if values == nil {
			continue
		}
		got, err := avroFixture(t, text, text).decode(t, values...)
		require.NoError(t, err)
		require.Equal(t, want.String(), got, text)
		got, err = avroFixture(t, avroRecordText(`other ["null","int"]`), text).decode(t, values...)
		require.NoError(t, err)
		require.NotContains(t, got, "!", "skipping fails: %s", text)
	}
}

func TestFrequentAvroTypesAreReadStraight(t *testing.T) {
	text := avroRecordText("a long", "b int", "c string", "d bytes", "e double", "f float", "g boolean",
		`h ["null","string"]`, `i ["long","null"]`, `j {"type":"long","logicalType":"timestamp-millis"}`,
		`k {"type":"bytes","logicalType":"decimal","precision":12,"scale":2}`,
		`l {"type":"enum","name":"E","symbols":["A"]}`)
	for _, table := range []string{text, avroRecordText("a long")} {
		decoder := avroFixture(t, table, text).decoder(t).(*chunkDecoder)
		decoded, err := decoder.Decode(t.Context(), chunkOf(framed(1)))
		require.NoError(t, err)
		decoded.Batch.Release()
		program := decoder.values.(*writerDecoder).programs[1].(*avroProgram)
		skipped := 0
		for i, field := range program.root.inside {
			if field.step == avroStepNone {
				skipped++
				require.Contains(t, []int{6, 7, 8}, i, "skipped booleans and unions have no step")
			}
		}
		require.Equal(t, table == text, skipped == 0)
	}
}
