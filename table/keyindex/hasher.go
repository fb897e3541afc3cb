package keyindex

import (
	"cmp"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
)

// Seed keys the hash of an index. It is drawn when an index is begun, lies in its manifest and is
// shown to nobody: who could know it could make rows whose keys are equal.
type Seed struct{ High, Low uint64 }

// Null is a row that has no key, since a column of the identifier is null in it.
type Null struct {
	// Row is the row's place in the batch, from 0.
	Row int
	// Column is the path of the first column that is null, by field id.
	Column string
}

// ErrNull is what every Null is.
var ErrNull = errors.New("identifier is null")

// Error tells the column and the row.
func (n Null) Error() string {
	return fmt.Sprintf("row %d has no key: column %s is part of the identifier and null in it: "+
		"send a value, or take the column out of the identifier", n.Row, n.Column)
}

// Unwrap is ErrNull.
func (n Null) Unwrap() error { return ErrNull }

// Hasher makes keys of the identifier columns of record batches, column by column. It keeps scratch
// memory between batches and belongs to one goroutine.
//
//	value ─► 128 bits: itself, or the hash of its bytes      state of the row ─┐
//	                   └──────────────── xor ────────────────────────┴► permute ─► state ... ─► key
//
// The permutation is keyed by the seed and moves every bit. An identifier of one column of up to 128
// bits therefore has a key of its own for each value; all others collide by chance only, among 100
// million keys once in 10^22. Values that Iceberg's promotions keep equal have equal keys.
type Hasher struct {
	fields []keyField
	keys   schedule
	hidden []Null
	// columns are the ways to the fields in batches of schema, the last one seen.
	schema  *arrow.Schema
	columns []columnPath
}

// columnPath is where a column is in a batch: the first number is the batch's, others those of structs.
type columnPath []int

// Hasher returns a Hasher of the index's keys for batches of a table of this schema. It refuses a schema
// whose identifier is not the index's.
func (x *Index) Hasher(schema *iceberg.Schema) (*Hasher, error) {
	fields, err := identifierFields(schema)
	if err != nil {
		return nil, err
	}
	if is := fingerprint(fields); is != x.opts.Identifier {
		return nil, fmt.Errorf("key index is of identifier %q, the schema's is %q: open it anew",
			x.opts.Identifier, is)
	}
	return newHasher(fields, x.seed), nil
}

// Hashers is Hasher for several goroutines, also while one changes the index.
func (x *Index) Hashers() func(schema *iceberg.Schema) (*Hasher, error) {
	own := &Index{opts: Options{Identifier: x.opts.Identifier}, seed: x.seed}
	return own.Hasher
}

// NewHasher returns a Hasher of keys that are in no index.
func NewHasher(schema *iceberg.Schema, seed Seed) (*Hasher, error) {
	fields, err := identifierFields(schema)
	if err != nil {
		return nil, err
	}
	return newHasher(fields, seed), nil
}

func newHasher(fields []keyField, seed Seed) *Hasher {
	return &Hasher{fields: fields, keys: newSchedule(seed)}
}

// Keys sets dst, which grows as needed, to the keys of the rows of batch. Rows without a key are
// listed, in order, each once, and have the zero Key; the list is valid until the next call. Columns are
// found by field id, so batches may have any columns besides those of the identifier.
func (h *Hasher) Keys(dst []Key, batch arrow.RecordBatch) ([]Key, []Null, error) {
	if err := h.resolve(batch.Schema()); err != nil {
		return nil, nil, err
	}
	rows := int(batch.NumRows())
	dst = slices.Grow(dst[:0], rows)[:rows]
	clear(dst)
	h.hidden = h.hidden[:0]
	for i := range h.fields {
		f := &h.fields[i]
		column := batch.Column(h.columns[i][0])
		h.addNulls(column, f.name)
		for _, child := range h.columns[i][1:] {
			column = column.(*array.Struct).Field(child)
			h.addNulls(column, f.name)
		}
		if err := f.add(&h.keys, dst, column); err != nil {
			return nil, nil, fmt.Errorf("key of column %s: %w", f.name, err)
		}
	}
	for _, null := range h.hidden {
		dst[null.Row] = Key{}
	}
	slices.SortStableFunc(h.hidden, func(a, b Null) int { return cmp.Compare(a.Row, b.Row) })
	h.hidden = slices.CompactFunc(h.hidden, func(a, b Null) bool { return a.Row == b.Row })
	return dst, h.hidden, nil
}

func (h *Hasher) addNulls(column arrow.Array, name string) {
	if column.NullN() == 0 {
		return
	}
	for row := range column.Len() {
		if column.IsNull(row) {
			h.hidden = append(h.hidden, Null{Row: row, Column: name})
		}
	}
}

// resolve finds the columns in batches of schema.
func (h *Hasher) resolve(schema *arrow.Schema) error {
	if schema == h.schema {
		return nil
	}
	h.schema, h.columns = nil, h.columns[:0]
	for _, f := range h.fields {
		path := pathTo(schema.Fields(), strconv.Itoa(f.id))
		if path == nil {
			return fmt.Errorf("batch has no column with id %d: it is %s of the identifier", f.id, f.name)
		}
		h.columns = append(h.columns, path)
	}
	h.schema = schema
	return nil
}

func pathTo(fields []arrow.Field, id string) columnPath {
	for i, f := range fields {
		if got, _ := f.Metadata.GetValue(icetable.ArrowParquetFieldIDKey); got == id {
			return columnPath{i}
		}
		if nested, ok := f.Type.(*arrow.StructType); ok {
			if path := pathTo(nested.Fields(), id); path != nil {
				return append(columnPath{i}, path...)
			}
		}
	}
	return nil
}

// schedule are the keys of the rounds of the permutation, and of the hash of bytes.
type schedule struct {
	rounds [4]uint64
	bytes  uint64
}

func newSchedule(seed Seed) (s schedule) {
	// Each word depends on the whole seed. Nothing is hidden in the constants: they are digits of pi.
	rounds := [4]uint64{
		0x243f6a8885a308d3, 0x13198a2e03707344, 0xa4093822299f31d0, 0x082efa98ec4e6c89,
	}
	state := Key(seed)
	for i := range s.rounds {
		state = feistel(Key{state.High + oddGolden, state.Low ^ uint64(i)}, &rounds)
		s.rounds[i] = state.High
	}
	s.bytes = feistel(state, &rounds).Low
	return s
}

// oddGolden are digits of the golden ratio.
const oddGolden = 0x9e3779b97f4a7c15

// permute maps 128 bits one to one to 128 others.
func (s *schedule) permute(k Key) Key { return feistel(k, &s.rounds) }

// feistel is a network of four rounds: one to one whatever its round function is.
func feistel(k Key, rounds *[4]uint64) Key {
	k.Low ^= fold(k.High^rounds[0], oddGolden)
	k.High ^= fold(k.Low^rounds[1], 0xd6e8feb86659fd93)
	k.Low ^= fold(k.High^rounds[2], 0xa0761d6478bd642f)
	k.High ^= fold(k.Low^rounds[3], 0xe7037ed1a0b428db)
	return k
}

// fold multiplies to 128 bits and adds up the halves.
func fold(v, by uint64) uint64 {
	high, low := bits.Mul64(v, by)
	return high ^ low
}
