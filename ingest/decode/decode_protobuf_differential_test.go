package decode

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/firthlake/firth/ingest/messageschema"
	"github.com/firthlake/firth/ingest/registry"
)

// protoWorld makes random schemas of writers, and messages of them.
type protoWorld struct {
	*writerWorld
	proto2 bool
}

// file is a schema of some messages, each of which may hold those after it.
func (w *protoWorld) file() string {
	var b strings.Builder
	fmt.Fprintf(&b, "syntax = %q;\n", map[bool]string{true: "proto2", false: "proto3"}[w.proto2])
	known := w.chance(2)
	if known {
		b.WriteString("import \"google/protobuf/timestamp.proto\";\nimport \"google/protobuf/wrappers.proto\";\n")
	}
	b.WriteString("enum E { Z = 0; A = 1; M = -2; F = 100000; B = 3; }\n")
	messages := 1 + w.random.IntN(4)
	for i := range messages {
		fmt.Fprintf(&b, "message M%d {\n", i)
		w.fields(&b, i, messages, known)
		b.WriteString("}\n")
	}
	return b.String()
}

func (w *protoWorld) fields(b *strings.Builder, message, messages int, known bool) {
	numbers := map[int]bool{}
	next := 0
	number := func() int {
		if next++; w.chance(6) {
			next += []int{1, 20, 600, 3000, 1 << 20}[w.random.IntN(5)]
		}
		at := next
		if w.chance(8) {
			at = 1 + w.random.IntN(40)
		}
		for numbers[at] || at >= 19000 && at < 20000 {
			at++
		}
		numbers[at] = true
		return at
	}
	of := func() string { return w.typeName(message, messages, known) }
	for i := range 1 + w.random.IntN(12) {
		name := fmt.Sprintf("f%d", i)
		switch w.random.IntN(8) {
		case 0:
			fmt.Fprintf(b, "  repeated %s %s = %d;\n", of(), name, number())
		case 1:
			keys := []string{"string", "string", "int32", "sint64", "bool", "uint64", "fixed32"}
			fmt.Fprintf(b, "  map<%s, %s> %s = %d;\n", keys[w.random.IntN(len(keys))], of(), name, number())
		case 2:
			fmt.Fprintf(b, "  oneof o%d {", i)
			for _, member := range "abc" {
				fmt.Fprintf(b, " %s %s%c = %d;", of(), name, member, number())
			}
			b.WriteString(" }\n")
		case 3:
			if w.proto2 {
				label := []string{"optional", "repeated"}[w.random.IntN(2)]
				fmt.Fprintf(b, "  %s group G%d_%d = %d { optional %s x = 1; repeated int32 y = 2; }\n",
					label, message, i, number(), of())
				continue
			}
			fmt.Fprintf(b, "  optional %s %s = %d;\n", of(), name, number())
		default:
			label := ""
			if w.proto2 {
				label = []string{"optional ", "optional ", "required "}[w.random.IntN(3)]
			}
			fmt.Fprintf(b, "  %s%s %s = %d;\n", label, of(), name, number())
		}
	}
}

func (w *protoWorld) typeName(message, messages int, known bool) string {
	scalars := []string{"bool", "int32", "int64", "uint32", "uint64", "sint32", "sint64", "fixed32", "fixed64",
		"sfixed32", "sfixed64", "float", "double", "string", "string", "bytes", "E", "int64"}
	if known && w.chance(6) {
		return "google.protobuf." + []string{"Timestamp", "Timestamp", "Int64Value", "StringValue", "BoolValue",
			"DoubleValue", "UInt64Value", "BytesValue"}[w.random.IntN(8)]
	}
	if w.chance(5) && message+1 < messages {
		return fmt.Sprintf("M%d", message+1+w.random.IntN(messages-message-1))
	}
	if w.chance(25) {
		return fmt.Sprintf("M%d", message) // recursive: no column holds it
	}
	return scalars[w.random.IntN(len(scalars))]
}

