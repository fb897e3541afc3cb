package decode

import (
	"context"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/ingest/registry"
)

// writerReference decodes one value slowly and plainly, by the writer's schema and the rules that the
// package documents, what an Avro or Protobuf decoder must decode.
type writerReference func(value []byte) writerRow

// writerRow is what a value becomes: a value for each column, null where classes has what is wrong
// with it; or the class of the record as a whole.
type writerRow struct {
	class  Class
	values []any
	// classes are all faults of a column. The decoder tells the one it came to first.
	classes [][]Class
	// vast says that the value stands for more elements than a test should make.
	vast bool
}

// refusedRow carries the class of a record out of the recursion.
type refusedRow struct{ class Class }

// vastRow ends a reference that would make millions of values of a few bytes.
type vastRow struct{}

// rowReader is what the references of all writers' formats share.
type rowReader struct {
	plan *Plan
	row  writerRow
	set  []bool
	at   int // the column that is being read
}

func newRowReader(plan *Plan) rowReader {
	count := len(plan.columns)
	return rowReader{plan: plan, set: make([]bool, count),
		row: writerRow{values: make([]any, count), classes: make([][]Class, count)}}
}

// read runs the reading of one record and completes its row.
func (r *rowReader) read(record func()) (row writerRow) {
	defer func() {
		switch refused := recover().(type) {
		case nil:
		case refusedRow:
			row = writerRow{class: refused.class, values: make([]any, len(r.set)),
				classes: make([][]Class, len(r.set))}
		case vastRow:
			row = writerRow{vast: true}
		default:
			panic(refused)
		}
	}()
	record()
	for i, n := range r.plan.columns {
		if !r.set[i] && n.required && r.plan.metadata[i] == "" {
			r.row.classes[i] = []Class{ClassRequired}
		}
		if len(r.row.classes[i]) > 0 {
			r.row.values[i] = nil
		}
	}
	return r.row
}

// column fills a top-level column by the value that read returns.
func (r *rowReader) column(i int, read func() any) {
	r.at, r.set[i] = i, true
	r.row.values[i] = read()
}

func (r *rowReader) fault(class Class) any {
	r.row.classes[r.at] = append(r.row.classes[r.at], class)
	return nil
}

func (r *rowReader) null(n *node) any {
	if n.required {
		return r.fault(ClassRequired)
	}
	return nil
}

func refuseRow(class Class) any { panic(refusedRow{class}) }

// target is where a field of a writer's record goes: a column or a field of one, or an object on the
// way to columns.
type target struct {
	node   *node
	top    int
	name   string // in the writer's record
	former []string
	inside []*target
}

func (p *Plan) targets() *target {
	root := &target{top: skipColumn}
	for i, n := range p.columns {
		if p.metadata[i] != "" {
			continue
		}
		at := root
		for path := n.options.Path; len(path) > 1; path = path[1:] {
			next := at.named(path[0])
			if next == nil {
				next = &target{name: path[0], top: skipColumn}
				at.inside = append(at.inside, next)
			}
			at = next
		}
		column := p.target(n)
		column.top = i
		at.inside = append(at.inside, column)
	}
	return root
}

func (p *Plan) target(n *node) *target {
	t := &target{node: n, top: skipColumn, name: n.name, former: p.writers.options.Former[n.path]}
	if path := n.options.Path; len(path) > 0 {
		t.name = path[len(path)-1]
	}
	for _, child := range n.children {
		t.inside = append(t.inside, p.target(child))
	}
	return t
}

func (t *target) named(name string) *target {
	for _, inside := range t.inside {
		if inside.name == name {
			return inside
		}
	}
	return nil
}

// resolve pairs each of a writer's fields with the target that takes it, or nil. A field goes by its
// own name, else by a column's former name or the writer's alias that no other field has.
func (t *target) resolve(names []string, aliases [][]string) []*target {
	out := make([]*target, len(names))
	for i, name := range names {
		found := t.named(name)
		for _, inside := range t.inside {
			if found != nil {
				break
			}
			var known []string
			if i < len(aliases) {
				known = aliases[i]
			}
			if !slices.Contains(names, inside.name) &&
				(slices.Contains(inside.former, name) || slices.Contains(known, inside.name)) {
				found = inside
			}
		}
		if !slices.Contains(out, found) {
			out[i] = found
		}
	}
	return out
}

