package decode

import (
	"context"
	"fmt"
	"slices"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/firthlake/firth/ingest/messageschema"
)

// protoCompiler makes the program of one message.
type protoCompiler struct {
	*resolver
	// open are the messages that lead to what is being compiled.
	open []protoreflect.MessageDescriptor
	// involved says that a oneof holds an object that leads to columns.
	involved bool
}

func compileProtobuf(ctx context.Context, c compilation) (program, error) {
	imports := make(map[string]string, len(c.schema.Imports))
	for _, imported := range c.schema.Imports {
		imports[imported.Name] = imported.Text
	}
	file, err := messageschema.ParseProtobuf(ctx, c.schema.Text, imports)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errSchema, err)
	}
	p := &protoProgram{compilation: c, file: file}
	options := c.decoder.plan.writers.options
	if options.Fixed != nil {
		descriptor, err := messageschema.ProtobufMessageNamed(file, options.Message)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errSchema, err)
		}
		p.fixed, err = p.message(descriptor)
		return p, err
	}
	return p, nil
}

// message compiles one message of the schema.
func (p *protoProgram) message(descriptor protoreflect.MessageDescriptor) (program, error) {
	c := p.compilation
	c.resolver = c.decoder.newResolver()
	compiler := protoCompiler{resolver: c.resolver}
	message := compiler.message(c.root, descriptor)
	return c.finish(&protoRoot{message: message, involved: compiler.involved,
		fillsAll: c.decoder.fillsAll(message.singular + len(message.lists)),
		depthMax: c.decoder.plan.options.DepthMax, cells: &c.decoder.cells})
}

func (c *protoCompiler) message(t *destination, of protoreflect.MessageDescriptor) *protoMessage {
	c.open = append(c.open, of)
	defer func() { c.open = c.open[:len(c.open)-1] }()
	m := &protoMessage{}
	if t.node != nil {
		m.column = t.column
	}
	oneofs := map[protoreflect.FullName][]int{}
	found := map[*destination]bool{}
	for i := range of.Fields().Len() {
		field := of.Fields().Get(i)
		inside := c.match(t, of, field)
		compiled := protoField{code: protoAside, wire: protoWire(field), top: skipColumn}
		if inside == nil || found[inside] {
			c.unknownProtobuf(t, field)
			if field.ContainingOneof() == nil {
				continue
			}
		} else {
			found[inside] = true
			compiled = c.field(inside, field)
			compiled.top = inside.top
		}
		if oneof := field.ContainingOneof(); oneof != nil {
			oneofs[oneof.FullName()] = append(oneofs[oneof.FullName()], len(m.fields))
		}
		compiled.number, compiled.tag = uint32(field.Number()), newFieldTag(field)
		m.fields = append(m.fields, compiled)
	}
	for _, members := range oneofs {
		for _, member := range members {
			c.involved = c.involved || m.fields[member].code == protoSubmessage && m.fields[member].put.column == nil
			for _, rival := range members {
				if rival != member {
					m.fields[member].rivals = append(m.fields[member].rivals, rival)
				}
			}
		}
	}
	m.index()
	missing := c.missing(t, func(inside *destination) bool { return found[inside] })
	if t.node != nil {
		m.missing = missing
	}
	return m
}

// index makes what finds the fields, when all are there.
func (m *protoMessage) index() {
	var numbers []uint32
	for i := range m.fields {
		f := &m.fields[i]
		f.step = protoStepOf(f)
		numbers, m.order = append(numbers, f.number), append(m.order, f)
		switch {
		case f.repeated:
			m.lists = append(m.lists, f)
		case f.put.column != nil:
			m.singular++
		}
	}
	m.numbers = newProtoNumbers(numbers)
	slices.SortFunc(m.order, func(a, b *protoField) int { return int(a.number) - int(b.number) })
	for place, f := range m.order {
		f.place = place
	}
}

// newProtoMessage is the message of fields that a map's entry, or a wrapper, has.
func newProtoMessage(fields ...protoField) *protoMessage {
	m := &protoMessage{fields: fields}
	m.index()
	return m
}

func (c *protoCompiler) match(t *destination, of protoreflect.MessageDescriptor,
	field protoreflect.FieldDescriptor,
) *destination {
	has := func(name string) bool { return of.Fields().ByName(protoreflect.Name(name)) != nil }
	return t.find(string(field.Name()), nil, has)
}

