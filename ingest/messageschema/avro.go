package messageschema

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
)

// AvroKind is the physical type of an Avro value: how its bytes are read.
type AvroKind uint8

// The physical types of Avro.
const (
	AvroNull AvroKind = iota
	AvroBoolean
	AvroInt
	AvroLong
	AvroFloat
	AvroDouble
	AvroBytes
	AvroString
	AvroRecord
	AvroEnum
	AvroArray
	AvroMap
	AvroUnion
	AvroFixed
)

var avroPrimitives = map[string]AvroKind{
	"null": AvroNull, "boolean": AvroBoolean, "int": AvroInt, "long": AvroLong, "float": AvroFloat,
	"double": AvroDouble, "bytes": AvroBytes, "string": AvroString,
}

// AvroLogical is the meaning of an Avro value; those that do not fit their physical type, or that
// nobody knows, are AvroPlain, as the Avro specification asks.
type AvroLogical uint8

// The logical types of Avro.
const (
	AvroPlain AvroLogical = iota
	AvroDecimal
	AvroUUID
	AvroDate
	AvroTimeMillis
	AvroTimeMicros
	AvroTimestampMillis
	AvroTimestampMicros
	AvroTimestampNanos
	AvroLocalTimestampMillis
	AvroLocalTimestampMicros
	AvroLocalTimestampNanos
	AvroDuration
	// Those that only Kafka Connect's converter writes.
	AvroTimeNanos
	AvroZonedTimestamp  // text
	AvroVariableDecimal // a record of scale and unscaled value
	AvroGeometry        // a record
)

// AvroType is a type of a writer schema. Named types are shared and may hold themselves.
type AvroType struct {
	Kind    AvroKind
	Logical AvroLogical
	// Name is the full name of a record, enum or fixed.
	Name string
	// Precision and Scale belong to decimals, Size is the bytes of a fixed.
	Precision, Scale, Size int
	Symbols                []string    // enum
	Fields                 []AvroField // record
	// Items is the type of an array's or a map's values.
	Items    *AvroType
	Branches []*AvroType // union
}

// AvroField is a field of a record.
type AvroField struct {
	Name    string
	Aliases []string // earlier names
	Doc     string
	Type    *AvroType
}

// Optional splits off null: it returns the type of the values and whether null is allowed. A union
// that holds nothing but null returns the null type; one of several other branches returns itself.
func (t *AvroType) Optional() (*AvroType, bool) {
	if t.Kind != AvroUnion {
		return t, t.Kind == AvroNull
	}
	var value *AvroType
	nullable, values := false, 0
	for _, branch := range t.Branches {
		if branch.Kind == AvroNull {
			nullable = true
			continue
		}
		value, values = branch, values+1
	}
	switch values {
	case 0:
		return &AvroType{Kind: AvroNull}, true
	case 1:
		return value, nullable
	}
	return t, nullable
}

// ParseAvro reads a writer schema. Imports are the texts of the named types that it refers to, each
// after those it needs itself.
func ParseAvro(text string, imports ...string) (*AvroType, error) {
	p := avroParser{named: map[string]*AvroType{}}
	bytes := len(text)
	for _, imported := range imports {
		if bytes += len(imported); bytes > textBytesMax {
			break
		}
		if _, err := p.text(imported); err != nil {
			return nil, fmt.Errorf("parse Avro schema referred to: %w", err)
		}
	}
	if bytes > textBytesMax {
		return nil, fmt.Errorf("parse Avro schema: larger than %d bytes", textBytesMax)
	}
	t, err := p.text(text)
	if err != nil {
		return nil, fmt.Errorf("parse Avro schema: %w", err)
	}
	return t, nil
}

// avroParser holds the named types read so far.
type avroParser struct {
	named map[string]*AvroType
	depth int
}

func (p *avroParser) text(text string) (*AvroType, error) {
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		if name := strings.TrimSpace(text); avroPrimitives[name] != AvroNull || name == "null" {
			return p.name(name, "") // the bare word, which some registries keep
		}
		return nil, err
	}
	return p.value(v, "")
}

