package decode

import (
	"context"
	"fmt"
	"math"
	"slices"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/firthlake/firth/ingest/messageschema"
	"github.com/firthlake/firth/ingest/registry"
)

// protoProgram decodes the values of one writer schema, which may hold several messages.
type protoProgram struct {
	compilation
	file protoreflect.FileDescriptor
	// fixed is the message of a source without registry, first the first message of the file.
	fixed    program
	first    program
	messages []protoEntry
	path     []int
}

// protoEntry is the program of the message at a path of indexes.
type protoEntry struct {
	path    []int
	program program
}

// messagesMax bounds the messages of one schema that are kept compiled.
const messagesMax = 64

func (p *protoProgram) decode(ctx context.Context, value []byte, out *rows) error {
	if p.fixed != nil {
		return p.fixed.decode(ctx, value, out)
	}
	if p.first != nil && len(value) > 0 && value[0] == 0 {
		return p.first.decode(ctx, value[1:], out)
	}
	path, payload, err := registry.ParseIndexes(p.path[:0], value)
	p.path = path
	if err != nil {
		out.failRow(ClassSyntax, err.Error())
		return nil
	}
	for i := range p.messages {
		if slices.Equal(p.messages[i].path, path) {
			return p.messages[i].program.decode(ctx, payload, out)
		}
	}
	descriptor, err := messageschema.ProtobufMessage(p.file, path)
	if err != nil {
		out.failRow(ClassSyntax, err.Error())
		return nil
	}
	compiled, err := p.message(descriptor)
	if err != nil {
		return err
	}
	if len(p.messages) == messagesMax {
		p.messages = p.messages[:0]
	}
	p.messages = append(p.messages, protoEntry{path: slices.Clone(path), program: compiled})
	if len(path) == 1 && path[0] == 0 {
		p.first = compiled
	}
	return compiled.decode(ctx, payload, out)
}

// protoMessage reads a message into a struct, into the columns that an object leads to, or, as an
// entry, into the key and value of a map.
type protoMessage struct {
	fields  []protoField
	numbers protoNumbers
	missing []*destination
	column  *Column // of the struct, or nil

	// For reading straight: the fields by number, in the order in which writers send them; those of
	// them that are lists or maps; and how many others have a column of their own.
	order    []*protoField
	lists    []*protoField
	singular int
}

// protoField reads one field.
type protoField struct {
	code protoCode
	wire byte
	// repeated says that elements go into the only child of column, a map's into both.
	repeated bool
	// absent says what stands for a field that is not there: null, or the value that no bytes are.
	absent protoAbsent
	put    put     // appends scalars and nulls
	column *Column // of a list or map
	width  int     // cells of an element
	// message is what a message, or a map's entry, is read by.
	message *protoMessage
	isMap   bool
	// rivals are the other fields of a oneof: the last one of them counts.
	rivals []int
	// symbols are an enum's, by number.
	symbols protoSymbols
	// top is the place of a top-level column, else skipColumn.
	top int

	// For reading straight.
	step   protoStep
	tag    fieldTag
	number uint32
	place  int // in the message's order
}

type protoAbsent uint8

const (
	absentNull protoAbsent = iota
	absentZero
)

// protoCode is what the bits or bytes of a field mean.
type protoCode uint8

const (
	protoInt32 protoCode = iota
	protoInt64
	protoUint32
	protoUint64
	protoSint32
	protoSint64
	protoBool
	protoEnum
	protoFloat
	protoDouble
	protoBytes
	protoSubmessage
	protoTimestamp
	protoMismatch // the column cannot take it
	protoAside    // no column takes it; members of its oneof that come before it do not count
)

// slot is where a singular field of the message that is being read was found last.
type slot struct {
	bits       uint64
	start, end int
	seen       int
}

// protoRoot is the program of one message.
type protoRoot struct {
	message  *protoMessage
	depthMax int
	cells    *cells
	// involved says that no message can be read straight, fillsAll that each column has a field.
	involved, fillsAll bool

	run protoRun // kept between values for its buffers
}

