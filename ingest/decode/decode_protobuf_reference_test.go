package decode

import (
	"encoding/binary"
	"math"
	"math/big"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/firthlake/firth/ingest/messageschema"
)

// protoReader is the reference for Protobuf: it first splits a message into its fields, then makes
// the columns' values of them.
type protoReader struct {
	rowReader
	depth int // of groups, left
}

// protoPart is one field of a message as it lies in the bytes: bits, or bytes.
type protoPart struct {
	wire    protowire.Type
	bits    uint64
	payload []byte
}

// referenceProtobuf returns the reference for a message.
func referenceProtobuf(plan *Plan, of protoreflect.MessageDescriptor) writerReference {
	return func(value []byte) writerRow {
		r := protoReader{rowReader: newRowReader(plan), depth: plan.options.DepthMax}
		return r.read(func() { r.message(plan.targets(), of, value[1:]) })
	}
}

// protoTarget pairs a field of a message with what takes it.
type protoTarget struct {
	field  protoreflect.FieldDescriptor
	target *target
	list   []any // of a list or map
}

func (r *protoReader) resolve(t *target, of protoreflect.MessageDescriptor) []*protoTarget {
	var names []string
	for i := range of.Fields().Len() {
		names = append(names, string(of.Fields().Get(i).Name()))
	}
	var out []*protoTarget
	for i, inside := range t.resolve(names, nil) {
		out = append(out, &protoTarget{field: of.Fields().Get(i), target: inside, list: []any{}})
	}
	return out
}

// message reads a message into the values of a struct, or into the columns that an object leads to.
func (r *protoReader) message(t *target, of protoreflect.MessageDescriptor, data []byte) []any {
	fields := r.resolve(t, of)
	find := func(number protowire.Number) int {
		return slices.IndexFunc(fields, func(f *protoTarget) bool { return f.field.Number() == number })
	}
	parts := map[protowire.Number][]protoPart{}
	for len(data) > 0 {
		var part protoPart
		var number protowire.Number
		number, part, data = r.part(data, func(number protowire.Number, wire protowire.Type) bool {
			at := find(number)
			return at < 0 || fields[at].target == nil || r.takesWire(fields[at], wire)
		})
		at := find(number)
		if at < 0 {
			continue
		}
		f := fields[at]
		if r.elements(f) {
			r.within(f.target, func() any {
				r.element(f, part)
				return nil
			})
			continue
		}
		if one := f.field.ContainingOneof(); one != nil && part.wire == wireTypeOf(f.field) {
			for i := range one.Fields().Len() {
				if other := one.Fields().Get(i).Number(); other != number {
					delete(parts, other)
				}
			}
		}
		parts[number] = append(parts[number], part)
	}
	values := make([]any, len(t.inside))
	found := make([]bool, len(t.inside))
	for _, f := range fields {
		at := slices.Index(t.inside, f.target)
		if f.target == nil || at < 0 {
			continue
		}
		found[at] = true
		values[at] = r.within(f.target, func() any { return r.field(f, parts[f.field.Number()]) })
	}
	for i, inside := range t.inside {
		if !found[i] && t.node != nil && inside.node.required {
			r.fault(ClassRequired)
		}
	}
	return values
}

// within reads into a target, which may be a column of its own.
func (r *protoReader) within(t *target, read func() any) any {
	if t.top == skipColumn {
		return read()
	}
	r.column(t.top, read)
	return r.row.values[t.top]
}

// anyWire takes whatever form a field has.
func anyWire(protowire.Number, protowire.Type) bool { return true }

// part splits the first field off, which takes must say yes to before its content is looked at.
func (r *protoReader) part(data []byte, takes func(protowire.Number, protowire.Type) bool) (
	protowire.Number, protoPart, []byte,
) {
	tag, n := protowire.ConsumeVarint(data)
	if n < 0 || tag>>3 == 0 || tag>>3 > 1<<29-1 {
		refuseRow(ClassSyntax)
	}
	number, part := protowire.Number(tag>>3), protoPart{wire: protowire.Type(tag & 7)}
	data = data[n:]
	if !takes(number, part.wire) {
		refuseRow(ClassSyntax)
	}
	switch part.wire {
	case protowire.VarintType:
		part.bits, n = protowire.ConsumeVarint(data)
	case protowire.Fixed32Type:
		var bits uint32
		bits, n = protowire.ConsumeFixed32(data)
		part.bits = uint64(bits)
	case protowire.Fixed64Type:
		part.bits, n = protowire.ConsumeFixed64(data)
	case protowire.BytesType:
		part.payload, n = protowire.ConsumeBytes(data)
	case protowire.StartGroupType:
		part.payload, n = r.group(number, data)
	default:
		refuseRow(ClassSyntax)
	}
	if n < 0 {
		refuseRow(ClassSyntax)
	}
	return number, part, data[n:]
}

