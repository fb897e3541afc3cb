package messageschema

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/apache/iceberg-go"
)

// ConnectType is a type of Kafka Connect, as its JSON converter writes it beside each value and its Avro
// converter into the names of types.
type ConnectType struct {
	// Type is the form of the values: int8 to int64, float, double, boolean, string, bytes, array,
	// map or struct.
	Type string `json:"type"`
	// Name is what the values mean: org.apache.kafka.connect.data.Decimal, or empty.
	Name       string            `json:"name"`
	Parameters map[string]string `json:"parameters"`
	Optional   bool              `json:"optional"`
	Doc        string            `json:"doc"`
	// Field is the name under which a struct has the type.
	Field  string        `json:"field"`
	Fields []ConnectType `json:"fields"`
	Items  *ConnectType  `json:"items"`  // array
	Keys   *ConnectType  `json:"keys"`   // map
	Values *ConnectType  `json:"values"` // map
}

// ConnectMeaning is what the values of a Connect type mean beyond their form.
type ConnectMeaning uint8

// The meanings of Connect's and Debezium's own types. Times of a zone are told apart from local ones.
const (
	ConnectPlain ConnectMeaning = iota
	ConnectDecimal
	ConnectVariableDecimal // a struct of scale and unscaled value
	ConnectDate            // days
	ConnectTimeMillis
	ConnectTimeMicros
	ConnectTimeNanos
	ConnectLocalMillis
	ConnectLocalMicros
	ConnectLocalNanos
	ConnectInstantMillis
	ConnectZonedTimestamp // text
	ConnectZonedTime      // text
	ConnectUUID           // text
	ConnectGeometry
)

// variableDecimalName is the name of Debezium's decimals without a scale of their own.
const variableDecimalName = "io.debezium.data.VariableScaleDecimal"

// geometryPrefix begins the names of Debezium's geometric types.
const geometryPrefix = "io.debezium.data.geometry."

// connectMeaning is what a type's name means, for values of a form.
type connectMeaning struct {
	form    string
	meaning ConnectMeaning
}

// connectMeanings returns the names that mean more than their form says: Interval, Year, Json, Xml, Enum,
// Bits and others are what they are written as.
func connectMeanings() map[string]connectMeaning {
	const connect, debezium = "org.apache.kafka.connect.data.", "io.debezium.time."
	return map[string]connectMeaning{
		connect + "Decimal":         {"bytes", ConnectDecimal},
		connect + "Date":            {"int32", ConnectDate},
		connect + "Time":            {"int32", ConnectTimeMillis},
		connect + "Timestamp":       {"int64", ConnectInstantMillis},
		debezium + "Date":           {"int32", ConnectDate},
		debezium + "Time":           {"int32", ConnectTimeMillis},
		debezium + "MicroTime":      {"int64", ConnectTimeMicros},
		debezium + "NanoTime":       {"int64", ConnectTimeNanos},
		debezium + "Timestamp":      {"int64", ConnectLocalMillis},
		debezium + "MicroTimestamp": {"int64", ConnectLocalMicros},
		debezium + "NanoTimestamp":  {"int64", ConnectLocalNanos},
		debezium + "ZonedTimestamp": {"string", ConnectZonedTimestamp},
		debezium + "ZonedTime":      {"string", ConnectZonedTime},
		"io.debezium.data.Uuid":     {"string", ConnectUUID},
		variableDecimalName:         {"struct", ConnectVariableDecimal},
	}
}

// Meaning is what values of the type mean.
func (t *ConnectType) Meaning() ConnectMeaning {
	if strings.HasPrefix(t.Name, geometryPrefix) {
		return ConnectGeometry
	}
	if m, ok := connectMeanings()[t.Name]; ok && m.form == t.Type {
		return m.meaning
	}
	return ConnectPlain
}

// Scale is the number of digits behind the point of a ConnectDecimal.
func (t *ConnectType) Scale() (int, error) {
	scale, err := strconv.Atoi(t.Parameters["scale"])
	if err != nil || scale < -decimalDigits || scale > decimalDigits {
		return 0, fmt.Errorf("decimal of scale %q", shorten(t.Parameters["scale"]))
	}
	return scale, nil
}

// decimalDigits is the widest decimal that Iceberg has.
const decimalDigits = 38

// At returns the type at a path of structs, or nil.
func (t *ConnectType) At(path ...string) *ConnectType {
	for _, name := range path {
		if t = t.field(name); t == nil {
			return nil
		}
	}
	return t
}

func (t *ConnectType) field(name string) *ConnectType {
	for i := range t.Fields {
		if t.Fields[i].Field == name {
			return &t.Fields[i]
		}
	}
	return nil
}

// ParseConnect reads the schema that Connect's JSON converter writes.
func ParseConnect(text []byte) (*ConnectType, error) {
	if len(text) > textBytesMax {
		return nil, fmt.Errorf("parse Connect schema: larger than %d bytes", textBytesMax)
	}
	t := &ConnectType{}
	if err := json.Unmarshal(text, t); err != nil {
		return nil, fmt.Errorf("parse Connect schema: %w", err)
	}
	if err := t.check(0); err != nil {
		return nil, fmt.Errorf("parse Connect schema: %w", err)
	}
	return t, nil
}