func (p *avroParser) value(v any, namespace string) (*AvroType, error) {
	if p.depth++; p.depth > 2*depthMax {
		return nil, fmt.Errorf("nested deeper than %d levels", depthMax)
	}
	defer func() { p.depth-- }()
	switch v := v.(type) {
	case string:
		return p.name(v, namespace)
	case []any:
		return p.union(v, namespace)
	case map[string]any:
		return p.object(v, namespace)
	}
	return nil, errors.New("a type must be a name, an object or a list")
}

func (p *avroParser) name(name, namespace string) (*AvroType, error) {
	if kind, ok := avroPrimitives[name]; ok {
		return &AvroType{Kind: kind}, nil
	}
	if t, ok := p.named[qualify(name, namespace)]; ok {
		return t, nil
	}
	if t, ok := p.named[name]; ok {
		return t, nil
	}
	return nil, fmt.Errorf("unknown type %q", shorten(name))
}

func (p *avroParser) union(branches []any, namespace string) (*AvroType, error) {
	t := &AvroType{Kind: AvroUnion}
	seen := map[string]bool{}
	for _, v := range branches {
		branch, err := p.value(v, namespace)
		if err != nil {
			return nil, err
		}
		if branch.Kind == AvroUnion {
			return nil, errors.New("a union directly in a union")
		}
		key := branch.Name
		if key == "" {
			key = avroKindName(branch.Kind)
		}
		if seen[key] {
			return nil, fmt.Errorf("a union with %s twice", shorten(key))
		}
		seen[key] = true
		t.Branches = append(t.Branches, branch)
	}
	if len(t.Branches) == 0 {
		return nil, errors.New("a union without branches")
	}
	return t, nil
}

func (p *avroParser) object(m map[string]any, namespace string) (*AvroType, error) {
	word, ok := m["type"].(string)
	if !ok {
		if m["type"] == nil {
			return nil, errors.New("an object without type")
		}
		return p.value(m["type"], namespace)
	}
	switch word {
	case "record", "error":
		return p.record(m, namespace)
	case "enum":
		return p.enum(m, namespace)
	case "fixed":
		return p.fixed(m, namespace)
	case "array":
		return p.container(&AvroType{Kind: AvroArray}, m["items"], namespace)
	case "map":
		return p.container(&AvroType{Kind: AvroMap}, m["values"], namespace)
	}
	t, err := p.name(word, namespace)
	if err == nil && t.Name == "" {
		t.setLogical(m)
		t.setConnect(m)
	}
	return t, err
}

func (p *avroParser) container(t *AvroType, items any, namespace string) (*AvroType, error) {
	var err error
	t.Items, err = p.value(items, namespace)
	return t, err
}

// define registers a named type before its parts are read, so that they may refer to it.
func (p *avroParser) define(t *AvroType, m map[string]any, namespace string) (string, error) {
	name, ok := m["name"].(string)
	if !ok || name == "" {
		return "", errors.New("a named type without name")
	}
	if own, ok := m["namespace"].(string); ok {
		namespace = own
	}
	t.Name = qualify(name, namespace)
	if _, ok := p.named[t.Name]; ok {
		return "", fmt.Errorf("type %s is defined twice", shorten(t.Name))
	}
	p.named[t.Name] = t
	if i := strings.LastIndexByte(t.Name, '.'); i >= 0 {
		return t.Name[:i], nil
	}
	return "", nil
}

func (p *avroParser) record(m map[string]any, namespace string) (*AvroType, error) {
	t := &AvroType{Kind: AvroRecord}
	namespace, err := p.define(t, m, namespace)
	if err != nil {
		return nil, err
	}
	fields, ok := m["fields"].([]any)
	if !ok {
		return nil, fmt.Errorf("record %s has no list of fields", shorten(t.Name))
	}
	seen := map[string]bool{}
	for _, v := range fields {
		f, ok := v.(map[string]any)
		name, named := f["name"].(string)
		switch {
		case !ok || !named || name == "":
			return nil, fmt.Errorf("record %s has a field without name", shorten(t.Name))
		case seen[name]:
			return nil, fmt.Errorf("record %s has field %s twice", shorten(t.Name), shorten(name))
		}
		seen[name] = true
		of, err := p.fieldType(f, namespace)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", shorten(name), err)
		}
		doc, _ := f["doc"].(string) // another type of doc is no doc
		t.Fields = append(t.Fields, AvroField{Name: name, Aliases: words(f["aliases"]), Doc: doc, Type: of})
	}
	t.setConnectRecord()
	return t, nil
}