// message is the bytes of a message: mostly each field once and in order.
func (w *protoWorld) message(of protoreflect.MessageDescriptor, depth int) []byte {
	var fields []protoreflect.FieldDescriptor
	for i := range of.Fields().Len() {
		fields = append(fields, of.Fields().Get(i))
	}
	slices.SortFunc(fields, func(a, b protoreflect.FieldDescriptor) int {
		return int(a.Number()) - int(b.Number())
	})
	if w.chance(6) {
		w.random.Shuffle(len(fields), func(i, k int) { fields[i], fields[k] = fields[k], fields[i] })
	}
	var out []byte
	for _, f := range fields {
		one := f.ContainingOneof()
		deep := depth < 2 && f.Message() != nil && w.chance(2)
		if deep || w.chance(5) || one != nil && !w.chance(one.Fields().Len()) {
			continue
		}
		for again := true; again; again = w.chance(15) {
			out = w.field(out, f, depth)
		}
		if w.chance(15) {
			out = w.stranger(out, 2)
		}
	}
	return out
}

func (w *protoWorld) field(out []byte, f protoreflect.FieldDescriptor, depth int) []byte {
	if f.Message() != nil && !f.IsMap() && depth <= 0 {
		return out
	}
	if !f.IsList() && !f.IsMap() {
		return w.value(w.tag(out, f.Number(), wireTypeOf(f)), f, depth)
	}
	count := w.random.IntN(4)
	if wire := wireTypeOf(f); f.IsList() && wire != protowire.BytesType && wire != protowire.StartGroupType &&
		!w.chance(3) {
		var packed []byte
		for range count {
			packed = w.value(packed, f, depth)
		}
		return protowire.AppendBytes(w.tag(out, f.Number(), protowire.BytesType), packed)
	}
	if f.IsMap() && w.chance(20) {
		count = 40
	}
	for range count {
		out = w.value(w.tag(out, f.Number(), wireTypeOf(f)), f, depth)
	}
	return out
}

// tag appends a tag; now and then in more bytes than it needs.
func (w *protoWorld) tag(out []byte, number protowire.Number, wire protowire.Type) []byte {
	out = protowire.AppendTag(out, number, wire)
	if w.chance(60) {
		out[len(out)-1] |= 0x80
		out = append(out, 0)
	}
	return out
}

// stranger appends a field that the schema does not have.
func (w *protoWorld) stranger(out []byte, depth int) []byte {
	number := protowire.Number(500 + w.random.IntN(90))
	switch wire := protowire.Type(w.random.IntN(6)); wire {
	case protowire.VarintType:
		return protowire.AppendVarint(w.tag(out, number, wire), uint64(w.number()))
	case protowire.Fixed32Type:
		return protowire.AppendFixed32(w.tag(out, number, wire), 7)
	case protowire.Fixed64Type:
		return protowire.AppendFixed64(w.tag(out, number, wire), 7)
	case protowire.BytesType:
		return protowire.AppendString(w.tag(out, number, wire), w.text())
	case protowire.StartGroupType:
		out = w.tag(out, number, wire)
		if depth > 0 {
			out = w.stranger(w.stranger(out, depth-1), depth-1)
		}
		return protowire.AppendTag(out, number, protowire.EndGroupType)
	}
	return out
}

