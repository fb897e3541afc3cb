package decode

import (
	"bytes"
	"context"
)

// jsonEvents reads change events in JSON. Rows go straight into the columns as they are met, though
// the operation may come behind them; what else is needed of an event is remembered by its place.
//
// A schema in the event is the same text from record to record. The bytes up to the end of it are kept
// from the event before: where they come again, reading begins behind them.
type jsonEvents struct {
	plan   *Plan
	out    *changeRows
	d      *jsonDecoder // that of base.row; it scans what is outside of the rows
	orders []order      // of the envelope's objects
	base   *jsonShape   // for events without a schema
	shape  *jsonShape   // for the event at hand
	shapes connectShapes
	// met are the roles met in the event, a bit each, and targets counts the fields that have any.
	met     uint
	targets int
	payload int // place of a payload that comes before its schema, or absent
	known   knownStart
	err     error // why the chunk cannot be decoded now
}

// jsonShape reads rows that are written alike.
type jsonShape struct {
	row *jsonDecoder
	key *jsonDecoder // takes the columns of the key only
	// refused says why rows with this schema cannot be read.
	refused string
}

// knownStart is how events begin that have the schema of the one before.
type knownStart struct {
	text  []byte
	shape *jsonShape
}

// knownStartMax bounds the memory for the start of events; longer schemas are scanned each time.
const knownStartMax = 1 << 20

func newJSONEvents(plan *Plan, out *changeRows) *jsonEvents {
	j := &jsonEvents{plan: plan, out: out, base: newJSONShape(plan, out.rows)}
	j.shape, j.d = j.base, j.base.row
	j.shapes = newConnectShapes(plan, out.rows)
	for _, o := range plan.events.objects {
		j.orders = append(j.orders, order{ignores: true})
		order := &j.orders[len(j.orders)-1]
		order.learnFields(o.fields, func(*step) {})
		order.forget()
	}
	return j
}

func newJSONShape(plan *Plan, rows *rows) *jsonShape {
	return &jsonShape{row: newJSONDecoder(plan, rows), key: newJSONDecoder(plan.events.key, rows)}
}

func (j *jsonEvents) endChunk() error {
	for i := range j.orders {
		j.orders[i].endChunk()
	}
	if err := j.shapes.endChunk(); err != nil {
		return err
	}
	return j.base.endChunk()
}

func (s *jsonShape) endChunk() error {
	if s.refused != "" {
		return nil
	}
	if err := s.key.endChunk(); err != nil {
		return err
	}
	return s.row.endChunk()
}

func (j *jsonEvents) read(_ context.Context, value []byte) error {
	d := j.d
	d.data, d.pos = value, 0
	j.shape, j.err, j.met, j.targets, j.payload = j.base, nil, 0, 0, absent
	if j.readKnown() {
		return j.end(value, true)
	}
	d.skipSpace()
	if d.peek() != '{' {
		ok := d.skip(1)
		j.out.event.fail(ClassType, "record is not an object: "+shorten(value))
		return j.end(value, ok)
	}
	return j.end(value, j.object(j.plan.events.root, 1) && j.latePayload())
}

// end looks at what is behind the event.
func (j *jsonEvents) end(value []byte, ok bool) error {
	d, e := j.d, &j.out.event
	if ok {
		d.skipSpace()
		ok = d.pos == len(value)
		if !ok {
			d.fail(ClassSyntax)
		}
	}
	if !ok {
		e.class = "" // what is no document is refused for that alone
		e.fail(d.broken, d.brokenMessage())
	}
	return j.err
}

// readKnown reads an event that begins as the one before, and tells whether it could.
func (j *jsonEvents) readKnown() bool {
	d := j.d
	if len(j.known.text) == 0 || !bytes.HasPrefix(d.data, j.known.text) {
		return false
	}
	d.pos, j.shape = len(j.known.text), j.known.shape
	j.met, j.targets = 1<<roleSchema|1<<rolePayload, 2
	root := j.plan.events.root
	it := objectReader{d: d, depth: 1, started: true}
	if j.inner(root.payload, 2) && j.fields(&it, root, 1) {
		return true
	}
	// It is read again from its start, for the same fault.
	j.out.takeBackRecord()
	j.out.event.reset()
	d.pos, j.met, j.targets, j.shape = 0, 0, 0, j.base
	return false
}

