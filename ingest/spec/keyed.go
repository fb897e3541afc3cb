package spec

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/ingest/decode"
)

// TombstoneRule says what a record without a value does to a keyed table.
type TombstoneRule string

// The rules for tombstones.
const (
	// TombstoneAuto is TombstoneDelete where the format lets a record's key name a row, else ignore.
	TombstoneAuto   TombstoneRule = ""
	TombstoneDelete TombstoneRule = "delete" // it deletes the row that the record's key names
	TombstoneIgnore TombstoneRule = "ignore" // it does nothing and is counted
)

// Delete says which records delete rows of a keyed table, besides the deletes of an envelope.
type Delete struct {
	Tombstone TombstoneRule `yaml:"tombstone,omitempty"`
	// Column is a boolean column: a row in which it is true deletes the row of its key.
	Column string `yaml:"column,omitempty"`
}

// Keyed says whether the table has at most one row a key: the spec names identifier columns.
func (s *Spec) Keyed() bool { return len(s.Identifier) > 0 }

// TombstonesDelete says whether records without a value of a source delete by their keys.
func (s *Spec) TombstonesDelete(src Source) bool {
	if s.Delete.Tombstone == TombstoneAuto {
		return s.Keyed() && keysNameRows(src)
	}
	return s.Delete.Tombstone == TombstoneDelete
}

// keysNameRows says whether the key of a source's records can be read as the identifier's columns.
func keysNameRows(src Source) bool { return src.Format == "json" || src.Envelope != envelopeNone }

// The envelopes of change events.
const (
	envelopeNone     = "none"
	envelopeDebezium = "debezium"
	envelopeMaxwell  = "maxwell"
	envelopeCanal    = "canal"
	envelopeGeneric  = "generic"
)

func envelopes() []string {
	return []string{envelopeNone, envelopeDebezium, envelopeMaxwell, envelopeCanal, envelopeGeneric}
}

// envelope is how the source's change events hold rows.
func (s *Spec) envelope(src Source) (decode.Envelope, error) {
	var out decode.Envelope
	switch src.Envelope {
	case envelopeDebezium:
		out = decode.DebeziumEnvelope()
	case envelopeMaxwell:
		out = decode.MaxwellEnvelope()
	case envelopeCanal:
		out = decode.CanalEnvelope()
	case envelopeGeneric:
		var err error
		if out, err = genericEnvelope(src.Options); err != nil {
			return out, err
		}
	default:
		return out, nil
	}
	out.Key, out.RecordKey = s.Identifier, s.TombstonesDelete(src)
	if text := src.Options["decimals"]; text != "" {
		if out.Unscaled = text == "base64"; !out.Unscaled && text != "numbers" {
			return out, fmt.Errorf("option decimals: %q is unknown: write base64 or numbers", text)
		}
	}
	for _, c := range append(slices.Clone(s.Schema.Columns), src.Input...) {
		if c.Event == "" {
			continue
		}
		path, err := decode.ParsePath(c.Event)
		if err != nil {
			return out, fmt.Errorf("column %s: %w", c.Name, err)
		}
		if out.Columns == nil {
			out.Columns = map[string][]string{}
		}
		out.Columns[c.Name] = path
	}
	return out, nil
}

// operationOptions are the options of a generic envelope that say which texts stand for an operation.
var operationOptions = [...]struct {
	name string
	op   decode.Op
}{{"insert", decode.OpInsert}, {"update", decode.OpUpdate}, {"delete", decode.OpDelete},
	{"snapshot", decode.OpSnapshot}}

