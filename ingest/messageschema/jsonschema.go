package messageschema

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/apache/iceberg-go"
)

// JSONSchemaColumns reads a JSON Schema (draft 4 to 2020-12) and returns the Iceberg form of the
// objects it describes. Imports are the texts of the schemas that $ref names.
func JSONSchemaColumns(text string, imports map[string]string) (Columns, error) {
	e := jsonExpander{imports: imports, parsed: map[string]any{}, open: map[string]bool{}}
	if len(text) > textBytesMax {
		return Columns{}, fmt.Errorf("parse JSON Schema: larger than %d bytes", textBytesMax)
	}
	var document any
	if err := json.Unmarshal([]byte(text), &document); err != nil {
		return Columns{}, fmt.Errorf("parse JSON Schema: %w", err)
	}
	root, ok := document.(map[string]any)
	if !ok {
		return Columns{}, errors.New("parse JSON Schema: it is not an object")
	}
	shape, err := e.shape(jsonNode{document: document, schema: root})
	if err != nil {
		return Columns{}, fmt.Errorf("parse JSON Schema: %w", err)
	}
	if shape.word != "object" {
		return Columns{}, errors.New("parse JSON Schema: records must be objects with properties")
	}
	fields, err := e.fields(shape)
	if err != nil {
		return Columns{}, fmt.Errorf("parse JSON Schema: %w", err)
	}
	return Columns{Fields: fields, Refusals: e.refusals}, nil
}

// jsonNode is a schema and the document that its local references mean.
type jsonNode struct {
	document any
	schema   map[string]any
}

// jsonShape is a schema with its references, alternatives and parts put together.
type jsonShape struct {
	jsonNode
	word       string // the type, "" when none or several
	nullable   bool
	properties map[string]jsonNode
	required   map[string]bool
	refs       []string // references followed, which stay open while what is inside is read
}

// jsonExpander holds the references that the present path goes through.
type jsonExpander struct {
	expander
	imports map[string]string
	parsed  map[string]any
	open    map[string]bool
	steps   int
}

// errRecursive says that a reference leads back to itself.
var errRecursive = errors.New("a type that holds itself")

// shape puts together what n says itself, by reference and in all its parts.
func (e *jsonExpander) shape(n jsonNode) (jsonShape, error) {
	s := jsonShape{jsonNode: n, properties: map[string]jsonNode{}, required: map[string]bool{}}
	s.schema = map[string]any{}
	err := e.merge(&s, n)
	return s, err
}

func (e *jsonExpander) merge(s *jsonShape, n jsonNode) error {
	if e.steps++; e.steps > 2*columnsMax {
		return fmt.Errorf("more than %d parts", 2*columnsMax)
	}
	if ref, ok := n.schema["$ref"].(string); ok {
		if e.open[ref] || slices.Contains(s.refs, ref) {
			return errRecursive
		}
		s.refs = append(s.refs, ref)
		target, err := e.resolve(n, ref)
		if err != nil {
			return err
		}
		if err := e.merge(s, target); err != nil {
			return err
		}
	}
	for key, value := range n.schema {
		if key != "properties" && key != "required" {
			s.schema[key] = value
		}
	}
	s.document = n.document
	s.mergeWord(n.schema["type"])
	properties, _ := n.schema["properties"].(map[string]any) // what is no object has no properties
	for name, property := range properties {
		schema, ok := property.(map[string]any)
		if !ok {
			schema = map[string]any{} // true or false: anything
		}
		s.properties[name] = jsonNode{document: n.document, schema: schema}
	}
	for _, name := range words(n.schema["required"]) {
		s.required[name] = true
	}
	if len(properties) > 0 && s.word == "" {
		s.word = "object"
	}
	return e.mergeParts(s, n)
}

// mergeParts takes in allOf, and the one alternative of oneOf or anyOf that is not null.
func (e *jsonExpander) mergeParts(s *jsonShape, n jsonNode) error {
	for _, part := range schemas(n.schema["allOf"]) {
		if err := e.merge(s, jsonNode{document: n.document, schema: part}); err != nil {
			return err
		}
	}
	for _, key := range []string{"oneOf", "anyOf"} {
		var values []map[string]any
		for _, part := range schemas(n.schema[key]) {
			if part["type"] == "null" {
				s.nullable = true
			} else {
				values = append(values, part)
			}
		}
		if len(values) == 1 {
			if err := e.merge(s, jsonNode{document: n.document, schema: values[0]}); err != nil {
				return err
			}
		} else if len(values) > 1 {
			s.word = ""
		}
	}
	return nil
}

func (s *jsonShape) mergeWord(v any) {
	list := words(v)
	if word, ok := v.(string); ok {
		list = []string{word}
	}
	var values []string
	for _, word := range list {
		if word == "null" {
			s.nullable = true
		} else {
			values = append(values, word)
		}
	}
	switch {
	case len(values) == 1:
		s.word = values[0]
	case len(values) == 2 && slices.Contains(values, "integer") && slices.Contains(values, "number"):
		s.word = "number"
	}
}