// value appends what stands behind a tag.
func (w *protoWorld) value(out []byte, f protoreflect.FieldDescriptor, depth int) []byte {
	switch wire := wireTypeOf(f); {
	case f.IsMap():
		return protowire.AppendBytes(out, w.entry(f, depth))
	case f.Message() != nil && messageschema.KnownProtobuf(f.Message()) == messageschema.ProtobufTimestamp:
		return protowire.AppendBytes(out, w.timestamp())
	case wire == protowire.StartGroupType:
		out = append(out, w.message(f.Message(), depth-1)...)
		return protowire.AppendTag(out, f.Number(), protowire.EndGroupType)
	case f.Message() != nil:
		return protowire.AppendBytes(out, w.message(f.Message(), depth-1))
	case f.Kind() == protoreflect.BytesKind && w.chance(2):
		return protowire.AppendBytes(out, make([]byte, []int{3, 16, 12}[w.random.IntN(3)]))
	case wire == protowire.BytesType:
		return protowire.AppendString(out, w.text())
	case f.Kind() == protoreflect.FloatKind:
		return protowire.AppendFixed32(out, math.Float32bits(float32(w.real())))
	case f.Kind() == protoreflect.DoubleKind:
		return protowire.AppendFixed64(out, math.Float64bits(w.real()))
	case wire == protowire.Fixed32Type:
		return protowire.AppendFixed32(out, uint32(w.number()))
	case wire == protowire.Fixed64Type:
		return protowire.AppendFixed64(out, uint64(w.number()))
	case f.Kind() == protoreflect.EnumKind && !w.chance(12):
		return protowire.AppendVarint(out, uint64(int64([]int32{0, 1, -2, 100000, 3}[w.random.IntN(5)])))
	case f.Kind() == protoreflect.BoolKind && !w.chance(8):
		return protowire.AppendVarint(out, uint64(w.random.IntN(2)))
	case f.Kind() == protoreflect.Sint64Kind || f.Kind() == protoreflect.Sint32Kind:
		return protowire.AppendVarint(out, protowire.EncodeZigZag(w.number()))
	}
	return protowire.AppendVarint(out, uint64(w.number()))
}

func (w *protoWorld) timestamp() []byte {
	var out []byte
	for w.chance(10) {
		out = w.stranger(out, 1)
	}
	if !w.chance(5) {
		edges := []int64{-62135596800, 253402300799, 253402300800, 9223372036, 1_700_000_000, w.number()}
		seconds := edges[w.random.IntN(len(edges))]
		out = protowire.AppendVarint(w.tag(out, 1, protowire.VarintType), uint64(seconds))
	}
	if !w.chance(3) {
		nanos := []int64{0, 1, 999_999_999, 1_000_000_000, -1, 123_456_000}[w.random.IntN(6)]
		out = protowire.AppendVarint(w.tag(out, 2, protowire.VarintType), uint64(nanos))
	}
	return out
}

func (w *protoWorld) entry(f protoreflect.FieldDescriptor, depth int) []byte {
	var out []byte
	for _, part := range []protoreflect.FieldDescriptor{f.MapKey(), f.MapValue()} {
		if !w.chance(8) {
			out = w.field(out, part, depth)
		}
	}
	if w.chance(15) {
		return append(w.field(nil, f.MapValue(), depth), out...)
	}
	return out
}

// protoFiles keeps compiled schemas, which cost far more than decoding.
type protoFiles struct {
	mu    sync.Mutex
	files map[string]protoreflect.FileDescriptor
}

func (p *protoFiles) get(t *testing.T, text string) protoreflect.FileDescriptor {
	p.mu.Lock()
	defer p.mu.Unlock()
	if file, ok := p.files[text]; ok {
		return file
	}
	if len(p.files) > 2000 {
		clear(p.files)
	}
	file := protoFile(t, text)
	p.files[text] = file
	return file
}

func newProtoFiles() *protoFiles {
	return &protoFiles{files: map[string]protoreflect.FileDescriptor{}}
}

// checkProtobuf compares a random writer's messages, of which change changes one, with the reference,
// and, where nothing failed, with what another library writes when it has read them.
func (p *protoFiles) checkProtobuf(t *testing.T, seed uint64, count int, change func([]byte) []byte) {
	t.Helper()
	w := &protoWorld{writerWorld: newWriterWorld(seed, FormatProtobuf)}
	w.proto2 = w.chance(3)
	text := w.file()
	file := p.get(t, text)
	of := file.Messages().Get(0)
	w.writer.Schemas = schemaMap{1: {ID: 1, Format: registry.Protobuf, Text: text}}
	plan := w.table(t, messageschema.ProtobufColumns(of, messageschema.Options{Nanoseconds: w.chance(2)}))
	decoder, end := checked(t, plan)
	defer end()
	withFile(t, decoder, file)
	var values [][]byte
	for range count {
		payload := w.message(of, 3)
		if w.chance(8) {
			payload = w.damaged(payload)
		}
		values = append(values, append([]byte{0}, payload...))
	}
	values[0] = append([]byte{0}, change(values[0][1:])...)
	reference := referenceProtobuf(plan, of)
	checkWriter(t, plan, decoder, values, reference)
	for _, value := range values {
		checkCanonical(t, of, value[1:], reference)
	}
	if t.Failed() {
		t.Logf("writer %s\ntable %s", text, plan.schema)
	}
}