// genericEnvelope is an envelope by paths: after, before, op, and texts of operations.
func genericEnvelope(options map[string]string) (decode.Envelope, error) {
	var out decode.Envelope
	for _, path := range []struct {
		name string
		to   *[]string
	}{{"after", &out.After}, {"before", &out.Before}, {"op", &out.Op}} {
		text := options[path.name]
		if text == "" {
			continue
		}
		parsed, err := decode.ParsePath(text)
		if err != nil {
			return out, fmt.Errorf("option %s: %w", path.name, err)
		}
		*path.to = parsed
	}
	if len(out.After) == 0 {
		return out, fmt.Errorf("a generic envelope needs option after: the path to the row")
	}
	for _, o := range operationOptions {
		for text := range strings.SplitSeq(options[o.name], ",") {
			if text = strings.TrimSpace(text); text == "" {
				continue
			}
			if out.Operations == nil {
				out.Operations = map[string]decode.Op{}
			}
			out.Operations[text] = o.op
		}
	}
	if len(out.Operations) > 0 && len(out.Op) == 0 {
		return out, fmt.Errorf("it names operations and no option op: the path to the operation")
	}
	return out, nil
}

// envelopeOptions are the options that only sources with an envelope have.
func envelopeOptions(envelope string) []string {
	names := []string{"decimals"}
	if envelope == envelopeGeneric {
		names = append(names, "after", "before", "op")
		for _, o := range operationOptions {
			names = append(names, o.name)
		}
	}
	return names
}

// keyed checks what makes a table keyed, as far as it needs no column.
func (c *check) keyed() {
	s := c.spec
	if !s.Keyed() {
		for _, part := range []struct {
			key string
			set bool
		}{{"sequence", len(s.Sequence) > 0}, {"merge", s.Merge != ""}, {"delete", s.Delete != Delete{}},
			{"column_groups", len(s.ColumnGroups) > 0}, {"aggregate", len(s.Aggregate) > 0}} {
			if part.set {
				c.fault(part.key, "write identifier: [column, ...], or remove it",
					"is for tables with identifier columns")
			}
		}
	}
	c.merge()
	switch s.Delete.Tombstone {
	case TombstoneAuto, TombstoneDelete, TombstoneIgnore:
	default:
		c.fault("delete.tombstone", "write delete or ignore", "unknown rule %q", s.Delete.Tombstone)
	}
	for i, src := range s.Sources {
		c.keyedSource("sources["+strconv.Itoa(i)+"]", src)
	}
}

func (c *check) keyedSource(key string, src Source) {
	s := c.spec
	switch {
	case !slices.Contains(envelopes(), src.Envelope):
		c.fault(key+".envelope", "write one of "+strings.Join(envelopes(), ", "), "unknown envelope %q",
			src.Envelope)
		return
	case src.Envelope != envelopeNone && !s.Keyed():
		c.fault(key+".envelope", "write identifier: [column, ...]",
			"change events of an envelope need a table with identifier columns")
	case src.Envelope != envelopeNone && !slices.Contains([]string{"json", "avro"}, src.Format):
		c.fault(key+".envelope", "write format: json or avro", "envelopes are not read in format %s", src.Format)
	case s.Delete.Tombstone == TombstoneDelete && !keysNameRows(src):
		c.fault("delete.tombstone", "write ignore, or send format json or an envelope",
			"keys of records of format %s without an envelope name no row", src.Format)
	}
	if s.Delete.Column != "" && src.Envelope != envelopeNone {
		c.fault("delete.column", "remove it", "%s has an envelope, which says itself what is deleted", key)
	}
	if src.Envelope != envelopeNone {
		return
	}
	for i, col := range s.Schema.Columns {
		if col.Event != "" {
			c.fault("schema.columns["+strconv.Itoa(i)+"].event", "write path:",
				"column %s lies in a change event, and %s has no envelope", col.Name, key)
		}
	}
}

