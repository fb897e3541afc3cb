package document

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// bytesMax bounds what Decode reads: these files are written by hand.
const bytesMax = 1 << 20

// manual is where every remedy that knows nothing better points.
const manual = "see docs/operations.md"

// Resolve gives the value of a reference: for ${NAME} it is called with NAME.
type Resolve func(reference string) (string, error)

// Decode reads the one YAML document of text into a pointer to a struct, whose present values are the
// defaults. References in texts are resolved when resolve is not nil. The error is *Error. Lines that
// come with an error say that the rest was read: whoever finds more faults in it shows them with Also.
func Decode(file string, text []byte, into any, resolve Resolve) (Lines, error) {
	root, err := parse(file, text)
	if err != nil {
		return nil, err
	}
	if resolve != nil {
		if found := expand(root, resolve); len(found) > 0 {
			return nil, Faulty(file, found...)
		}
	}
	lines := make(Lines)
	lines.collect(root, "")
	found := unknownKeys(root, reflect.TypeOf(into).Elem())
	if err := root.Decode(into); err != nil {
		found = append(found, yamlError(file, err).Faults...)
		var typed *yaml.TypeError
		if !errors.As(err, &typed) {
			lines = nil // it was read up to there
		}
	}
	if len(found) > 0 {
		return lines, Faulty(file, found...)
	}
	return lines, nil
}

// Unreadable is what an UnmarshalYAML returns about a value, so that the other values are read all the
// same. The text ends with "; " and the remedy.
func Unreadable(n *yaml.Node, format string, args ...any) error {
	return &yaml.TypeError{Errors: []string{fmt.Sprintf("line %d: ", n.Line) + fmt.Sprintf(format, args...)}}
}

// parse reads exactly one document without aliases.
func parse(file string, text []byte) (*yaml.Node, error) {
	if len(text) > bytesMax {
		return nil, Faulty(file, Fault{Text: fmt.Sprintf("is larger than %d bytes", bytesMax),
			Remedy: "split it: one table per file"})
	}
	var root yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(text))
	if err := dec.Decode(&root); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, Faulty(file, Fault{Text: "is empty", Remedy: manual})
		}
		return nil, yamlError(file, err)
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, Faulty(file, Fault{Text: "has more than one document",
			Remedy: "remove what follows ---"})
	}
	if alias := firstAlias(&root); alias != nil {
		return nil, Faulty(file, Fault{Line: alias.Line, Text: "uses a YAML alias",
			Remedy: "write the value out"})
	}
	return &root, nil
}

func firstAlias(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n
	}
	for _, c := range n.Content {
		if found := firstAlias(c); found != nil {
			return found
		}
	}
	return nil
}

// expand replaces the references in all texts that are values.
func expand(n *yaml.Node, resolve Resolve) []Fault {
	var found []Fault
	if n.Kind == yaml.ScalarNode {
		value, err := Expand(n.Value, resolve)
		if err != nil {
			return []Fault{{Line: n.Line, Text: err.Error(), Remedy: "set it before the start"}}
		}
		n.Value = value
	}
	for i, c := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 {
			continue // a key
		}
		found = append(found, expand(c, resolve)...)
	}
	return found
}

// Expand resolves each ${NAME} of text; $${ stands for ${ itself.
func Expand(text string, resolve Resolve) (string, error) {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(text, "${")
		if !ok {
			return b.String() + text, nil
		}
		if escaped, isEscape := strings.CutSuffix(before, "$"); isEscape {
			b.WriteString(escaped + "${")
			text = rest
			continue
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed {
			return "", errors.New("a reference ${ has no end")
		}
		value, err := resolve(name)
		if err != nil {
			return "", err
		}
		b.WriteString(before + value)
		text = after
	}
}

// unknownKeys finds the keys that the struct type has no field for, at any depth.
func unknownKeys(n *yaml.Node, t reflect.Type) []Fault {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	var found []Fault
	switch {
	case n.Kind == yaml.DocumentNode:
		for _, c := range n.Content {
			found = append(found, unknownKeys(c, t)...)
		}
	case n.Kind == yaml.SequenceNode && t.Kind() == reflect.Slice:
		for _, c := range n.Content {
			found = append(found, unknownKeys(c, t.Elem())...)
		}
	case n.Kind == yaml.MappingNode && t.Kind() == reflect.Map:
		for i := 1; i < len(n.Content); i += 2 {
			found = append(found, unknownKeys(n.Content[i], t.Elem())...)
		}
	case n.Kind == yaml.MappingNode && t.Kind() == reflect.Struct:
		keys, fields := keysOf(t)
		for i := 0; i+1 < len(n.Content); i += 2 {
			field, ok := fields[n.Content[i].Value]
			if !ok {
				found = append(found, Fault{Line: n.Content[i].Line, Key: n.Content[i].Value,
					Text: "unknown key", Remedy: "known here: " + strings.Join(keys, ", ")})
				continue
			}
			found = append(found, unknownKeys(n.Content[i+1], field)...)
		}
	}
	return found
}

func keysOf(t reflect.Type) ([]string, map[string]reflect.Type) {
	var keys []string
	fields := map[string]reflect.Type{}
	for i := range t.NumField() {
		tag, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
		if tag == "" || tag == "-" {
			continue
		}
		keys = append(keys, tag)
		fields[tag] = t.Field(i).Type
	}
	return keys, fields
}

// yamlError turns what the YAML library says about a document into faults with lines and remedies.
func yamlError(file string, err error) *Error {
	messages := []string{err.Error()}
	var typed *yaml.TypeError
	if errors.As(err, &typed) {
		messages = typed.Errors
	}
	out := &Error{File: file}
	for _, message := range messages {
		out.Faults = append(out.Faults, yamlFault(message))
	}
	return out
}

func yamlFault(message string) Fault {
	lineError := regexp.MustCompile(`(?s)^(?:yaml: )?line (\d+): (.*)$`)
	wrongType := regexp.MustCompile("(?s)^cannot (?:unmarshal|construct) (!!\\w+)(?: `(.*)`)? into (.+)$")
	f := Fault{Text: strings.TrimPrefix(message, "yaml: "), Remedy: manual}
	if m := lineError.FindStringSubmatch(message); m != nil {
		f.Line, _ = strconv.Atoi(m[1]) // the expression admits digits only
		f.Text = m[2]
	}
	if m := wrongType.FindStringSubmatch(f.Text); m != nil {
		f.Text = fmt.Sprintf("%s where %s belongs", foundKind(m[1], m[2]), wantedKind(m[3]))
	}
	if text, remedy, ok := strings.Cut(f.Text, "; "); ok {
		f.Text, f.Remedy = text, remedy
	}
	return f
}

func foundKind(tag, value string) string {
	switch {
	case value != "":
		return strconv.Quote(value)
	case tag == "!!map":
		return "a mapping"
	case tag == "!!seq":
		return "a list"
	}
	return "a value of another kind"
}

func wantedKind(goType string) string {
	switch {
	case strings.HasPrefix(goType, "[]"):
		return "a list"
	case strings.HasPrefix(goType, "map["):
		return "a mapping"
	case goType == "bool":
		return "true or false"
	case strings.HasPrefix(goType, "int"), strings.HasPrefix(goType, "float"):
		return "a number"
	case goType == "string":
		return "a text"
	}
	return "a mapping"
}
