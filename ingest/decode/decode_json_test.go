package decode

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/firthlake/firth/ingest/source"
)

// decodeValues decodes values as one chunk and returns the rows as JSON lines, and the failures as
// "row field class".
func decodeValues(t *testing.T, plan *Plan, values ...string) (string, []string) {
	t.Helper()
	mem := memory.NewCheckedAllocator(memory.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	chunk := &source.Chunk{}
	for _, value := range values {
		chunk.Records = append(chunk.Records, source.Record{Value: []byte(value)})
	}
	decoder := plan.NewDecoder(mem)
	defer decoder.Close()
	decoded, err := decoder.Decode(t.Context(), chunk)
	require.NoError(t, err)
	defer decoded.Batch.Release()
	require.EqualValues(t, len(values), decoded.Batch.NumRows())
	failures := []string{}
	for _, failure := range decoded.Failures {
		require.Less(t, len(failure.Message), 400, "messages are shortened")
		failures = append(failures, fmt.Sprintf("%d %d %s", failure.Row, failure.FieldID, failure.Class))
	}
	return jsonOf(t, decoded.Batch), failures
}

func jsonPlan(t testing.TB, options Options, fields ...iceberg.NestedField) *Plan {
	t.Helper()
	options.Format = FormatJSON
	plan, err := NewPlan(testSchema(fields...), options)
	require.NoError(t, err)
	return plan
}

// badDocuments are inputs that the issue names, and their like.
func badDocuments() map[string]Class {
	deep := func(n int) string {
		return `{"x":` + strings.Repeat(`[`, n) + strings.Repeat(`]`, n) + `}`
	}
	return map[string]Class{
		``: ClassSyntax, ` `: ClassSyntax, "\x00": ClassSyntax, `{`: ClassSyntax, `{"a"`: ClassSyntax,
		`{"a":`: ClassSyntax, `{"a":1`: ClassSyntax, `{"a":1,`: ClassSyntax, `{"a":1,}`: ClassSyntax,
		`{"a":1}}`: ClassSyntax, `{"a":1} x`: ClassSyntax, `{"a":1}{"a":2}`: ClassSyntax, `{a:1}`: ClassSyntax,
		`{'a':1}`: ClassSyntax, `{"a":NaN}`: ClassSyntax, `{"a":Infinity}`: ClassSyntax, `{"a":-Infinity}`: ClassSyntax,
		`{"a":01}`: ClassSyntax, `{"a":1.}`: ClassSyntax, `{"a":.5}`: ClassSyntax, `{"a":+1}`: ClassSyntax,
		`{"a":1e}`: ClassSyntax, `{"a":-}`: ClassSyntax, `{"a":0x10}`: ClassSyntax, `{"a":tru}`: ClassSyntax,
		`{"a":nul}`: ClassSyntax, `{"s":"}`: ClassSyntax, "{\"s\":\"\n\"}": ClassSyntax, `{"s":"\x"}`: ClassSyntax,
		`{"s":"\u12g4"}`: ClassSyntax, `{"s":"\`: ClassSyntax, "\xef\xbb\xbf{}": ClassSyntax, `{"x":[1,]}`: ClassSyntax,
		`{"x":[1 2]}`: ClassSyntax, `{"x":[}`: ClassSyntax, `{"a":1;"s":2}`: ClassSyntax, `/**/{}`: ClassSyntax,
		`{"x":"\ud800","a":1e}`: ClassSyntax, `[]`: ClassType, `1`: ClassType, `"a"`: ClassType, `null`: ClassType,
		deep(1000): ClassTooDeep, deep(100_000): ClassTooDeep, strings.Repeat(`{"x":`, 1000): ClassTooDeep,
		deep(127): "", `{}`: "", ` {"x":[]} `: "",
	}
}

func TestJSONRefusesBadDocumentsWhole(t *testing.T) {
	plan := jsonPlan(t, Options{}, iceberg.NestedField{Name: "a", Type: iceberg.PrimitiveTypes.Int32},
		iceberg.NestedField{Name: "s", Type: iceberg.PrimitiveTypes.String})
	for document, class := range badDocuments() {
		rows, failures := decodeValues(t, plan, `{"a":1}`, document, `{"a":2}`)
		require.JSONEq(t, `[{"a":1,"s":null},{"a":null,"s":null},{"a":2,"s":null}]`, rows, "%.80q", document)
		want := []string{}
		if class != "" {
			want = append(want, "1 0 "+string(class))
		}
		require.Equal(t, want, failures, "%.80q", document)
		checkJSON(t, plan, [][]byte{[]byte(document)})
	}
}

func TestJSONKeepsGoodColumnsOfBadRows(t *testing.T) {
	plan := jsonPlan(t, Options{}, iceberg.NestedField{Name: "a", Type: iceberg.PrimitiveTypes.Int32},
		iceberg.NestedField{Name: "b", Type: iceberg.PrimitiveTypes.Int32, Required: true},
		iceberg.NestedField{Name: "c", Type: iceberg.PrimitiveTypes.String})
	rows, failures := decodeValues(t, plan, `{"a":"x","b":2,"c":"z"}`, `{"a":3000000000,"c":1}`,
		`{"c":"c","b":null,"a":1}`, `{"a":[{"b":1}],"b":1e0,"c":"\ud83d\ude00\/"}`,
		`{"a":1,"a":2,"b":-0,"c":"`+"\xff"+`"}`)
	require.JSONEq(t, `[{"a":null,"b":2,"c":"z"},{"a":null,"b":null,"c":null},{"a":1,"b":null,"c":"c"},
		{"a":null,"b":1,"c":"😀/"},{"a":null,"b":0,"c":null}]`, rows)
	require.Equal(t, []string{"0 1 type", "1 1 range", "1 3 type", "1 2 required", "2 2 required", "3 1 type",
		"4 1 duplicate_key", "4 3 utf8"}, failures)
}

func TestJSONTakesLastOfDuplicateKeysByOption(t *testing.T) {
	prim := iceberg.PrimitiveTypes
	plan := jsonPlan(t, Options{DuplicateKeys: DuplicateLast, Columns: map[string]ColumnOptions{
		"deep": {Path: []string{"o", "deep"}}}}, iceberg.NestedField{Name: "a", Type: prim.Int32},
		iceberg.NestedField{Name: "s", Type: structOf(iceberg.NestedField{ID: 10, Name: "x", Type: prim.Int32})},
		iceberg.NestedField{Name: "m", Type: &iceberg.MapType{KeyID: 11, KeyType: prim.String,
			ValueID: 12, ValueType: prim.Int32}},
		iceberg.NestedField{Name: "deep", Type: prim.Int32})
	rows, failures := decodeValues(t, plan,
		`{"a":"bad","a":1,"s":{"x":"bad","x":2},"m":{"k":"bad","l":3,"k":4},"o":{"deep":1},"o":{"deep":"bad"},"o":{}}`)
	require.JSONEq(t, `[{"a":1,"s":{"x":2},"m":[{"key":"l","value":3},{"key":"k","value":4}],"deep":null}]`, rows)
	require.Empty(t, failures)
}

func TestJSONReadsNestedPaths(t *testing.T) {
	prim := iceberg.PrimitiveTypes
	plan := jsonPlan(t, Options{Columns: map[string]ColumnOptions{
		"id": {Path: []string{"payload", "user", "id"}}, "user": {Path: []string{"payload", "user"}, JSONText: true},
		"op": {Path: []string{"op"}}, "s.first": {Path: []string{"First Name"}},
	}}, iceberg.NestedField{Name: "id", Type: prim.Int64}, iceberg.NestedField{Name: "user", Type: prim.String},
		iceberg.NestedField{Name: "op", Type: prim.String, Required: true},
		iceberg.NestedField{Name: "s", Type: structOf(iceberg.NestedField{ID: 10, Name: "first", Type: prim.String})})
	rows, failures := decodeValues(t, plan, `{"payload":{"x":1,"user":{"id": 7}},"op":"c","s":{"First Name":"A"}}`,
		`{"payload":{"user":5},"op":"u"}`, `{"payload":null,"op":"d"}`, `{"payload":{"user":{}},"payload":{},"op":"r"}`)
	require.JSONEq(t,
		`[{"id":7,"user":"{\"id\": 7}","op":"c","s":{"first":"A"}},{"id":null,"user":"5","op":"u","s":null},
		{"id":null,"user":null,"op":"d","s":null},{"id":null,"user":null,"op":"r","s":null}]`, rows)
	require.Equal(t, []string{"1 1 type", "3 2 duplicate_key", "3 1 duplicate_key"}, failures)
}

func TestJSONFollowsPolicyForUnknownFields(t *testing.T) {
	prim := iceberg.PrimitiveTypes
	fields := []iceberg.NestedField{{Name: "a", Type: prim.Int32},
		{Name: "s", Type: structOf(iceberg.NestedField{ID: 10, Name: "x", Type: prim.Int32})}}
	document := `{"a":1,"new":{"k":[1.5,null]},"s":{"x":1,"y":"2026-11-21T05:11:43Z"},"none":null}`
	_, failures := decodeValues(t, jsonPlan(t, Options{}, fields...), document)
	require.Empty(t, failures)
	rows, failures := decodeValues(t, jsonPlan(t, Options{UnknownFields: UnknownDeadLetter}, fields...), document)
	require.Equal(t, []string{"0 0 unknown_field"}, failures)
	require.JSONEq(t, `[{"a":null,"s":null}]`, rows)

	mem := memory.NewCheckedAllocator(memory.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	decoder := jsonPlan(t, Options{UnknownFields: UnknownEvolve}, fields...).NewDecoder(mem)
	defer decoder.Close()
	_, err := decoder.Decode(t.Context(), &source.Chunk{Records: []source.Record{{Value: []byte(document)},
		{Value: []byte(`{"new":{"k":[7],"l":true},"":1,"A":2,"_kafka_x":3}`)}}})
	var evolution *EvolutionError
	require.ErrorAs(t, err, &evolution)
	require.Len(t, evolution.Proposals, 2)
	require.Equal(t, []string{"new"}, evolution.Proposals[0].Path)
	require.Equal(t, "struct<2: k: optional list<double>, 3: l: optional boolean>",
		fmt.Sprint(evolution.Proposals[0].Type))
	require.Equal(t, []string{"s", "y"}, evolution.Proposals[1].Path)
	require.Equal(t, prim.TimestampTz, evolution.Proposals[1].Type)
	decoded, err := decoder.Decode(t.Context(), &source.Chunk{Records: []source.Record{{Value: []byte(`{"a":5}`)}}})
	require.NoError(t, err, "what the chunk before asked for is not asked again")
	decoded.Batch.Release()
}

func TestJSONReadsTimes(t *testing.T) {
	prim := iceberg.PrimitiveTypes
	plan := jsonPlan(t, Options{Columns: map[string]ColumnOptions{"s": {Time: TimeSeconds}, "iso": {Time: TimeISO},
		"time": {Time: TimeMillis}, "us": {Time: TimeMicros}, "ns": {Time: TimeNanos}}},
		iceberg.NestedField{Name: "auto", Type: prim.TimestampTz},
		iceberg.NestedField{Name: "s", Type: prim.TimestampTz},
		iceberg.NestedField{Name: "iso", Type: prim.Timestamp}, iceberg.NestedField{Name: "time", Type: prim.Time},
		iceberg.NestedField{Name: "us", Type: prim.TimestampTz},
		iceberg.NestedField{Name: "ns", Type: prim.TimestampTzNs})
	rows, failures := decodeValues(t, plan,
		`{"auto":1790000000,"s":1790000000.123456789,"iso":"2026-11-21 06:00:00.5+01:00","time":1500,"us":1,"ns":1}`,
		`{"auto":1790000000123,"s":-0.0000001,"iso":"2026-11-21","time":"23:59:59.999999",`+
			`"us":"1790000000123456","ns":-1}`,
		`{"auto":1790000000123456,"s":9223372036855,"iso":5,"time":86400000,"us":1e400,"ns":9223372036854775808}`,
		`{"auto":1790000000123456789,"s":"2026-11-21T05:00:00z","iso":"2026-02-30","time":true,`+
			`"us":"now","ns":"2500-01-01"}`)
	require.JSONEq(t, `[
	 {"auto":"2026-09-21T14:13:20Z","s":"2026-09-21T14:13:20.123456Z","iso":"2026-11-21T05:00:00.5","time":"00:00:01.5",
	  "us":"1970-01-01T00:00:00.000001Z","ns":"1970-01-01T00:00:00.000000001Z"},
	 {"auto":"2026-09-21T14:13:20.123Z","s":"1969-12-31T23:59:59.999999Z",
	  "iso":"2026-11-21T00:00:00","time":"23:59:59.999999",
	  "us":"2026-09-21T14:13:20.123456Z","ns":"1969-12-31T23:59:59.999999999Z"},
	 {"auto":"2026-09-21T14:13:20.123456Z","s":null,"iso":null,"time":null,"us":null,"ns":null},
	 {"auto":"2026-09-21T14:13:20.123456Z","s":"2026-11-21T05:00:00Z","iso":null,"time":null,
	  "us":null,"ns":null}]`, rows)
	require.Equal(t, []string{"2 2 range", "2 3 type", "2 4 range", "2 5 range", "2 6 range",
		"3 3 range", "3 4 type", "3 5 type", "3 6 range"}, failures)
}

func TestJSONRefusesRecordsBeyondTheSizeLimit(t *testing.T) {
	plan := jsonPlan(t, Options{RecordBytesMax: 100},
		iceberg.NestedField{Name: "s", Type: iceberg.PrimitiveTypes.String})
	_, failures := decodeValues(t, plan, `{"s":"`+strings.Repeat("x", 200)+`"}`, `{"s":"y"}`)
	require.Equal(t, []string{"0 0 size"}, failures)
}

func TestJSONReadsLargeRecords(t *testing.T) {
	plan := jsonPlan(t, Options{}, iceberg.NestedField{Name: "s", Type: iceberg.PrimitiveTypes.String})
	large := bytes.Repeat([]byte("0123456789"), 5<<20)
	chunk := &source.Chunk{Records: []source.Record{{Value: append(append([]byte(`{"x":[1],"s":"`),
		large...), `"}`...)}}}
	mem := memory.NewCheckedAllocator(memory.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	decoder := plan.NewDecoder(mem)
	defer decoder.Close()
	decoded, err := decoder.Decode(t.Context(), chunk)
	require.NoError(t, err)
	defer decoded.Batch.Release()
	require.Empty(t, decoded.Failures)
	require.Equal(t, string(large), arrowValue(decoded.Batch.Column(0), 0, plan.columns[0]))
}

func TestJSONFindsRepeatedKeysOfLargeMaps(t *testing.T) {
	prim := iceberg.PrimitiveTypes
	plan := jsonPlan(t, Options{}, iceberg.NestedField{Name: "m", Type: &iceberg.MapType{KeyID: 11, KeyType: prim.Int32,
		ValueID: 12, ValueType: prim.Int32}})
	var pairs []string
	for i := range 5000 {
		pairs = append(pairs, fmt.Sprintf(`"%d":%d`, i, i))
	}
	unique := `{"m":{` + strings.Join(pairs, ",") + `}}`
	repeated := `{"m":{` + strings.Join(append(pairs, `"4e3":1`), ",") + `}}`
	_, failures := decodeValues(t, plan, unique, repeated, unique)
	require.Equal(t, []string{"1 1 duplicate_key"}, failures)
}

func TestJSONDecodesWithoutAllocatingPerRecord(t *testing.T) {
	prim := iceberg.PrimitiveTypes
	plan := jsonPlan(t, Options{}, iceberg.NestedField{Name: "a", Type: prim.Int32},
		iceberg.NestedField{Name: "s", Type: prim.String}, iceberg.NestedField{Name: "f", Type: iceberg.FixedTypeOf(3)},
		iceberg.NestedField{Name: "d", Type: iceberg.DecimalTypeOf(20, 3)},
		iceberg.NestedField{Name: "l", Type: &iceberg.ListType{ElementID: 10, Element: prim.Float64}})
	decoder := plan.NewDecoder(memory.NewGoAllocator())
	defer decoder.Close()
	allocations := func(records int) float64 {
		chunk := &source.Chunk{Records: make([]source.Record, records)}
		for i := range chunk.Records {
			chunk.Records[i].Value = []byte(`{"zz":{"k":[]},"s":"a\u00e4","a":12,"f":"AAEC","d":"12.5","l":[1,2.5e3]}`)
		}
		return testing.AllocsPerRun(5, func() {
			decoded, err := decoder.Decode(t.Context(), chunk)
			if err != nil || len(decoded.Failures) > 0 {
				t.Error(err, decoded.Failures)
			}
			decoded.Batch.Release()
		})
	}
	few, many := allocations(1000), allocations(20000)
	require.Less(t, many-few, 40.0, "a batch costs a few more allocations to grow, not one a record")
}

func FuzzJSON(f *testing.F) {
	for document := range badDocuments() {
		if len(document) < 1000 {
			f.Add(uint64(0), []byte(document))
		}
	}
	for seed := range uint64(40) {
		w := &world{random: rand.New(rand.NewPCG(seed, 11))}
		plan := w.plan(f)
		f.Add(seed, w.document(plan))
	}
	f.Add(uint64(3), []byte(`{"a":1e400,"a":-0,"ts":"\ud800","b":"`+"\xff"+`"}`))
	f.Fuzz(func(t *testing.T, seed uint64, document []byte) {
		w := &world{random: rand.New(rand.NewPCG(seed, 11))}
		checkJSON(t, w.plan(t), [][]byte{document, []byte(`{}`), document})
	})
}

// plan is a random plan.
func (w *world) plan(t testing.TB) *Plan {
	t.Helper()
	fields := w.fieldList(3)
	plan, err := NewPlan(iceberg.NewSchema(0, fields...), w.options(fields))
	require.NoError(t, err)
	return plan
}

func TestJSONDecodersShareAPlan(t *testing.T) {
	w := &world{random: rand.New(rand.NewPCG(5, 5))}
	plan := w.plan(t)
	var documents [][]byte
	for range 50 {
		documents = append(documents, w.document(plan))
	}
	var group errgroup.Group
	for range 4 {
		group.Go(func() error {
			checkJSON(t, plan, documents)
			return nil
		})
	}
	require.NoError(t, group.Wait())
}
