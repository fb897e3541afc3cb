package messageschema

import (
	"strings"

	"github.com/apache/iceberg-go"
)

// ValueColumn is the name of the one column of a schema that is no record.
const ValueColumn = "value"

// Columns returns the Iceberg form of t.
func (t *AvroType) Columns(options Options) Columns {
	e := avroExpander{expander: expander{options: options}, open: map[*AvroType]bool{}}
	inner, nullable := t.Optional()
	if inner.Kind != AvroRecord {
		fields := e.fields([]AvroField{{Name: ValueColumn, Type: t}})
		return Columns{Fields: fields, Refusals: e.refusals}
	}
	e.open[inner] = true
	fields := e.fields(inner.Fields)
	for i := range fields {
		fields[i].Required = fields[i].Required && !nullable
	}
	return Columns{Fields: fields, Refusals: e.refusals}
}

// Iceberg returns the type of a column that holds values of t, and whether it must be optional. A
// nil type says that there is none; refusals say why, and what was left out of it. Within are the
// records that hold t, which t cannot hold again.
func (t *AvroType) Iceberg(options Options, within ...*AvroType) (iceberg.Type, bool, []Refusal) {
	e := avroExpander{expander: expander{options: options}, open: map[*AvroType]bool{}}
	for _, record := range within {
		e.open[record] = true
	}
	inner, nullable := t.Optional()
	return e.typeOf(inner), nullable, e.refusals
}

// avroExpander holds the records that the present path goes through.
type avroExpander struct {
	expander
	open map[*AvroType]bool
}

func (e *avroExpander) fields(list []AvroField) []iceberg.NestedField {
	var out []iceberg.NestedField
	for _, f := range list {
		if field, ok := e.field(f); ok {
			out = append(out, field)
		}
	}
	return out
}

func (e *avroExpander) field(f AvroField) (iceberg.NestedField, bool) {
	defer e.leave()
	if !e.enter(f.Name) {
		return iceberg.NestedField{}, false
	}
	inner, nullable := f.Type.Optional()
	t := e.typeOf(inner)
	return iceberg.NestedField{Name: f.Name, Type: t, Required: !nullable, Doc: f.Doc}, t != nil
}

func (e *avroExpander) typeOf(t *AvroType) iceberg.Type {
	if t.Logical != AvroPlain {
		return e.logical(t)
	}
	switch t.Kind {
	case AvroBoolean:
		return iceberg.PrimitiveTypes.Bool
	case AvroInt:
		return iceberg.PrimitiveTypes.Int32
	case AvroLong:
		return iceberg.PrimitiveTypes.Int64
	case AvroFloat:
		return iceberg.PrimitiveTypes.Float32
	case AvroDouble:
		return iceberg.PrimitiveTypes.Float64
	case AvroBytes:
		return iceberg.PrimitiveTypes.Binary
	case AvroString, AvroEnum:
		return iceberg.PrimitiveTypes.String
	case AvroFixed:
		if t.Size > 0 {
			return iceberg.FixedTypeOf(t.Size)
		}
		e.refuse("a fixed of 0 bytes")
	case AvroNull:
		e.refuse("null is its only value")
	case AvroRecord, AvroUnion:
		return e.structType(t)
	case AvroArray, AvroMap:
		return e.container(t)
	}
	return nil
}

func (e *avroExpander) logical(t *AvroType) iceberg.Type {
	switch t.Logical {
	case AvroDecimal:
		if t.Precision <= 38 {
			return iceberg.DecimalTypeOf(t.Precision, t.Scale)
		}
		e.refuse("a decimal of %d digits; Iceberg has 38", t.Precision)
	case AvroUUID:
		return iceberg.PrimitiveTypes.UUID
	case AvroDate:
		return iceberg.PrimitiveTypes.Date
	case AvroTimeMillis, AvroTimeMicros:
		return iceberg.PrimitiveTypes.Time
	case AvroTimestampMillis, AvroTimestampMicros:
		return iceberg.PrimitiveTypes.TimestampTz
	case AvroLocalTimestampMillis, AvroLocalTimestampMicros:
		return iceberg.PrimitiveTypes.Timestamp
	case AvroTimestampNanos:
		if e.options.Nanoseconds {
			return iceberg.PrimitiveTypes.TimestampTzNs
		}
		return iceberg.PrimitiveTypes.TimestampTz
	case AvroLocalTimestampNanos:
		if e.options.Nanoseconds {
			return iceberg.PrimitiveTypes.TimestampNs
		}
		return iceberg.PrimitiveTypes.Timestamp
	case AvroTimeNanos:
		return iceberg.PrimitiveTypes.Time
	case AvroZonedTimestamp:
		return iceberg.PrimitiveTypes.TimestampTz
	case AvroVariableDecimal:
		return e.refuseVariableDecimal()
	case AvroGeometry:
		return e.refuseGeometry(t.Name)
	case AvroDuration:
		e.refuse("a duration of months, days and milliseconds")
	}
	return nil
}

func (e *avroExpander) structType(t *AvroType) iceberg.Type {
	if e.open[t] {
		e.refuse("type %s holds itself", shorten(t.Name))
		return nil
	}
	e.open[t] = true
	defer delete(e.open, t)
	if t.Kind == AvroRecord {
		return e.structOf(e.fields(t.Fields))
	}
	fields := e.fields(t.UnionFields())
	for i := range fields {
		fields[i].Required = false
	}
	return e.structOf(fields)
}

func (e *avroExpander) container(t *AvroType) iceberg.Type {
	name := "element"
	if t.Kind == AvroMap {
		name = "value"
	}
	value, ok := e.field(AvroField{Name: name, Type: t.Items})
	switch {
	case !ok:
		return nil
	case t.Kind == AvroArray:
		return &iceberg.ListType{Element: value.Type, ElementRequired: value.Required}
	}
	return &iceberg.MapType{
		KeyType: iceberg.PrimitiveTypes.String, ValueType: value.Type, ValueRequired: value.Required,
	}
}

// UnionFields names the branches of a union that are not null, as fields of the struct that holds
// it. The order is that of the branches.
func (t *AvroType) UnionFields() []AvroField {
	short := map[string]int{}
	for _, branch := range t.Branches {
		short[branch.branchName()]++
	}
	var fields []AvroField
	for _, branch := range t.Branches {
		if branch.Kind == AvroNull {
			continue
		}
		name := branch.branchName()
		if short[name] > 1 {
			name = strings.ReplaceAll(branch.Name, ".", "_")
		}
		fields = append(fields, AvroField{Name: name, Type: branch})
	}
	return fields
}

func (t *AvroType) branchName() string {
	if t.Name == "" {
		return avroKindName(t.Kind)
	}
	return t.Name[strings.LastIndexByte(t.Name, '.')+1:]
}

func avroKindName(kind AvroKind) string {
	switch kind {
	case AvroArray:
		return "array"
	case AvroMap:
		return "map"
	}
	for name, k := range avroPrimitives {
		if k == kind {
			return name
		}
	}
	return "union"
}