// latePayload reads a payload that comes before its schema, or has none.
func (j *jsonEvents) latePayload() bool {
	if j.payload == absent {
		return true
	}
	end := j.d.pos
	j.d.pos = j.payload
	ok := j.inner(j.plan.events.root.payload, 2)
	if ok {
		j.d.pos = end
	}
	return ok
}

// object reads an object outside of the rows.
func (j *jsonEvents) object(o *eventObject, depth int) bool {
	it := objectReader{d: j.d, depth: depth, order: &j.orders[o.index]}
	if it.order.guesses() {
		it.at, it.guesses = &it.order.first, true
	}
	return j.fields(&it, o, depth)
}

func (j *jsonEvents) fields(it *objectReader, o *eventObject, depth int) bool {
	for it.next(&o.fields) {
		if it.field == skipColumn {
			if !j.d.skip(depth + 1) {
				return false
			}
		} else if !j.field(&o.targets[it.field], depth+1) {
			return false
		}
	}
	return !it.broken
}

// field reads the value at pos, in which there is something.
func (j *jsonEvents) field(t *envelopeTarget, depth int) bool {
	d, e := j.d, &j.out.event
	start := d.pos
	j.targets++
	for _, i := range t.outer {
		if e.outer[i] != absent {
			e.fail(ClassDuplicateKey, "the event has field "+t.name+" twice")
		}
		e.outer[i] = start
	}
	if t.role != roleNone {
		if j.met&(1<<t.role) != 0 {
			e.fail(ClassDuplicateKey, "the event has field "+t.name+" twice")
			return d.skip(depth)
		}
		j.met |= 1 << t.role
		if !j.take(t, depth) {
			return false
		}
	} else if t.inner == nil {
		return d.skip(depth)
	}
	if t.inner == nil || t.role == rolePayload {
		return true
	}
	d.pos = start
	return j.inner(t.inner, depth)
}

// inner reads an object on a path, or what stands in its place.
func (j *jsonEvents) inner(o *eventObject, depth int) bool {
	d := j.d
	switch d.peek() {
	case '{':
		if depth > j.plan.options.DepthMax {
			d.fail(ClassTooDeep)
			return false
		}
		return j.object(o, depth)
	case 'n':
		return d.skip(depth)
	}
	start := d.pos
	if !d.skip(depth) {
		return false
	}
	j.out.event.fail(ClassType, "not an object on a path of the envelope: "+shorten(d.data[start:d.pos]))
	return true
}

// take reads a value that has a role.
func (j *jsonEvents) take(t *envelopeTarget, depth int) bool {
	d, e := j.d, &j.out.event
	start := d.pos
	switch t.role {
	case roleAfter, roleBefore:
		return j.images(t, depth)
	case rolePayload:
		return j.takePayload(t, depth)
	case roleOp:
		if d.peek() == '"' {
			text, ok := d.keyText()
			e.setOp(text, j.out.envelope.operations)
			return ok
		}
	}
	if !d.skip(depth) {
		return false
	}
	text := d.data[start:d.pos]
	switch t.role {
	case roleOp:
		e.setOp(text, j.out.envelope.operations)
	case roleDDL:
		e.ddl = string(text) == "true"
	case roleSchema:
		j.takeSchema(text, connectValue)
	case roleKeySchema:
		j.takeSchema(text, connectKey)
	case roleKeyPayload:
		j.payload = start
	default:
	}
	return true
}

// takeSchema finds the shape of the rows.
func (j *jsonEvents) takeSchema(text []byte, part connectPart) {
	if string(text) == "null" {
		return
	}
	shape, err := j.shapes.of(text, part)
	if err != nil {
		if j.err == nil {
			j.err = err
		}
		return
	}
	j.shape = shape
	if shape.refused != "" {
		j.out.event.fail(ClassSchemaChanged, shape.refused)
	}
}

