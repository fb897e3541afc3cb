package upsert

import (
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/table/gather"
	"github.com/firthlake/firth/table/keyindex"
)

// Op is what a row does, in bits.
type Op uint8

// The bits of an Op. The zero value is an upsert by a record of its own.
const (
	// Delete removes the row of the key.
	Delete Op = 1 << iota
	// Continues says that the row belongs to the same record as the row before it.
	Continues
	// unordered says that the row has no sequence.
	unordered
)

// Options say how versions of a row stand to each other.
type Options struct {
	// Sequence are the columns of batches that put versions in order, the first one first; none is by
	// arrival alone. They are integers in memory (spec.Orders).
	Sequence []int
	// First keeps the version that came first.
	First bool
	// Columns say, column by column of batches, how versions are merged into one row; nil replaces rows whole.
	Columns []Column
	// Groups are the sequence columns of each column group.
	Groups [][]int
}

// orders is how many sequences a row has: the table's and those of the groups.
func (o *Options) orders() int { return 1 + len(o.Groups) }

// RowsMax is how many rows a Set can hold.
const RowsMax = 1 << 31

// Set are the versions of one checkpoint. It belongs to one goroutine.
type Set struct {
	opts  Options
	parts []Part
	ops   []Op
	// orders are the sequences of the rows: the table's, then those of column groups.
	orders []order
	// versions are rows in order of their keys, once Order was called; begins are where those of each key
	// begin, and the end of the last.
	versions []version
	begins   []int32
}

// order is a sequence of the rows.
type order struct {
	columns []int
	values  []int64 // one number a row for each column
	// absent are rows without it; nil when the operations say which these are.
	absent []bool
}

// Part is rows of one topic partition that were added at once.
type Part struct {
	TopicPartition commit.TopicPartition
	// Batch is released and nil once the caller has taken it.
	Batch arrow.RecordBatch
	// First is the number of its first row in the set.
	First int
	rows  int
}

// Rows is how many rows the part has.
func (p *Part) Rows() int { return p.rows }

// version is a row and its key.
type version struct {
	key keyindex.Key
	// rank is the place of its topic partition among those of the set.
	rank uint32
	row  uint32
}

// New returns an empty set.
func New(opts Options) *Set {
	s := &Set{opts: opts, orders: make([]order, opts.orders())}
	s.orders[0].columns = opts.Sequence
	for i, columns := range opts.Groups {
		s.orders[i+1].columns = columns
	}
	return s
}

// Rows is how many rows were added.
func (s *Set) Rows() int { return len(s.ops) }

// Parts are what was added, in its order.
func (s *Set) Parts() []Part { return s.parts }

// Add takes in the next rows of a topic partition, one op a row. It retains batch until the caller releases it.
func (s *Set) Add(from commit.TopicPartition, batch arrow.RecordBatch, ops []Op) error {
	rows := int(batch.NumRows())
	if rows != len(ops) {
		panic(fmt.Sprintf("BUG: %d rows with %d operations", rows, len(ops)))
	}
	first := len(s.ops)
	if first+rows >= RowsMax {
		return fmt.Errorf("more than %d rows in one checkpoint: let freshness.rows be smaller", RowsMax)
	}
	s.ops = append(s.ops, ops...)
	for i := range s.orders {
		if err := s.addSequences(i, batch, s.ops[first:]); err != nil {
			s.ops = s.ops[:first]
			return err
		}
	}
	batch.Retain()
	s.parts = append(s.parts, Part{TopicPartition: from, Batch: batch, First: first, rows: rows})
	return nil
}

// addSequences appends the sequences of batch's rows and marks those without one.
func (s *Set) addSequences(which int, batch arrow.RecordBatch, ops []Op) error {
	o := &s.orders[which]
	stride := len(o.columns)
	if stride == 0 {
		return nil
	}
	at := len(o.values)
	o.values = slices.Grow(o.values, stride*len(ops))[:at+stride*len(ops)]
	absent := len(o.absent)
	if which > 0 {
		o.absent = append(o.absent, make([]bool, len(ops))...)
	}
	for i, place := range o.columns {
		column := batch.Column(place)
		if err := Integers(o.values[at+i:], stride, column); err != nil {
			o.values = o.values[:at]
			return fmt.Errorf("sequence column %s: %w", batch.ColumnName(place), err)
		}
		if column.NullN() == 0 {
			continue
		}
		for row := range ops {
			switch {
			case column.IsValid(row):
			case which > 0:
				o.absent[absent+row] = true
			default:
				ops[row] |= unordered
			}
		}
	}
	return nil
}

