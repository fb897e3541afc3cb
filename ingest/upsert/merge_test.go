package upsert

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/table/keyindex"
)

// mergeColumn is a column of the tests: how it is merged, and values of it.
type mergeColumn struct {
	name string
	typ  arrow.DataType
	Column
	value func(*rand.Rand) any
}

const (
	columnSeq      = 1
	columnGroupSeq = 2
)

// mergeColumns are the key, two sequences, and columns of every type with every function.
func mergeColumns() []mergeColumn {
	long := func(r *rand.Rand) any { return r.Int64N(2000) - 1000 }
	double := func(r *rand.Rand) any {
		odd := []float64{math.NaN(), math.Inf(1), 0, math.Copysign(0, -1), 1e-9 * r.Float64(), r.NormFloat64()}
		return odd[r.IntN(len(odd))]
	}
	text := func(r *rand.Rand) any { return fmt.Sprint("t", r.IntN(50)) }
	decimals := &arrow.Decimal128Type{Precision: 38, Scale: 2}
	decimal := func(r *rand.Rand) any { return decimal128.New(r.Int64N(200)-100, r.Uint64()) }
	numbers := []mergeColumn{
		{"int", arrow.PrimitiveTypes.Int32, Column{}, func(r *rand.Rand) any { return r.Int32N(99) - 50 }},
		{"long", arrow.PrimitiveTypes.Int64, Column{}, long},
		{"float", arrow.PrimitiveTypes.Float32, Column{},
			func(r *rand.Rand) any { return float32(double(r).(float64)) }},
		{"double", arrow.PrimitiveTypes.Float64, Column{}, double}, {"decimal", decimals, Column{}, decimal},
	}
	others := []mergeColumn{
		{"bool", arrow.FixedWidthTypes.Boolean, Column{}, func(r *rand.Rand) any { return r.IntN(2) == 1 }},
		{"text", arrow.BinaryTypes.String, Column{}, text},
		{"bytes", arrow.BinaryTypes.Binary, Column{}, func(r *rand.Rand) any { return []byte(text(r).(string)) }},
		{"fixed", &arrow.FixedSizeBinaryType{ByteWidth: 2}, Column{},
			func(r *rand.Rand) any { return []byte{byte(r.Uint32()), byte(r.Uint32())} }},
		{"date", arrow.FixedWidthTypes.Date32, Column{}, func(r *rand.Rand) any { return arrow.Date32(r.IntN(99)) }},
		{"time", arrow.FixedWidthTypes.Time64us, Column{}, func(r *rand.Rand) any { return arrow.Time64(r.IntN(99)) }},
		{"ts", arrow.FixedWidthTypes.Timestamp_us, Column{},
			func(r *rand.Rand) any { return arrow.Timestamp(r.IntN(99)) }},
	}
	out := []mergeColumn{
		{"key", arrow.PrimitiveTypes.Int64, Column{Function: Newest}, nil},
		{"seq", arrow.PrimitiveTypes.Int64, Column{}, nil},
		{"group_seq", arrow.PrimitiveTypes.Int64, Column{Function: Grouped}, nil},
		{"count", arrow.PrimitiveTypes.Int64, Column{Function: Count}, long},
	}
	for _, f := range []Function{Sum, LastValue, FirstValue, Newest, Grouped, Min, Max} {
		typed := numbers
		if f != Sum {
			typed = slices.Concat(numbers, others)
		}
		for _, c := range typed {
			c.Function = f
			out = append(out, c)
		}
	}
	return out
}

// put appends a value, nil for null.
func put(b array.Builder, v any) {
	if v == nil {
		b.AppendNull()
		return
	}
	switch b := b.(type) {
	case *array.Int32Builder:
		b.Append(v.(int32))
	case *array.Int64Builder:
		b.Append(v.(int64))
	case *array.Float32Builder:
		b.Append(v.(float32))
	case *array.Float64Builder:
		b.Append(v.(float64))
	case *array.Decimal128Builder:
		b.Append(v.(decimal128.Num))
	case *array.BooleanBuilder:
		b.Append(v.(bool))
	case *array.StringBuilder:
		b.Append(v.(string))
	case *array.BinaryBuilder:
		b.Append(v.([]byte))
	case *array.FixedSizeBinaryBuilder:
		b.Append(v.([]byte))
	case *array.Date32Builder:
		b.Append(v.(arrow.Date32))
	case *array.Time64Builder:
		b.Append(v.(arrow.Time64))
	case *array.TimestampBuilder:
		b.Append(v.(arrow.Timestamp))
	default:
		panic(fmt.Sprintf("no values for %T", b))
	}
}