func (j *jsonEvents) takePayload(t *envelopeTarget, depth int) bool {
	d := j.d
	if j.met&(1<<roleSchema) == 0 {
		j.payload = d.pos
		return d.skip(depth)
	}
	if j.targets == 2 && j.err == nil && j.shape.refused == "" && d.pos <= knownStartMax {
		j.known.text = append(j.known.text[:0], d.data[:d.pos]...)
		j.known.shape = j.shape
	}
	return j.inner(t.inner, depth)
}

// images reads the images of rows before or after.
func (j *jsonEvents) images(t *envelopeTarget, depth int) bool {
	d := j.d
	start := d.pos
	switch first := d.peek(); {
	case first == 'n':
		return d.literal("null")
	case first == '{':
		return j.image(t.role, depth)
	case first == '[' && j.out.envelope.options.Many:
		if depth > j.plan.options.DepthMax {
			d.fail(ClassTooDeep)
			return false
		}
		r := objectReader{d: d}
		for !r.open('[', ']') {
			if d.peek() != '{' {
				j.out.event.fail(ClassType, t.name+": an element is not an object")
				if !d.skip(depth + 1) {
					return false
				}
			} else if !j.image(t.role, depth+1) {
				return false
			}
		}
		return !r.broken
	}
	if !d.skip(depth) {
		return false
	}
	j.out.event.fail(ClassType, t.name+": not an object: "+shorten(d.data[start:d.pos]))
	return true
}

// image reads one image; that of after becomes a row.
func (j *jsonEvents) image(role envelopeRole, depth int) bool {
	d, e := j.d, &j.out.event
	if role == roleBefore {
		e.before = append(e.before, d.pos)
		return d.skip(depth)
	}
	if depth > j.plan.options.DepthMax {
		d.fail(ClassTooDeep)
		return false
	}
	e.after = append(e.after, d.pos)
	if j.shape.refused != "" {
		return d.skip(depth)
	}
	j.out.beginRow()
	row := j.shape.row
	row.unknown = row.unknown[:0]
	ok := row.image(d.data, d.pos, depth, j.out.rows)
	if d.pos = row.pos; !ok {
		d.broken = row.broken
		return false
	}
	if len(row.unknown) > 0 {
		e.fail(ClassUnknownField, "no column takes field "+shorten([]byte(row.unknown[0])))
	}
	j.out.endRow()
	return true
}

// image reads the object at pos into the current row.
func (d *jsonDecoder) image(data []byte, pos, depth int, out *rows) bool {
	d.data, d.pos = data, pos
	d.records++
	return d.walk(d.plan.object, depth, out) != recordBroken
}

func (j *jsonEvents) readKeyOf(_ envelopeRole, place int) {
	// The document is known to be whole, so that the outcome lies in the columns alone.
	j.shape.key.image(j.d.data, place, 1, j.out.rows)
}

func (j *jsonEvents) readOuter(i, place int) {
	d := j.d
	d.pos = place
	d.takeColumn(j.out.envelope.outer[i], 1, j.out.rows)
}

// readRecordKey reads the record's key: an object of the key's columns, which may be wrapped.
func (j *jsonEvents) readRecordKey(_ context.Context, key []byte) error {
	d, e := j.d, &j.out.event
	value := d.data
	defer func() { d.data = value }() // the envelope's columns are still to be read
	d.data, d.pos = key, 0
	j.shape, j.err, j.met, j.targets, j.payload = j.base, nil, 0, 0, absent
	d.skipSpace()
	isObject := d.peek() == '{'
	place := d.pos
	ok := isObject && j.object(j.plan.events.recordKey, 1)
	if !isObject {
		ok = d.skip(1)
	}
	if err := j.end(key, ok); err != nil || e.class != "" {
		return err
	}
	if j.payload != absent {
		place = j.payload
	}
	if isObject = isObject && key[place] == '{'; !isObject {
		e.fail(ClassType, "the record's key is not an object: "+shorten(key))
		return nil
	}
	j.shape.key.image(key, place, 1, j.out.rows)
	return nil
}
