package table

import (
	"fmt"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/iceberg-go"
	"github.com/google/uuid"
)

// partitionValue is what a file says about its partition: spec, values by partition field id, and
// the order its rows are in (0 for none).
type partitionValue struct {
	spec         *iceberg.PartitionSpec
	values       map[int]any
	logicalTypes map[int]string
	sortOrderID  int
}

// partitioner gives each row the ordinal of its partition. Partitions are numbered as they first
// appear; it knows all that it has seen.
type partitioner struct {
	spec   *iceberg.PartitionSpec
	fields []*partitionField
	// tuples has the codes of each partition, one per field, when there are several fields.
	tuples  [][]uint32
	pairs   []map[uint64]uint32 // per field after the first: prefix and code to longer prefix
	scratch []uint32
}

// partitionField turns the values of one field of the spec into small numbers, codes, that stand for
// them.
type partitionField struct {
	id        int
	transform *transform
	keys      keys
	ints      map[int64]uint32
	decimals  map[decimal128.Num]uint32
	texts     map[string]uint32
	values    []any  // by code; nil is null
	null      uint32 // the code of null, noCode before it was seen
}

const noCode = math.MaxUint32

func newPartitioner(schema *iceberg.Schema, spec *iceberg.PartitionSpec) (*partitioner, error) {
	p := &partitioner{spec: spec}
	for _, field := range spec.Fields() {
		t := &transform{kind: keyNothing}
		var err error
		if _, isVoid := field.Transform.(iceberg.VoidTransform); !isVoid {
			if t, err = compileTransform(schema, field.SourceIDs, field.Transform); err != nil {
				return nil, fmt.Errorf("partition field %s: %w", field.Name, err)
			}
		}
		p.fields = append(p.fields, &partitionField{
			id: field.FieldID, transform: t, null: noCode,
			ints: map[int64]uint32{}, decimals: map[decimal128.Num]uint32{}, texts: map[string]uint32{},
		})
	}
	p.pairs = make([]map[uint64]uint32, len(p.fields))
	for i := range p.pairs {
		p.pairs[i] = map[uint64]uint32{}
	}
	return p, nil
}

// count is the number of partitions seen.
func (p *partitioner) count() int {
	if len(p.fields) == 1 {
		return len(p.fields[0].values)
	}
	return len(p.tuples)
}

// ordinals sets dst to the partitions of the rows of batch.
func (p *partitioner) ordinals(dst []uint32, batch arrow.RecordBatch) ([]uint32, error) {
	n := int(batch.NumRows())
	if cap(dst) < n {
		dst = make([]uint32, n)
	}
	dst = dst[:n]
	if cap(p.scratch) < n {
		p.scratch = make([]uint32, n)
	}
	codes := p.scratch[:n]
	for i, field := range p.fields {
		if err := field.transform.eval(&field.keys, batch); err != nil {
			return nil, err
		}
		if i == 0 {
			field.encode(dst)
			continue
		}
		field.encode(codes)
		p.pair(i, dst, codes)
	}
	return dst, nil
}

// pair extends the prefixes in dst by the codes of field i.
func (p *partitioner) pair(i int, dst, codes []uint32) {
	last := i == len(p.fields)-1
	lastKey, lastOrdinal := uint64(math.MaxUint64), uint32(0)
	for row, code := range codes {
		key := uint64(dst[row])<<32 | uint64(code)
		if key == lastKey {
			dst[row] = lastOrdinal
			continue
		}
		ordinal, ok := p.pairs[i][key]
		if !ok {
			ordinal = uint32(len(p.pairs[i]))
			p.pairs[i][key] = ordinal
			if last {
				p.tuples = append(p.tuples, p.unfold(i, key))
			}
		}
		lastKey, lastOrdinal = key, ordinal
		dst[row] = ordinal
	}
}

// unfold finds the codes that a new prefix of field i stands for. It runs once per partition.
func (p *partitioner) unfold(i int, key uint64) []uint32 {
	prefix, code := uint32(key>>32), uint32(key)
	if i == 1 {
		return []uint32{prefix, code}
	}
	for shorter, ordinal := range p.pairs[i-1] {
		if ordinal == prefix {
			return append(p.unfold(i-1, shorter), code)
		}
	}
	panic("BUG: partition prefix without a key")
}