// mergeEvent is a row of a test with what it does.
type mergeEvent struct {
	cells     []any
	op        Op
	partition int32
}

func batchOf(mem memory.Allocator, columns []mergeColumn, rows [][]any) arrow.RecordBatch {
	var fields []arrow.Field
	for i, c := range columns {
		fields = append(fields, arrow.Field{Name: fmt.Sprint(c.name, i), Type: c.typ, Nullable: true})
	}
	b := array.NewRecordBuilder(mem, arrow.NewSchema(fields, nil))
	defer b.Release()
	for _, row := range rows {
		for i, v := range row {
			put(b.Field(i), v)
		}
	}
	return b.NewRecordBatch()
}

// mergedTable is what a table holds: rows by key, as text to compare and as cells.
type mergedTable map[int64][]any

// checkpoint folds events by Set and Merger.
func (held mergedTable) checkpoint(t *testing.T, mem memory.Allocator, opts Options, columns []mergeColumn,
	events []mergeEvent,
) *Result {
	t.Helper()
	s := New(opts)
	var keys []keyindex.Key
	for first := 0; first < len(events); {
		var rows [][]any
		var ops []Op
		end := first
		for ; end < len(events) && events[end].partition == events[first].partition; end++ {
			rows, ops = append(rows, events[end].cells), append(ops, events[end].op)
			keys = append(keys, keyOf(events[end].cells[0].(int64)))
		}
		batch := batchOf(mem, columns, rows)
		require.NoError(t, s.Add(commit.TopicPartition{Topic: "t", Partition: events[first].partition}, batch, ops))
		batch.Release()
		first = end
	}
	numbers := map[keyindex.Key]int64{}
	for _, e := range events {
		numbers[keyOf(e.cells[0].(int64))] = e.cells[0].(int64)
	}
	distinct := s.Order(keys)
	result := s.Fold(func(key int) Old { return held.old(opts, numbers[distinct[key]]) })
	held.apply(t, mem, s, columns, &result, func(key int) int64 { return numbers[distinct[key]] })
	for _, p := range s.Parts() {
		p.Batch.Release()
	}
	return &result
}

func keyOf(key int64) keyindex.Key {
	return keyindex.Key{High: uint64(key) * 0x9e3779b97f4a7c15, Low: uint64(key)}
}

func (held mergedTable) old(opts Options, key int64) Old {
	row, present := held[key]
	old := Old{Present: present, Groups: make([][]int64, len(opts.Groups))}
	if !present {
		return old
	}
	if len(opts.Sequence) > 0 && row[columnSeq] != nil {
		old.Sequence = []int64{row[columnSeq].(int64)}
	}
	if len(opts.Groups) > 0 && row[columnGroupSeq] != nil {
		old.Groups[0] = []int64{row[columnGroupSeq].(int64)}
	}
	return old
}

// apply makes the rows, in two pieces, and takes them into the table.
func (held mergedTable) apply(t *testing.T, mem memory.Allocator, s *Set, columns []mergeColumn, result *Result,
	keyOf func(int) int64,
) {
	t.Helper()
	m := s.NewMerger(mem, result.Merged)
	defer m.Close()
	var written []int
	for i, act := range result.Acts {
		if act >= 0 {
			written = append(written, i)
		}
	}
	made := map[int64][]any{}
	for piece := range slices.Chunk(written, 5) {
		p := Piece{Keys: piece}
		var old [][]any
		for _, key := range piece {
			p.OldRows = append(p.OldRows, -1)
			if result.Merged.WithOld(key) {
				p.OldRows[len(p.OldRows)-1] = int32(len(old))
				old = append(old, held[keyOf(key)])
			}
		}
		if len(old) > 0 {
			p.Old = batchOf(mem, columns, old)
		}
		rows, err := m.Rows(p)
		require.NoError(t, err)
		for i, key := range piece {
			for c := range columns {
				made[keyOf(key)] = append(made[keyOf(key)], cellOf(rows.Column(c), i))
			}
		}
		rows.Release()
		if p.Old != nil {
			p.Old.Release()
		}
	}
	for i, act := range result.Acts {
		switch {
		case act >= 0:
			held[keyOf(i)] = made[keyOf(i)]
		case act == Remove:
			delete(held, keyOf(i))
		}
	}
}

