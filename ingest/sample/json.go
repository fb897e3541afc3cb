package sample

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/decode"
)

// json makes the key and the value of a record.
func (m *Maker) json() (key, value []byte) {
	row := m.row()
	envelope := &m.opts.Decode.Envelope
	if names := m.keyColumns(); len(names) > 0 {
		key = encode(m.part(row, names))
	}
	if len(envelope.After) == 0 {
		return key, encode(row)
	}
	return key, encode(m.event(row))
}

// keyColumns are the columns that a record's key names.
func (m *Maker) keyColumns() []string {
	if len(m.opts.Decode.Envelope.After) > 0 {
		return m.opts.Decode.Envelope.Key
	}
	return m.opts.Key
}

func encode(value any) []byte {
	text, err := json.Marshal(value)
	if err != nil {
		panic(fmt.Sprintf("BUG: a made value is no JSON: %v", err))
	}
	return text
}

// row makes the object of all columns, each where its path leads. Where a column takes the text of an object
// that others lie in, it takes what they made.
func (m *Maker) row() map[string]any {
	row := map[string]any{}
	fields := slices.Clone(m.opts.Schema.Fields())
	slices.SortStableFunc(fields, func(a, b iceberg.NestedField) int {
		return cmp.Compare(len(m.path(b.Name)), len(m.path(a.Name)))
	})
	for _, f := range fields {
		if _, outside := m.opts.Decode.Envelope.Columns[f.Name]; outside || m.null(f.Name, f.Required) {
			continue
		}
		put(row, m.path(f.Name), m.value(f.Name, f.Type, m.opts.Decode.Columns[f.Name].Time))
	}
	return row
}

// path leads to a column's value.
func (m *Maker) path(name string) []string {
	if path := m.opts.Decode.Columns[name].Path; len(path) > 0 {
		return path
	}
	return []string{name}
}

// put sets what path leads to, unless something is there.
func put(object map[string]any, path []string, value any) {
	for _, name := range path[:len(path)-1] {
		if object[name] == nil {
			object[name] = map[string]any{}
		}
		inner, ok := object[name].(map[string]any)
		if !ok {
			return // another column has put a value there
		}
		object = inner
	}
	if last := path[len(path)-1]; object[last] == nil {
		object[last] = value
	}
}

// take returns what path leads to, or nil.
func take(object map[string]any, path []string) any {
	for _, name := range path[:len(path)-1] {
		inner, ok := object[name].(map[string]any)
		if !ok {
			return nil
		}
		object = inner
	}
	return object[path[len(path)-1]]
}

// part is a row of some columns.
func (m *Maker) part(row map[string]any, names []string) map[string]any {
	out := map[string]any{}
	for _, name := range names {
		put(out, m.path(name), take(row, m.path(name)))
	}
	return out
}

// event makes the change event of a row: of five, three insert, one updates and one deletes.
func (m *Maker) event(row map[string]any) map[string]any {
	envelope := &m.opts.Decode.Envelope
	wanted := []decode.Op{decode.OpInsert, decode.OpInsert, decode.OpInsert, decode.OpUpdate, decode.OpDelete}
	op := wanted[m.number%int64(len(wanted))]
	text, known := operation(envelope.Operations, op)
	if !known && len(envelope.Op) > 0 || op == decode.OpDelete && !m.deletes() {
		op = decode.OpUpdate
		text, _ = operation(envelope.Operations, op)
	}
	event := map[string]any{}
	if len(envelope.Op) > 0 {
		put(event, envelope.Op, text)
	}
	if len(envelope.DDL) > 0 {
		put(event, envelope.DDL, false)
	}
	for name, path := range envelope.Columns {
		if f, ok := m.opts.Schema.FindFieldByName(name); ok {
			put(event, path, m.value(name, f.Type, m.opts.Decode.Columns[name].Time))
		}
	}
	m.images(event, row, op)
	return event
}

// images puts the row into the event, as it was and as it is.
func (m *Maker) images(event, row map[string]any, op decode.Op) {
	envelope := &m.opts.Decode.Envelope
	var image any = row
	if envelope.Many {
		image = []any{row}
	}
	if op != decode.OpDelete || envelope.BeforePartial {
		put(event, envelope.After, image)
		return
	}
	put(event, envelope.After, nil)
	if len(envelope.Before) > 0 {
		put(event, envelope.Before, image)
	}
}

// deletes says whether an event can name the row that it deletes.
func (m *Maker) deletes() bool {
	envelope := &m.opts.Decode.Envelope
	return len(envelope.Before) > 0 || envelope.BeforePartial || envelope.RecordKey
}

// operation is the text that stands for an operation: the first in the order of texts.
func operation(operations map[string]decode.Op, op decode.Op) (string, bool) {
	var found []string
	for text, means := range operations {
		if means == op {
			found = append(found, text)
		}
	}
	if len(found) == 0 {
		return "", false
	}
	return slices.Min(found), true
}

// mistyped makes the record of a number with a text in a column of numbers or times.
func (m *Maker) mistyped(number commit.Offset) ([]byte, bool) {
	m.number = int64(number)
	m.random = rand.New(rand.NewPCG(m.opts.Seed, uint64(number)))
	row := m.row()
	for _, f := range m.opts.Schema.Fields() {
		switch f.Type.(type) {
		case iceberg.StringType, iceberg.BinaryType, iceberg.NestedType:
			continue
		}
		if m.isKey(f.Name) || take(row, m.path(f.Name)) == nil {
			continue
		}
		at := row
		path := m.path(f.Name)
		for _, name := range path[:len(path)-1] {
			at = at[name].(map[string]any)
		}
		at[path[len(path)-1]] = "broken"
		return encode(row), true
	}
	return nil, false
}
