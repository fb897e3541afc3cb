package decode

import (
	"bytes"
	"context"
	"fmt"

	"github.com/apache/iceberg-go"
)

// jsonDecoder is a scanner of RFC 8259 documents that is led by the schema: it expects the fields in
// the order in which they came before, looks a field up by name when another comes, and appends each
// value as it is read. Plain values go straight into their columns. All others, and all that is wrong,
// go one slower way, which alone decides what is refused and why. It accepts what encoding/json accepts
// and nothing else, and reads a value to its end even if no column can take it, so that a document is
// refused as a whole only for its syntax.
type jsonDecoder struct {
	plan *Plan
	data []byte // the record
	pos  int

	// records counts the records decoded, and seen holds, per object of the plan, the count at
	// which it was last met: twice at one count is a duplicate key.
	records int64
	seen    []int64

	orders []order // of the objects of the plan, by their index

	scratch []byte // a string without its escapes
	keys    keySet

	refused refusal // what is wrong with the value that was refused last
	broken  Class   // what is wrong with the document

	unknown []string // under UnknownDeadLetter, paths of fields that no column takes: the first only
	growth  *growth
}

// status is how reading a value ended.
type status uint8

const (
	valueRead    status = iota
	valueRefused        // the column cannot hold it; the position is anywhere within it
	recordBroken        // the document is not JSON, or too deep
)

// refusal says that the value that begins at start is no value of node.
type refusal struct {
	class Class
	node  *node
	start int
}

// newJSONDecoder returns a decoder into the columns of rows.
func newJSONDecoder(plan *Plan, rows *rows) *jsonDecoder {
	d := &jsonDecoder{plan: plan, seen: make([]int64, plan.objects),
		orders: newOrders(plan, rows.columns)}
	if plan.options.UnknownFields == UnknownEvolve {
		d.growth = newGrowth(plan)
	}
	return d
}

func (d *jsonDecoder) decodeValue(_ context.Context, value []byte, out *rows) error {
	d.data, d.pos, d.unknown = value, 0, d.unknown[:0]
	d.records++
	d.skipSpace()
	st := valueRefused
	if d.peek() == '{' {
		st = d.walk(d.plan.object, 1, out)
	} else if !d.skip(1) {
		st = recordBroken
	}
	if st != recordBroken {
		d.skipSpace()
		if d.pos < len(d.data) {
			st = d.fail(ClassSyntax)
		}
	}
	switch {
	case st == recordBroken:
		out.failRow(d.broken, d.brokenMessage())
	case st == valueRefused:
		out.failRow(ClassType, "record is not an object: "+shorten(value))
	case len(d.unknown) > 0:
		out.failRow(ClassUnknownField, "no column takes field "+shorten([]byte(d.unknown[0])))
	}
	d.data = nil
	return nil
}

func (d *jsonDecoder) endChunk() error {
	for i := range d.orders {
		d.orders[i].endChunk()
	}
	if d.growth == nil {
		return nil
	}
	return d.growth.take()
}

// walk reads the object at pos, at a depth, and has its values taken by the columns.
func (d *jsonDecoder) walk(o *jsonObject, depth int, out *rows) status {
	d.seen[o.index] = d.records
	it := objectReader{d: d}
	it.enter(o.index, out.row, depth)
	for it.next(&o.fields) {
		if it.field == skipColumn {
			if !d.skipUnknown(unknownField{object: o, key: it.key}, depth) {
				return recordBroken
			}
			continue
		}
		t := &o.targets[it.field]
		if t.inner == nil && len(t.columns) == 1 { // as almost always
			if !d.takeColumn(t.columns[0], depth+1, out) {
				return recordBroken
			}
		} else if !d.takeTarget(t, depth+1, out) {
			return recordBroken
		}
	}
	if it.broken {
		return recordBroken
	}
	return valueRead
}

// takeTarget has the value at pos taken by every column that wants it or something within it.
func (d *jsonDecoder) takeTarget(t *jsonTarget, depth int, out *rows) bool {
	start := d.pos
	for _, column := range t.columns {
		d.pos = start
		if !d.takeColumn(column, depth, out) {
			return false
		}
	}
	if t.inner == nil {
		return true
	}
	d.pos = start
	if !d.takeInner(t.inner, out) {
		return d.skip(depth)
	}
	switch d.peek() {
	case '{':
		if depth > d.plan.options.DepthMax {
			d.fail(ClassTooDeep)
			return false
		}
		return d.walk(t.inner, depth, out) != recordBroken
	case 'n':
		d.seen[t.inner.index] = d.records
		return d.skip(depth)
	}
	d.seen[t.inner.index] = d.records
	if !d.skip(depth) {
		return false
	}
	for _, column := range t.inner.columns {
		n := d.plan.columns[column]
		out.failColumn(column, ClassType, n.path+": not an object on its path: "+shorten(d.data[start:d.pos]))
	}
	return true
}