func (r *protoReader) group(number protowire.Number, data []byte) ([]byte, int) {
	if r.depth == 0 {
		refuseRow(ClassTooDeep)
	}
	r.depth--
	defer func() { r.depth++ }()
	for rest := data; ; {
		tag, n := protowire.ConsumeVarint(rest)
		if n > 0 && tag&7 == uint64(protowire.EndGroupType) && tag>>3 == uint64(number) {
			return data[:len(data)-len(rest)], len(data) - len(rest) + n
		}
		_, _, rest = r.part(rest, anyWire)
	}
}

func wireTypeOf(f protoreflect.FieldDescriptor) protowire.Type {
	switch f.Kind() {
	case protoreflect.GroupKind:
		return protowire.StartGroupType
	case protoreflect.MessageKind, protoreflect.StringKind, protoreflect.BytesKind:
		return protowire.BytesType
	case protoreflect.Fixed32Kind, protoreflect.Sfixed32Kind, protoreflect.FloatKind:
		return protowire.Fixed32Type
	case protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind, protoreflect.DoubleKind:
		return protowire.Fixed64Type
	}
	return protowire.VarintType
}

// takesWire tells whether a field that a column takes has the form that its type has.
func (r *protoReader) takesWire(f *protoTarget, wire protowire.Type) bool {
	want := wireTypeOf(f.field)
	packed := f.field.IsList() && want != protowire.BytesType && want != protowire.StartGroupType
	return r.mismatch(f) || wire == want || packed && wire == protowire.BytesType
}

// mismatch tells whether the target cannot take the field.
func (r *protoReader) mismatch(f *protoTarget) bool {
	n := f.target.node
	switch {
	case n == nil:
		return f.field.Message() == nil || f.field.IsList() || f.field.IsMap()
	case f.field.IsMap():
		return n.kind != kindMap || !r.single(n.children[0], f.field.MapKey()) ||
			!r.single(n.children[1], f.field.MapValue())
	case f.field.IsList():
		return n.kind != kindList || !r.single(n.children[0], f.field)
	}
	return !r.single(n, f.field)
}

// single tells whether a column takes single values of a field.
func (r *protoReader) single(n *node, f protoreflect.FieldDescriptor) bool {
	if f.Message() == nil {
		return takes(n, protoKinds[f.Kind()])
	}
	switch {
	case n.kind == kindStruct:
		return true
	case messageschema.KnownProtobuf(f.Message()) == messageschema.ProtobufTimestamp:
		return n.kind == kindTimestamp || n.kind == kindTimestampNs
	case messageschema.KnownProtobuf(f.Message()) == messageschema.ProtobufScalar:
		return r.single(n, f.Message().Fields().ByNumber(1))
	}
	return false
}

var protoKinds = map[protoreflect.Kind]scalarKind{
	protoreflect.BoolKind: scalarBool, protoreflect.EnumKind: scalarText, protoreflect.StringKind: scalarText,
	protoreflect.BytesKind: scalarBytes, protoreflect.FloatKind: scalarFloat, protoreflect.DoubleKind: scalarDouble,
	protoreflect.Int32Kind: scalarLong, protoreflect.Sint32Kind: scalarLong, protoreflect.Sfixed32Kind: scalarLong,
	protoreflect.Int64Kind: scalarLong, protoreflect.Sint64Kind: scalarLong, protoreflect.Sfixed64Kind: scalarLong,
	protoreflect.Uint32Kind: scalarLong, protoreflect.Fixed32Kind: scalarLong,
	protoreflect.Uint64Kind: scalarUnsigned, protoreflect.Fixed64Kind: scalarUnsigned,
}

// elements tells whether parts of the field are elements of a column's list or map.
func (r *protoReader) elements(f *protoTarget) bool {
	return f.target != nil && !r.mismatch(f) && (f.field.IsList() || f.field.IsMap())
}

func (r *protoReader) element(f *protoTarget, part protoPart) {
	if f.field.IsMap() {
		entry := &target{top: skipColumn, inside: f.target.inside}
		pair := r.entry(entry, f.field, part.payload)
		for _, before := range f.list {
			if before.([]any)[0] == pair[0] {
				r.fault(ClassDuplicateKey)
			}
		}
		f.list = append(f.list, pair)
		return
	}
	if part.wire == wireTypeOf(f.field) {
		f.list = append(f.list, r.one(f.target.inside[0], f.field, part))
		return
	}
	for rest := part.payload; len(rest) > 0; {
		// A packed element is what stands behind a tag elsewhere.
		tagged := protowire.AppendTag(nil, 1, wireTypeOf(f.field))
		_, inner, after := r.part(append(tagged, rest...), anyWire)
		rest = after
		f.list = append(f.list, r.one(f.target.inside[0], f.field, inner))
	}
}

