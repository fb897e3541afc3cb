package messageschema

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/apache/iceberg-go"
	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/reporter"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// protobufFile is the name under which a schema without a name is compiled.
const protobufFile = "firth_writer_schema.proto"

// protobufImports are the files that Confluent's serializers take as known and register no reference
// for.
var protobufImports = map[string]string{
	"confluent/meta.proto": `syntax = "proto3"; package confluent;
		import "google/protobuf/descriptor.proto";
		message Meta { string doc = 1; map<string, string> params = 2; repeated string tags = 3; }
		extend google.protobuf.FileOptions { Meta file_meta = 1088; }
		extend google.protobuf.MessageOptions { Meta message_meta = 1088; }
		extend google.protobuf.FieldOptions { Meta field_meta = 1088; }
		extend google.protobuf.EnumOptions { Meta enum_meta = 1088; }
		extend google.protobuf.EnumValueOptions { Meta enum_value_meta = 1088; }`,
	"confluent/type/decimal.proto": `syntax = "proto3"; package confluent.type;
		message Decimal { bytes value = 1; uint32 precision = 2; int32 scale = 3; }`,
}

// ParseProtobuf compiles a .proto file. Imports are the texts of the files it imports, by the path in
// the import statement; Google's well-known types need not be among them.
func ParseProtobuf(ctx context.Context, text string, imports map[string]string) (
	protoreflect.FileDescriptor, error,
) {
	bytes := len(text)
	for _, imported := range imports {
		bytes += len(imported)
	}
	if bytes > textBytesMax {
		return nil, fmt.Errorf("parse Protobuf schema: larger than %d bytes", textBytesMax)
	}
	if deepestBrace(text) > depthMax {
		return nil, fmt.Errorf("parse Protobuf schema: nested deeper than %d levels", depthMax)
	}
	resolver := &protocompile.SourceResolver{Accessor: func(path string) (io.ReadCloser, error) {
		if path == protobufFile {
			return io.NopCloser(strings.NewReader(text)), nil
		}
		if imported, ok := imports[path]; ok {
			return io.NopCloser(strings.NewReader(imported)), nil
		}
		if known, ok := protobufImports[path]; ok {
			return io.NopCloser(strings.NewReader(known)), nil
		}
		return nil, fmt.Errorf("%s is not among the schema's references", path)
	}}
	var first firstError
	compiler := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(resolver),
		MaxParallelism: 1,
		Reporter:       reporter.NewReporter(first.keep, nil),
		SourceInfoMode: protocompile.SourceInfoNone,
	}
	files, err := compiler.Compile(ctx, protobufFile)
	if err == nil {
		err = first.err
	}
	if err != nil {
		return nil, fmt.Errorf("parse Protobuf schema: %w", err)
	}
	return files[0], nil
}

// firstError keeps the first of the errors that a compilation reports, which may come from several
// goroutines.
type firstError struct {
	mu  sync.Mutex
	err error
}

func (f *firstError) keep(err reporter.ErrorWithPos) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = errors.New(shortenTo(err.Error(), 300))
	}
	return f.err
}

// deepestBrace is the deepest nesting of brackets of any kind. The compiler recurses once a level.
func deepestBrace(text string) int {
	depth, deepest := 0, 0
	for i := range len(text) {
		switch text[i] {
		case '{', '[', '<', '(':
			depth++
			deepest = max(deepest, depth)
		case '}', ']', '>', ')':
			depth--
		}
	}
	return deepest
}

// ProtobufMessage finds a message by the path of indexes that stands before a value: of a top-level
// message, of a message nested in it, and so on.
func ProtobufMessage(file protoreflect.FileDescriptor, path []int) (protoreflect.MessageDescriptor, error) {
	messages := file.Messages()
	var found protoreflect.MessageDescriptor
	for _, index := range path {
		if index < 0 || index >= messages.Len() {
			return nil, fmt.Errorf("the schema has no message at the path %v", path)
		}
		found = messages.Get(index)
		messages = found.Messages()
	}
	if found == nil {
		return nil, errors.New("the path of message indexes is empty")
	}
	return found, nil
}

// ProtobufMessageNamed finds a message by its full name; an empty name means the first of the file.
func ProtobufMessageNamed(file protoreflect.FileDescriptor, name string) (protoreflect.MessageDescriptor, error) {
	if name == "" {
		return ProtobufMessage(file, []int{0})
	}
	var find func(protoreflect.MessageDescriptors) protoreflect.MessageDescriptor
	find = func(messages protoreflect.MessageDescriptors) protoreflect.MessageDescriptor {
		for i := range messages.Len() {
			m := messages.Get(i)
			if string(m.FullName()) == name {
				return m
			}
			if inner := find(m.Messages()); inner != nil {
				return inner
			}
		}
		return nil
	}
	if m := find(file.Messages()); m != nil {
		return m, nil
	}
	return nil, fmt.Errorf("the schema has no message %s", shorten(name))
}

// ProtobufKnown is the meaning of a well-known message type that is more than a struct.
type ProtobufKnown int

// The well-known types with a column type of their own.
const (
	ProtobufPlain     ProtobufKnown = iota
	ProtobufTimestamp               // seconds = 1, nanos = 2
	ProtobufScalar                  // a wrapper: value = 1, and absence is null
	ProtobufRefused                 // Struct, Value, ListValue: any shape, no columns
)