// fieldType reads a field's type. Several writers put the logical type beside a primitive's name, on
// the field instead of the type; the Avro libraries do not take it there, so neither does this.
func (p *avroParser) fieldType(f map[string]any, namespace string) (*AvroType, error) {
	if f["type"] == nil {
		return nil, errors.New("a field without type")
	}
	return p.value(f["type"], namespace)
}

func (p *avroParser) enum(m map[string]any, namespace string) (*AvroType, error) {
	t := &AvroType{Kind: AvroEnum, Symbols: words(m["symbols"])}
	if _, err := p.define(t, m, namespace); err != nil {
		return nil, err
	}
	if len(t.Symbols) == 0 {
		return nil, fmt.Errorf("enum %s has no symbols", shorten(t.Name))
	}
	return t, nil
}

func (p *avroParser) fixed(m map[string]any, namespace string) (*AvroType, error) {
	size, ok := wholeNumber(m["size"])
	if !ok || size < 0 || size > math.MaxInt32 {
		return nil, errors.New("a fixed without size")
	}
	t := &AvroType{Kind: AvroFixed, Size: size}
	if _, err := p.define(t, m, namespace); err != nil {
		return nil, err
	}
	t.setLogical(m)
	return t, nil
}

// setLogical reads the logical type, if it fits.
func (t *AvroType) setLogical(m map[string]any) {
	word, _ := m["logicalType"].(string) // no logical type is no fault
	switch {
	case word == "decimal" && (t.Kind == AvroBytes || t.Kind == AvroFixed):
		precision, ok := wholeNumber(m["precision"])
		scale, hasScale := wholeNumber(m["scale"])
		if ok && precision > 0 && (!hasScale || (scale >= 0 && scale <= precision)) {
			t.Logical, t.Precision, t.Scale = AvroDecimal, precision, scale
		}
	case word == "uuid" && (t.Kind == AvroString || t.Kind == AvroFixed && t.Size == 16):
		t.Logical = AvroUUID
	case word == "duration" && t.Kind == AvroFixed && t.Size == 12:
		t.Logical = AvroDuration
	case t.Kind == AvroInt:
		t.Logical = avroIntLogical[word]
	case t.Kind == AvroLong:
		t.Logical = avroLongLogical[word]
	}
}

var avroIntLogical = map[string]AvroLogical{"date": AvroDate, "time-millis": AvroTimeMillis}

var avroLongLogical = map[string]AvroLogical{
	"time-micros":            AvroTimeMicros,
	"timestamp-millis":       AvroTimestampMillis,
	"timestamp-micros":       AvroTimestampMicros,
	"timestamp-nanos":        AvroTimestampNanos,
	"local-timestamp-millis": AvroLocalTimestampMillis,
	"local-timestamp-micros": AvroLocalTimestampMicros,
	"local-timestamp-nanos":  AvroLocalTimestampNanos,
}

func qualify(name, namespace string) string {
	if namespace == "" || strings.Contains(name, ".") {
		return name
	}
	return namespace + "." + name
}

func wholeNumber(v any) (int, bool) {
	f, ok := v.(float64)
	if !ok || f != math.Trunc(f) || math.Abs(f) > math.MaxInt32 {
		return 0, false
	}
	return int(f), true
}

// words returns the strings of a list.
func words(v any) []string {
	list, _ := v.([]any) // what is no list has no words
	var out []string
	for _, item := range list {
		if s, ok := item.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

func shorten(s string) string { return shortenTo(s, 80) }

func shortenTo(s string, shown int) string {
	if len(s) > shown {
		return s[:shown] + "..."
	}
	return s
}
