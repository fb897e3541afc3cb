package upsert

import (
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/table/gather"
)

// Merger makes the rows that a fold merged. Its set keeps all its batches meanwhile. Several goroutines may
// use it.
type Merger struct {
	set    *Set
	merged *Merged
	mem    memory.Allocator
	schema *arrow.Schema
	parts  *gather.Batches
	nulls  []arrow.Array // one null of each column that belongs to a group
}

// NewMerger makes the Merger of a fold that writes rows. The caller closes it.
func (s *Set) NewMerger(mem memory.Allocator, merged *Merged) *Merger {
	batches := make([]arrow.RecordBatch, len(s.parts))
	for i := range s.parts {
		batches[i] = s.parts[i].Batch
	}
	m := &Merger{set: s, merged: merged, mem: mem, schema: batches[0].Schema(), parts: gather.New(batches)}
	m.nulls = make([]arrow.Array, m.schema.NumFields())
	for i, field := range m.schema.Fields() {
		if s.opts.Columns[i].Function == Grouped {
			m.nulls[i] = array.MakeArrayOfNull(memory.DefaultAllocator, field.Type, 1) // it wants zeroed memory
		}
	}
	return m
}

// Close lets go of what NewMerger made.
func (m *Merger) Close() {
	for _, a := range m.nulls {
		if a != nil {
			a.Release()
		}
	}
}

// Piece are keys whose rows are made at once.
type Piece struct {
	// Keys are their places in Result.Acts.
	Keys []int
	// Old are old rows, nil for none, and OldRows by key which of them is its own, -1 for none. It is
	// without meaning for keys that are not WithOld.
	Old     arrow.RecordBatch
	OldRows []int32
}

// Rows makes the rows of the keys, in their order; the caller releases them. Its error is an *OverflowError.
func (m *Merger) Rows(p Piece) (arrow.RecordBatch, error) {
	l := m.linesOf(p)
	defer l.fresh.Release()
	defer l.old.Release()
	columns := make([]arrow.Array, m.schema.NumFields())
	defer func() {
		for _, column := range columns {
			if column != nil {
				column.Release()
			}
		}
	}()
	shared := map[*gather.Run][]int{} // columns by the runs that they are taken by
	var lists [][]gather.Run
	for i, column := range m.set.opts.Columns {
		var runs []gather.Run
		switch column.Function {
		case Sum, Count:
			made, overflow := l.reduce(m.mem, column.Function, i)
			if overflow != nil {
				return nil, m.locate(overflow, l)
			}
			columns[i] = made
			continue
		case Newest:
			runs = l.newest()
		case Grouped:
			runs = l.grouped(column.Group)
		case FirstValue:
			runs = l.firstValues(i)
		case Min, Max:
			runs = l.extremes(column.Function, i)
		default:
			runs = l.lastValues(i)
		}
		if _, known := shared[&runs[0]]; !known {
			lists = append(lists, runs)
		}
		shared[&runs[0]] = append(shared[&runs[0]], i)
	}
	for _, runs := range lists {
		m.take(l, runs, shared[&runs[0]], columns)
	}
	return array.NewRecordBatch(m.schema, columns, int64(len(p.Keys))), nil
}

// The batches that runs name.
const (
	batchOld = iota
	batchFresh
	batchNull
)

// take fills columns that are taken by the same runs.
func (m *Merger) take(l *lines, runs []gather.Run, which []int, columns []arrow.Array) {
	fields := make([]arrow.Field, len(which))
	cells := [3][]arrow.Array{}
	withNull := m.nulls[which[0]] != nil
	for at, i := range which {
		fields[at] = m.schema.Field(i)
		cells[batchOld] = append(cells[batchOld], l.old.Column(i))
		cells[batchFresh] = append(cells[batchFresh], l.fresh.Column(i))
		cells[batchNull] = append(cells[batchNull], m.nulls[i])
	}
	schema := arrow.NewSchema(fields, nil)
	batches := []arrow.RecordBatch{array.NewRecordBatch(schema, cells[batchOld], l.old.NumRows()),
		array.NewRecordBatch(schema, cells[batchFresh], l.fresh.NumRows())}
	if withNull {
		batches = append(batches, array.NewRecordBatch(schema, cells[batchNull], 1))
	}
	taken := gather.New(batches).Runs(m.mem, runs)
	defer taken.Release()
	for at, i := range which {
		columns[i] = taken.Column(at)
		columns[i].Retain()
	}
	for _, batch := range batches {
		batch.Release()
	}
}

