package decode

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/apache/iceberg-go"
)

// Inferred is a schema guessed from samples, with the options that go with it.
type Inferred struct {
	Schema *iceberg.Schema
	// Columns are options of top-level columns.
	Columns map[string]ColumnOptions
	// Notes tell a person what was guessed or left out, a sentence each.
	Notes []string
}

// Infer guesses the schema of records from samples of them, for a person to look over. The same
// samples in the same order give the same schema. All columns are optional and integers are long,
// since a sample cannot show what never happens; what has several types becomes a string that takes
// any value as its text.
func Infer(samples [][]byte, options Options) (Inferred, error) {
	options = options.withDefaults()
	if err := options.validate(); err != nil {
		return Inferred{}, err
	}
	root := newShape()
	bad := 0
	for _, sample := range samples {
		if sample == nil {
			continue // a tombstone says nothing of the values
		}
		if !observeSample(root, sample, options) {
			bad++
		}
	}
	switch options.Format {
	case FormatJSON, FormatCSV:
	case FormatRaw:
		return inferRaw(samples), nil
	default:
		return Inferred{}, fmt.Errorf("format %q cannot be inferred: write json, csv or raw", options.Format)
	}
	if len(root.fields) == 0 {
		return Inferred{}, errors.New("no sample holds a field: name the columns in the spec")
	}
	t := newTyping()
	t.texts = options.Format == FormatCSV
	return t.schema(root, options, bad), nil
}

func observeSample(root *shape, sample []byte, options Options) bool {
	if options.Format == FormatCSV {
		return observeLine(root, sample, options.CSV)
	}
	return len(sample) > 0 && root.observeRecord(sample)
}

func inferRaw(samples [][]byte) Inferred {
	field := iceberg.NestedField{ID: 1, Name: "value", Type: iceberg.PrimitiveTypes.String}
	var notes []string
	for _, sample := range samples {
		if !utf8.Valid(sample) {
			field.Type = iceberg.PrimitiveTypes.Binary
			notes = []string{"column value is binary: not every sample is UTF-8"}
		}
	}
	return Inferred{Schema: iceberg.NewSchema(0, field), Notes: notes}
}

// typing turns shapes into types and collects what comes with them.
type typing struct {
	nextID  int
	columns map[string]ColumnOptions
	notes   []string
	texts   bool // values are text as they are, so that a string holds any
}

func newTyping() *typing { return &typing{columns: map[string]ColumnOptions{}} }

func (t *typing) id() int {
	t.nextID++
	return t.nextID
}

func (t *typing) note(path []string, format string, args ...any) {
	t.notes = append(t.notes, "column "+strings.Join(path, ".")+" "+fmt.Sprintf(format, args...))
}

// schema is the schema of records of a shape. Top-level ids come first, as catalogs give them.
func (t *typing) schema(root *shape, options Options, bad int) Inferred {
	t.nextID = len(root.names)
	fields := t.fields(nil, root)
	for i := range fields {
		fields[i].ID = i + 1
	}
	if bad > 0 {
		t.notes = append(t.notes, fmt.Sprintf("%d samples are no %s records and were left out", bad, options.Format))
	}
	return Inferred{Schema: iceberg.NewSchema(0, fields...), Columns: t.columns, Notes: t.notes}
}

// fields are the columns that the fields of an object make.
func (t *typing) fields(path []string, s *shape) []iceberg.NestedField {
	var fields []iceberg.NestedField
	taken := map[string]bool{}
	for _, name := range s.names {
		column := t.columnName(path, name, taken)
		if column == "" {
			continue
		}
		at := append(path[:len(path):len(path)], column)
		columnType := t.typeOf(at, s.fields[name])
		if columnType == nil {
			continue
		}
		taken[strings.ToLower(column)] = true
		if column != name {
			options := t.columns[column]
			options.Path = []string{name}
			t.columns[column] = options
			t.note(at, "takes field %q: columns have no dots and differ in more than case", name)
		}
		fields = append(fields, iceberg.NestedField{ID: t.id(), Name: column, Type: columnType})
	}
	return fields
}

