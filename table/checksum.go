package table

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"
)

// Checksummer computes row checksums of record batches (docs/format.md, "Row checksum"). It keeps
// scratch memory between batches and belongs to one goroutine.
//
// Checksums are persisted in ledgers: what it computes may never change. The golden values in
// checksum_test.go hold it still.
type Checksummer struct {
	columns []checksumField
	sums    []uint64
	cells   []uint64
	scratch scratchPool
}

// checksumField is a column or nested field: its id and, when nested, what is below it.
type checksumField struct {
	name     string
	seed     uint64
	hash     cellHasher
	children []checksumField
}

// NewChecksummer returns a Checksummer for batches of schema or of any older version of it.
func NewChecksummer(schema *iceberg.Schema) (*Checksummer, error) {
	if schema == nil {
		return nil, fmt.Errorf("row checksum: no schema given")
	}
	columns, err := checksumFields(schema.Fields())
	if err != nil {
		return nil, fmt.Errorf("row checksum: %w", err)
	}
	return &Checksummer{columns: columns}, nil
}

func checksumFields(fields []iceberg.NestedField) ([]checksumField, error) {
	out := make([]checksumField, len(fields))
	for i, field := range fields {
		out[i] = checksumField{name: field.Name, seed: fieldSeed(field.ID)}
		var err error
		if nested, ok := field.Type.(iceberg.NestedType); ok {
			if out[i].children, err = checksumFields(nested.Fields()); err != nil {
				return nil, err
			}
		}
		if out[i].hash, err = hasherOf(field.Type); err != nil {
			return nil, fmt.Errorf("column %s: %w", field.Name, err)
		}
	}
	return out, nil
}

// Rows appends the checksum of each row of batch to dst. The columns of batch are those of the
// schema, in its order.
func (c *Checksummer) Rows(dst []uint64, batch arrow.RecordBatch) ([]uint64, error) {
	if int(batch.NumCols()) != len(c.columns) {
		return dst, fmt.Errorf("row checksum: batch has %d columns, the schema %d",
			batch.NumCols(), len(c.columns))
	}
	start, n := len(dst), int(batch.NumRows())
	dst = append(dst, make([]uint64, n)...)
	sums := dst[start:]
	c.cells = resize(c.cells, n)
	for i := range c.columns {
		if err := c.columns[i].hash(&c.columns[i], c.cells, batch.Column(i), &c.scratch); err != nil {
			return dst[:start], fmt.Errorf("row checksum of column %s: %w", c.columns[i].name, err)
		}
		for row, cell := range c.cells {
			sums[row] += cell
		}
	}
	for row := range sums {
		sums[row] = mix(sums[row] + rowSeed)
	}
	return dst, nil
}

// Sum is the checksum of the set of rows in batch: the sum of its rows' checksums.
func (c *Checksummer) Sum(batch arrow.RecordBatch) (uint64, error) {
	rows, err := c.Rows(c.sums[:0], batch)
	if err != nil {
		return 0, err
	}
	c.sums = rows
	var sum uint64
	for _, row := range rows {
		sum += row
	}
	return sum, nil
}

// Checksum is the order-independent checksum of the rows of batch, whose columns are those of
// schema. Checksums of disjoint sets of rows add up modulo 2^64.
func Checksum(schema *iceberg.Schema, batch arrow.RecordBatch) (uint64, error) {
	c, err := NewChecksummer(schema)
	if err != nil {
		return 0, err
	}
	return c.Sum(batch)
}

// RowChecksums appends the checksum of each row of batch to dst.
func RowChecksums(dst []uint64, schema *iceberg.Schema, batch arrow.RecordBatch) ([]uint64, error) {
	c, err := NewChecksummer(schema)
	if err != nil {
		return dst, err
	}
	return c.Rows(dst, batch)
}

// Constants of the checksum, part of the format. They are digits of the golden ratio and of pi, so
// nothing is hidden in them.
const (
	seedStep  = 0x9e3779b97f4a7c15
	rowSeed   = 0x243f6a8885a308d3
	listSeed  = 0x13198a2e03707344
	mapSeed   = 0xa4093822299f31d0
	groupSeed = 0x082efa98ec4e6c89
	highSeed  = 0x452821e638d01377
	nanosSeed = 0xbe5466cf34e90c6c
)

// fieldSeed spreads a field id over 64 bits, so that one value in two columns counts differently.
func fieldSeed(id int) uint64 { return mix(uint64(id) * seedStep) }

// mix is a bijection of 64 bits in which every bit of the input reaches every bit of the output.
func mix(x uint64) uint64 {
	x ^= x >> 32
	x *= 0xd6e8feb86659fd93
	x ^= x >> 32
	x *= 0xd6e8feb86659fd93
	x ^= x >> 32
	return x
}

// scratchPool hands out slices for nested columns and takes them back, so that a batch allocates
// only when it is larger than those before it.
type scratchPool struct{ free [][]uint64 }

func (p *scratchPool) get(n int) []uint64 {
	if last := len(p.free) - 1; last >= 0 {
		s := p.free[last]
		p.free = p.free[:last]
		return resize(s, n)
	}
	return make([]uint64, n)
}

func (p *scratchPool) put(s []uint64) { p.free = append(p.free, s) }

func resize(s []uint64, n int) []uint64 {
	if cap(s) < n {
		return make([]uint64, n)
	}
	return s[:n]
}
