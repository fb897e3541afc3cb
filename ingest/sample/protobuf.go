package sample

import (
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// protobuf makes a message.
func (m *Maker) protobuf() []byte {
	message := dynamicpb.NewMessage(m.message)
	m.fill(message, 0)
	text, err := proto.MarshalOptions{Deterministic: true, AllowPartial: true}.Marshal(message)
	if err != nil {
		panic(fmt.Sprintf("BUG: a made message cannot be written: %v", err))
	}
	return text
}

// fill sets the fields of a message; those with presence are left out now and then, and messages that hold
// themselves end.
func (m *Maker) fill(message protoreflect.Message, depth int) {
	fields := message.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		holds := f.Message() != nil
		name := string(f.Name())
		switch {
		case f.HasPresence() && m.null(name, f.Cardinality() == protoreflect.Required), holds && depth >= depthMax:
		case f.IsMap():
			entries := message.Mutable(f).Map()
			value := func() protoreflect.Value { return entries.NewValue() }
			for range m.below(3) {
				entries.Set(m.scalar(f.MapKey(), name).MapKey(), m.item(f.MapValue(), name, value, depth))
			}
		case f.IsList():
			list := message.Mutable(f).List()
			for range m.below(3) {
				list.Append(m.item(f, name, list.NewElement, depth))
			}
		default:
			message.Set(f, m.item(f, name, func() protoreflect.Value { return message.NewField(f) }, depth))
		}
	}
}

// item makes one value; fresh makes an empty message.
func (m *Maker) item(f protoreflect.FieldDescriptor, name string, fresh func() protoreflect.Value, depth int,
) protoreflect.Value {
	if f.Message() == nil {
		return m.scalar(f, name)
	}
	value := fresh()
	if f.Message().FullName() == "google.protobuf.Timestamp" {
		seconds := f.Message().Fields().ByName("seconds")
		value.Message().Set(seconds, protoreflect.ValueOfInt64(m.millis()/1000))
		return value
	}
	m.fill(value.Message(), depth+1)
	return value
}

func (m *Maker) scalar(f protoreflect.FieldDescriptor, name string) protoreflect.Value {
	switch f.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(m.below(2) == 0)
	case protoreflect.EnumKind:
		values := f.Enum().Values()
		return protoreflect.ValueOfEnum(values.Get(int(m.below(int64(values.Len())))).Number())
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return protoreflect.ValueOfInt32(int32(m.integer(name)))
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(uint32(m.integer(name)))
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return protoreflect.ValueOfInt64(m.integer(name))
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(uint64(m.integer(name)))
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(float32(m.below(10_000)) / 4)
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(float64(m.below(10_000)) / 4)
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes(m.bytes(8))
	}
	return protoreflect.ValueOfString(m.text(name))
}
