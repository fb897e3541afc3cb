package mapping

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// Mapping is a list of assignments, applied one after the other.
type Mapping struct{ assignments []assignment }

// assignment sets a field of the document.
type assignment struct {
	text   string
	target path
	value  expr
}

// path leads to a field: its name, within objects behind the names of these.
type path []string

func (p path) String() string { return strings.Join(p, ".") }

// Parse reads assignments. The error says which and where.
func Parse(texts []string) (*Mapping, error) {
	m := &Mapping{}
	for _, text := range texts {
		a, err := parseAssignment(text)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", text, err)
		}
		m.assignments = append(m.assignments, a)
	}
	return m, nil
}

// Apply returns the document with the assignments made. A document that is no JSON object is an error, as is a
// value that cannot be cast.
func (m *Mapping) Apply(document []byte) ([]byte, error) {
	if !utf8.Valid(document) { // the decoder would put other characters in its place
		return nil, errors.New("the payload is not UTF-8")
	}
	decoder := json.NewDecoder(bytes.NewReader(document))
	decoder.UseNumber()
	var object map[string]any
	if err := decoder.Decode(&object); err != nil {
		return nil, fmt.Errorf("the payload is no JSON object: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) || object == nil {
		return nil, errors.New("the payload is not one JSON object")
	}
	for _, a := range m.assignments {
		if err := a.apply(object); err != nil {
			return nil, fmt.Errorf("%s: %w", a.text, err)
		}
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(object); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// apply sets the target, unless the expression finds nothing. Other fields that it reads have moved.
func (a assignment) apply(object map[string]any) error {
	value, found, err := a.value.eval(object)
	if err != nil || !found {
		return err
	}
	for _, read := range a.value.reads(nil) {
		if !slices.Equal(read, a.target) {
			read.remove(object)
		}
	}
	return a.target.set(object, value)
}

// get returns the field, and false when it is not there.
func (p path) get(object map[string]any) (any, bool) {
	for _, name := range p[:len(p)-1] {
		inside, ok := object[name].(map[string]any)
		if !ok {
			return nil, false
		}
		object = inside
	}
	value, ok := object[p[len(p)-1]]
	return value, ok
}

// set makes the objects on the way where there are none.
func (p path) set(object map[string]any, value any) error {
	for i, name := range p[:len(p)-1] {
		switch inside := object[name].(type) {
		case map[string]any:
			object = inside
		case nil:
			made := map[string]any{}
			object[name], object = made, made
		default:
			return fmt.Errorf("%s is no object", p[:i+1])
		}
	}
	object[p[len(p)-1]] = value
	return nil
}

func (p path) remove(object map[string]any) {
	for _, name := range p[:len(p)-1] {
		inside, ok := object[name].(map[string]any)
		if !ok {
			return
		}
		object = inside
	}
	delete(object, p[len(p)-1])
}