// keyColumns checks identifier, sequence and delete column against the columns.
func (c *check) keyColumns(schema *iceberg.Schema) {
	s := c.spec
	seen := map[string]bool{}
	for i, name := range s.Identifier {
		key := "identifier[" + strconv.Itoa(i) + "]"
		column, i := c.columnOf(name)
		switch {
		case column == nil:
			c.fault(key, "name a column of schema.columns", "there is no column %q", name)
			continue
		case seen[name]:
			c.fault(key, "name it once", "column %s is named twice", name)
		case !column.Required:
			c.fault(key, "write required: true at the column",
				"column %s is optional, and a row without a key cannot be found again", name)
		case column.Event != "":
			c.fault("schema.columns["+strconv.Itoa(i)+"].event", "choose a column of the row",
				"column %s identifies rows and lies outside of them", name)
		}
		seen[name] = true
		if field, ok := schema.FindFieldByName(name); ok && !identifies(field.Type) {
			c.fault(key, "choose columns of integers, decimals, strings, bytes, uuids, dates, times or booleans",
				"column %s of type %s cannot identify rows", name, FormatType(field.Type))
		}
	}
	for i, name := range s.Sequence {
		key := "sequence[" + strconv.Itoa(i) + "]"
		field, ok := schema.FindFieldByName(name)
		switch {
		case !ok:
			c.fault(key, "name a column", "there is no column %q", name)
		case slices.Contains(s.Sequence[:i], name):
			c.fault(key, "name it once", "column %s is named twice", name)
		case !Orders(field.Type):
			c.fault(key, "choose columns of int, long, date, time or timestamps",
				"column %s of type %s puts no versions in order", name, FormatType(field.Type))
		}
	}
	for i, col := range s.Schema.Columns {
		if col.Event != "" && col.Required {
			c.fault("schema.columns["+strconv.Itoa(i)+"].required", "remove it",
				"column %s lies in the event, and tombstones have none", col.Name)
		}
	}
	if name := s.Delete.Column; name != "" {
		if field, ok := schema.FindFieldByName(name); !ok {
			c.fault("delete.column", "name a column", "there is no column %q", name)
		} else if _, is := field.Type.(iceberg.BooleanType); !is {
			c.fault("delete.column", "choose a boolean column", "column %s is of type %s", name,
				FormatType(field.Type))
		}
	}
}

func (c *check) columnOf(name string) (*Column, int) {
	columns := c.spec.Schema.Columns
	i := slices.IndexFunc(columns, func(col Column) bool { return col.Name == name })
	if i < 0 {
		return nil, i
	}
	return &columns[i], i
}

// identifies says whether Iceberg lets a column of the type identify rows.
func identifies(t iceberg.Type) bool {
	switch t.(type) {
	case iceberg.Float32Type, iceberg.Float64Type:
		return false
	}
	_, primitive := t.(iceberg.PrimitiveType)
	return primitive
}

// Orders says whether a column of the type may be a sequence: its values are integers in memory.
func Orders(t iceberg.Type) bool {
	switch t.(type) {
	case iceberg.Int32Type, iceberg.Int64Type, iceberg.DateType, iceberg.TimeType, iceberg.TimestampType,
		iceberg.TimestampTzType, iceberg.TimestampNsType, iceberg.TimestampTzNsType:
		return true
	}
	return false
}

// identify marks the identifier columns of a schema.
func (s *Spec) identify(schema *iceberg.Schema) {
	for _, name := range s.Identifier {
		if field, ok := schema.FindFieldByName(name); ok {
			schema.IdentifierFieldIDs = append(schema.IdentifierFieldIDs, field.ID)
		}
	}
}

// identifier compares the identifier columns. Rows that stand were written under those of the table, so
// they never change.
func (d *differ) identifier() {
	schema := d.table.Metadata().CurrentSchema()
	var have, want []string
	for _, id := range schema.IdentifierFieldIDs {
		name, _ := schema.FindColumnName(id)
		have = append(have, name)
	}
	for _, name := range d.spec.Identifier {
		want = append(want, d.currentName(schema, name))
	}
	slices.Sort(have)
	slices.Sort(want)
	if slices.Equal(have, want) {
		return
	}
	text := fmt.Sprintf("[%s] cannot become [%s]", strings.Join(have, ", "), strings.Join(want, ", "))
	if len(have) == 0 {
		d.plan.add(StepRefuse, "identifier", text, "rows that stand may have one key twice: feed a new table")
		return
	}
	d.plan.add(StepRefuse, "identifier", text,
		"write identifier: ["+strings.Join(have, ", ")+"], or feed a new table")
}