// withFile gives a decoder the program of schema 1 from a schema that is compiled already.
func withFile(t *testing.T, decoder Decoder, file protoreflect.FileDescriptor) {
	t.Helper()
	d := decoder.(*chunkDecoder).values.(*writerDecoder)
	r := d.newResolver()
	root, err := r.root(d.plan, d.out.columns)
	require.NoError(t, err)
	schema, err := d.plan.writers.options.Schemas.ByID(t.Context(), 1)
	require.NoError(t, err)
	d.programs[1] = &protoProgram{file: file,
		compilation: compilation{decoder: d, resolver: r, root: root, schema: schema}}
}

// parsed says whether another library reads a message. It panics at a map's entry with two keys, the
// second of another wire type: such a message it does not read either.
func parsed(payload []byte, into proto.Message) (ok bool) {
	defer func() {
		if fault := recover(); fault != nil {
			ok = false
		}
	}()
	return proto.UnmarshalOptions{AllowPartial: true}.Unmarshal(payload, into) == nil
}

// checkCanonical checks the reference itself: what another library makes of a message, when it reads
// and writes it, stands for the same row. What fails a column, and what a table does not take, is
// outside of this.
func checkCanonical(t *testing.T, of protoreflect.MessageDescriptor, payload []byte, want writerReference) {
	t.Helper()
	row := want(append([]byte{0}, payload...))
	m := dynamicpb.NewMessage(of)
	if row.class != "" || slices.ContainsFunc(row.classes, func(c []Class) bool { return len(c) > 0 }) ||
		!parsed(payload, m) {
		return
	}
	canonical, err := proto.MarshalOptions{AllowPartial: true}.Marshal(m)
	if err != nil {
		return // text that is not UTF-8 in a field of proto3
	}
	again := want(append([]byte{0}, canonical...))
	require.Equal(t, sortedText(t, row.values), sortedText(t, again.values), "%x %x", payload, canonical)
}

// sortedText is the text of values in which the order of a map's entries does not count, nor which
// NaN a number is.
func sortedText(t *testing.T, v any) string {
	switch v := v.(type) {
	case []any:
		var parts []string
		for _, inner := range v {
			parts = append(parts, sortedText(t, inner))
		}
		slices.Sort(parts)
		return "[" + strings.Join(parts, ",") + "]"
	case uint64:
		if math.IsNaN(math.Float64frombits(v)) {
			return "NaN"
		}
	}
	text, err := json.Marshal(v)
	require.NoError(t, err)
	return string(text)
}

func TestProtobufAgreesWithReference(t *testing.T) {
	worlds := uint64(300)
	if testing.Short() {
		worlds = 50
	}
	files := newProtoFiles()
	for seed := range worlds {
		if !t.Run(fmt.Sprint(seed), func(t *testing.T) {
			files.checkProtobuf(t, seed, 20, func(value []byte) []byte { return value })
		}) {
			return
		}
	}
}

// FuzzProtobuf decodes messages of a random schema into a random table, one of them changed by the
// fuzzer, and compares every row and failure with the reference.
func FuzzProtobuf(f *testing.F) {
	for seed := range uint64(150) {
		bytes := [][]byte{{byte(seed)}, {0x80, 0x80, 0x80, 0x80, 0x10}, {8, 5, 18, 1, 'x', 34, 2, 1, 2}}[seed%3]
		f.Add(seed, bytes, uint16(seed*37))
	}
	files := newProtoFiles()
	f.Fuzz(func(t *testing.T, seed uint64, bytes []byte, at uint16) {
		files.checkProtobuf(t, seed%(1<<20), 12, func(value []byte) []byte { return mutate(value, bytes, at) })
	})
}