// check refuses types that lack a part.
func (t *ConnectType) check(depth int) error {
	if depth > depthMax {
		return fmt.Errorf("nested deeper than %d levels", depthMax)
	}
	switch t.Type {
	case "int8", "int16", "int32", "int64", "float", "float32", "double", "float64", "boolean", "string",
		"bytes":
		return nil
	case "array":
		if t.Items == nil {
			return errors.New("an array without items")
		}
		return t.Items.check(depth + 1)
	case "map":
		if t.Keys == nil || t.Values == nil {
			return errors.New("a map without keys or values")
		}
		return errors.Join(t.Keys.check(depth+1), t.Values.check(depth+1))
	case "struct":
		seen := map[string]bool{}
		for i := range t.Fields {
			f := &t.Fields[i]
			if f.Field == "" || seen[f.Field] {
				return fmt.Errorf("field %q without a name of its own", shorten(f.Field))
			}
			seen[f.Field] = true
			if err := f.check(depth + 1); err != nil {
				return fmt.Errorf("%s: %w", shorten(f.Field), err)
			}
		}
		return nil
	}
	return fmt.Errorf("unknown type %q", shorten(t.Type))
}

// Columns returns the Iceberg form of a struct.
func (t *ConnectType) Columns(options Options) Columns {
	e := expander{options: options}
	fields := e.connectFields(t.Fields)
	return Columns{Fields: fields, Refusals: e.refusals}
}

func (e *expander) connectFields(list []ConnectType) []iceberg.NestedField {
	var out []iceberg.NestedField
	for i := range list {
		if field, ok := e.connectField(&list[i], list[i].Field); ok {
			out = append(out, field)
		}
	}
	return out
}

func (e *expander) connectField(t *ConnectType, name string) (iceberg.NestedField, bool) {
	defer e.leave()
	if !e.enter(name) {
		return iceberg.NestedField{}, false
	}
	of := e.connectType(t)
	return iceberg.NestedField{Name: name, Type: of, Required: !t.Optional, Doc: t.Doc}, of != nil
}

func (e *expander) connectType(t *ConnectType) iceberg.Type {
	prim := iceberg.PrimitiveTypes
	switch t.Meaning() {
	case ConnectDecimal:
		return e.connectDecimal(t)
	case ConnectVariableDecimal:
		return e.refuseVariableDecimal()
	case ConnectDate:
		return prim.Date
	case ConnectTimeMillis, ConnectTimeMicros, ConnectTimeNanos:
		return prim.Time
	case ConnectLocalMillis, ConnectLocalMicros:
		return prim.Timestamp
	case ConnectLocalNanos:
		if e.options.Nanoseconds {
			return prim.TimestampNs
		}
		return prim.Timestamp
	case ConnectInstantMillis, ConnectZonedTimestamp:
		return prim.TimestampTz
	case ConnectUUID:
		return prim.UUID
	case ConnectGeometry:
		return e.refuseGeometry(t.Name)
	}
	return e.connectPlain(t)
}

func (e *expander) refuseVariableDecimal() iceberg.Type {
	e.refuse("a decimal without precision and scale: give its column a decimal type, or set " +
		"decimal.handling.mode to string in the connector")
	return nil
}

func (e *expander) refuseGeometry(name string) iceberg.Type {
	e.refuse("%s has no column type: convert it to text in the connector", shorten(name))
	return nil
}

func (e *expander) connectPlain(t *ConnectType) iceberg.Type {
	prim := iceberg.PrimitiveTypes
	switch t.Type {
	case "int8", "int16", "int32":
		return prim.Int32
	case "int64":
		return prim.Int64
	case "float", "float32":
		return prim.Float32
	case "double", "float64":
		return prim.Float64
	case "boolean":
		return prim.Bool
	case "bytes":
		return prim.Binary
	case "array":
		element, ok := e.connectField(t.Items, "element")
		if !ok {
			return nil
		}
		return &iceberg.ListType{Element: element.Type, ElementRequired: element.Required}
	case "map":
		if t.Keys.Type != "string" {
			e.refuse("a map whose keys are not strings")
			return nil
		}
		value, ok := e.connectField(t.Values, "value")
		if !ok {
			return nil
		}
		return &iceberg.MapType{KeyType: prim.String, ValueType: value.Type, ValueRequired: value.Required}
	case "struct":
		return e.structOf(e.connectFields(t.Fields))
	}
	return prim.String
}

// connectDecimal is the column of a decimal. Its precision is a parameter that sources may leave out.
func (e *expander) connectDecimal(t *ConnectType) iceberg.Type {
	scale, err := t.Scale()
	if err != nil || scale < 0 {
		e.refuse("a decimal of scale %q", shorten(t.Parameters["scale"]))
		return nil
	}
	precision := decimalDigits
	if text, ok := t.Parameters["connect.decimal.precision"]; ok {
		if precision, err = strconv.Atoi(text); err != nil || precision < 1 {
			e.refuse("a decimal of precision %q", shorten(text))
			return nil
		}
	}
	if precision > decimalDigits || scale > precision {
		e.refuse("a decimal of %d digits; Iceberg has %d", max(precision, scale), decimalDigits)
		return nil
	}
	return iceberg.DecimalTypeOf(precision, scale)
}