// KnownProtobuf tells what a message type means by its name.
func KnownProtobuf(m protoreflect.MessageDescriptor) ProtobufKnown {
	switch m.FullName() {
	case "google.protobuf.Timestamp":
		return ProtobufTimestamp
	case "google.protobuf.DoubleValue", "google.protobuf.FloatValue", "google.protobuf.Int64Value",
		"google.protobuf.UInt64Value", "google.protobuf.Int32Value", "google.protobuf.UInt32Value",
		"google.protobuf.BoolValue", "google.protobuf.StringValue", "google.protobuf.BytesValue":
		return ProtobufScalar
	case "google.protobuf.Struct", "google.protobuf.Value", "google.protobuf.ListValue":
		return ProtobufRefused
	}
	return ProtobufPlain
}

// ProtobufColumns returns the Iceberg form of a message.
func ProtobufColumns(m protoreflect.MessageDescriptor, options Options) Columns {
	e := protobufExpander{expander: expander{options: options}, open: map[protoreflect.FullName]bool{}}
	e.open[m.FullName()] = true
	fields := e.fields(m)
	return Columns{Fields: fields, Refusals: e.refusals}
}

// ProtobufColumn returns the column that holds a field, with nil for a type when there is none;
// refusals say why, and what was left out of it. Within are the messages that hold the field, which
// it cannot hold again.
func ProtobufColumn(f protoreflect.FieldDescriptor, options Options,
	within ...protoreflect.MessageDescriptor,
) (iceberg.NestedField, []Refusal) {
	e := protobufExpander{expander: expander{options: options}, open: map[protoreflect.FullName]bool{}}
	for _, m := range within {
		e.open[m.FullName()] = true
	}
	field, _ := e.field(f)
	return field, e.refusals
}

// protobufExpander holds the messages that the present path goes through.
type protobufExpander struct {
	expander
	open map[protoreflect.FullName]bool
}

func (e *protobufExpander) fields(m protoreflect.MessageDescriptor) []iceberg.NestedField {
	var out []iceberg.NestedField
	for i := range m.Fields().Len() {
		if field, ok := e.field(m.Fields().Get(i)); ok {
			out = append(out, field)
		}
	}
	return out
}

func (e *protobufExpander) field(f protoreflect.FieldDescriptor) (iceberg.NestedField, bool) {
	field := iceberg.NestedField{
		Name: string(f.Name()), Required: f.Cardinality() == protoreflect.Required,
	}
	defer e.leave()
	if !e.enter(field.Name) {
		return field, false
	}
	switch {
	case f.IsMap():
		value, ok := e.field(f.MapValue())
		if !ok {
			return field, false
		}
		key := protobufScalars[f.MapKey().Kind()]
		field.Type = &iceberg.MapType{KeyType: key, ValueType: value.Type, ValueRequired: true}
	case f.IsList():
		element := e.typeOf(f)
		if element == nil {
			return field, false
		}
		field.Type = &iceberg.ListType{Element: element, ElementRequired: true}
	default:
		field.Type = e.typeOf(f)
	}
	return field, field.Type != nil
}

var protobufScalars = map[protoreflect.Kind]iceberg.Type{
	protoreflect.BoolKind:     iceberg.PrimitiveTypes.Bool,
	protoreflect.EnumKind:     iceberg.PrimitiveTypes.String,
	protoreflect.Int32Kind:    iceberg.PrimitiveTypes.Int32,
	protoreflect.Sint32Kind:   iceberg.PrimitiveTypes.Int32,
	protoreflect.Sfixed32Kind: iceberg.PrimitiveTypes.Int32,
	protoreflect.Uint32Kind:   iceberg.PrimitiveTypes.Int64,
	protoreflect.Fixed32Kind:  iceberg.PrimitiveTypes.Int64,
	protoreflect.Int64Kind:    iceberg.PrimitiveTypes.Int64,
	protoreflect.Sint64Kind:   iceberg.PrimitiveTypes.Int64,
	protoreflect.Sfixed64Kind: iceberg.PrimitiveTypes.Int64,
	protoreflect.Uint64Kind:   iceberg.DecimalTypeOf(20, 0),
	protoreflect.Fixed64Kind:  iceberg.DecimalTypeOf(20, 0),
	protoreflect.FloatKind:    iceberg.PrimitiveTypes.Float32,
	protoreflect.DoubleKind:   iceberg.PrimitiveTypes.Float64,
	protoreflect.StringKind:   iceberg.PrimitiveTypes.String,
	protoreflect.BytesKind:    iceberg.PrimitiveTypes.Binary,
}

// typeOf is the type of one value of a field.
func (e *protobufExpander) typeOf(f protoreflect.FieldDescriptor) iceberg.Type {
	m := f.Message()
	if m == nil {
		return protobufScalars[f.Kind()]
	}
	switch KnownProtobuf(m) {
	case ProtobufTimestamp:
		if e.options.Nanoseconds {
			return iceberg.PrimitiveTypes.TimestampTzNs
		}
		return iceberg.PrimitiveTypes.TimestampTz
	case ProtobufScalar:
		return protobufScalars[m.Fields().ByNumber(1).Kind()]
	case ProtobufRefused:
		e.refuse("%s has no fixed fields", m.FullName())
		return nil
	}
	if e.open[m.FullName()] {
		e.refuse("message %s holds itself", shorten(string(m.FullName())))
		return nil
	}
	e.open[m.FullName()] = true
	defer delete(e.open, m.FullName())
	return e.structOf(e.fields(m))
}