// protoRun is the state of one value.
type protoRun struct {
	fault  // of the column that is being filled
	broken fault
	out    *rows
	cells  *cells
	keys   keySet
	depth  int // levels of unknown groups left
	slots  []slot
	// joined are the messages of which several parts came.
	joined []joinedMessage
	// early are the faults of lists that are still open: their elements come before the end of
	// the message shows the list's end.
	early []earlyFault
}

// joinedMessage is the message of a slot, its parts one behind the other.
type joinedMessage struct {
	slot int
	data []byte
}

type earlyFault struct {
	top int
	fault
}

func (p *protoRoot) decode(_ context.Context, value []byte, out *rows) error {
	r := &p.run
	r.out, r.cells, r.depth = out, p.cells, p.depthMax
	before := *p.cells
	if !p.involved && r.straight(p.message, value, out.row) {
		out.filled = p.fillsAll
		return nil
	}
	*p.cells = before
	out.takeBackValues()
	r.fault, r.broken = fault{}, fault{}
	r.slots, r.early, r.joined = r.slots[:0], r.early[:0], r.joined[:0]
	if !r.read(p.message, value) {
		out.failRow(r.broken.class, r.broken.message)
	}
	return nil
}

func (r *protoRun) stop(class Class, message string) bool {
	r.broken.set(class, message)
	return false
}

func (r *protoRun) truncated() bool {
	return r.stop(ClassSyntax, "the message is cut short or corrupt")
}

// read decodes a message: first it notes where its fields are, appending the elements of lists as
// they come, then it appends the rest in the columns' order.
func (r *protoRun) read(m *protoMessage, data []byte) bool {
	first := len(r.slots)
	r.slots = slices.Grow(r.slots, len(m.fields))[:first+len(m.fields)]
	clear(r.slots[first:])
	c := cursor{data: data}
	for c.left() > 0 {
		tag, ok := r.tag(&c)
		if !ok {
			return false
		}
		at := m.numbers.find(uint32(tag >> 3))
		if at < 0 {
			if !r.skip(&c, tag) {
				return false
			}
			continue
		}
		f := &m.fields[at]
		if f.repeated {
			ok = r.elements(f, &c, tag)
		} else {
			ok = r.note(f, &c, tag, first+at)
			if byte(tag&7) == f.wire {
				for _, rival := range f.rivals {
					r.slots[first+rival].seen = 0
				}
			}
		}
		if !ok {
			return false
		}
	}
	for i := range m.fields {
		if !r.field(&m.fields[i], first+i, data) {
			return false
		}
	}
	for _, t := range m.missing {
		appendMissing(t, &r.fault)
	}
	if m.column != nil {
		m.column.AppendStruct()
	}
	r.slots = r.slots[:first]
	return true
}

// note keeps where a singular field is. A message that comes in several parts is what its parts are
// one behind the other.
func (r *protoRun) note(f *protoField, c *cursor, tag uint64, at int) bool {
	if f.code >= protoMismatch {
		r.slots[at].seen, r.slots[at].start, r.slots[at].end = 1, 0, 0
		return r.skip(c, tag)
	}
	start := c.pos
	bits, payload, ok := r.wireValue(f.wire, c, tag)
	if !ok {
		return false
	}
	s := &r.slots[at]
	if s.seen++; s.seen > 1 && f.code >= protoSubmessage {
		r.join(at, c.data, payload)
		return true
	}
	s.bits, s.start, s.end = bits, c.pos-len(payload), c.pos
	if f.wire == wireGroup {
		s.start, s.end = start, start+len(payload)
	}
	return true
}

// join adds a part to the message of a slot, whose first part lies in data.
func (r *protoRun) join(at int, data, part []byte) {
	s := r.slots[at]
	if s.seen == 2 {
		r.joined = append(r.joined, joinedMessage{at, slices.Clone(data[s.start:s.end])})
	}
	message := r.joinedAt(at)
	message.data = append(message.data, part...)
}

// joinedAt is the newest joined message of a slot: slots are used again by later messages.
func (r *protoRun) joinedAt(at int) *joinedMessage {
	for i := len(r.joined) - 1; i >= 0; i-- {
		if r.joined[i].slot == at {
			return &r.joined[i]
		}
	}
	panic("BUG: no parts of a message that came in parts")
}

