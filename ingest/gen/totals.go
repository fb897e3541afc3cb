package gen

import (
	"maps"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// Totals are what a reader must find when every generated row is there once.
type Totals struct {
	Rows       int64                     `json:"rows"`
	Bytes      int64                     `json:"bytes"` // of the values
	Columns    map[string]ColumnTotal    `json:"columns"`
	Partitions map[int32]*PartitionTotal `json:"partitions,omitempty"`

	columns []ColumnTotal
}

// ColumnTotal sums a top-level column in ways that every engine can compute.
type ColumnTotal struct {
	// NotNull counts the rows with a value.
	NotNull int64 `json:"not_null"`
	// Sum is of integers, of hundredths of a double, of true as 1, and of the UTF-8 lengths of
	// text. It wraps at 64 bits; nested columns have none.
	Sum int64 `json:"sum"`
}

// PartitionTotal sums a topic partition.
type PartitionTotal struct {
	Rows int64 `json:"rows"`
	// Checksum is the sum modulo 2^64 of xxHash64 of the values' bytes, in any order.
	Checksum uint64 `json:"checksum"`
}

// NewTotals returns empty totals for the generator's workload.
func (g *Generator) NewTotals() *Totals {
	return &Totals{
		Partitions: map[int32]*PartitionTotal{},
		columns:    make([]ColumnTotal, len(g.workload.fields)),
	}
}

// Count adds the row drawn last, whose encoded value went to partition.
func (g *Generator) Count(t *Totals, partition int32, encoded []byte) {
	t.Rows++
	t.Bytes += int64(len(encoded))
	p := t.Partitions[partition]
	if p == nil {
		p = &PartitionTotal{}
		t.Partitions[partition] = p
	}
	p.Rows++
	p.Checksum += xxhash.Sum64(encoded)
	values := g.row.values
	for i := range g.workload.fields {
		f := &g.workload.fields[i]
		if f.kind >= kindRecord {
			values = skip(f, values)
			continue
		}
		v := values[0]
		values = values[1:]
		if v.null {
			continue
		}
		t.columns[i].NotNull++
		if f.kind == kindText {
			t.columns[i].Sum += int64(len(v.text))
		} else {
			t.columns[i].Sum += v.n
		}
	}
}

// skip returns the values behind those of f.
func skip(f *field, values []value) []value {
	switch f.kind {
	case kindRecord:
		for i := range f.fields {
			values = skip(&f.fields[i], values)
		}
		return values
	case kindList, kindMap:
		n := values[0].n
		values = values[1:]
		for range n {
			switch {
			case f.fields != nil:
				for i := range f.fields {
					values = skip(&f.fields[i], values)
				}
			case f.kind == kindMap:
				values = values[2:]
			default:
				values = values[1:]
			}
		}
		return values
	default:
		return values[1:]
	}
}

// Finish fills Columns by name.
func (g *Generator) Finish(t *Totals) {
	t.Columns = map[string]ColumnTotal{}
	for i, f := range g.workload.fields {
		if f.kind < kindRecord {
			t.Columns[f.name] = t.columns[i]
		}
	}
}

// Add joins totals of disjoint rows of one workload.
func (t *Totals) Add(o *Totals) {
	t.Rows += o.Rows
	t.Bytes += o.Bytes
	for i := range o.columns {
		t.columns[i].NotNull += o.columns[i].NotNull
		t.columns[i].Sum += o.columns[i].Sum
	}
	for _, partition := range slices.Sorted(maps.Keys(o.Partitions)) {
		p := t.Partitions[partition]
		if p == nil {
			p = &PartitionTotal{}
			t.Partitions[partition] = p
		}
		p.Rows += o.Partitions[partition].Rows
		p.Checksum += o.Partitions[partition].Checksum
	}
}
