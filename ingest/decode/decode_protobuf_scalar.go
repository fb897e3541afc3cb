package decode

import (
	"slices"
	"sort"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// numbersDense is the largest field or enum number that is looked up by place.
const numbersDense = 512

// protoNumbers finds the place of a field by its number.
type protoNumbers struct {
	dense  []int16 // by number; -1 for none
	sparse []protoNumber
}

type protoNumber struct {
	number uint32
	place  int
}

func newProtoNumbers(numbers []uint32) protoNumbers {
	var n protoNumbers
	for place, number := range numbers {
		if number >= numbersDense || place >= fieldsMax {
			n.sparse = append(n.sparse, protoNumber{number, place})
			continue
		}
		for int(number) >= len(n.dense) {
			n.dense = append(n.dense, -1)
		}
		n.dense[number] = int16(place)
	}
	slices.SortFunc(n.sparse, func(a, b protoNumber) int { return int(a.number) - int(b.number) })
	return n
}

func (n *protoNumbers) find(number uint32) int {
	if number < uint32(len(n.dense)) {
		return int(n.dense[number])
	}
	if len(n.sparse) == 0 {
		return -1
	}
	at := sort.Search(len(n.sparse), func(i int) bool { return n.sparse[i].number >= number })
	if at < len(n.sparse) && n.sparse[at].number == number {
		return n.sparse[at].place
	}
	return -1
}

// protoSymbols are the names of an enum's numbers. Of several names of one number the first counts.
type protoSymbols struct {
	numbers []int32 // ascending
	names   [][]byte
}

func newProtoSymbols(enum protoreflect.EnumDescriptor) protoSymbols {
	var s protoSymbols
	values := enum.Values()
	for i := range values.Len() {
		number := int32(values.Get(i).Number())
		at, ok := slices.BinarySearch(s.numbers, number)
		if ok {
			continue
		}
		s.numbers = slices.Insert(s.numbers, at, number)
		s.names = slices.Insert(s.names, at, []byte(values.Get(i).Name()))
	}
	return s
}

func (s *protoSymbols) find(number int32) ([]byte, bool) {
	if i := int(number); i >= 0 && i < len(s.numbers) && s.numbers[i] == number {
		return s.names[i], true
	}
	at, ok := slices.BinarySearch(s.numbers, number)
	if !ok {
		return nil, false
	}
	return s.names[at], true
}

// The range of google.protobuf.Timestamp: the years 1 to 9999.
const (
	timestampSecondsMin = -62135596800
	timestampSecondsMax = 253402300799
	nanosPerSecond      = 1_000_000_000
)

// timestamp reads a google.protobuf.Timestamp: seconds = 1, nanos = 2, which counts forward.
func (r *protoRun) timestamp(f *protoField, payload []byte) bool {
	c := cursor{data: payload}
	var seconds, nanos int64
	for c.left() > 0 {
		tag, ok := r.tag(&c)
		if !ok {
			return false
		}
		number, wire := tag>>3, tag&7
		if wire != wireVarint || number != 1 && number != 2 {
			if !r.skip(&c, tag) {
				return false
			}
			continue
		}
		v, ok := c.varint()
		if !ok {
			return r.truncated()
		}
		if number == 1 {
			seconds = int64(v)
		} else {
			nanos = int64(int32(v))
		}
	}
	if seconds < timestampSecondsMin || seconds > timestampSecondsMax || nanos < 0 || nanos >= nanosPerSecond {
		f.put.fail(&r.fault, ClassRange, "a timestamp outside the years 1 to 9999")
		return true
	}
	if f.put.node.kind == kindTimestamp {
		f.put.column.AppendInt64(seconds*1e6 + nanos/1000)
		return true
	}
	scaled := seconds * nanosPerSecond
	if scaled/nanosPerSecond != seconds || scaled+nanos < scaled {
		f.put.fail(&r.fault, ClassRange, "a timestamp outside the years 1677 to 2262 of nanoseconds")
		return true
	}
	f.put.column.AppendInt64(scaled + nanos)
	return true
}

// protoScalar is how a scalar kind is read, and what it means.
type protoScalar struct {
	code protoCode
	wire byte
	from scalar
}

var protoScalars = map[protoreflect.Kind]protoScalar{
	protoreflect.BoolKind:     {protoBool, wireVarint, scalar{kind: scalarBool, name: "bool"}},
	protoreflect.EnumKind:     {protoEnum, wireVarint, scalar{kind: scalarText, name: "enum"}},
	protoreflect.Int32Kind:    {protoInt32, wireVarint, scalar{kind: scalarLong, name: "int32"}},
	protoreflect.Int64Kind:    {protoInt64, wireVarint, scalar{kind: scalarLong, name: "int64"}},
	protoreflect.Uint32Kind:   {protoUint32, wireVarint, scalar{kind: scalarLong, name: "uint32"}},
	protoreflect.Uint64Kind:   {protoUint64, wireVarint, scalar{kind: scalarUnsigned, name: "uint64"}},
	protoreflect.Sint32Kind:   {protoSint32, wireVarint, scalar{kind: scalarLong, name: "sint32"}},
	protoreflect.Sint64Kind:   {protoSint64, wireVarint, scalar{kind: scalarLong, name: "sint64"}},
	protoreflect.Fixed32Kind:  {protoUint32, wireFixed32, scalar{kind: scalarLong, name: "fixed32"}},
	protoreflect.Fixed64Kind:  {protoUint64, wireFixed64, scalar{kind: scalarUnsigned, name: "fixed64"}},
	protoreflect.Sfixed32Kind: {protoInt32, wireFixed32, scalar{kind: scalarLong, name: "sfixed32"}},
	protoreflect.Sfixed64Kind: {protoInt64, wireFixed64, scalar{kind: scalarLong, name: "sfixed64"}},
	protoreflect.FloatKind:    {protoFloat, wireFixed32, scalar{kind: scalarFloat, name: "float"}},
	protoreflect.DoubleKind:   {protoDouble, wireFixed64, scalar{kind: scalarDouble, name: "double"}},
	protoreflect.StringKind:   {protoBytes, wireBytes, scalar{kind: scalarText, name: "string"}},
	protoreflect.BytesKind:    {protoBytes, wireBytes, scalar{kind: scalarBytes, name: "bytes"}},
}