// elements appends one element, or a packed run of them, to a list or map.
func (r *protoRun) elements(f *protoField, c *cursor, tag uint64) bool {
	var ok bool
	if f.wire != wireBytes && f.wire != wireGroup && tag&7 == wireBytes {
		_, packed, isBytes := r.wireValue(wireBytes, c, tag)
		inner := cursor{data: packed}
		ok = isBytes
		for ok && inner.left() > 0 {
			var bits uint64
			if bits, _, ok = r.wireValue(f.wire, &inner, uint64(f.wire)); ok {
				ok = r.element(f, bits, nil)
			}
		}
	} else {
		bits, payload, isValue := r.wireValue(f.wire, c, tag)
		ok = isValue && r.element(f, bits, payload)
	}
	if f.top != skipColumn && r.class != "" {
		r.early = append(r.early, earlyFault{f.top, r.fault})
		r.fault = fault{}
	}
	return ok
}

func (r *protoRun) element(f *protoField, bits uint64, payload []byte) bool {
	if !r.cells.take(1, f.width) {
		return r.stop(ClassTooLarge, "more elements than one chunk may have")
	}
	return r.append(f, bits, payload)
}

// field appends a singular field, or closes a list or map.
func (r *protoRun) field(f *protoField, at int, data []byte) bool {
	ok := true
	s := r.slots[at]
	switch {
	case f.repeated:
		r.closeList(f)
	case s.seen > 1 && f.code >= protoSubmessage && f.code < protoMismatch:
		ok = r.append(f, 0, r.joinedAt(at).data)
	case s.seen > 0:
		ok = r.append(f, s.bits, data[s.start:s.end])
	case f.absent == absentZero:
		ok = r.append(f, 0, nil)
	case f.put.column != nil:
		f.put.null(&r.fault)
	}
	if f.top != skipColumn && r.class != "" {
		r.out.failColumn(f.top, r.class, r.message)
		r.fault = fault{}
	}
	return ok
}

func (r *protoRun) closeList(f *protoField) {
	if f.isMap && r.keys.repeats(f.column.Child(0), f.column.offset()) {
		r.set(ClassDuplicateKey, f.put.node.path+": a map with one key twice")
	}
	f.column.AppendList()
	for _, early := range r.early {
		if early.top == f.top {
			r.fault = early.fault // the first one counts
			return
		}
	}
}

// append appends one value: bits or bytes, as the field's wire type is.
func (r *protoRun) append(f *protoField, bits uint64, payload []byte) bool {
	switch f.code {
	case protoInt64:
		f.put.long(&r.fault, int64(bits))
	case protoInt32:
		f.put.long(&r.fault, int64(int32(bits)))
	case protoBytes:
		f.put.bytes(&r.fault, payload)
	case protoDouble:
		f.put.double(&r.fault, math.Float64frombits(bits))
	case protoFloat:
		f.put.float(&r.fault, math.Float32frombits(uint32(bits)))
	case protoBool:
		f.put.bool(&r.fault, bits != 0)
	case protoUint32:
		f.put.long(&r.fault, int64(uint32(bits)))
	case protoUint64:
		f.put.unsigned(&r.fault, bits)
	case protoSint32:
		f.put.long(&r.fault, int64(int32(unzigzag(bits&math.MaxUint32))))
	case protoSint64:
		f.put.long(&r.fault, unzigzag(bits))
	case protoEnum:
		return r.enum(f, int32(bits))
	case protoSubmessage:
		return r.read(f.message, payload)
	case protoTimestamp:
		return r.timestamp(f, payload)
	case protoMismatch:
		f.put.mismatch(&r.fault)
	case protoAside:
	}
	return true
}

func (r *protoRun) enum(f *protoField, number int32) bool {
	symbol, ok := f.symbols.find(number)
	switch {
	case !ok:
		f.put.fail(&r.fault, ClassRange,
			fmt.Sprintf("enum value %d has no name in the writer's schema", number))
	case len(symbol) > symbolFree && !r.cells.take(len(symbol), 1):
		return r.stop(ClassTooLarge, "too many long enum symbols in one chunk")
	default:
		f.put.bytes(&r.fault, symbol)
	}
	return true
}
