package sample

import (
	"encoding/binary"
	"math"
	"math/big"

	"github.com/firthlake/firth/ingest/messageschema"
)

// depthMax ends schemas that hold themselves: below it unions are null, and lists and maps empty.
const depthMax = 6

// avroValue is a value that is wanted: its type, the name of its field, and how deep it lies.
type avroValue struct {
	kind  *messageschema.AvroType
	name  string
	depth int
}

func (v avroValue) of(kind *messageschema.AvroType) avroValue {
	return avroValue{kind, v.name, v.depth + 1}
}

// appendAvro makes a value in Avro's binary encoding.
func (m *Maker) appendAvro(dst []byte, v avroValue) []byte {
	switch v.kind.Kind {
	case messageschema.AvroBoolean:
		return append(dst, byte(m.below(2)))
	case messageschema.AvroInt, messageschema.AvroLong:
		return binary.AppendVarint(dst, m.avroInteger(v))
	case messageschema.AvroFloat:
		return binary.LittleEndian.AppendUint32(dst, math.Float32bits(float32(m.below(10_000))/4))
	case messageschema.AvroDouble:
		return binary.LittleEndian.AppendUint64(dst, math.Float64bits(float64(m.below(10_000))/4))
	case messageschema.AvroBytes:
		return appendAvroBytes(dst, m.avroBytes(v, 0))
	case messageschema.AvroFixed:
		return append(dst, m.avroBytes(v, v.kind.Size)...)
	case messageschema.AvroString:
		return appendAvroBytes(dst, []byte(m.avroText(v)))
	case messageschema.AvroEnum:
		return binary.AppendVarint(dst, m.below(int64(max(1, len(v.kind.Symbols)))))
	case messageschema.AvroRecord:
		for _, f := range v.kind.Fields {
			dst = m.appendAvro(dst, avroValue{f.Type, f.Name, v.depth + 1})
		}
	case messageschema.AvroUnion:
		at := m.branch(v)
		return m.appendAvro(binary.AppendVarint(dst, int64(at)), v.of(v.kind.Branches[at]))
	case messageschema.AvroArray, messageschema.AvroMap:
		return m.appendAvroItems(dst, v)
	}
	return dst
}

// appendAvroItems makes the items of a list or a map, of which there are few.
func (m *Maker) appendAvroItems(dst []byte, v avroValue) []byte {
	if n := m.below(3); n > 0 && v.depth < depthMax {
		dst = binary.AppendVarint(dst, n)
		for range n {
			if v.kind.Kind == messageschema.AvroMap {
				dst = appendAvroBytes(dst, []byte(m.text(v.name)))
			}
			dst = m.appendAvro(dst, v.of(v.kind.Items))
		}
	}
	return append(dst, 0)
}

// branch chooses of a union.
func (m *Maker) branch(v avroValue) int {
	null, values := -1, []int{}
	for i, b := range v.kind.Branches {
		if b.Kind == messageschema.AvroNull {
			null = i
			continue
		}
		values = append(values, i)
	}
	if null >= 0 && (len(values) == 0 || v.depth >= depthMax || m.null(v.name, false)) {
		return null
	}
	return values[m.below(int64(len(values)))]
}

func (m *Maker) avroInteger(v avroValue) int64 {
	millis := m.millis()
	const day = 24 * 60 * 60 * 1000
	switch v.kind.Logical {
	case messageschema.AvroDate:
		return millis / day
	case messageschema.AvroTimeMillis:
		return millis % day
	case messageschema.AvroTimeMicros:
		return millis % day * 1000
	case messageschema.AvroTimeNanos:
		return millis % day * 1_000_000
	case messageschema.AvroTimestampMillis, messageschema.AvroLocalTimestampMillis:
		return millis
	case messageschema.AvroTimestampMicros, messageschema.AvroLocalTimestampMicros:
		return millis * 1000
	case messageschema.AvroTimestampNanos, messageschema.AvroLocalTimestampNanos:
		return millis * 1_000_000
	}
	return m.integer(v.name)
}

func (m *Maker) avroText(v avroValue) string {
	switch v.kind.Logical {
	case messageschema.AvroUUID:
		return m.uuid()
	case messageschema.AvroZonedTimestamp:
		return "2026-01-01T00:00:00Z"
	}
	return m.text(v.name)
}

// avroBytes makes bytes, size of them unless it is 0; those of a decimal hold its unscaled value.
func (m *Maker) avroBytes(v avroValue, size int) []byte {
	if v.kind.Logical != messageschema.AvroDecimal {
		if size == 0 {
			size = 8
		}
		return m.bytes(size)
	}
	digits := min(v.kind.Precision, 6)
	limit := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(digits)), nil)
	unscaled := big.NewInt(m.below(limit.Int64())).Bytes()
	if size == 0 {
		return append([]byte{0}, unscaled...) // a zero in front keeps the sign
	}
	out := make([]byte, size)
	copy(out[max(0, size-len(unscaled)):], unscaled[max(0, len(unscaled)-size):])
	return out
}

func appendAvroBytes(dst, value []byte) []byte {
	return append(binary.AppendVarint(dst, int64(len(value))), value...)
}