func cellOf(a arrow.Array, i int) any {
	if a.IsNull(i) {
		return nil
	}
	switch a := a.(type) {
	case *array.Int32:
		return a.Value(i)
	case *array.Int64:
		return a.Value(i)
	case *array.Float32:
		return a.Value(i)
	case *array.Float64:
		return a.Value(i)
	case *array.Decimal128:
		return a.Value(i)
	case *array.Boolean:
		return a.Value(i)
	case *array.String:
		return a.Value(i)
	case *array.Binary:
		return slices.Clone(a.Value(i))
	case *array.FixedSizeBinary:
		return slices.Clone(a.Value(i))
	case *array.Date32:
		return a.Value(i)
	case *array.Time64:
		return a.Value(i)
	case *array.Timestamp:
		return a.Value(i)
	}
	panic(fmt.Sprintf("no value of %T", a))
}

// mergeModel folds one version after the other over plain values.
type mergeModel struct {
	opts    Options
	columns []mergeColumn
	rows    map[int64][]any
	floors  map[int64]int64 // sequences of deletes, until the checkpoint ends
}

func (m *mergeModel) take(e mergeEvent) {
	key := e.cells[0].(int64)
	row, live := m.rows[key]
	older := false
	if own := e.cells[columnSeq]; len(m.opts.Sequence) > 0 && own != nil {
		floor, deleted := m.floors[key]
		older = deleted && own.(int64) < floor || live && row[columnSeq] != nil && own.(int64) < row[columnSeq].(int64)
	}
	if e.op&Delete != 0 {
		if older {
			return
		}
		floor := int64(-1)
		if live && row[columnSeq] != nil {
			floor = row[columnSeq].(int64)
		}
		if own := e.cells[columnSeq]; own != nil {
			floor = max(floor, own.(int64))
		}
		m.floors[key] = max(floor, m.floors[key])
		delete(m.rows, key)
		return
	}
	if older && !live {
		return
	}
	grouped := false
	if own := e.cells[columnGroupSeq]; len(m.opts.Groups) > 0 && own != nil {
		grouped = !live || row[columnGroupSeq] == nil || own.(int64) >= row[columnGroupSeq].(int64)
	}
	accumulates := slices.ContainsFunc(m.opts.Columns, func(c Column) bool { return c.Function.accumulates() })
	if older && !grouped && !accumulates {
		return
	}
	next := make([]any, len(m.columns))
	for i := range next {
		var old any
		if live {
			old = row[i]
		}
		next[i] = mergeCells(m.opts.Columns[i].Function, old, e.cells[i], older, grouped)
	}
	m.rows[key] = next
}

func mergeCells(f Function, old, own any, older, grouped bool) any {
	switch f {
	case Newest:
		return own
	case Grouped:
		if grouped {
			return own
		}
		return old
	case LastValue:
		if own == nil || older {
			return old
		}
		return own
	case FirstValue:
		if old == nil {
			return own
		}
		return old
	case Count:
		if old == nil {
			return int64(1)
		}
		return old.(int64) + 1
	}
	switch {
	case own == nil:
		return old
	case old == nil:
		return own
	case f == Sum:
		return addCells(old, own)
	case f == Min && compareCells(own, old) < 0, f == Max && compareCells(own, old) > 0:
		return own
	}
	return old
}

func addCells(a, b any) any {
	switch a := a.(type) {
	case int32:
		return a + b.(int32)
	case int64:
		return a + b.(int64)
	case float32:
		return a + b.(float32)
	case float64:
		return a + b.(float64)
	case decimal128.Num:
		return a.Add(b.(decimal128.Num))
	}
	panic("no sum")
}