// resolve finds what a reference means: a place in the same document, or in another one.
func (e *jsonExpander) resolve(n jsonNode, ref string) (jsonNode, error) {
	name, pointer, _ := strings.Cut(ref, "#")
	document := n.document
	if name != "" {
		var ok bool
		if document, ok = e.parsed[name]; !ok {
			text, known := e.imports[name]
			if !known {
				return n, fmt.Errorf("reference %s is not among the schema's references", shorten(ref))
			}
			if err := json.Unmarshal([]byte(text), &document); err != nil {
				return n, fmt.Errorf("reference %s: %w", shorten(ref), err)
			}
			e.parsed[name] = document
		}
	}
	at := document
	for _, step := range strings.Split(strings.TrimPrefix(pointer, "/"), "/") {
		if step == "" {
			continue
		}
		step = strings.NewReplacer("~1", "/", "~0", "~").Replace(step)
		object, ok := at.(map[string]any)
		if !ok {
			return n, fmt.Errorf("reference %s leads nowhere", shorten(ref))
		}
		at = object[step]
	}
	schema, ok := at.(map[string]any)
	if !ok {
		return n, fmt.Errorf("reference %s leads nowhere", shorten(ref))
	}
	return jsonNode{document: document, schema: schema}, nil
}

// fields returns the columns of an object's properties, by name: JSON has no order of its own.
func (e *jsonExpander) fields(s jsonShape) ([]iceberg.NestedField, error) {
	for _, ref := range s.refs {
		e.open[ref] = true
		defer delete(e.open, ref)
	}
	var out []iceberg.NestedField
	for _, name := range slices.Sorted(maps.Keys(s.properties)) {
		field, err := e.field(name, s.properties[name])
		if err != nil {
			return nil, err
		}
		if field.Type != nil {
			field.Required = field.Required && s.required[name]
			out = append(out, field)
		}
	}
	return out, nil
}

// field returns a column, without type when there is none. Required says that null is no value.
func (e *jsonExpander) field(name string, n jsonNode) (iceberg.NestedField, error) {
	defer e.leave()
	if !e.enter(name) {
		return iceberg.NestedField{}, nil
	}
	s, err := e.shape(n)
	if errors.Is(err, errRecursive) {
		e.refuse("%s", err.Error())
		return iceberg.NestedField{}, nil
	}
	if err != nil {
		return iceberg.NestedField{}, err
	}
	t, err := e.typeOf(s)
	doc, _ := s.schema["description"].(string) // another type of description is none
	return iceberg.NestedField{Name: name, Type: t, Required: !s.nullable, Doc: doc}, err
}

func (e *jsonExpander) typeOf(s jsonShape) (iceberg.Type, error) {
	switch s.word {
	case "boolean":
		return iceberg.PrimitiveTypes.Bool, nil
	case "integer":
		return iceberg.PrimitiveTypes.Int64, nil
	case "number":
		return iceberg.PrimitiveTypes.Float64, nil
	case "string":
		return jsonText(s), nil
	case "object":
		return e.object(s)
	case "array":
		return e.array(s)
	}
	if s.schema["enum"] != nil && allStrings(s.schema["enum"]) {
		return iceberg.PrimitiveTypes.String, nil
	}
	e.refuse("no type, or several")
	return nil, nil
}

func jsonText(s jsonShape) iceberg.Type {
	switch s.schema["format"] {
	case "date-time":
		return iceberg.PrimitiveTypes.TimestampTz
	case "date":
		return iceberg.PrimitiveTypes.Date
	case "time":
		return iceberg.PrimitiveTypes.Time
	case "uuid":
		return iceberg.PrimitiveTypes.UUID
	}
	return iceberg.PrimitiveTypes.String
}

func (e *jsonExpander) object(s jsonShape) (iceberg.Type, error) {
	if len(s.properties) > 0 {
		fields, err := e.fields(s)
		if err != nil {
			return nil, err
		}
		return e.structOf(fields), nil
	}
	values, ok := s.schema["additionalProperties"].(map[string]any)
	if !ok {
		e.refuse("an object whose properties are not told")
		return nil, nil
	}
	value, err := e.inside("value", jsonNode{document: s.document, schema: values}, s.refs)
	if err != nil || value.Type == nil {
		return nil, err
	}
	return &iceberg.MapType{
		KeyType: iceberg.PrimitiveTypes.String, ValueType: value.Type, ValueRequired: value.Required,
	}, nil
}

func (e *jsonExpander) array(s jsonShape) (iceberg.Type, error) {
	items, ok := s.schema["items"].(map[string]any)
	if !ok {
		e.refuse("an array whose items are not of one type")
		return nil, nil
	}
	element, err := e.inside("element", jsonNode{document: s.document, schema: items}, s.refs)
	if err != nil || element.Type == nil {
		return nil, err
	}
	return &iceberg.ListType{Element: element.Type, ElementRequired: element.Required}, nil
}

// inside reads a part while the references that led to it stay open.
func (e *jsonExpander) inside(name string, n jsonNode, refs []string) (iceberg.NestedField, error) {
	for _, ref := range refs {
		e.open[ref] = true
		defer delete(e.open, ref)
	}
	return e.field(name, n)
}

func schemas(v any) []map[string]any {
	list, _ := v.([]any) // what is no list has no parts
	var out []map[string]any
	for _, item := range list {
		if schema, ok := item.(map[string]any); ok {
			out = append(out, schema)
		}
	}
	return out
}

func allStrings(v any) bool {
	list, ok := v.([]any)
	return ok && len(words(v)) == len(list)
}