// written is a scalar of a writer, from which the rule of any column can start.
type written struct {
	kind  scalarKind
	whole *big.Int // integers, dates, times; a decimal without its point
	unit  int64    // of a second, for times
	scale int64
	real  float64
	raw   string
	flag  bool
}

// columnKinds are the kinds of columns that values of a scalar go into.
var columnKinds = map[scalarKind][]kind{
	scalarBool:      {kindBool},
	scalarLong:      {kindInt, kindLong, kindFloat, kindDouble, kindDecimal, kindDate},
	scalarUnsigned:  {kindInt, kindLong, kindFloat, kindDouble, kindDecimal, kindDate},
	scalarFloat:     {kindFloat, kindDouble},
	scalarDouble:    {kindFloat, kindDouble},
	scalarText:      {kindString, kindBinary, kindUUID},
	scalarBytes:     {kindString, kindBinary, kindFixed, kindUUID},
	scalarUUID:      {kindUUID, kindBinary, kindFixed},
	scalarDecimal:   {kindDecimal, kindBinary},
	scalarDate:      {kindDate, kindInt, kindLong},
	scalarTime:      {kindTime, kindInt, kindLong},
	scalarTimestamp: {kindTimestamp, kindTimestampNs, kindLong},
}

// takes tells whether a column takes scalars of a kind at all. Plain numbers go into columns of time
// as their option says.
func takes(n *node, from scalarKind) bool {
	if from == scalarLong || from == scalarUnsigned {
		switch n.kind {
		case kindTime:
			return n.options.Time != TimeAuto && n.options.Time != TimeISO
		case kindTimestamp, kindTimestampNs:
			return n.options.Time != TimeISO
		}
	}
	return slices.Contains(columnKinds[from], n.kind)
}

// convert is the value of a column that takes the scalar, or its fault.
func (r *rowReader) convert(n *node, v written) any {
	switch n.kind {
	case kindBool:
		return v.flag
	case kindInt, kindDate:
		return r.integer(v.whole, 31)
	case kindLong:
		return r.integer(v.whole, 63)
	case kindFloat, kindDouble:
		return r.real(n, v)
	case kindDecimal:
		return r.decimal(n, v)
	case kindTime, kindTimestamp, kindTimestampNs:
		return r.time(n, v)
	case kindString:
		if !utf8.ValidString(v.raw) {
			return r.fault(ClassUTF8)
		}
		return v.raw
	case kindBinary:
		return v.raw
	case kindFixed, kindUUID:
		if v.kind == scalarText {
			id, err := uuid.Parse(v.raw)
			if err != nil {
				return r.fault(ClassType)
			}
			return string(id[:])
		}
		if len(v.raw) != n.width {
			return r.fault(ClassRange)
		}
		return v.raw
	}
	panic("a scalar in a " + n.typeName)
}

func (r *rowReader) integer(v *big.Int, bits uint) any {
	if !fits(v, bits) {
		return r.fault(ClassRange)
	}
	return v.Int64()
}

func (r *rowReader) real(n *node, v written) any {
	if v.whole != nil {
		if n.kind == kindDouble {
			nearest, _ := new(big.Rat).SetInt(v.whole).Float64()
			return math.Float64bits(nearest)
		}
		nearest, _ := new(big.Rat).SetInt(v.whole).Float32()
		return math.Float64bits(float64(nearest))
	}
	if narrow := float64(float32(v.real)); n.kind == kindFloat && v.kind == scalarDouble {
		if narrow != v.real && !math.IsNaN(v.real) {
			return r.fault(ClassRange)
		}
		return math.Float64bits(narrow)
	}
	return math.Float64bits(v.real)
}

func (r *rowReader) decimal(n *node, v written) any {
	exact := new(big.Rat).SetFrac(v.whole, power10(v.scale))
	exact.Mul(exact, new(big.Rat).SetInt(power10(int64(n.scale))))
	if !exact.IsInt() || exact.Num().CmpAbs(power10(int64(n.precision))) >= 0 {
		return r.fault(ClassRange)
	}
	return exact.Num().String()
}

