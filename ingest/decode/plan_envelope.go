package decode

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Op is what a change event does, and what each row made of it does.
type Op uint8

// The operations. OpFailed is the zero value: the record is no event that rows can follow, and a
// Failure says why.
const (
	OpFailed Op = iota
	OpInsert
	OpUpdate
	OpDelete
	OpSnapshot  // a row that stood there when the source was copied; it counts as an upsert
	OpTombstone // a record without a value that deletes nothing: of records only, never of rows
	OpTruncate  // in Envelope.Operations only: such an event fails, since it names no rows
)

// String is the operation's name in messages.
func (o Op) String() string {
	names := [...]string{"failed", "insert", "update", "delete", "snapshot", "tombstone", "truncate"}
	return names[o]
}

// Envelope says where change events hold their rows. Paths are names from the event's top down. The
// zero value is none: a record is a row.
//
// With an envelope, the columns and their path options are those of the row, not of the event.
type Envelope struct {
	// After is where the row lies as the event leaves it, and Before as it was; Before may be
	// empty. BeforePartial says that Before holds only the columns that changed, and that a deleted
	// row lies in After.
	After, Before []string
	BeforePartial bool
	// Op is where the operation lies, and Operations what its values mean. Without a path an event
	// with a row in After is an update, and one without is a delete.
	Op         []string
	Operations map[string]Op
	// DDL is where a flag lies that is true for changes of a schema.
	DDL []string
	// Many lets After and Before be arrays of rows.
	Many bool
	// Key names the columns that identify a row. They are scalars, and no floating-point numbers.
	Key []string
	// RecordKey says that the record's key holds the key columns, in the format of the value: a
	// tombstone, and a delete that has no row, then delete by it.
	RecordKey bool
	// Columns are the columns that lie elsewhere in the event than in the row, such as the sequence
	// or the source's time.
	Columns map[string][]string
	// Unavailable is the text that stands in for a value that the source did not send.
	Unavailable string
	// Connect says that events may be wrapped as Kafka Connect's JSON converter does it:
	// {"schema": ..., "payload": ...}. The schema then says what the values mean.
	Connect bool
	// Unscaled says that decimals in JSON without a schema are base64 of the unscaled value, at the
	// column's scale (decimal.handling.mode=precise), and no numbers.
	Unscaled bool
}

// DebeziumEnvelope is the envelope of Debezium's events in every format.
func DebeziumEnvelope() Envelope {
	return Envelope{After: []string{"after"}, Before: []string{"before"}, Op: []string{"op"},
		Operations: map[string]Op{"c": OpInsert, "u": OpUpdate, "d": OpDelete, "r": OpSnapshot,
			"t": OpTruncate},
		Unavailable: "__debezium_unavailable_value", Connect: true}
}

// MaxwellEnvelope is the envelope of Maxwell's events.
func MaxwellEnvelope() Envelope {
	return Envelope{After: []string{"data"}, Before: []string{"old"}, BeforePartial: true,
		Op: []string{"type"}, Operations: map[string]Op{"insert": OpInsert, "update": OpUpdate,
			"delete": OpDelete, "bootstrap-insert": OpSnapshot}}
}

// CanalEnvelope is the envelope of Canal's flat messages.
func CanalEnvelope() Envelope {
	return Envelope{After: []string{"data"}, Before: []string{"old"}, BeforePartial: true,
		Op: []string{"type"}, DDL: []string{"isDdl"}, Many: true,
		Operations: map[string]Op{"INSERT": OpInsert, "UPDATE": OpUpdate, "DELETE": OpDelete,
			"TRUNCATE": OpTruncate}}
}

func (e *Envelope) present() bool { return len(e.After) > 0 }

// outerColumn marks, among the metadata of a plan, a column that lies in the event and not in the row.
const outerColumn metadataColumn = "envelope"

// operation is one value of the operation's field.
type operation struct {
	text string
	op   Op
}

// envelopePlan is the compiled envelope of a plan.
type envelopePlan struct {
	options    Envelope
	operations []operation
	keys       []int // columns that identify a row
	isKey      []bool
	outer      []int // columns that lie outside the row
	rest       []int // columns of the row that are no keys
	// columns of one string or bytes, which may hold Unavailable.
	texts []int
}

