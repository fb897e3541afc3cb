package decode

import (
	"encoding/base64"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/firthlake/firth/ingest/messageschema"
	"github.com/firthlake/firth/ingest/registry"
)

const protoText = `syntax = "proto3";
package shop;
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
enum Kind { NONE = 0; BUY = 1; SELL = -2; FAR = 100000; }
message Event {
  int64 id = 1;
  optional string note = 2;
  Kind kind = 3;
  repeated int32 codes = 4;
  repeated string tags = 5;
  map<string, Item> items = 6;
  oneof who { string user = 7; Item robot = 8; }
  google.protobuf.Timestamp at = 9;
  google.protobuf.Int64Value size = 10;
  uint64 big = 11;
  sint32 delta = 12;
  fixed32 f = 13;
  double ratio = 14;
  bytes blob = 15;
  bool flag = 1000;
  map<int32, Kind> kinds = 17;
  repeated Item list = 18;
  float small = 19;
  sfixed64 sf = 20;
}
message Item { int32 n = 1; string s = 2; Item next = 3; repeated int32 more = 4; }
`

func protoFile(t testing.TB, text string) protoreflect.FileDescriptor {
	t.Helper()
	file, err := messageschema.ParseProtobuf(t.Context(), text, nil)
	require.NoError(t, err)
	return file
}

func protoTable(t testing.TB, text string) *iceberg.Schema {
	t.Helper()
	return messageschema.ProtobufColumns(protoFile(t, text).Messages().Get(0),
		messageschema.Options{}).Schema()
}

func protoFixture(t testing.TB, table *iceberg.Schema, writers ...string) writerFixture {
	schemas := avroSchemas(writers...)
	for _, schema := range schemas {
		schema.Format = registry.Protobuf
	}
	return writerFixture{columns: table, options: Options{Format: FormatProtobuf},
		writer: WriterOptions{Schemas: schemas}}
}

func protoTag(number int, wire protowire.Type) []byte {
	return protowire.AppendTag(nil, protowire.Number(number), wire)
}

func protoJoin(parts ...[]byte) []byte { return slices.Concat(parts...) }

func protoLen(number int, text string) []byte {
	return protowire.AppendString(protoTag(number, protowire.BytesType), text)
}

func protoNum(n int, v uint64) []byte {
	return protowire.AppendVarint(protoTag(n, protowire.VarintType), v)
}