// columnName makes a field's name one that engines take: without dots, and different from the others
// by more than case. It is empty when the field must be left out: a field within a struct cannot
// have another name in the record than in the table without an option of its own.
func (t *typing) columnName(path []string, name string, taken map[string]bool) string {
	at := append(path[:len(path):len(path)], name)
	switch {
	case name == "":
		t.note(at, "is left out: it has no name")
		return ""
	case len(path) == 0 && strings.HasPrefix(name, reservedPrefix):
		t.note(at, "is left out: names that begin with %s are reserved", reservedPrefix)
		return ""
	case len(path) > 0 && taken[strings.ToLower(name)]:
		t.note(at, "is left out: it differs from another in case alone")
		return ""
	case len(path) > 0:
		return name
	}
	column := strings.ReplaceAll(name, ".", "_")
	unique := column
	for i := 2; taken[strings.ToLower(unique)]; i++ {
		unique = fmt.Sprintf("%s_%d", column, i)
	}
	return unique
}

// typeOf is the type that holds every value of a shape, or nil when it saw none.
func (t *typing) typeOf(path []string, s *shape) iceberg.Type {
	switch s.kinds &^ sawNull {
	case 0:
		t.note(path, "is left out: null in every sample")
		return nil
	case sawBool:
		return iceberg.PrimitiveTypes.Bool
	case sawInteger:
		return t.integerType(path, s)
	case sawFraction, sawInteger | sawFraction:
		return iceberg.PrimitiveTypes.Float64
	case sawString:
		return t.textType(path, s)
	case sawObject:
		return t.objectType(path, s)
	case sawArray:
		return t.arrayType(path, s)
	}
	if t.texts {
		return iceberg.PrimitiveTypes.String
	}
	options := t.columns[path[0]]
	options.JSONText = true
	t.columns[path[0]] = options
	t.note(path, "is a string that holds JSON text: its values have several types (%s)", s.kinds)
	return iceberg.PrimitiveTypes.String
}

func (t *typing) integerType(path []string, s *shape) iceberg.Type {
	if s.wide {
		t.note(path, "is decimal(38, 0): a sample is beyond 64 bits")
		return iceberg.DecimalTypeOf(digitsMax, 0)
	}
	if unit, ok := s.epochUnit(path[len(path)-1]); ok {
		if len(path) == 1 { // within a column TimeAuto tells the same unit
			t.columns[path[0]] = ColumnOptions{Time: unit}
		}
		t.note(path, "is a timestamp: name and magnitude are of an epoch in %s", unit)
		return iceberg.PrimitiveTypes.TimestampTz
	}
	return iceberg.PrimitiveTypes.Int64
}

func (t *typing) textType(path []string, s *shape) iceberg.Type {
	switch s.texts {
	case textDate:
		return iceberg.PrimitiveTypes.Date
	case textTimestamp:
		return iceberg.PrimitiveTypes.Timestamp
	case textZoned:
		return iceberg.PrimitiveTypes.TimestampTz
	case textTimestamp | textZoned:
		t.note(path, "is timestamptz: some samples have no zone and are taken as UTC")
		return iceberg.PrimitiveTypes.TimestampTz
	}
	return iceberg.PrimitiveTypes.String
}

func (t *typing) objectType(path []string, s *shape) iceberg.Type {
	if len(s.names) == 0 {
		t.note(path, "is left out: an empty object in every sample")
		return nil
	}
	if s.keysVary() {
		keyID, valueID := t.id(), t.id()
		values := newShape()
		for _, name := range s.names {
			values.join(s.fields[name])
		}
		valueType := t.typeOf(append(path[:len(path):len(path)], "value"), values)
		if valueType != nil {
			t.note(path, "is a map: its keys vary from sample to sample")
			return &iceberg.MapType{KeyID: keyID, KeyType: iceberg.PrimitiveTypes.String,
				ValueID: valueID, ValueType: valueType}
		}
	}
	fields := t.fields(path, s)
	if len(fields) == 0 {
		t.note(path, "is left out: none of its fields has a type")
		return nil
	}
	return &iceberg.StructType{FieldList: fields}
}

func (t *typing) arrayType(path []string, s *shape) iceberg.Type {
	if s.element == nil {
		t.note(path, "is left out: an empty array in every sample")
		return nil
	}
	id := t.id()
	element := t.typeOf(append(path[:len(path):len(path)], "element"), s.element)
	if element == nil {
		return nil
	}
	return &iceberg.ListType{ElementID: id, Element: element}
}
