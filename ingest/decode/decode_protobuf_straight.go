package decode

import (
	"encoding/binary"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// protoStep is how the value of a field is read straight into its column: the frequent pairs of a
// field's and a column's type have steps of their own.
type protoStep uint8

const (
	stepOther protoStep = iota // as protoRun.append does it
	stepLong                   // int64 into 64 bits
	stepInt                    // int32 into 32 bits
	stepTime                   // int64 into a timestamp of another unit
	stepBool
	stepDouble
	stepText
	stepMessage // into a struct, or a wrapper into its column
)

// protoStepOf chooses the step of a compiled field.
func protoStepOf(f *protoField) protoStep {
	switch {
	case f.isMap:
		return stepOther
	case f.code == protoSubmessage && f.wire == wireBytes && f.put.column != nil:
		return stepMessage
	case f.code == protoBytes && f.put.code == putText:
		return stepText
	case f.code == protoDouble && f.put.code == putDouble && f.wire == wireFixed64:
		return stepDouble
	case f.wire != wireVarint:
		return stepOther
	case f.code == protoInt64 && f.put.code == putLong:
		return stepLong
	case f.code == protoInt32 && f.put.code == putInt:
		return stepInt
	case f.code == protoInt64 && (f.put.code == putScaled || f.put.code == putAutoTime):
		return stepTime
	case f.code == protoBool && f.put.code == putBool:
		return stepBool
	}
	return stepOther
}

// fieldTag is what stands before a field, as far as it is predicted: tags of one and two bytes.
type fieldTag struct {
	first, second byte
	bytes         int
}

func newFieldTag(of protoreflect.FieldDescriptor) fieldTag {
	wire := protoWire(of)
	if of.IsPacked() {
		wire = wireBytes
	}
	tag := uint64(of.Number())<<3 | uint64(wire)
	switch bytes := binary.AppendUvarint(nil, tag); len(bytes) {
	case 1:
		return fieldTag{first: bytes[0], bytes: 1}
	case 2:
		return fieldTag{first: bytes[0], second: bytes[1], bytes: 2}
	}
	return fieldTag{}
}

// straight reads a message in one pass, each value into its column as it comes: writers send fields in
// the order of their numbers, so the tag of the field behind the one before is compared first. Row is
// where the message's columns stand, so that a field is there when its column stands further.
//
// It takes what plain writers send, and returns false at anything else: a fault of any kind, a field
// that comes twice, a oneof with two members. The caller then takes back what was appended and reads
// again by read, which knows all cases.
func (r *protoRun) straight(m *protoMessage, data []byte, row int) bool {
	next, found, objects := 0, 0, uint64(0)
	for pos := 0; pos < len(data); {
		var f *protoField
		var wire byte
		if f = m.guess(next, data, pos); f != nil {
			pos += f.tag.bytes
			wire = f.tag.first & 7
		} else if f, wire, pos = r.lookUp(m, data, pos); pos < 0 {
			return false
		} else if f == nil {
			continue
		}
		if f.repeated {
			next = f.place // more of it may follow
			if pos = r.straightElements(f, data, pos, wire); pos < 0 {
				return false
			}
			continue
		}
		next = f.place + 1
		if column := f.put.column; column == nil {
			bit := uint64(1) << (f.place & 63)
			if objects&bit != 0 || f.place > 63 {
				return false
			}
			objects |= bit
		} else if column.rows != row {
			return false
		} else {
			found++
		}
		if wire != f.wire || len(f.rivals) > 0 && m.rivalStands(f, row) {
			return false
		}
		if f.step == stepText && pos < len(data) && data[pos] < 0x80 && int(data[pos]) < len(data)-pos {
			end := pos + 1 + int(data[pos])
			if !f.put.column.appendText(data[pos+1 : end]) {
				return false
			}
			pos = end
			continue
		}
		if pos = r.straightValue(f, data, pos, row); pos < 0 {
			return false
		}
	}
	return r.complete(m, found, row)
}

// guess returns the field at next in the order, or one of the two behind it, whose tag stands at pos, or
// nil: a writer leaves out fields that are null or zero.
func (m *protoMessage) guess(next int, data []byte, pos int) *protoField {
	for _, f := range m.order[min(next, len(m.order)):min(next+3, len(m.order))] {
		if f.tag.at(data, pos) {
			return f
		}
	}
	return nil
}

// at tells whether the tag stands at pos.
func (t *fieldTag) at(data []byte, pos int) bool {
	if data[pos] != t.first {
		return false
	}
	return t.bytes == 1 || t.bytes == 2 && pos+1 < len(data) && data[pos+1] == t.second
}

// lookUp reads the tag at pos and returns its field and the place behind the tag, or no field and the
// place behind a field that no column takes. The place is -1 where reading straight ends.
func (r *protoRun) lookUp(m *protoMessage, data []byte, pos int) (*protoField, byte, int) {
	tag, pos := varintAt(data, pos)
	if pos < 0 || tag>>3 == 0 || tag>>3 > fieldNumberMax {
		return nil, 0, -1
	}
	if at := m.numbers.find(uint32(tag >> 3)); at >= 0 {
		return &m.fields[at], byte(tag & 7), pos
	}
	c := cursor{data: data, pos: pos}
	if !r.skip(&c, tag) {
		return nil, 0, -1
	}
	return nil, 0, c.pos
}

// rivalStands tells whether another member of the field's oneof has come already.
func (m *protoMessage) rivalStands(f *protoField, row int) bool {
	for _, rival := range f.rivals {
		if column := m.fields[rival].put.column; column != nil && column.rows != row {
			return true
		}
	}
	return false
}

// straightValue appends the value at pos to the column, which stands at row, and returns the place
// behind it, or -1.
func (r *protoRun) straightValue(f *protoField, data []byte, pos, row int) int {
	column := f.put.column
	switch f.step {
	case stepText:
		value, end := lengthAt(data, pos)
		if end < 0 || !column.appendText(value) {
			return -1
		}
		return end
	case stepLong, stepInt, stepBool, stepTime:
		v, end := varintAt(data, pos)
		if end < 0 {
			return -1
		}
		switch f.step {
		case stepLong:
			column.AppendInt64(int64(v))
		case stepInt:
			column.AppendInt32(int32(v))
		case stepBool:
			column.AppendBool(v != 0)
		default:
			if !f.put.appendTime(int64(v)) {
				f.put.long(&r.fault, int64(v))
			}
		}
		return end
	case stepDouble:
		if len(data)-pos < 8 {
			return -1
		}
		column.AppendInt64(int64(binary.LittleEndian.Uint64(data[pos:])))
		return pos + 8
	case stepMessage:
		value, end := lengthAt(data, pos)
		if end < 0 || !r.straight(f.message, value, row) {
			return -1
		}
		return end
	default:
		return r.otherValue(f, data, pos, row)
	}
}

// otherValue is straightValue for what is less frequent.
func (r *protoRun) otherValue(f *protoField, data []byte, pos, row int) int {
	if f.code == protoMismatch {
		return -1
	}
	c := cursor{data: data, pos: pos}
	bits, payload, ok := r.wireValue(f.wire, &c, uint64(f.wire)|uint64(f.number)<<3)
	switch {
	case !ok:
		return -1
	case f.code == protoSubmessage:
		ok = r.straight(f.message, payload, row)
	default:
		ok = r.append(f, bits, payload) && r.class == ""
	}
	if !ok {
		return -1
	}
	return c.pos
}

// straightElements appends an element, or a packed run of them, of a list or map.
func (r *protoRun) straightElements(f *protoField, data []byte, pos int, wire byte) int {
	if wire == f.wire {
		if !r.cells.takeOne(f.width) {
			return -1
		}
		if f.isMap {
			return r.otherValue(f, data, pos, f.column.Child(0).rows)
		}
		return r.straightValue(f, data, pos, f.put.column.rows)
	}
	if wire != wireBytes || f.wire == wireGroup {
		return -1
	}
	packed, end := lengthAt(data, pos)
	if end < 0 {
		return -1
	}
	for at := 0; at < len(packed); {
		if !r.cells.takeOne(f.width) {
			return -1
		}
		if at = r.straightValue(f, packed, at, 0); at < 0 {
			return -1
		}
	}
	return end
}

// complete appends what stands for the fields that are not there and closes the lists and the struct.
// Found is the number of fields with a column of their own, lists apart, that came.
func (r *protoRun) complete(m *protoMessage, found, row int) bool {
	if found < m.singular {
		for i := range m.fields {
			f := &m.fields[i]
			switch {
			case f.repeated || f.put.column == nil || f.put.column.rows != row:
			case f.absent == absentZero:
				if !r.append(f, 0, nil) {
					return false
				}
			default:
				f.put.null(&r.fault)
			}
		}
	}
	for _, f := range m.lists {
		if f.isMap && r.keys.repeats(f.column.Child(0), f.column.offset()) {
			return false
		}
		f.column.AppendList()
	}
	for _, t := range m.missing {
		appendMissing(t, &r.fault)
	}
	if m.column != nil {
		m.column.AppendStruct()
	}
	return r.class == ""
}