// lines are the rows of a piece and the versions that each is made of.
type lines struct {
	// old and fresh are the rows to make them of: of the table, and versions in the order of the fold.
	old, fresh arrow.RecordBatch
	// oldRows are, by line, its row of old, -1 for none; ends where its versions end in fresh.
	oldRows []int32
	ends    []int32
	// rows are the numbers of fresh in the set; older marks those that are older than the one before, nil for none.
	rows  []uint32
	older []bool
	// picks are, by group and line, the run of one row that the group is taken from.
	picks [][]gather.Run
	last  []gather.Run // what newest returns
}

// linesOf gathers what the rows of a piece are made of.
func (m *Merger) linesOf(p Piece) *lines {
	l := &lines{oldRows: make([]int32, len(p.Keys)), ends: make([]int32, len(p.Keys)),
		picks: make([][]gather.Run, len(m.merged.picks))}
	versions := 0
	for _, key := range p.Keys {
		versions += m.merged.Versions(key)
	}
	l.rows = make([]uint32, 0, versions)
	runs := make([]gather.Run, 0, versions)
	for line, key := range p.Keys {
		l.oldRows[line] = -1
		if m.merged.withOld[key] {
			l.oldRows[line] = p.OldRows[line]
		}
		begin := len(l.rows)
		for _, marked := range m.merged.rowsOf(key) {
			row := marked &^ olderBit
			if marked != row {
				if l.older == nil {
					l.older = make([]bool, versions)
				}
				l.older[len(l.rows)] = true
			}
			runs = gather.AppendRun(runs, m.set.place(row))
			l.rows = append(l.rows, row)
		}
		l.ends[line] = int32(len(l.rows))
		for g := range l.picks {
			l.picks[g] = append(l.picks[g], l.pick(line, m.merged.picks[g][key], begin))
		}
	}
	l.fresh = m.parts.Runs(m.mem, runs)
	if l.old = p.Old; l.old == nil {
		l.old = l.fresh.NewSlice(0, 0)
	} else {
		l.old.Retain()
	}
	return l
}

// pick is where a group of a line is taken from; its versions begin at begin.
func (l *lines) pick(line int, from int32, begin int) gather.Run {
	switch {
	case from >= 0:
		at := begin + slices.Index(l.rows[begin:], uint32(from))
		return gather.Run{Batch: batchFresh, Row: uint32(at), Rows: 1}
	case from == pickOld && l.oldRows[line] >= 0:
		return gather.Run{Batch: batchOld, Row: uint32(l.oldRows[line]), Rows: 1}
	}
	return gather.Run{Batch: batchNull, Rows: 1}
}

// place is where a row of the set is among its parts.
func (s *Set) place(row uint32) gather.Run {
	low, high := 0, len(s.parts)
	for high-low > 1 {
		if middle := (low + high) / 2; s.parts[middle].First <= int(row) {
			low = middle
		} else {
			high = middle
		}
	}
	return gather.Run{Batch: uint32(low), Row: row - uint32(s.parts[low].First), Rows: 1}
}

// Part is the place of a row's part among Parts.
func (s *Set) Part(row uint32) int { return int(s.place(row).Batch) }

// OverflowError says that a value does not fit its column.
type OverflowError struct {
	Column, Function string
	Type             arrow.DataType
	// Row is the number of the version in the set with which it happened, and Of where it came from.
	Row uint32
	Of  commit.TopicPartition
}

func (e *OverflowError) Error() string {
	return fmt.Sprintf("the %s of column %s does not fit its type %s any more, with a record of %s", e.Function,
		e.Column, e.Type, e.Of)
}

// locate says where the version came from that an error is of.
func (m *Merger) locate(err *OverflowError, l *lines) error {
	err.Row = l.rows[err.Row]
	err.Of = m.set.parts[m.set.Part(err.Row)].TopicPartition
	return err
}
