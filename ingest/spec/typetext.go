package spec

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"github.com/apache/iceberg-go"
)

// Limits of a type's text: deeper or wider types are refused before they cost anything.
const (
	typeDepthMax  = 32
	typeFieldsMax = 2000
)

// ParseType reads a type in Iceberg's notation: long, decimal(12, 2), fixed(16), list<string>,
// map<string, long>, struct<city: string, zip: required int>. Elements, values and fields are
// optional unless marked required. Field ids are 0: Schema assigns them.
func ParseType(text string) (iceberg.Type, error) {
	p := typeParser{rest: text}
	t, err := p.parse(0)
	if err != nil {
		return nil, fmt.Errorf("type %q: %w", text, err)
	}
	if p.skip(); p.rest != "" {
		return nil, fmt.Errorf("type %q: %q is left over", text, p.rest)
	}
	return t, nil
}

// FormatType is the inverse of ParseType.
func FormatType(t iceberg.Type) string {
	switch t := t.(type) {
	case *iceberg.StructType:
		parts := make([]string, len(t.FieldList))
		for i, f := range t.FieldList {
			parts[i] = formatName(f.Name) + ": " + formatRequired(f.Required) + FormatType(f.Type)
		}
		return "struct<" + strings.Join(parts, ", ") + ">"
	case *iceberg.ListType:
		return "list<" + formatRequired(t.ElementRequired) + FormatType(t.Element) + ">"
	case *iceberg.MapType:
		return "map<" + FormatType(t.KeyType) + ", " + formatRequired(t.ValueRequired) +
			FormatType(t.ValueType) + ">"
	case iceberg.FixedType:
		return "fixed(" + strconv.Itoa(t.Len()) + ")"
	}
	return t.String()
}

func formatRequired(required bool) string {
	if required {
		return "required "
	}
	return ""
}

func formatName(name string) string {
	for _, r := range name {
		if !isWord(r) {
			return "`" + name + "`"
		}
	}
	return name
}

type typeParser struct {
	rest   string
	fields int
}

func (p *typeParser) parse(depth int) (iceberg.Type, error) {
	if depth > typeDepthMax {
		return nil, fmt.Errorf("nested deeper than %d levels", typeDepthMax)
	}
	name := strings.ToLower(p.word())
	switch name {
	case "":
		return nil, fmt.Errorf("a type belongs before %q", p.rest)
	case "struct":
		return p.parseStruct(depth)
	case "list", "array":
		return p.parseList(depth)
	case "map":
		return p.parseMap(depth)
	case "decimal":
		return p.parseDecimal()
	case "fixed":
		n, err := p.numbers(1)
		if err != nil {
			return nil, err
		}
		if n[0] < 1 || n[0] > 1<<20 {
			return nil, fmt.Errorf("fixed(%d) is out of range", n[0])
		}
		return iceberg.FixedTypeOf(n[0]), nil
	}
	return primitive(name)
}

// primitive maps Iceberg's names; for names of other systems the error says which one to write.
func primitive(name string) (iceberg.Type, error) {
	known := map[string]iceberg.Type{
		"boolean": iceberg.PrimitiveTypes.Bool, "int": iceberg.PrimitiveTypes.Int32,
		"long": iceberg.PrimitiveTypes.Int64, "float": iceberg.PrimitiveTypes.Float32,
		"double": iceberg.PrimitiveTypes.Float64, "date": iceberg.PrimitiveTypes.Date,
		"time": iceberg.PrimitiveTypes.Time, "timestamp": iceberg.PrimitiveTypes.Timestamp,
		"timestamptz":    iceberg.PrimitiveTypes.TimestampTz,
		"timestamp_ns":   iceberg.PrimitiveTypes.TimestampNs,
		"timestamptz_ns": iceberg.PrimitiveTypes.TimestampTzNs,
		"string":         iceberg.PrimitiveTypes.String, "uuid": iceberg.PrimitiveTypes.UUID,
		"binary": iceberg.PrimitiveTypes.Binary,
	}
	if t, ok := known[name]; ok {
		return t, nil
	}
	others := map[string]string{
		"bool": "boolean", "int32": "int", "integer": "int", "int64": "long", "bigint": "long",
		"float32": "float", "float64": "double", "text": "string", "varchar": "string",
		"bytes": "binary", "datetime": "timestamp", "numeric": "decimal(p, s)",
	}
	if iceName, ok := others[name]; ok {
		return nil, fmt.Errorf("%s is %s in Iceberg", name, iceName)
	}
	return nil, fmt.Errorf("unknown type %q (known: boolean, int, long, float, double, decimal(p, s), date, "+
		"time, timestamp, timestamptz, timestamp_ns, timestamptz_ns, string, uuid, fixed(n), binary, "+
		"struct<…>, list<…>, map<…>)", name)
}

