package table

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
)

// sortOrder turns rows into byte strings that compare as the rows are to be ordered.
type sortOrder struct {
	id     int
	fields []*sortField
	// z is set when the fields take turns, bit by bit; then they have one of its columns each.
	z    *ZOrder
	turn []uint64
	bits *zSpread
}

type sortField struct {
	transform  *transform
	keys       keys
	descending bool
	nullsLast  bool
}

func newSortOrder(schema *iceberg.Schema, order icetable.SortOrder) (*sortOrder, error) {
	s := &sortOrder{id: order.OrderID()}
	for i, field := range order.Fields() {
		t, err := compileTransform(schema, field.SourceIDs, field.Transform)
		if err != nil {
			return nil, fmt.Errorf("sort field %d: %w", i+1, err)
		}
		descending := field.Direction == icetable.SortDESC
		nullsLast := field.NullOrder == icetable.NullsLast
		if field.NullOrder == "" {
			nullsLast = descending
		}
		s.fields = append(s.fields, &sortField{
			transform: t, descending: descending, nullsLast: nullsLast})
	}
	return s, nil
}

// bind finds the columns in schema.
func (z *ZOrder) bind(schema *iceberg.Schema) (*sortOrder, error) {
	s := &sortOrder{z: z, turn: make([]uint64, len(z.columns)), bits: newZSpread(len(z.columns))}
	for _, c := range z.columns {
		t, err := compileTransform(schema, []int{c.fieldID}, iceberg.IdentityTransform{})
		if err != nil {
			return nil, fmt.Errorf("z-order: %w", err)
		}
		s.fields = append(s.fields, &sortField{transform: t})
	}
	return s, nil
}

// sortKeys are the keys of the rows of one batch.
type sortKeys struct {
	data []byte
	ends []int
}

func (k *sortKeys) at(row int) []byte {
	start := 0
	if row > 0 {
		start = k.ends[row-1]
	}
	return k.data[start:k.ends[row]]
}

// head is the beginning of a key, or all of it when the order is exact: the marker of nulls, then
// eight bytes.
func (k *sortKeys) head(row int) (marker uint32, low uint64) {
	key := k.at(row)
	if len(key) >= 9 {
		return uint32(key[0]), binary.BigEndian.Uint64(key[1:])
	}
	var buf [9]byte
	copy(buf[:], key)
	return uint32(buf[0]), binary.BigEndian.Uint64(buf[1:])
}

// exact says that rows with equal heads have equal keys.
func (s *sortOrder) exact() bool {
	return s.z == nil && len(s.fields) == 1 && s.fields[0].transform.kind != keyText &&
		s.fields[0].transform.kind != keyDecimals
}

// encode replaces k by the keys of batch.
func (s *sortOrder) encode(k *sortKeys, batch arrow.RecordBatch) error {
	for _, field := range s.fields {
		if err := field.transform.eval(&field.keys, batch); err != nil {
			return err
		}
	}
	n := int(batch.NumRows())
	k.data, k.ends = k.data[:0], slices.Grow(k.ends[:0], n)[:n]
	for row := range n {
		if s.z != nil {
			k.data = s.appendTurns(k.data, row)
		} else {
			for _, field := range s.fields {
				k.data = field.append(k.data, row)
			}
		}
		k.ends[row] = len(k.data)
	}
	return nil
}

// appendTurns appends the key of a row in z-order.
func (s *sortOrder) appendTurns(key []byte, row int) []byte {
	for i, field := range s.fields {
		s.turn[i] = 0
		if column := &s.z.columns[i]; !field.keys.isNull(row) {
			s.turn[i] = column.key(column.point(field.transform.kind, &field.keys, row))
		}
	}
	return s.bits.append(key, s.turn)
}

// append adds the key of one field: a marker that puts nulls first or last, then the value in bytes
// that compare as it does, inverted for a descending order.
func (f *sortField) append(key []byte, row int) []byte {
	const low, high = 0, 1
	null := f.transform.kind == keyNothing || f.keys.isNull(row)
	if null != f.nullsLast {
		key = append(key, low)
	} else {
		key = append(key, high)
	}
	if null {
		return key
	}
	start := len(key)
	switch f.transform.kind {
	case keyFloats32:
		v := float64(math.Float32frombits(uint32(f.keys.ints[row])))
		key = binary.BigEndian.AppendUint64(key, orderedFloat(v))
	case keyFloats64:
		v := math.Float64frombits(uint64(f.keys.ints[row]))
		key = binary.BigEndian.AppendUint64(key, orderedFloat(v))
	case keyDecimals:
		v := f.keys.decimals[row]
		key = binary.BigEndian.AppendUint64(key, uint64(v.HighBits())^1<<63)
		key = binary.BigEndian.AppendUint64(key, v.LowBits())
	case keyText:
		key = appendOrderedText(key, f.keys.text(row))
	default:
		key = binary.BigEndian.AppendUint64(key, uint64(f.keys.ints[row])^1<<63)
	}
	if f.descending {
		for i := start; i < len(key); i++ {
			key[i] = ^key[i]
		}
	}
	return key
}

// orderedFloat maps floats to integers of the same order: -0 before +0, NaN last.
func orderedFloat(v float64) uint64 {
	if v != v {
		return math.MaxUint64
	}
	bits := math.Float64bits(v)
	if bits>>63 == 1 {
		return ^bits
	}
	return bits | 1<<63
}

// appendOrderedText escapes zeros and ends with two, so that no text is the beginning of another's
// key.
func appendOrderedText(key, text []byte) []byte {
	for {
		zero := bytes.IndexByte(text, 0)
		if zero < 0 {
			return append(append(key, text...), 0, 0)
		}
		key = append(append(key, text[:zero]...), 0, 0xff)
		text = text[zero+1:]
	}
}