// Integers sets every stride-th element of dst to the values of a column of integers, dates, times or
// timestamps; what stands for nulls is of no meaning.
func Integers(dst []int64, stride int, column arrow.Array) error {
	switch c := column.(type) {
	case *array.Int64:
		spread(dst, stride, c.Int64Values())
	case *array.Int32:
		spread(dst, stride, c.Int32Values())
	case *array.Date32:
		spread(dst, stride, c.Date32Values())
	case *array.Time64:
		spread(dst, stride, c.Time64Values())
	case *array.Timestamp:
		spread(dst, stride, c.TimestampValues())
	default:
		return fmt.Errorf("of type %s, which is no integer", column.DataType())
	}
	return nil
}

func spread[T ~int32 | ~int64](dst []int64, stride int, values []T) {
	for i, v := range values {
		dst[i*stride] = int64(v)
	}
}

// Drop lets go of the batch of a part.
func (s *Set) Drop(part int) {
	if p := &s.parts[part]; p.Batch != nil {
		p.Batch.Release()
		p.Batch = nil
	}
}

// Seen are the rows that do not delete, as batches that the caller releases.
func (s *Set) Seen(mem memory.Allocator) []arrow.RecordBatch {
	var batches []arrow.RecordBatch
	for i := range s.parts {
		p := &s.parts[i]
		rows := make([]uint32, 0, p.rows)
		for row := range p.rows {
			if s.ops[p.First+row]&Delete == 0 {
				rows = append(rows, uint32(row))
			}
		}
		switch len(rows) {
		case 0:
		case p.rows:
			p.Batch.Retain()
			batches = append(batches, p.Batch)
		default:
			batches = append(batches, gather.Rows(mem, p.Batch, rows))
		}
	}
	return batches
}

// Sequence is that of a row, in the memory of the set, or nil when it has none.
func (s *Set) Sequence(row int) []int64 {
	o := &s.orders[0]
	stride := len(o.columns)
	if stride == 0 || s.ops[row]&unordered != 0 {
		return nil
	}
	return o.values[row*stride : (row+1)*stride]
}

// groupSequence is that of a row for a column group, or nil when it has none.
func (s *Set) groupSequence(group, row int) []int64 {
	o := &s.orders[1+group]
	if o.absent[row] {
		return nil
	}
	stride := len(o.columns)
	return o.values[row*stride : (row+1)*stride]
}

// versionsOf are those of the i-th key.
func (s *Set) versionsOf(i int) []version { return s.versions[s.begins[i]:s.begins[i+1]] }

// Least is the least value that the first column of a sequence has among the versions of the i-th key, and
// false when none of them has it. Which 0 is the table's sequence, others are those of groups, from 1 on.
func (s *Set) Least(i, which int) (least int64, found bool) {
	for _, v := range s.versionsOf(i) {
		own := s.Sequence(int(v.row))
		if which > 0 {
			own = s.groupSequence(which-1, int(v.row))
		}
		if own != nil && (!found || own[0] < least) {
			least, found = own[0], true
		}
	}
	return least, found
}

// Most is the greatest sequence among the versions of the i-th key; nil when none has one.
func (s *Set) Most(i int) []int64 {
	var most []int64
	for _, v := range s.versionsOf(i) {
		if own := s.Sequence(int(v.row)); most == nil || slices.Compare(own, most) > 0 {
			most = own
		}
	}
	return slices.Clone(most)
}

// Deletes says whether one of the versions of the i-th key deletes.
func (s *Set) Deletes(i int) bool {
	return slices.ContainsFunc(s.versionsOf(i), func(v version) bool { return s.ops[v.row]&Delete != 0 })
}