// compareCells orders floats by their bits, NaN last.
func compareCells(a, b any) int {
	rank := func(f float64) int64 {
		if f != f {
			return math.MaxInt64
		}
		if bits := int64(math.Float64bits(f)); bits < 0 {
			return math.MinInt64 - bits - 1
		}
		return int64(math.Float64bits(f))
	}
	switch a := a.(type) {
	case int32:
		return cmp.Compare(a, b.(int32))
	case int64:
		return cmp.Compare(a, b.(int64))
	case float32:
		return cmp.Compare(rank(float64(a)), rank(float64(b.(float32))))
	case float64:
		return cmp.Compare(rank(a), rank(b.(float64)))
	case decimal128.Num:
		return a.Cmp(b.(decimal128.Num))
	case bool:
		return compareBooleans(a, b.(bool))
	case string:
		return cmp.Compare(a, b.(string))
	case []byte:
		return bytes.Compare(a, b.([]byte))
	case arrow.Date32:
		return cmp.Compare(a, b.(arrow.Date32))
	case arrow.Time64:
		return cmp.Compare(a, b.(arrow.Time64))
	case arrow.Timestamp:
		return cmp.Compare(a, b.(arrow.Timestamp))
	}
	panic("no order")
}

// textOf shows cells so that NaN equals itself and the zeros differ.
func textOf(rows map[int64][]any) map[int64]string {
	out := map[int64]string{}
	for key, row := range rows {
		text := ""
		for _, cell := range row {
			text += fmt.Sprintf("%v|", cell)
		}
		out[key] = text
	}
	return out
}

// mergeOptions are those of random seeds: with and without sequences, groups and columns that accumulate.
func mergeOptions(seed uint64) (Options, []mergeColumn) {
	all := mergeColumns()
	columns := all[:4:4]
	for _, i := range rand.New(rand.NewPCG(seed, 8)).Perm(len(all) - 4)[:8] {
		columns = append(columns, all[4+i])
	}
	var opts Options
	if seed%2 == 0 {
		opts.Sequence = []int{columnSeq}
	}
	if seed/2%2 == 0 {
		opts.Groups = [][]int{{columnGroupSeq}}
	}
	for i := range columns {
		f := &columns[i].Function
		if *f == Grouped && len(opts.Groups) == 0 || seed/4%2 == 0 && f.accumulates() {
			*f = LastValue
		}
		opts.Columns = append(opts.Columns, columns[i].Column)
	}
	return opts, columns
}

func randomMergeEvents(random *rand.Rand, opts Options, columns []mergeColumn, deletes int) []mergeEvent {
	events := make([]mergeEvent, 1+random.IntN(80))
	for i := range events {
		e := mergeEvent{cells: make([]any, len(columns))}
		key := random.Int64N(8)
		e.partition = int32(key % 2)
		e.cells[0], e.cells[columnSeq] = key, random.Int64N(20)
		if random.IntN(3) > 0 {
			e.cells[columnGroupSeq] = random.Int64N(20)
		}
		for c := range columns {
			if columns[c].value != nil && random.IntN(3) > 0 {
				e.cells[c] = columns[c].value(random)
			}
		}
		if random.IntN(10) < deletes {
			e.op = Delete
			if random.IntN(2) == 0 {
				e.cells[columnSeq] = nil
			}
		}
		events[i] = e
	}
	return events
}

func TestMergedRowsAreThoseOfOneVersionAfterTheOther(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	for seed := range uint64(48) {
		random := rand.New(rand.NewPCG(seed, 5))
		opts, columns := mergeOptions(seed)
		model := mergeModel{opts: opts, columns: columns, rows: map[int64][]any{}}
		held := mergedTable{}
		for range 1 + random.IntN(4) {
			events := randomMergeEvents(random, opts, columns, 2)
			model.floors = map[int64]int64{}
			for p := range int32(2) {
				for _, e := range events {
					if e.partition == p {
						model.take(e)
					}
				}
			}
			before := len(held)
			result := held.checkpoint(t, mem, opts, columns, events)
			require.Equal(t, textOf(model.rows), textOf(held), "seed %d", seed)
			var sum commit.Counts
			for _, counts := range result.Counts {
				sum = sum.Add(counts)
			}
			require.EqualValues(t, len(events), sum.Sum())
			require.EqualValues(t, len(result.Writes()), sum.Inserted+sum.Updated)
			require.EqualValues(t, len(held)-before, sum.Inserted-sum.Deleted)
		}
	}
}

