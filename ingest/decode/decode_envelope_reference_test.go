package decode

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"

	"github.com/firthlake/firth/ingest/source"
)

// eventReference turns change events into rows slowly and plainly, on encoding/json.
type eventReference struct {
	plan *Plan
	row  reference // of whole rows
	key  reference // of the key's columns
}

// referenceEvents are what records become.
type referenceEvents struct {
	rows     []referenceChange
	records  []Op
	failures []string // "record field class", sorted
}

type referenceChange struct {
	record int
	op     Op
	values []any
}

// referenceEvent is what stands in one event.
type referenceEvent struct {
	class         Class
	after, before []json.RawMessage
	outer         map[int]json.RawMessage // by column
	op            *string
	ddl           bool
	met           map[string]bool
}

func newEventReference(plan *Plan) *eventReference {
	return &eventReference{plan: plan, row: reference{plan: plan}, key: reference{plan: plan.events.key}}
}

func (r *eventReference) events(records []source.Record) referenceEvents {
	var out referenceEvents
	for i, record := range records {
		op, rows, failures := r.record(i, record)
		out.records = append(out.records, op)
		out.rows = append(out.rows, rows...)
		out.failures = append(out.failures, failures...)
	}
	sort.Strings(out.failures)
	return out
}

// record is what one record becomes. A class for the record as a whole leaves nothing else of it.
func (r *eventReference) record(i int, record source.Record) (Op, []referenceChange, []string) {
	whole := func(class Class) (Op, []referenceChange, []string) {
		return OpFailed, nil, []string{fmt.Sprintf("%d 0 %s", i, class)}
	}
	options := &r.plan.options.Envelope
	if len(record.Key)+len(record.Value) > r.plan.options.RecordBytesMax {
		return whole(ClassTooLarge)
	}
	e := &referenceEvent{outer: map[int]json.RawMessage{}, met: map[string]bool{}}
	op := OpDelete
	if record.Value == nil {
		if !options.RecordKey || record.Key == nil {
			return OpTombstone, nil, nil
		}
	} else {
		if class := r.documentClass(record.Value); class != "" {
			return whole(class)
		}
		r.read(e, record.Value, "")
		if op = r.opOf(e); e.class != "" {
			return whole(e.class)
		}
	}
	change := &referenceRecord{reference: r, event: e, record: i, op: op}
	if op != OpDelete {
		change.upsert()
		return op, change.rows, change.failures
	}
	images := e.before
	if options.BeforePartial || len(images) == 0 {
		images = e.after
	}
	if len(images) == 0 {
		if !options.RecordKey || record.Key == nil {
			return whole(ClassRequired)
		}
		image, class := r.recordKey(record.Key)
		if class != "" {
			return whole(class)
		}
		images = []json.RawMessage{image}
	}
	for _, image := range images {
		change.remove(image)
	}
	return op, change.rows, change.failures
}

func (r *eventReference) documentClass(document []byte) Class {
	switch depth := depthOf(document); {
	case !json.Valid(document):
		return ClassSyntax
	case depth > r.plan.options.DepthMax:
		return ClassTooDeep
	case bytes.TrimLeft(document, " \t\r\n")[0] != '{':
		return ClassType
	}
	return ""
}

func (r *eventReference) recordKey(key []byte) (json.RawMessage, Class) {
	if class := r.documentClass(key); class != "" {
		return nil, class
	}
	image := json.RawMessage(bytes.TrimSpace(key))
	met := map[string]bool{}
	for _, e := range (&reference{plan: &Plan{}}).entries(key) {
		if !r.plan.options.Envelope.Connect || e.key != connectPayload && e.key != connectSchema {
			continue
		}
		if met[e.key] {
			return nil, ClassDuplicateKey
		}
		if met[e.key] = true; e.key == connectPayload {
			image = e.value
		}
	}
	if image[0] != '{' {
		return nil, ClassType
	}
	return image, ""
}

func (e *referenceEvent) fail(class Class) {
	if e.class == "" {
		e.class = class
	}
}

