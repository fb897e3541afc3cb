package messageschema

import (
	"strconv"
	"strings"
)

// At returns the type at a path of records, without its null, or nil.
func (t *AvroType) At(path ...string) *AvroType {
	t, _ = t.Optional()
	for _, name := range path {
		inner := t.field(name)
		if inner == nil {
			return nil
		}
		t, _ = inner.Optional()
	}
	return t
}

func (t *AvroType) field(name string) *AvroType {
	for i := range t.Fields {
		if t.Fields[i].Name == name {
			return t.Fields[i].Type
		}
	}
	return nil
}

// setConnect reads the name that Connect's converter gives to a type: its own logical types come with
// Avro's, those of Debezium with the name alone.
func (t *AvroType) setConnect(m map[string]any) {
	name, _ := m["connect.name"].(string) // no name is no fault
	if name == "" {
		return
	}
	forms := map[AvroKind]string{AvroInt: "int32", AvroLong: "int64", AvroString: "string", AvroBytes: "bytes"}
	connect := ConnectType{Name: name, Type: forms[t.Kind]}
	switch meaning := connect.Meaning(); meaning {
	case ConnectDecimal:
		t.setConnectDecimal(m)
	case ConnectPlain:
	default:
		if logical, ok := connectAvro()[meaning]; ok {
			t.Logical = logical
		}
	}
}

// connectAvro returns the logical types that stand for Connect's meanings; what has none stays text.
func connectAvro() map[ConnectMeaning]AvroLogical {
	return map[ConnectMeaning]AvroLogical{
		ConnectDate: AvroDate, ConnectTimeMillis: AvroTimeMillis, ConnectTimeMicros: AvroTimeMicros,
		ConnectTimeNanos: AvroTimeNanos, ConnectLocalMillis: AvroLocalTimestampMillis,
		ConnectLocalMicros: AvroLocalTimestampMicros, ConnectLocalNanos: AvroLocalTimestampNanos,
		ConnectInstantMillis: AvroTimestampMillis, ConnectZonedTimestamp: AvroZonedTimestamp,
		ConnectUUID: AvroUUID,
	}
}

// setConnectDecimal reads the precision of a decimal from the source's parameters: the converter itself
// writes 64 whenever it was not told.
func (t *AvroType) setConnectDecimal(m map[string]any) {
	parameters, _ := m["connect.parameters"].(map[string]any) // without them Avro's own count
	text, _ := parameters["connect.decimal.precision"].(string)
	precision, err := strconv.Atoi(text)
	if t.Logical == AvroDecimal && err == nil && precision > 0 && t.Scale <= precision {
		t.Precision = precision
	} else if t.Logical == AvroDecimal && t.Precision == connectPrecision && t.Scale <= decimalDigits {
		t.Precision = decimalDigits
	}
}

// connectPrecision is what the converter writes for a decimal whose precision it does not know.
const connectPrecision = 64

// setConnectRecord tells the records that stand for a value.
func (t *AvroType) setConnectRecord() {
	switch {
	case strings.HasPrefix(t.Name, geometryPrefix):
		t.Logical = AvroGeometry
	case t.Name == variableDecimalName && len(t.Fields) == 2:
		scale, value := t.field("scale"), t.field("value")
		if scale != nil && scale.Kind == AvroInt && value != nil && value.Kind == AvroBytes {
			t.Logical = AvroVariableDecimal
		}
	}
}