// newEnvelopePlan compiles the envelope of a plan and marks the columns that it fills.
func newEnvelopePlan(plan *Plan) (*envelopePlan, error) {
	e := &envelopePlan{options: plan.options.Envelope, isKey: make([]bool, len(plan.columns))}
	if err := e.options.validate(); err != nil {
		return nil, err
	}
	for _, text := range slices.Sorted(maps.Keys(e.options.Operations)) {
		e.operations = append(e.operations, operation{text, e.options.Operations[text]})
	}
	for _, name := range slices.Sorted(maps.Keys(e.options.Columns)) {
		i := plan.columnIndex(name)
		if i < 0 {
			return nil, fmt.Errorf("envelope names column %s, which the schema does not have", name)
		}
		plan.metadata[i] = outerColumn
		e.outer = append(e.outer, i)
	}
	for _, name := range e.options.Key {
		i := plan.columnIndex(name)
		switch {
		case i < 0:
			return nil, fmt.Errorf("envelope names key column %s, which the row does not have", name)
		case !plan.columns[i].identifies():
			return nil, fmt.Errorf("column %s: %s cannot identify a row", name, plan.columns[i].typeName)
		}
		e.keys = append(e.keys, i)
		e.isKey[i] = true
	}
	for i, n := range plan.columns {
		if plan.metadata[i] != "" {
			continue
		}
		if !e.isKey[i] {
			e.rest = append(e.rest, i)
		}
		if e.options.Unavailable != "" && n.mayHoldText() {
			e.texts = append(e.texts, i)
		}
	}
	return e, nil
}

func (e *Envelope) validate() error {
	for _, path := range [][]string{e.After, e.Before, e.Op, e.DDL} {
		if slices.Contains(path, "") {
			return fmt.Errorf("envelope path %q has an empty name", strings.Join(path, "."))
		}
	}
	switch {
	case len(e.Key) == 0:
		return errors.New("an envelope needs the key columns of the row")
	case len(e.Op) > 0 && len(e.Operations) == 0:
		return errors.New("an envelope with a path to the operation needs the operation's values")
	case e.BeforePartial && len(e.Before) == 0:
		return errors.New("an envelope with partial images before needs the path to them")
	}
	for text, op := range e.Operations {
		if op == OpFailed || op == OpTombstone || op > OpTruncate {
			return fmt.Errorf("envelope operation %q: write insert, update, delete, snapshot or truncate", text)
		}
	}
	for name, path := range e.Columns {
		if len(path) == 0 || slices.Contains(path, "") {
			return fmt.Errorf("envelope column %s: its path is empty or has an empty name", name)
		}
	}
	return nil
}

// columnIndex is the place of a top-level column that the record's value fills, or -1.
func (p *Plan) columnIndex(name string) int {
	return slices.IndexFunc(p.columns, func(n *node) bool {
		return n.name == name && !strings.HasPrefix(name, reservedPrefix)
	})
}

// identifies tells whether a column can be part of a row's identity, as Iceberg has it.
func (n *node) identifies() bool {
	switch n.kind {
	case kindFloat, kindDouble, kindStruct, kindList, kindMap, kindUnknown:
		return false
	default:
		return true
	}
}

// mayHoldText tells whether a column holds text or bytes, or lists or maps of text.
func (n *node) mayHoldText() bool {
	switch n.kind {
	case kindString, kindBinary:
		return true
	case kindList, kindMap:
		return n.children[0].kind == kindString || n.children[0].kind == kindBinary
	default:
		return false
	}
}

// keysOnly is the plan with the columns of the key alone, by which images of deleted rows are read.
func (p *Plan) keysOnly() *Plan {
	key := *p
	key.options.UnknownFields = UnknownIgnore
	key.metadata = slices.Clone(p.metadata)
	for i := range key.metadata {
		if !p.envelope.isKey[i] {
			key.metadata[i] = outerColumn
		}
	}
	if p.writers != nil {
		options := p.writers.options
		options.Evolve = Evolve{}
		key.writers = &writers{options: options}
	}
	return &key
}