func TestProtobufReadsMessages(t *testing.T) {
	const head = `syntax = "proto3"; import "google/protobuf/timestamp.proto";
		import "google/protobuf/wrappers.proto"; `
	const item = ` message Item { int32 n = 1; string s = 2; repeated int32 more = 4; }`
	for _, test := range []struct {
		name, message string
		payload       []byte
		want          string
	}{
		{"absent", `message M { int32 a = 1; optional int32 b = 2; string c = 3; repeated int32
			d = 4; Item e = 5; }`,
			nil, `{"a":0,"b":null,"c":"","d":[],"e":null}`},
		{"last one wins", `message M { int32 a = 1; }`, protoJoin(protoNum(1, 5), protoNum(1, 7)),
			`{"a":7}`},
		{"negative int32", `message M { int32 a = 1; }`, protoNum(1, math.MaxUint64), `{"a":-1}`},
		{"packed and not", `message M { repeated int32 a = 1; }`,
			protoJoin(protoNum(1, 5), protoLen(1, "\x06\x07"), protoNum(1, 8)), `{"a":[5,6,7,8]}`},
		{"oneof", `message M { oneof o { int32 a = 1; string b = 2; } }`,
			protoJoin(protoNum(1, 5), protoLen(2, "x")), `{"a":null,"b":"x"}`},
		{"merged parts", `message M { Item i = 1; }`,
			protoJoin(protoLen(1, string(protoJoin(protoNum(1, 5), protoNum(4, 1)))), protoLen(1,
				string(protoJoin(protoLen(2, "x"), protoNum(4, 2))))),
			`{"i":{"more":[1,2],"n":5,"s":"x"}}`},
		{"unknown fields", `message M { int32 a = 1; }`, protoJoin(protoNum(9, 5), protoLen(10,
			"xx"),
			protoTag(11, protowire.Fixed32Type), []byte{1, 2, 3, 4}, protoTag(12,
				protowire.Fixed64Type), make([]byte, 8),
			protoTag(13, protowire.StartGroupType), protoNum(1, 3), protoTag(13,
				protowire.EndGroupType), protoNum(1, 4)), `{"a":4}`},
		{"map", `message M { map<string, Item> m = 1; }`,
			protoJoin(protoLen(1, string(protoJoin(protoLen(1, "k"), protoLen(2,
				string(protoNum(1, 3)))))), protoLen(1, "")),
			`{"m":[{"key":"k","value":{"more":[],"n":3,"s":""}},{"key":"","value":{"more":[],"n":0,"s":""}}]}`},
		{"map key twice", `message M { map<int32, int32> m = 1; }`, protoJoin(protoLen(1,
			string(protoNum(1, 3))), protoLen(1, string(protoNum(1, 3)))),
			`{"m":null} !1 duplicate_key m: a map with one key twice`},
		{"uint64", `message M { uint64 a = 1; }`, protoNum(1, math.MaxUint64),
			`{"a":"18446744073709551615"}`},
		{"timestamp", `message M { google.protobuf.Timestamp t = 1; }`,
			protoLen(1, string(protoJoin(protoNum(1, math.MaxUint64), protoNum(2, 999_999_999)))),
			`{"t":"1969-12-31T23:59:59.999999Z"}`},
		{"timestamp out of range", `message M { google.protobuf.Timestamp t = 1; }`, protoLen(1,
			string(protoNum(1, 1<<40))),
			`{"t":null} !1 range t: a timestamp outside the years 1 to 9999`},
		{"wrapper", `message M { google.protobuf.Int64Value a = 1; google.protobuf.Int64Value b
			= 2; }`, protoLen(1, ""), `{"a":0,"b":null}`},
		{"enum", `enum E { Z = 0; A = 5; } message M { E a = 1; repeated E b = 2; }`,
			protoJoin(protoNum(1, 5), protoLen(2, "\x00\x05")),
			`{"a":"A","b":["Z","A"]}`},
		{"unknown enum value", `enum E { Z = 0; } message M { E a = 1; int32 b = 2; }`,
			protoJoin(protoNum(1, 5), protoNum(2, 1)),
			`{"a":null,"b":1} !1 range a: enum value 5 has no name in the writer's schema`},
		{"UTF-8 in a list", `message M { repeated string a = 1; repeated string b = 2; }`,
			protoJoin(protoLen(1, "\xff"), protoLen(2, "x"), protoLen(1, "y")),
			`{"a":null,"b":["x"]} !1 utf8 a.element: not UTF-8: "\xff"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			text := head + test.message + item
			descriptor, err := messageschema.ProtobufMessageNamed(protoFile(t, text), "M")
			require.NoError(t, err)
			table := messageschema.ProtobufColumns(descriptor, messageschema.Options{}).Schema()
			index := byte(2 * descriptor.Index())
			path := []byte{0}
			if index > 0 {
				path = []byte{2, index}
			}
			got, err := protoFixture(t, table, text).decode(t, framed(1, append(path,
				test.payload...)...))
			require.NoError(t, err)
			require.Equal(t, test.want+"\n", got)

			fixed := protoFixture(t, table)
			fixed.writer = WriterOptions{Message: "M",
				Fixed: &registry.Schema{Format: registry.Protobuf, Text: text}}
			payload := test.payload
			if payload == nil {
				payload = []byte{}
			}
			again, err := fixed.decode(t, payload)
			require.NoError(t, err)
			require.Equal(t, got, again)
		})
	}
}

func TestOneofMemberWithoutColumnTakesThePlaceOfOthers(t *testing.T) {
	table := protoTable(t, `syntax = "proto3"; message M { oneof o { int32 a = 1; } }`)
	got, err := protoFixture(t, table, `syntax = "proto3"; message M { oneof o { int32 a = 1; string b = 2; } }`).
		decode(t, framed(1, protoJoin([]byte{0}, protoNum(1, 5), protoLen(2, "x"))...),
			framed(1, protoJoin([]byte{0}, protoLen(2, "x"), protoNum(1, 5))...))
	require.NoError(t, err)
	require.Equal(t, `{"a":null}`+"\n"+`{"a":5}`+"\n", got)
}

func TestProtobufPathThroughWhatIsNoMessageLeavesNull(t *testing.T) {
	f := protoFixture(t, protoTable(t, `syntax = "proto3"; message M { int32 a = 1; }`),
		`syntax = "proto3"; message M { int32 s = 1; repeated M l = 2; }`)
	for _, object := range []string{"s", "l"} {
		f.options.Columns = map[string]ColumnOptions{"a": {Path: []string{object, "a"}}}
		got, err := f.decode(t, framed(1, protoJoin([]byte{0}, protoNum(1, 5), protoLen(2, ""))...))
		require.NoError(t, err)
		require.Equal(t, `{"a":null}`+"\n", got)
	}
}

func TestProtobufBrokenMessagesFailTheirRow(t *testing.T) {
	text := `syntax = "proto3"; message M { int32 a = 1; string s = 2; repeated int64 l = 3; M2
		m = 4; }
		message M2 { int32 x = 1; }`
	good := framed(1, 0, 8, 5)
	deep := []byte{0}
	for range 1000 {
		deep = append(deep, protoTag(9, protowire.StartGroupType)...)
	}
	for name, test := range map[string]struct {
		value []byte
		class Class
	}{
		"no frame":         {[]byte("x"), ClassSyntax},
		"no index":         {framed(1), ClassSyntax},
		"no such message":  {framed(1, 2, 40), ClassSyntax},
		"unknown id":       {framed(7, 0), ClassSchemaID},
		"field number 0":   {framed(1, 0, 0, 1), ClassSyntax},
		"truncated varint": {framed(1, 0, 8, 0x80), ClassSyntax},
		"truncated string": {framed(1, 0, 18, 5, 'x'), ClassSyntax},
		"giant length": {framed(1, 0, 18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
			0xff, 1), ClassSyntax},
		"wrong wire type":  {framed(1, 0, 10, 1, 'x'), ClassSyntax},
		"bad wire type":    {framed(1, 0, 0x4f), ClassSyntax},
		"end of no group":  {framed(1, 0, 0x4c), ClassSyntax},
		"other group ends": {framed(1, 0, 0x4b, 0x54), ClassSyntax},
		"groups too deep":  {framed(1, deep...), ClassTooDeep},
		"packed cut short": {framed(1, 0, 26, 2, 1, 0x80), ClassSyntax},
		"inner message":    {framed(1, 0, 34, 1, 8), ClassSyntax},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := protoFixture(t, protoTable(t, text), text).decode(t, good, test.value, good)
			require.NoError(t, err)
			lines := strings.Split(got, "\n")
			require.Equal(t, `{"a":5,"l":[],"m":null,"s":""}`, lines[0])
			require.Contains(t, lines[1],
				`{"a":null,"l":null,"m":null,"s":null} !0 `+string(test.class))
			require.Equal(t, lines[0], lines[2])
		})
	}
}

func TestProtobufWriterAheadOfTheTableIsProposed(t *testing.T) {
	table := protoTable(t,
		`syntax = "proto3"; message M { int32 a = 1; float f = 2; I i = 3; } message I { int32 n
			= 1; }`)
	f := protoFixture(t, table,
		`syntax = "proto3"; message M { int64 a = 1; double f = 2; I i = 3; repeated string l =
			4; M r = 5; }
		message I { int32 n = 1; map<string, I> more = 2; uint64 u = 3; }`)
	f.options.UnknownFields, f.writer.Evolve = UnknownEvolve, Evolve{Widen: true}
	_, err := f.decode(t, framed(1, 0))
	var ahead *EvolutionError
	require.ErrorAs(t, err, &ahead)
	var got []string
	for _, p := range ahead.Proposals {
		got = append(got, fmt.Sprintf("%d%v%v", p.Kind, p.Path, p.Type))
	}
	require.Equal(t, []string{"1[a]long", "1[f]double", "0[i u]decimal(20, 0)",
		"0[l]list<string>"}, got)

	f.options.UnknownFields, f.writer.Evolve = UnknownIgnore, Evolve{}
	rows, err := f.decode(t, framed(1, protoJoin([]byte{0}, protoNum(1, 1<<40), protoLen(4, "x"),
		protoLen(5, string(protoNum(1, 1))))...))
	require.NoError(t, err)
	require.Equal(t, `{"a":null,"f":0,"i":null} !1 range a: 1099511627776 is out of range`+"\n",
		rows)
}

func TestManyEmptyElementsAreRefused(t *testing.T) {
	var wide strings.Builder
	for i := range 400 {
		fmt.Fprintf(&wide, "int64 f%d = %d;", i, i+1)
	}
	text := `syntax = "proto3"; message M { repeated W w = 1; } message W {` + wide.String() + `}`
	payload := slices.Repeat([]byte{10, 0}, 20_000)
	hostile := framed(1, append([]byte{0}, payload...)...)
	honest := framed(1, append([]byte{0}, protoLen(9, strings.Repeat("x", 1<<20))...)...)
	decoder := protoFixture(t, protoTable(t, text), text).decoder(t)
	for _, value := range [][]byte{hostile, honest, honest, hostile} {
		decoded, err := decoder.Decode(t.Context(), chunkOf(nil, value))
		require.NoError(t, err)
		decoded.Batch.Release()
		if len(value) == len(honest) {
			require.Empty(t, decoded.Failures)
			continue
		}
		require.Len(t, decoded.Failures, 1, "what one chunk leaves is no allowance for the next")
		require.Equal(t, ClassTooLarge, decoded.Failures[0].Class)
	}
}

func TestProto2GroupsAndRequired(t *testing.T) {
	text := `syntax = "proto2"; message M { required int32 a = 1; optional group G = 2 {
		optional int32 x = 1; } repeated group L = 3 { optional int32 y = 1; } }`
	group := func(n int, content []byte) []byte {
		return protoJoin(protoTag(n, protowire.StartGroupType), content, protoTag(n,
			protowire.EndGroupType))
	}
	got, err := protoFixture(t, protoTable(t, text), text).decode(t,
		framed(1, protoJoin([]byte{0}, protoNum(1, 4), group(2, protoNum(1, 5)), group(3,
			protoNum(1, 6)), group(3, nil))...), framed(1, 0))
	require.NoError(t, err)
	require.Equal(t, `{"a":4,"g":{"x":5},"l":[{"y":6},{"y":null}]}`+"\n"+
		`{"a":null,"g":null,"l":[]} !1 required a: required and null`+"\n", got)
}

// randomMessage fills a message with what its type allows, and returns its row as JSON.
func randomMessage(r *rand.Rand, m protoreflect.Message, depth int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if r.IntN(3) == 0 || (f.Message() != nil && !f.IsMap() && depth == 0) {
			continue
		}
		switch {
		case f.IsMap():
			entries := m.Mutable(f).Map()
			key := randomScalar(r, f.MapKey())
			if f.MapValue().Message() == nil {
				entries.Set(key.MapKey(), randomScalar(r, f.MapValue()))
			} else if depth > 0 {
				value := entries.NewValue()
				randomMessage(r, value.Message(), depth-1)
				entries.Set(key.MapKey(), value)
			}
		case f.IsList():
			list := m.Mutable(f).List()
			for range r.IntN(4) {
				if f.Message() == nil {
					list.Append(randomScalar(r, f))
				} else {
					randomMessage(r, list.AppendMutable().Message(), depth-1)
				}
			}
		case f.Message() != nil:
			randomMessage(r, m.Mutable(f).Message(), depth-1)
		default:
			m.Set(f, randomScalar(r, f))
		}
	}
}

func randomScalar(r *rand.Rand, f protoreflect.FieldDescriptor) protoreflect.Value {
	small := r.IntN(1 << 20)
	switch f.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(r.IntN(2) == 0)
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(f.Enum().Values().Get(r.IntN(f.Enum().Values().Len())).Number())
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		if f.Name() == "nanos" {
			return protoreflect.ValueOfInt32(int32(small) * 1000 % 1e9)
		}
		return protoreflect.ValueOfInt32(int32(r.Uint32()))
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(r.Uint32())
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		if f.Name() == "seconds" {
			return protoreflect.ValueOfInt64(int64(r.Uint32()) - math.MaxInt32)
		}
		return protoreflect.ValueOfInt64(int64(r.Uint64()) >> r.IntN(64))
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(r.Uint64() >> r.IntN(64))
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(float32(small) / 8)
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(float64(small) / 64)
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte(strings.Repeat("\xff", small%40)))
	}
	return protoreflect.ValueOfString(strings.Repeat("ß", small%100))
}

// rowOf is the JSON of the row that a message must become.
func rowOf(m protoreflect.Message) string {
	texts := map[string]string{}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if f.Message() != nil && f.Message() == m.Descriptor() {
			continue // recursive, no column
		}
		texts[string(f.Name())] = fieldOf(m, f)
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		parts = append(parts, fmt.Sprintf("%q:%s", name, texts[name]))
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func fieldOf(m protoreflect.Message, f protoreflect.FieldDescriptor) string {
	v := m.Get(f)
	switch {
	case f.IsMap():
		text := "[]" // at most one entry: the order of more is not told
		v.Map().Range(func(k protoreflect.MapKey, value protoreflect.Value) bool {
			text = fmt.Sprintf(`[{"key":%s,"value":%s}]`, valueOf(k.Value(), f.MapKey()),
				valueOf(value, f.MapValue()))
			return true
		})
		return text
	case f.IsList():
		var parts []string
		for i := range v.List().Len() {
			parts = append(parts, valueOf(v.List().Get(i), f))
		}
		return "[" + strings.Join(parts, ",") + "]"
	case f.HasPresence() && !m.Has(f):
		return "null"
	}
	return valueOf(v, f)
}

func valueOf(v protoreflect.Value, f protoreflect.FieldDescriptor) string {
	if f.Message() == nil {
		return textOfScalar(v, f)
	}
	m := v.Message()
	fields := m.Descriptor().Fields()
	switch m.Descriptor().FullName() {
	case "google.protobuf.Timestamp":
		seconds, nanos := m.Get(fields.ByNumber(1)).Int(), m.Get(fields.ByNumber(2)).Int()
		return timestampText(seconds*1e6 + nanos/1000)
	case "google.protobuf.Int64Value":
		return fmt.Sprint(m.Get(fields.ByNumber(1)).Int())
	}
	return rowOf(m)
}

func TestProtobufAgreesWithAnotherEncoder(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	file := protoFile(t, protoText)
	descriptor := file.Messages().Get(0)
	var values [][]byte
	var want strings.Builder
	for range 2000 {
		m := dynamicpb.NewMessage(descriptor)
		randomMessage(r, m, 3)
		payload, err := proto.Marshal(m)
		require.NoError(t, err)
		values = append(values, framed(1, append([]byte{0}, payload...)...))
		want.WriteString(rowOf(m) + "\n")
	}
	got, err := protoFixture(t, protoTable(t, protoText), protoText).decode(t, values...)
	require.NoError(t, err)
	gotLines, wantLines := strings.Split(got, "\n"), strings.Split(want.String(), "\n")
	for i := range wantLines {
		require.Equal(t, wantLines[i], gotLines[i])
	}
}

func timestampText(micros int64) string {
	text := time.UnixMicro(micros).UTC().Format("2006-01-02T15:04:05.999999Z")
	return fmt.Sprintf("%q", text)
}

func textOfScalar(v protoreflect.Value, f protoreflect.FieldDescriptor) string {
	switch f.Kind() {
	case protoreflect.EnumKind:
		return fmt.Sprintf("%q", f.Enum().Values().ByNumber(v.Enum()).Name())
	case protoreflect.StringKind:
		return fmt.Sprintf("%q", v.String())
	case protoreflect.BytesKind:
		return `"` + base64.StdEncoding.EncodeToString(v.Bytes()) + `"`
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		text := fmt.Sprint(v.Uint())
		return `"` + text + `"`
	}
	return fmt.Sprint(v.Interface())
}