// read reads an object of the event that lies at a path.
func (r *eventReference) read(e *referenceEvent, object []byte, at string) {
	options := &r.plan.options.Envelope
	var late json.RawMessage
	for _, field := range (&reference{plan: &Plan{}}).entries(object) {
		path := at + field.key
		if options.Connect && at == "" && (path == connectPayload || path == connectSchema) {
			if e.met["wrapped "+path] {
				e.fail(ClassDuplicateKey)
				continue
			}
			e.met["wrapped "+path] = true
			switch {
			case path == connectSchema:
			case e.met["wrapped "+connectSchema]:
				r.inner(e, field.value, "payload of Connect\x00")
			default:
				late = field.value
			}
			continue
		}
		r.field(e, path, field.value)
	}
	if late != nil {
		r.inner(e, late, "payload of Connect\x00")
	}
}

func (r *eventReference) inner(e *referenceEvent, value []byte, at string) {
	switch value[0] {
	case '{':
		r.read(e, value, at)
	case 'n':
	default:
		e.fail(ClassType)
	}
}

func (r *eventReference) field(e *referenceEvent, path string, value json.RawMessage) {
	options := &r.plan.options.Envelope
	inEvent := strings.TrimPrefix(path, "payload of Connect\x00")
	leads := false
	for name, names := range options.Columns {
		whole := strings.Join(names, "\x00")
		leads = leads || strings.HasPrefix(whole, inEvent+"\x00")
		if whole != inEvent {
			continue
		}
		column := r.plan.columnIndex(name)
		if e.outer[column] != nil {
			e.fail(ClassDuplicateKey)
		}
		e.outer[column] = value
	}
	roles := map[string][]string{"after": options.After, "before": options.Before, "op": options.Op,
		"ddl": options.DDL}
	for role, names := range roles {
		whole := strings.Join(names, "\x00")
		leads = leads || strings.HasPrefix(whole, inEvent+"\x00")
		if len(names) == 0 || whole != inEvent {
			continue
		}
		if e.met[role] {
			e.fail(ClassDuplicateKey)
			return
		}
		e.met[role] = true
		r.take(e, role, value)
	}
	if leads {
		r.inner(e, value, path+"\x00")
	}
}

func (r *eventReference) take(e *referenceEvent, role string, value json.RawMessage) {
	switch role {
	case "op":
		text := string(value)
		if value[0] == '"' {
			_ = json.Unmarshal(value, &text)
			if !utf8.Valid(value) {
				text = "\xff"
			}
		}
		e.op = &text
	case "ddl":
		e.ddl = string(value) == "true"
	default:
		images := r.images(e, value)
		if role == "before" {
			e.before = images
			return
		}
		e.after = images
		for _, image := range images {
			if r.row.row(image).class != "" {
				e.fail(ClassUnknownField)
			}
		}
	}
}

func (r *eventReference) images(e *referenceEvent, value json.RawMessage) []json.RawMessage {
	switch {
	case value[0] == 'n':
	case value[0] == '{':
		return []json.RawMessage{value}
	case value[0] == '[' && r.plan.options.Envelope.Many:
		var elements, images []json.RawMessage
		_ = json.Unmarshal(value, &elements)
		for _, element := range elements {
			if element[0] != '{' {
				e.fail(ClassType)
				continue
			}
			images = append(images, element)
		}
		return images
	default:
		e.fail(ClassType)
	}
	return nil
}

func (r *eventReference) opOf(e *referenceEvent) Op {
	options := &r.plan.options.Envelope
	op := OpFailed
	switch {
	case e.op != nil:
		op = options.Operations[*e.op]
	case len(options.Op) == 0 && len(e.after) > 0:
		op = OpUpdate
	case len(options.Op) == 0:
		op = OpDelete
	}
	switch {
	case e.ddl || op == OpFailed || op == OpTruncate:
		e.fail(ClassOperation)
	case op != OpDelete && len(e.after) == 0:
		e.fail(ClassRequired)
	case op == OpUpdate && len(e.before) > 0 && len(e.before) != len(e.after):
		e.fail(ClassType)
	}
	return op
}