// value describes partition ordinal for a file.
func (p *partitioner) value(ordinal uint32) partitionValue {
	v := partitionValue{
		spec: p.spec, values: map[int]any{}, logicalTypes: map[int]string{},
	}
	for i, field := range p.fields {
		code := ordinal
		if len(p.fields) > 1 {
			code = p.tuples[ordinal][i]
		}
		v.values[field.id] = field.values[code]
		if logical := logicalType(field.transform.result); logical != "" {
			v.logicalTypes[field.id] = logical
		}
	}
	return v
}

// logicalType is Avro's name for the type of a partition value, by which manifests are read back.
func logicalType(typ iceberg.Type) string {
	switch typ.(type) {
	case iceberg.DateType:
		return "date"
	case iceberg.TimeType:
		return "time-micros"
	case iceberg.TimestampType, iceberg.TimestampTzType:
		return "timestamp-micros"
	case iceberg.TimestampNsType, iceberg.TimestampTzNsType:
		return "timestamp-nanos"
	case iceberg.DecimalType:
		return "decimal"
	case iceberg.UUIDType:
		return "uuid"
	}
	return ""
}

// encode sets codes to those of the keys that were evaluated last.
func (f *partitionField) encode(codes []uint32) {
	switch f.transform.kind {
	case keyNothing:
		null := f.nullCode()
		for row := range codes {
			codes[row] = null
		}
	case keyDecimals:
		for row := range codes {
			codes[row] = f.decimalCode(row)
		}
	case keyText:
		for row := range codes {
			codes[row] = f.textCode(row)
		}
	default:
		f.encodeInts(codes)
	}
}

func (f *partitionField) encodeInts(codes []uint32) {
	// Neighbours are often of one partition, and then need no look-up.
	known, lastCode := false, uint32(0)
	var last int64
	for row := range codes {
		if f.keys.isNull(row) {
			codes[row] = f.nullCode()
			continue
		}
		v := f.keys.ints[row]
		if !known || v != last {
			code, ok := f.ints[v]
			if !ok {
				code = f.newCode(f.intValue(v))
				f.ints[v] = code
			}
			known, last, lastCode = true, v, code
		}
		codes[row] = lastCode
	}
}

func (f *partitionField) decimalCode(row int) uint32 {
	if f.keys.isNull(row) {
		return f.nullCode()
	}
	v := f.keys.decimals[row]
	code, ok := f.decimals[v]
	if !ok {
		scale := f.transform.result.(iceberg.DecimalType).Scale()
		code = f.newCode(iceberg.Decimal{Val: v, Scale: scale})
		f.decimals[v] = code
	}
	return code
}

func (f *partitionField) textCode(row int) uint32 {
	if f.keys.isNull(row) {
		return f.nullCode()
	}
	v := f.keys.text(row)
	code, ok := f.texts[string(v)]
	if !ok {
		code = f.newCode(f.textValue(v))
		f.texts[string(v)] = code
	}
	return code
}

func (f *partitionField) nullCode() uint32 {
	if f.null == noCode {
		f.null = f.newCode(nil)
	}
	return f.null
}

func (f *partitionField) newCode(value any) uint32 {
	f.values = append(f.values, value)
	return uint32(len(f.values) - 1)
}

// intValue is v in the Go type that manifests hold for the field's type.
func (f *partitionField) intValue(v int64) any {
	switch f.transform.result.(type) {
	case iceberg.BooleanType:
		return v != 0
	case iceberg.Int32Type:
		return int32(v)
	case iceberg.DateType:
		return iceberg.Date(v)
	case iceberg.TimeType:
		return iceberg.Time(v)
	case iceberg.TimestampType, iceberg.TimestampTzType:
		return iceberg.Timestamp(v)
	case iceberg.TimestampNsType, iceberg.TimestampTzNsType:
		return iceberg.TimestampNano(v)
	case iceberg.Float32Type:
		return math.Float32frombits(uint32(v))
	case iceberg.Float64Type:
		return math.Float64frombits(uint64(v))
	}
	return v
}

func (f *partitionField) textValue(v []byte) any {
	switch f.transform.result.(type) {
	case iceberg.StringType:
		return string(v)
	case iceberg.UUIDType:
		return uuid.UUID(v)
	}
	return append([]byte{}, v...)
}
