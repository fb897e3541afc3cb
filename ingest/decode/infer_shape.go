package decode

import (
	"bytes"
	"encoding/json"
	"strings"
)

// shape is what was seen of the values at one place of the samples.
type shape struct {
	kinds kinds
	count int // values seen, nulls included

	wide     bool   // an integer beyond 64 bits
	low, top int64  // the least and the greatest integer
	texts    textOf // what all strings have in common

	names   []string // of fields, in the order in which they were first seen
	fields  map[string]*shape
	objects int // objects seen
	element *shape
}

// kinds is the set of kinds of JSON values that were seen.
type kinds uint8

const (
	sawNull kinds = 1 << iota
	sawBool
	sawInteger
	sawFraction
	sawString
	sawObject
	sawArray
)

// String lists the kinds.
func (k kinds) String() string {
	var names []string
	for i, name := range []string{"null", "boolean", "integer", "number", "string", "object", "array"} {
		if k&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// textOf is the set of forms that strings were seen in.
type textOf uint8

const (
	textPlain textOf = 1 << iota
	textDate
	textTimestamp
	textZoned // a timestamp with zone
)

func newShape() *shape { return &shape{fields: map[string]*shape{}} }

// observeRecord adds a whole document, which must be an object.
func (s *shape) observeRecord(document []byte) bool {
	if !json.Valid(document) || bytes.TrimLeft(document, " \t\r\n")[0] != '{' {
		return false
	}
	s.observe(document)
	return true
}

// observe adds a value, which is known to be JSON.
func (s *shape) observe(value []byte) {
	decoder := json.NewDecoder(bytes.NewReader(value))
	decoder.UseNumber()
	s.observeNext(decoder)
}

// observeNext adds the value that comes next. An error of the decoder, which json.Valid rules out
// but for the depth, ends the value.
func (s *shape) observeNext(decoder *json.Decoder) {
	next, err := decoder.Token()
	if err != nil {
		return
	}
	s.count++
	switch v := next.(type) {
	case nil:
		s.kinds |= sawNull
	case bool:
		s.kinds |= sawBool
	case json.Number:
		s.observeNumber([]byte(v))
	case string:
		s.kinds |= sawString
		s.texts |= textForm([]byte(v))
	case json.Delim:
		if v == '{' {
			s.observeObject(decoder)
		} else {
			s.observeArray(decoder)
		}
	}
}

// observeNumber adds a number. What no type of number holds counts as a string too, so that the
// column becomes one.
func (s *shape) observeNumber(text []byte) {
	if bytes.ContainsAny(text, ".eE") {
		s.kinds |= sawFraction
		if _, ok := parseFloat(text, 64); !ok {
			s.kinds |= sawString
		}
		return
	}
	n := parseNumber(text)
	v, ok := n.integer()
	if n.digits+n.exponent > digitsMax {
		s.kinds |= sawString
	}
	if !ok {
		s.wide = true
	}
	if s.kinds&sawInteger == 0 {
		s.low, s.top = v, v
	}
	s.kinds |= sawInteger
	s.low, s.top = min(s.low, v), max(s.top, v)
}

func (s *shape) observeObject(decoder *json.Decoder) {
	s.kinds |= sawObject
	s.objects++
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			return
		}
		name, ok := key.(string)
		if !ok {
			return
		}
		s.field(name).observeNext(decoder)
	}
	_, _ = decoder.Token() // the closing brace; a fault shows in the next token too
}

func (s *shape) field(name string) *shape {
	field, ok := s.fields[name]
	if !ok {
		field = newShape()
		s.fields[name] = field
		s.names = append(s.names, name)
	}
	return field
}

func (s *shape) observeArray(decoder *json.Decoder) {
	s.kinds |= sawArray
	for decoder.More() {
		if s.element == nil {
			s.element = newShape()
		}
		before := s.element.count
		s.element.observeNext(decoder)
		if s.element.count == before {
			return
		}
	}
	_, _ = decoder.Token() // the closing bracket; a fault shows in the next token too
}

// join adds what another shape saw.
func (s *shape) join(o *shape) {
	if o.kinds&sawInteger != 0 {
		if s.kinds&sawInteger == 0 {
			s.low, s.top = o.low, o.top
		}
		s.low, s.top = min(s.low, o.low), max(s.top, o.top)
	}
	s.kinds |= o.kinds
	s.texts |= o.texts
	s.wide = s.wide || o.wide
	s.count += o.count
	s.objects += o.objects
	for _, name := range o.names {
		s.field(name).join(o.fields[name])
	}
	if o.element != nil {
		if s.element == nil {
			s.element = newShape()
		}
		s.element.join(o.element)
	}
}

// keysMin and keysRare make an object a map: it has many keys, and one of them is in few objects.
const keysMin, keysRare = 32, 8

// keysVary tells whether the keys of the object look like data rather than names of fields.
func (s *shape) keysVary() bool {
	present := 0
	for _, field := range s.fields {
		present += field.count
	}
	return len(s.names) >= keysMin && present*keysRare <= len(s.names)*s.objects
}

// textForm says what a string looks like.
func textForm(text []byte) textOf {
	k := clock{text: text}
	k.date()
	if k.class() == "" {
		return textDate
	}
	if _, class := parseTimestamp(text); class != "" {
		return textPlain
	}
	k = clock{text: text[len("2006-01-02T"):]}
	k.time()
	if len(k.text) > 0 {
		return textZoned
	}
	return textTimestamp
}

// The years in which an epoch is believed, in seconds.
const (
	epochLow = 946684800  // 2000-01-01
	epochTop = 4102444800 // 2100-01-01
)

// epochUnit tells the unit in which integers of a field of this name count from the epoch, if they
// look it: all within this century and the name one for times.
func (s *shape) epochUnit(name string) (TimeFormat, bool) {
	if !timeName(name) {
		return "", false
	}
	scale := int64(1)
	for _, unit := range []TimeFormat{TimeSeconds, TimeMillis, TimeMicros, TimeNanos} {
		if s.low >= epochLow*scale && s.top/scale < epochTop {
			return unit, true
		}
		scale *= 1000
	}
	return "", false
}

// timeName tells whether a field's name is one that people give to times.
func timeName(name string) bool {
	name = strings.ToLower(name)
	for _, word := range []string{"time", "date", "epoch"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	for _, word := range []string{"ts", "at", "created", "updated", "when"} {
		if name == word || strings.HasSuffix(name, "_"+word) || strings.HasPrefix(name, word+"_") {
			return true
		}
	}
	return strings.HasSuffix(name, "edat") // createdAt
}

// observeText adds a value that is written as text; nil is null.
func (s *shape) observeText(text []byte) {
	s.count++
	switch {
	case text == nil:
		s.kinds |= sawNull
	case isNumber(text):
		s.observeNumber(text)
	case string(text) == "true" || string(text) == "false":
		s.kinds |= sawBool
	default:
		s.kinds |= sawString
		s.texts |= textForm(text)
	}
}