// takeInner tells whether an object on a path may be read, which depends on the policy when it is
// there a second time.
func (d *jsonDecoder) takeInner(o *jsonObject, out *rows) bool {
	if d.seen[o.index] != d.records {
		return true
	}
	for _, column := range o.columns {
		if d.plan.options.DuplicateKeys == DuplicateLast {
			out.forget(column)
			continue
		}
		n := d.plan.columns[column]
		out.failColumn(column, ClassDuplicateKey, n.path+": an object on its path is there twice")
	}
	return d.plan.options.DuplicateKeys == DuplicateLast
}

// takeColumn appends the value at pos to a column, or leaves a failure there.
func (d *jsonDecoder) takeColumn(column, depth int, out *rows) bool {
	start, n := d.pos, d.plan.columns[column]
	if out.has(column) {
		if d.plan.options.DuplicateKeys == DuplicateDeadLetter {
			out.failColumn(column, ClassDuplicateKey, n.path+": key is there twice")
			return d.skip(depth)
		}
		out.forget(column)
	}
	switch d.value(n, out.columns[column], depth) {
	case valueRead:
		return true
	case valueRefused:
		refused := d.refused
		d.pos = start
		if !d.skip(depth) {
			return false
		}
		end := min(d.pos, refused.start+messageMax+1)
		out.failColumn(column, refused.class, refused.message(d.data[min(refused.start, end):end]))
		return true
	}
	return false
}

// message says why a column did not take the value, of which it quotes the beginning.
func (r refusal) message(value []byte) string {
	n := r.node
	value = bytes.TrimRight(value, " \t\r\n,}]")
	if n.written.form == formRefused {
		return n.refusedForm()
	}
	switch r.class {
	case ClassRequired:
		return n.path + ": required and null or missing"
	case ClassDuplicateKey:
		return n.path + ": an object has one key twice"
	case ClassUTF8:
		return n.path + ": not UTF-8: " + shorten(value)
	case ClassRange:
		return fmt.Sprintf("%s: out of range of %s: %s", n.path, n.typeName, shorten(value))
	default:
		return fmt.Sprintf("%s: not %s: %s", n.path, n.typeName, shorten(value))
	}
}

// refuse records why the value that begins at start is no value of n.
func (d *jsonDecoder) refuse(class Class, n *node, start int) status {
	d.refused = refusal{class, n, start}
	return valueRefused
}

// fail records that the document is no good at pos.
func (d *jsonDecoder) fail(class Class) status {
	d.broken = class
	return recordBroken
}

func (d *jsonDecoder) brokenMessage() string {
	switch {
	case d.broken == ClassTooDeep:
		return fmt.Sprintf("record is nested deeper than %d", d.plan.options.DepthMax)
	case len(bytes.TrimSpace(d.data)) == 0:
		return "record is empty"
	case d.pos >= len(d.data):
		return fmt.Sprintf("record ends in the middle of a value: %s", shorten(d.data))
	}
	return fmt.Sprintf("not JSON at byte %d: %s", d.pos, shorten(d.data[d.pos:]))
}

// unknownField is a field that no column takes: of the record or an object on a path, or of a struct.
type unknownField struct {
	object *jsonObject
	parent *node
	key    []byte // valid until another string is read
}

func (f unknownField) path() string {
	if f.parent == nil {
		return string(f.key)
	}
	return f.parent.path + "." + string(f.key)
}

// skipUnknown leaves out the value of an unknown field, as the policy says.
func (d *jsonDecoder) skipUnknown(field unknownField, depth int) bool {
	switch d.plan.options.UnknownFields {
	case UnknownIgnore:
		return d.skip(depth + 1)
	case UnknownDeadLetter:
		if len(d.unknown) == 0 {
			d.unknown = append(d.unknown, field.path())
		}
		return d.skip(depth + 1)
	}
	key, start := string(field.key), d.pos
	if !d.skip(depth + 1) {
		return false
	}
	if field.parent != nil || field.object == d.plan.object {
		d.growth.observe(field.parent, key, d.data[start:d.pos])
	}
	return true
}

// typeName is how messages name a type.
func typeName(t iceberg.Type) string {
	switch t.(type) {
	case *iceberg.StructType:
		return "an object"
	case *iceberg.ListType:
		return "an array"
	case *iceberg.MapType:
		return "an object"
	}
	return t.String()
}
