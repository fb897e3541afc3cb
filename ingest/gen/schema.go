package gen

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/apache/iceberg-go"
)

// SchemaText is the workload's schema in the format's own language, for a registry: an Avro schema,
// a proto3 file or a JSON Schema. It is empty for plain JSON and CSV.
func (g *Generator) SchemaText() string {
	switch g.opts.Format {
	case Avro:
		return mustJSON(avroRecord("Event", g.workload.fields))
	case Protobuf:
		var b strings.Builder
		b.WriteString("syntax = \"proto3\";\npackage firth.gen;\n\n")
		writeMessageType(&b, "Event", g.workload.fields)
		return b.String()
	case JSONSchema:
		s := jsonSchema(g.workload.fields)
		s["$schema"] = "http://json-schema.org/draft-07/schema#"
		s["title"] = "Event"
		return mustJSON(s)
	}
	return ""
}

func mustJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("BUG: schema is no JSON: %v", err))
	}
	return string(text)
}

func avroRecord(name string, fields []field) map[string]any {
	list := []any{}
	for i := range fields {
		f := &fields[i]
		avro := map[string]any{"name": f.name, "type": avroType(f)}
		if f.optional {
			avro["type"] = []any{"null", avro["type"]}
			avro["default"] = nil
		}
		list = append(list, avro)
	}
	return map[string]any{"type": "record", "name": name, "namespace": "firth.gen", "fields": list}
}

func avroType(f *field) any {
	switch f.kind {
	case kindLong:
		return "long"
	case kindInt:
		return "int"
	case kindTimestamp:
		return map[string]any{"type": "long", "logicalType": "timestamp-millis"}
	case kindDouble:
		return "double"
	case kindBool:
		return "boolean"
	case kindText:
		return "string"
	case kindRecord:
		return avroRecord(messageName(f.name), f.fields)
	case kindMap:
		return map[string]any{"type": "map", "values": "string"}
	}
	if f.fields != nil {
		return map[string]any{"type": "array", "items": avroRecord(messageName(f.name), f.fields)}
	}
	return map[string]any{"type": "array", "items": "string"}
}

// messageName is the name of the type of a nested field.
func messageName(fieldName string) string {
	return strings.ToUpper(fieldName[:1]) + fieldName[1:]
}

func writeMessageType(b *strings.Builder, name string, fields []field) {
	fmt.Fprintf(b, "message %s {\n", name)
	for i := range fields {
		f := &fields[i]
		label := ""
		if f.optional {
			label = "optional "
		}
		fmt.Fprintf(b, "  %s%s %s = %d;\n", label, protobufType(f), f.name, i+1)
	}
	b.WriteString("}\n")
	for i := range fields {
		if fields[i].fields != nil {
			b.WriteString("\n")
			writeMessageType(b, messageName(fields[i].name), fields[i].fields)
		}
	}
}

func protobufType(f *field) string {
	switch f.kind {
	case kindLong, kindTimestamp:
		return "int64"
	case kindInt:
		return "int32"
	case kindDouble:
		return "double"
	case kindBool:
		return "bool"
	case kindText:
		return "string"
	case kindRecord:
		return messageName(f.name)
	case kindMap:
		return "map<string, string>"
	}
	if f.fields != nil {
		return "repeated " + messageName(f.name)
	}
	return "repeated string"
}

func jsonSchema(fields []field) map[string]any {
	properties, required := map[string]any{}, []string{}
	for i := range fields {
		f := &fields[i]
		properties[f.name] = jsonSchemaType(f)
		if !f.optional {
			required = append(required, f.name)
		}
	}
	return map[string]any{"type": "object", "properties": properties, "required": required}
}

func jsonSchemaType(f *field) map[string]any {
	switch f.kind {
	case kindLong, kindInt, kindTimestamp:
		return map[string]any{"type": "integer"}
	case kindDouble:
		return map[string]any{"type": "number"}
	case kindBool:
		return map[string]any{"type": "boolean"}
	case kindText:
		return map[string]any{"type": "string"}
	case kindRecord:
		return jsonSchema(f.fields)
	case kindMap:
		return map[string]any{
			"type": "object", "additionalProperties": map[string]any{"type": "string"},
		}
	}
	items := map[string]any{"type": "string"}
	if f.fields != nil {
		items = jsonSchema(f.fields)
	}
	return map[string]any{"type": "array", "items": items}
}

// Schema is the Iceberg schema of a table that takes the workload. Every column is optional, so that
// a table can follow the topic when fields go away.
func (g *Generator) Schema() *iceberg.Schema {
	next := 0
	return iceberg.NewSchema(0, icebergFields(g.workload.fields, &next)...)
}

func icebergFields(fields []field, next *int) []iceberg.NestedField {
	var list []iceberg.NestedField
	for i := range fields {
		*next++
		id := *next
		list = append(list, iceberg.NestedField{
			ID: id, Name: fields[i].name, Type: icebergType(&fields[i], next),
		})
	}
	return list
}

func icebergType(f *field, next *int) iceberg.Type {
	switch f.kind {
	case kindLong:
		return iceberg.PrimitiveTypes.Int64
	case kindInt:
		return iceberg.PrimitiveTypes.Int32
	case kindTimestamp:
		return iceberg.PrimitiveTypes.TimestampTz
	case kindDouble:
		return iceberg.PrimitiveTypes.Float64
	case kindBool:
		return iceberg.PrimitiveTypes.Bool
	case kindText:
		return iceberg.PrimitiveTypes.String
	case kindRecord:
		return &iceberg.StructType{FieldList: icebergFields(f.fields, next)}
	case kindMap:
		*next += 2
		return &iceberg.MapType{
			KeyID: *next - 1, KeyType: iceberg.PrimitiveTypes.String,
			ValueID: *next, ValueType: iceberg.PrimitiveTypes.String,
		}
	}
	*next++
	element := *next
	if f.fields != nil {
		return &iceberg.ListType{
			ElementID: element, Element: &iceberg.StructType{FieldList: icebergFields(f.fields, next)},
		}
	}
	return &iceberg.ListType{ElementID: element, Element: iceberg.PrimitiveTypes.String}
}
