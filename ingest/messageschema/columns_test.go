package messageschema

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"
)

// show prints columns as the schema of a new table, with what was left out behind it.
func show(columns Columns) string {
	var out strings.Builder
	out.WriteString(columns.Schema().String() + "\n")
	for _, refusal := range columns.Refusals {
		fmt.Fprintf(&out, "refused %s\n", refusal)
	}
	return out.String()
}

func TestColumnsFiles(t *testing.T) {
	datadriven.Walk(t, "testdata/columns", func(t *testing.T, path string) {
		imports, order := map[string]string{}, []string{}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			options := Options{Nanoseconds: d.HasArg("nanoseconds")}
			switch d.Cmd {
			case "import":
				name := d.CmdArgs[0].Key
				imports[name], order = d.Input, append(order, d.Input)
				return ""
			case "avro":
				parsed, err := ParseAvro(d.Input, order...)
				if err != nil {
					return err.Error() + "\n"
				}
				return show(parsed.Columns(options))
			case "protobuf":
				file, err := ParseProtobuf(t.Context(), d.Input, imports)
				if err != nil {
					return err.Error() + "\n"
				}
				message, err := ProtobufMessageNamed(file, "")
				if err != nil {
					return err.Error() + "\n"
				}
				return show(ProtobufColumns(message, options))
			case "jsonschema":
				columns, err := JSONSchemaColumns(d.Input, imports)
				if err != nil {
					return err.Error() + "\n"
				}
				return show(columns)
			}
			t.Fatalf("unknown command %s", d.Cmd)
			return ""
		})
	})
}

func TestExpandedSchemasAreBounded(t *testing.T) {
	var avro, proto strings.Builder
	avro.WriteString(`{"type":"record","name":"R0","fields":[{"name":"x","type":"int"}]}`)
	proto.WriteString("message M0 { int32 x = 1; }\n")
	text := avro.String()
	for i := range 30 {
		text = fmt.Sprintf(`{"type":"record","name":"R%d","fields":[{"name":"a","type":%s},
			{"name":"b","type":"R%d"}]}`,
			i+1, text, i)
		fmt.Fprintf(&proto, "message M%d { M%d a = 1; M%d b = 2; }\n", i+1, i, i)
	}
	parsed, err := ParseAvro(text)
	require.NoError(t, err)
	require.NotEmpty(t, parsed.Columns(Options{}).Refusals)
	file, err := ParseProtobuf(t.Context(), `syntax = "proto3";`+proto.String(), nil)
	require.NoError(t, err)
	require.NotEmpty(t, ProtobufColumns(file.Messages().Get(30), Options{}).Refusals)

	_, err = ParseAvro(strings.Repeat(`{"type":"array","items":`,
		5000) + `"int"` + strings.Repeat("}", 5000))
	require.ErrorContains(t, err, "nested deeper")
	_, err = ParseProtobuf(t.Context(), strings.Repeat("message M {", 5000), nil)
	require.ErrorContains(t, err, "nested deeper")
}

func TestProtobufMessagesAreFoundByPathAndName(t *testing.T) {
	file, err := ParseProtobuf(t.Context(),
		`syntax = "proto3"; package p; message A { message B {} message C { message D {} } }
			message E {}`, nil)
	require.NoError(t, err)
	for name, path := range map[string][]int{"p.A": {0}, "p.A.B": {0, 0}, "p.A.C.D": {0, 1, 0},
		"p.E": {1}} {
		m, err := ProtobufMessage(file, path)
		require.NoError(t, err)
		require.EqualValues(t, name, m.FullName())
		m, err = ProtobufMessageNamed(file, name)
		require.NoError(t, err)
		require.EqualValues(t, name, m.FullName())
	}
	for _, path := range [][]int{nil, {2}, {0, 2}, {0, -1}, {1, 0}} {
		_, err := ProtobufMessage(file, path)
		require.Error(t, err)
	}
	_, err = ProtobufMessageNamed(file, "p.X")
	require.ErrorContains(t, err, "no message p.X")
}

func FuzzAvroSchema(f *testing.F) {
	f.Add(`{"type":"record","name":"R","namespace":"a.b","fields":[{"name":"x","type":["null","R"]},` +
		`{"name":"d","type":{"type":"fixed","name":"F","size":4,"logicalType":"decimal","precision":9}}]}`)
	f.Add(`{"type":{"type":"map","values":["int","string",{"type":"enum","name":"E","symbols":["A"]}]}}`)
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := ParseAvro(text)
		if err != nil {
			return
		}
		show(parsed.Columns(Options{}))
	})
}

func FuzzProtoSchema(f *testing.F) {
	f.Add(`syntax = "proto3"; import "google/protobuf/any.proto"; message M { map<string, M> m =
		1; oneof o { int32 a = 2; } }`)
	f.Add(`syntax = "proto2"; message M { required group G = 1 { optional int32 x = 1 [default =
		5]; } extensions 100 to max; }`)
	f.Add(`edition = "2023"; message M { repeated int32 x = 1 [features.repeated_field_encoding
		= EXPANDED]; }`)
	f.Fuzz(func(t *testing.T, text string) {
		file, err := ParseProtobuf(t.Context(), text, nil)
		if err != nil {
			return
		}
		if message, err := ProtobufMessageNamed(file, ""); err == nil {
			show(ProtobufColumns(message, Options{}))
		}
	})
}

func FuzzJSONSchema(f *testing.F) {
	f.Add(`{"type":"object","properties":{"a":{"$ref":"#/$defs/x"}},
		"$defs":{"x":{"oneOf":[{"type":"null"},{"type":"string"}]}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		columns, err := JSONSchemaColumns(text, nil)
		if err == nil {
			show(columns)
		}
	})
}