func (c *protoCompiler) unknownProtobuf(t *destination, field protoreflect.FieldDescriptor) {
	column, _ := messageschema.ProtobufColumn(field, c.writer.columns(), c.open...)
	c.unknownField(t, column)
}

// field compiles a field into a column, or an object that leads to columns.
func (c *protoCompiler) field(t *destination, of protoreflect.FieldDescriptor) protoField {
	f := protoField{top: skipColumn, wire: protoWire(of)}
	if t.node == nil {
		if of.Message() == nil || of.IsList() || of.IsMap() {
			f.code = protoAside // nothing there to lead to columns; they stay null
			return f
		}
		f.code, f.message = protoSubmessage, c.message(t, of.Message())
		return f
	}
	f.put = put{node: t.node, column: t.column}
	switch {
	case of.IsMap():
		return c.mapField(t, of, f)
	case of.IsList():
		if t.node.kind != kindList {
			return mismatched(f, "repeated field")
		}
		element := c.single(t.inside[0], of)
		element.repeated, element.column = true, t.column
		element.width = t.node.children[0].cells()
		if element.code == protoMismatch {
			return mismatched(f, "repeated "+element.put.from.name)
		}
		return element
	}
	if of.HasPresence() && of.Cardinality() != protoreflect.Required {
		c.optional(t)
	}
	return c.single(t, of)
}

func mismatched(f protoField, name string) protoField {
	f.code, f.absent, f.message = protoMismatch, absentNull, nil
	f.put.code, f.put.from.name = putMismatch, name
	return f
}

// mapField compiles a map: each entry is a message of key and value.
func (c *protoCompiler) mapField(t *destination, of protoreflect.FieldDescriptor,
	f protoField) protoField {
	if t.node.kind != kindMap {
		return mismatched(f, "map")
	}
	key, value := c.single(t.inside[0], of.MapKey()), c.single(t.inside[1], of.MapValue())
	key.number, key.tag = 1, newFieldTag(of.MapKey())
	value.number, value.tag = 2, newFieldTag(of.MapValue())
	if key.code == protoMismatch || value.code == protoMismatch {
		return mismatched(f, "map of other types")
	}
	key.absent, value.absent = absentZero, absentZero
	f.code, f.repeated, f.isMap, f.column = protoSubmessage, true, true, t.column
	f.message = newProtoMessage(key, value)
	f.width = t.node.children[0].cells() + t.node.children[1].cells()
	return f
}

// single compiles one value of a field, which may be an element.
func (c *protoCompiler) single(t *destination, of protoreflect.FieldDescriptor) protoField {
	f := protoField{top: skipColumn, wire: protoWire(of), put: put{node: t.node, column: t.column}}
	if of.Message() != nil {
		return c.submessage(t, of, f)
	}
	column, _ := messageschema.ProtobufColumn(of, c.writer.columns())
	if of.IsList() {
		column = childFields(column.Type)[0]
	}
	c.compare(t, column.Type)
	s := protoScalars[of.Kind()]
	f.code, f.put = s.code, newPut(s.from, t.node, t.column)
	if !of.HasPresence() {
		f.absent = absentZero
	}
	if f.put.code == putMismatch {
		return mismatched(f, s.from.name)
	}
	if of.Enum() != nil {
		f.symbols = newProtoSymbols(of.Enum())
	}
	return f
}

func (c *protoCompiler) submessage(t *destination, of protoreflect.FieldDescriptor,
	f protoField) protoField {
	m := of.Message()
	known := messageschema.KnownProtobuf(m)
	isTime := t.node.kind == kindTimestamp || t.node.kind == kindTimestampNs
	switch {
	case t.node.kind == kindStruct:
		f.code, f.message = protoSubmessage, c.message(t, m)
	case known == messageschema.ProtobufTimestamp && isTime:
		f.code = protoTimestamp
	case known == messageschema.ProtobufScalar:
		value := c.single(t, m.Fields().ByNumber(1))
		value.number, value.tag = 1, newFieldTag(m.Fields().ByNumber(1))
		if value.code == protoMismatch {
			return mismatched(f, string(m.Name()))
		}
		f.code = protoSubmessage
		f.message = newProtoMessage(value)
	default:
		return mismatched(f, "message "+string(m.Name()))
	}
	return f
}

func protoWire(of protoreflect.FieldDescriptor) byte {
	switch of.Kind() {
	case protoreflect.GroupKind:
		return wireGroup
	case protoreflect.MessageKind:
		return wireBytes
	}
	return protoScalars[of.Kind()].wire
}