func TestMergedRowsDoNotDependOnCuts(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 6))
		opts, columns := mergeOptions(seed)
		events := randomMergeEvents(random, opts, columns, 0)
		whole, cut := mergedTable{}, mergedTable{}
		whole.checkpoint(t, mem, opts, columns, events)
		for len(events) > 0 {
			n := 1 + random.IntN(len(events))
			cut.checkpoint(t, mem, opts, columns, events[:n])
			events = events[n:]
		}
		require.Equal(t, textOf(whole), textOf(cut), "seed %d", seed)
	}
}

func TestSumsThatDoNotFitAreErrors(t *testing.T) {
	huge, _ := decimal128.FromString("99999999999999999999999999999999999999", 38, 0)
	for name, c := range map[string]struct {
		typ      arrow.DataType
		f        Function
		old, own any
	}{
		"long":        {arrow.PrimitiveTypes.Int64, Sum, int64(math.MaxInt64), int64(1)},
		"long, down":  {arrow.PrimitiveTypes.Int64, Sum, int64(math.MinInt64), int64(-1)},
		"int":         {arrow.PrimitiveTypes.Int32, Sum, int32(math.MaxInt32), int32(1)},
		"count":       {arrow.PrimitiveTypes.Int32, Count, int32(math.MaxInt32), nil},
		"decimal":     {&arrow.Decimal128Type{Precision: 3}, Sum, decimal128.FromI64(999), decimal128.FromI64(1)},
		"decimal, 38": {&arrow.Decimal128Type{Precision: 38}, Sum, huge, huge},
	} {
		t.Run(name, func(t *testing.T) {
			mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
			defer mem.AssertSize(t, 0)
			columns := []mergeColumn{{"key", arrow.PrimitiveTypes.Int64, Column{Function: Newest}, nil},
				{"n", c.typ, Column{Function: c.f}, nil}}
			s := New(Options{Columns: []Column{columns[0].Column, columns[1].Column}})
			batch := batchOf(mem, columns, [][]any{{int64(1), nil}, {int64(1), c.own}})
			defer batch.Release()
			require.NoError(t, s.Add(commit.TopicPartition{Topic: "t", Partition: 7}, batch, make([]Op, 2)))
			s.Order([]keyindex.Key{keyOf(1), keyOf(1)})
			result := s.Fold(func(int) Old { return Old{Present: true} })
			m := s.NewMerger(mem, result.Merged)
			defer m.Close()
			defer release(s)
			old := batchOf(mem, columns, [][]any{{int64(1), c.old}})
			defer old.Release()
			_, err := m.Rows(Piece{Keys: []int{0}, Old: old, OldRows: []int32{0}})
			var overflow *OverflowError
			require.ErrorAs(t, err, &overflow)
			require.ErrorContains(t, err, "n1")
			require.EqualValues(t, 7, overflow.Of.Partition)
		})
	}
}

func BenchmarkMergeRows(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 1))
	columns := mergeColumns()[:8]
	opts := Options{Sequence: []int{columnSeq}}
	for i := range columns {
		if columns[i].Function == Grouped {
			columns[i].Function = LastValue
		}
		opts.Columns = append(opts.Columns, columns[i].Column)
	}
	s := New(opts)
	var keys []keyindex.Key
	for p := range int32(4) {
		var rows [][]any
		for i := range int64(4096) {
			row := make([]any, len(columns))
			row[0], row[columnSeq] = random.Int64N(4000), i
			for c := range columns {
				if columns[c].value != nil {
					row[c] = columns[c].value(random)
				}
			}
			rows, keys = append(rows, row), append(keys, keyOf(row[0].(int64)))
		}
		batch := batchOf(memory.DefaultAllocator, columns, rows)
		require.NoError(b, s.Add(commit.TopicPartition{Topic: "t", Partition: p}, batch, make([]Op, len(rows))))
	}
	distinct := s.Order(keys)
	result := s.Fold(func(int) Old { return Old{} })
	piece := Piece{}
	for i := range distinct {
		piece.Keys = append(piece.Keys, i)
	}
	m := s.NewMerger(memory.DefaultAllocator, result.Merged)
	defer m.Close()
	b.ReportAllocs()
	for b.Loop() {
		rows, err := m.Rows(piece)
		require.NoError(b, err)
		rows.Release()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(s.Rows()), "ns/version")
}