func (r *rowReader) time(n *node, v written) any {
	units := map[TimeFormat]int64{TimeSeconds: 1, TimeMillis: 1e3, TimeMicros: 1e6, TimeNanos: 1e9}
	unit := v.unit
	if v.kind == scalarLong || v.kind == scalarUnsigned {
		if !fits(v.whole, 63) {
			return r.fault(ClassRange)
		}
		if unit = units[n.options.Time]; n.options.Time == TimeAuto {
			unit = 1
			for _, digits := range []int64{11, 14, 17} {
				if v.whole.CmpAbs(power10(digits)) >= 0 {
					unit *= 1000
				}
			}
		}
	}
	ticks := int64(1e6)
	if n.kind == kindTimestampNs {
		ticks = 1e9
	}
	floor := floorRat(new(big.Rat).SetFrac(new(big.Int).Mul(v.whole, big.NewInt(ticks)), big.NewInt(unit)))
	if !fits(floor, 63) || n.kind == kindTime && (floor.Sign() < 0 || floor.Int64() >= 86400e6) {
		return r.fault(ClassRange)
	}
	return floor.Int64()
}

// checkWriter decodes values as one chunk, in another order and twice as one chunk, and the first two
// as chunks of their own, all with one decoder, and compares each row with the reference.
func checkWriter(t *testing.T, plan *Plan, decoder Decoder, values [][]byte, want writerReference) {
	t.Helper()
	var kept [][]byte
	var rows []writerRow
	for _, value := range values {
		if row := want(value); !row.vast {
			kept, rows = append(kept, value), append(rows, row)
		}
	}
	order := make([]int, len(kept))
	for i := range order {
		order[i] = i
	}
	compareRows(t, plan, decoder, kept, rows, order)
	random := rand.New(rand.NewPCG(uint64(len(kept)), 1))
	compareRows(t, plan, decoder, kept, rows, append(random.Perm(len(kept)), order...))
	for i := range min(2, len(order)) {
		compareRows(t, plan, decoder, kept, rows, order[i:i+1])
	}
}

// compareRows decodes the values at order as one chunk.
func compareRows(t *testing.T, plan *Plan, decoder Decoder, values [][]byte, rows []writerRow,
	order []int,
) {
	t.Helper()
	var chunk [][]byte
	for _, at := range order {
		chunk = append(chunk, append(registry.AppendHeader(nil, 1), values[at]...))
	}
	decoded, err := decoder.Decode(context.Background(), chunkOf(chunk...))
	require.NoError(t, err)
	defer decoded.Batch.Release()
	require.EqualValues(t, len(order), decoded.Batch.NumRows())
	failures := map[[2]int]Failure{}
	for _, failure := range decoded.Failures {
		at := [2]int{failure.Row, failure.FieldID}
		require.NotContains(t, failures, at)
		failures[at] = failure
	}
	for i, at := range order {
		about := fmt.Sprintf("record %d of %d: %x", i, len(order), values[at])
		require.Equal(t, rows[at].class, failures[[2]int{i, 0}].Class, about)
		delete(failures, [2]int{i, 0})
		for k, n := range plan.columns {
			key := [2]int{i, n.id}
			got := arrowValue(decoded.Batch.Column(k), i, n)
			if !sameValue(rows[at].values[k], got) {
				require.Equal(t, rows[at].values[k], got, "column %s %s, %s, %s", n.path, n.dataType,
					failures[key].Message, about)
			}
			if classes := rows[at].classes[k]; len(classes) == 0 {
				require.Empty(t, failures[key], "column %s %s, %s", n.path, n.dataType, about)
			} else {
				require.Contains(t, classes, failures[key].Class, "column %s %s, %s", n.path, n.dataType, about)
			}
			delete(failures, key)
		}
	}
	require.Empty(t, failures, "failures nobody expected")
}

// sameValue compares without reflection, which fuzzing would spend its time in.
func sameValue(a, b any) bool {
	left, ok := a.([]any)
	if !ok {
		_, list := b.([]any)
		return !list && a == b
	}
	right, ok := b.([]any)
	return ok && slices.EqualFunc(left, right, sameValue)
}

// checked returns a decoder whose memory is counted; the function after it ends both.
func checked(t *testing.T, plan *Plan) (Decoder, func()) {
	mem := memory.NewCheckedAllocator(memory.NewGoAllocator())
	decoder := plan.NewDecoder(mem)
	return decoder, func() {
		decoder.Close()
		mem.AssertSize(t, 0)
	}
}