func (r *protoReader) entry(t *target, f protoreflect.FieldDescriptor, data []byte) []any {
	fields := []protoreflect.FieldDescriptor{f.MapKey(), f.MapValue()}
	parts := make([][]protoPart, 2)
	for len(data) > 0 {
		var number protowire.Number
		var part protoPart
		number, part, data = r.part(data, func(number protowire.Number, wire protowire.Type) bool {
			return number > 2 || wire == wireTypeOf(fields[number-1])
		})
		if number > 2 {
			continue
		}
		parts[number-1] = append(parts[number-1], part)
	}
	pair := make([]any, 2)
	for i, field := range fields {
		if len(parts[i]) == 0 {
			parts[i] = []protoPart{{}} // the value of no bytes
		}
		pair[i] = r.one(t.inside[i], field, joined(field, parts[i]))
	}
	return pair
}

// joined is the last of a field's parts, or all parts of a message one behind the other.
func joined(f protoreflect.FieldDescriptor, parts []protoPart) protoPart {
	last := parts[len(parts)-1]
	if f.Message() == nil {
		return last
	}
	last.payload = nil
	for _, part := range parts {
		last.payload = append(last.payload, part.payload...)
	}
	return last
}

// field is the value of a field that stands where parts say.
func (r *protoReader) field(f *protoTarget, parts []protoPart) any {
	n := f.target.node
	mismatch := r.mismatch(f)
	switch {
	case n == nil:
		if len(parts) > 0 && !mismatch {
			r.message(f.target, f.field.Message(), joined(f.field, parts).payload)
		}
		return nil
	case mismatch && len(parts) > 0:
		return r.fault(ClassSchemaChanged)
	case mismatch:
		return r.null(n)
	case f.field.IsList() || f.field.IsMap():
		return f.list
	case len(parts) == 0 && f.field.HasPresence():
		return r.null(n)
	case len(parts) == 0:
		return r.one(f.target, f.field, protoPart{})
	}
	return r.one(f.target, f.field, joined(f.field, parts))
}

// one is a single value.
func (r *protoReader) one(t *target, f protoreflect.FieldDescriptor, part protoPart) any {
	switch {
	case f.Message() == nil:
		return r.scalar(t.node, f, part)
	case t.node.kind == kindStruct:
		return r.message(&target{node: t.node, top: skipColumn, inside: t.inside}, f.Message(), part.payload)
	case messageschema.KnownProtobuf(f.Message()) == messageschema.ProtobufTimestamp:
		return r.timestamp(t.node, part.payload)
	}
	value := f.Message().Fields().ByNumber(1)
	last := protoPart{}
	for data := part.payload; len(data) > 0; {
		var number protowire.Number
		var inner protoPart
		number, inner, data = r.part(data, func(number protowire.Number, wire protowire.Type) bool {
			return number != 1 || wire == wireTypeOf(value)
		})
		if number == 1 {
			last = inner
		}
	}
	return r.one(t, value, last)
}

func (r *protoReader) timestamp(n *node, data []byte) any {
	var seconds, nanos int64
	for len(data) > 0 {
		var number protowire.Number
		var part protoPart
		number, part, data = r.part(data, anyWire)
		switch {
		case part.wire == protowire.VarintType && number == 1:
			seconds = int64(part.bits)
		case part.wire == protowire.VarintType && number == 2:
			nanos = int64(int32(part.bits))
		}
	}
	if seconds < -62135596800 || seconds > 253402300799 || nanos < 0 || nanos > 999_999_999 {
		return r.fault(ClassRange)
	}
	whole := new(big.Int).Mul(big.NewInt(seconds), big.NewInt(1e9))
	return r.time(n, written{kind: scalarTimestamp, unit: 1e9, whole: whole.Add(whole, big.NewInt(nanos))})
}

func (r *protoReader) scalar(n *node, f protoreflect.FieldDescriptor, part protoPart) any {
	v := written{kind: protoKinds[f.Kind()], raw: string(part.payload)}
	switch f.Kind() {
	case protoreflect.BoolKind:
		v.flag = part.bits != 0
	case protoreflect.EnumKind:
		symbol := f.Enum().Values().ByNumber(protoreflect.EnumNumber(int32(part.bits)))
		if symbol == nil {
			return r.fault(ClassRange)
		}
		v.raw = string(symbol.Name())
	case protoreflect.Int32Kind, protoreflect.Sfixed32Kind:
		v.whole = big.NewInt(int64(int32(part.bits)))
	case protoreflect.Sint32Kind:
		v.whole = big.NewInt(int64(int32(protowire.DecodeZigZag(part.bits & math.MaxUint32))))
	case protoreflect.Int64Kind, protoreflect.Sfixed64Kind:
		v.whole = big.NewInt(int64(part.bits))
	case protoreflect.Sint64Kind:
		v.whole = big.NewInt(protowire.DecodeZigZag(part.bits))
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		v.whole = big.NewInt(int64(uint32(part.bits)))
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		v.whole = new(big.Int).SetBytes(binary.BigEndian.AppendUint64(nil, part.bits))
	case protoreflect.FloatKind:
		v.real = float64(math.Float32frombits(uint32(part.bits)))
	case protoreflect.DoubleKind:
		v.real = math.Float64frombits(part.bits)
	}
	return r.convert(n, v)
}