// referenceRecord makes the rows of one record.
type referenceRecord struct {
	reference *eventReference
	event     *referenceEvent
	record    int
	op        Op
	rows      []referenceChange
	failures  []string
}

func (c *referenceRecord) fail(column int, class Class) {
	c.failures = append(c.failures,
		fmt.Sprintf("%d %d %s", c.record, c.reference.plan.columns[column].id, class))
}

// add adds a row, with the columns that lie outside of it.
func (c *referenceRecord) add(op Op, values []any) {
	plan := c.reference.plan
	for _, column := range plan.envelope.outer {
		n := plan.columns[column]
		value, class := any(nil), Class("")
		if raw := c.event.outer[column]; raw != nil {
			value, class = c.reference.row.try(n, raw)
		} else if n.required {
			class = ClassRequired
		}
		if values[column] = value; class != "" {
			c.fail(column, class)
		}
	}
	c.rows = append(c.rows, referenceChange{c.record, op, values})
}

func (c *referenceRecord) upsert() {
	plan := c.reference.plan
	for _, image := range c.event.after {
		row := c.reference.row.row(image)
		for i, class := range row.classes {
			if class == "" && plan.envelope.isKey[i] && row.values[i] == nil {
				class = ClassRequired
			}
			if class != "" && plan.metadata[i] == "" {
				c.fail(i, class)
			}
		}
		for i := range plan.columns {
			if placeholder(plan, i, row.values[i]) && c.op != OpSnapshot {
				row.values[i] = nil
				c.fail(i, ClassUnavailable)
			}
		}
		c.add(c.op, row.values)
	}
	if c.op != OpUpdate {
		return
	}
	for i, image := range c.event.before {
		c.moved(c.reference.row.row(c.event.after[i]), image)
	}
}

func placeholder(plan *Plan, column int, value any) bool {
	text := plan.options.Envelope.Unavailable
	if !slices.Contains(plan.envelope.texts, column) {
		return false
	}
	switch n := plan.columns[column]; {
	case value == nil:
		return false
	case n.kind == kindList:
		list := value.([]any)
		return len(list) > 0 && list[0] == text
	case n.kind == kindMap:
		pairs := value.([]any)
		return len(pairs) > 0 && pairs[0].([]any)[0] == text
	}
	return value == text
}

// moved adds the row that deletes what an update leaves behind under another key.
func (c *referenceRecord) moved(upserted referenceRow, before json.RawMessage) {
	plan := c.reference.plan
	key := c.reference.key.row(before)
	same := true
	var classes []Class
	for _, k := range plan.envelope.keys {
		class := key.classes[k]
		switch {
		case !key.set[k] && plan.options.Envelope.BeforePartial:
			key.values[k], class = upserted.values[k], ""
		default:
			if !key.set[k] {
				class = ""
			}
			same = same && fmt.Sprint(upserted.values[k]) == fmt.Sprint(key.values[k])
		}
		if class == "" && key.values[k] == nil {
			class = ClassRequired
		}
		classes = append(classes, class)
	}
	if !same {
		c.delete(key.values, classes)
	}
}

func (c *referenceRecord) remove(image json.RawMessage) {
	key := c.reference.key.row(image)
	var classes []Class
	for _, k := range c.reference.plan.envelope.keys {
		class := key.classes[k]
		if class == "" && key.values[k] == nil {
			class = ClassRequired
		}
		classes = append(classes, class)
	}
	c.delete(key.values, classes)
}

// delete adds a row with the key alone.
func (c *referenceRecord) delete(values []any, classes []Class) {
	row := make([]any, len(values))
	for i, k := range c.reference.plan.envelope.keys {
		if row[k] = values[k]; classes[i] != "" {
			row[k] = nil
			c.fail(k, classes[i])
		}
	}
	c.add(OpDelete, row)
}