func (p *typeParser) parseStruct(depth int) (iceberg.Type, error) {
	if err := p.expect("<"); err != nil {
		return nil, err
	}
	var fields []iceberg.NestedField
	seen := map[string]bool{}
	for {
		name, err := p.fieldName()
		if err != nil {
			return nil, err
		}
		if seen[name] {
			return nil, fmt.Errorf("struct has two fields %q", name)
		}
		seen[name] = true
		if err := p.expect(":"); err != nil {
			return nil, err
		}
		required := p.required()
		t, err := p.parse(depth + 1)
		if err != nil {
			return nil, err
		}
		if p.fields++; p.fields > typeFieldsMax {
			return nil, fmt.Errorf("has more than %d fields", typeFieldsMax)
		}
		fields = append(fields, iceberg.NestedField{Name: name, Type: t, Required: required})
		if p.accept(">") {
			return &iceberg.StructType{FieldList: fields}, nil
		}
		if err := p.expect(","); err != nil {
			return nil, err
		}
	}
}

func (p *typeParser) parseList(depth int) (iceberg.Type, error) {
	if err := p.expect("<"); err != nil {
		return nil, err
	}
	required := p.required()
	element, err := p.parse(depth + 1)
	if err != nil {
		return nil, err
	}
	return &iceberg.ListType{Element: element, ElementRequired: required}, p.expect(">")
}

func (p *typeParser) parseMap(depth int) (iceberg.Type, error) {
	if err := p.expect("<"); err != nil {
		return nil, err
	}
	key, err := p.parse(depth + 1)
	if err != nil {
		return nil, err
	}
	if err := p.expect(","); err != nil {
		return nil, err
	}
	required := p.required()
	value, err := p.parse(depth + 1)
	if err != nil {
		return nil, err
	}
	return &iceberg.MapType{KeyType: key, ValueType: value, ValueRequired: required}, p.expect(">")
}

func (p *typeParser) parseDecimal() (iceberg.Type, error) {
	n, err := p.numbers(2)
	if err != nil {
		return nil, err
	}
	if n[0] < 1 || n[0] > 38 || n[1] < 0 || n[1] > n[0] {
		return nil, fmt.Errorf("decimal(%d, %d): precision is 1 to 38, scale 0 to the precision", n[0], n[1])
	}
	return iceberg.DecimalTypeOf(n[0], n[1]), nil
}

// numbers reads "(a, b)" or "[a]".
func (p *typeParser) numbers(count int) ([]int, error) {
	closing := ")"
	if p.accept("[") {
		closing = "]"
	} else if err := p.expect("("); err != nil {
		return nil, err
	}
	out := make([]int, count)
	for i := range out {
		if i > 0 {
			if err := p.expect(","); err != nil {
				return nil, err
			}
		}
		word := p.word()
		n, err := strconv.Atoi(word)
		if err != nil {
			return nil, fmt.Errorf("%q is not a number", word)
		}
		out[i] = n
	}
	return out, p.expect(closing)
}

func (p *typeParser) fieldName() (string, error) {
	if p.accept("`") {
		name, rest, ok := strings.Cut(p.rest, "`")
		if !ok || name == "" {
			return "", fmt.Errorf("a quoted field name does not end")
		}
		p.rest = rest
		return name, nil
	}
	name := p.word()
	if name == "" {
		return "", fmt.Errorf("a field name belongs before %q", p.rest)
	}
	return name, nil
}

// required reads the marks "required" and "optional" before a type.
func (p *typeParser) required() bool {
	before := p.rest
	switch strings.ToLower(p.word()) {
	case "required":
		return true
	case "optional":
		return false
	}
	p.rest = before
	return false
}

func (p *typeParser) word() string {
	p.skip()
	end := strings.IndexFunc(p.rest, func(r rune) bool { return !isWord(r) })
	if end < 0 {
		end = len(p.rest)
	}
	word := p.rest[:end]
	p.rest = p.rest[end:]
	return word
}

func isWord(r rune) bool {
	return r == '_' || r == '-' || r == '$' || unicode.IsLetter(r) || unicode.IsDigit(r)
}

func (p *typeParser) skip() { p.rest = strings.TrimLeft(p.rest, " \t\r\n") }

func (p *typeParser) accept(token string) bool {
	p.skip()
	rest, ok := strings.CutPrefix(p.rest, token)
	if ok {
		p.rest = rest
	}
	return ok
}

func (p *typeParser) expect(token string) error {
	if !p.accept(token) {
		if p.rest == "" {
			return fmt.Errorf("%q is missing at the end", token)
		}
		return fmt.Errorf("%q belongs before %q", token, p.rest)
	}
	return nil
}
