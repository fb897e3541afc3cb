package decode

import (
	"context"
	"fmt"
	"math"
)

// avroOp reads one value of a writer's type and appends it to a column, or skips it when the writer
// has it and the table does not.
type avroOp struct {
	code avroCode
	// put appends scalars, and the null of anything.
	put put
	// size is the length of a fixed, width the cells of a list's element.
	size, width int
	// top is the place of a top-level column, whose fault is settled behind the op, else skipColumn.
	top int
	// inside are a record's fields in the writer's order, a union's branches, an array's element, a
	// map's value.
	inside []*avroOp
	// missing are a struct's fields that the writer does not have.
	missing []*destination
	// symbols are an enum's.
	symbols [][]byte
	// others are, for each branch of a union that becomes a struct, the fields of other branches.
	others [][]*Column
	// empty says that a value takes no bytes.
	empty bool
	step  avroStep
}

// avroCode is how an op reads, named for the writer's type.
type avroCode uint8

const (
	avroNull avroCode = iota
	avroBool
	avroLong // int, long and all logical types over them
	avroFloat
	avroDouble
	avroBytes // string too
	avroFixed
	avroEnum
	avroRecord // into a struct
	avroArray
	avroMap
	avroUnion
	avroBranches // a union into a struct with a field for each branch
	avroMismatch // inside[0] skips the value, which then fails
	avroObject   // a record that is no column itself: its fields are, or lead to them
	avroVariable // a record of a decimal's scale and unscaled value
	avroSkipNull
	avroSkipBool
	avroSkipVarint
	avroSkipBytes
	avroSkipFixed
	avroSkipRecord
	avroSkipBlocks
	avroSkipMap
	avroSkipUnion
)

// avroProgram decodes the values of one writer schema.
type avroProgram struct {
	root     *avroOp
	depthMax int
	cells    *cells
	keys     keySet
	// fillsAll says that each column has a field.
	fillsAll bool
}

// avroRun is the state of one value.
type avroRun struct {
	cursor
	fault // of the column that is being filled
	out   *rows
	cells *cells
	keys  *keySet
	depth int // levels left
	// broken says why the value ends here.
	broken fault
}

func (p *avroProgram) decode(_ context.Context, value []byte, out *rows) error {
	run := avroRun{cursor: cursor{data: value}, out: out, cells: p.cells, keys: &p.keys, depth: p.depthMax}
	if run.run(p.root) && run.left() > 0 {
		run.stop(ClassSyntax, fmt.Sprintf("%d bytes behind the end of the value", run.left()))
	}
	if run.broken.class != "" {
		out.failRow(run.broken.class, run.broken.message)
		return nil
	}
	out.filled = p.fillsAll
	return nil
}

// stop ends the value: what follows cannot be read.
func (r *avroRun) stop(class Class, message string) bool {
	r.broken.set(class, fmt.Sprintf("at byte %d: %s", r.pos, message))
	return false
}

func (r *avroRun) truncated() bool { return r.stop(ClassSyntax, "the value is cut short or corrupt") }

// run reads one value and reports whether what follows it can be read.
func (r *avroRun) run(op *avroOp) bool {
	ok := r.value(op)
	if op.top != skipColumn && r.class != "" {
		r.out.failColumn(op.top, r.class, r.message)
		r.fault = fault{}
	}
	return ok
}

func (r *avroRun) value(op *avroOp) bool {
	switch op.code {
	case avroLong:
		v, ok := r.zigzag()
		if !ok {
			return r.truncated()
		}
		op.put.long(&r.fault, v)
	case avroBytes:
		v, ok := r.lengthBytes()
		if !ok {
			return false
		}
		op.put.bytes(&r.fault, v)
	case avroDouble:
		v, ok := r.fixed64()
		if !ok {
			return r.truncated()
		}
		op.put.double(&r.fault, math.Float64frombits(v))
	case avroFloat:
		v, ok := r.fixed32()
		if !ok {
			return r.truncated()
		}
		op.put.float(&r.fault, math.Float32frombits(v))
	case avroBool:
		v, ok := r.take(1)
		if !ok || v[0] > 1 {
			return r.truncated()
		}
		op.put.bool(&r.fault, v[0] == 1)
	case avroNull:
		op.put.null(&r.fault)
	default:
		return r.compound(op)
	}
	return true
}

// compound reads what is less frequent or holds other values.
func (r *avroRun) compound(op *avroOp) bool {
	switch op.code {
	case avroFixed:
		v, ok := r.take(op.size)
		if !ok {
			return r.truncated()
		}
		op.put.bytes(&r.fault, v)
		return true
	case avroEnum:
		return r.enum(op)
	case avroUnion, avroBranches:
		return r.union(op)
	case avroRecord, avroObject:
		return r.record(op)
	case avroArray, avroMap:
		return r.list(op)
	case avroVariable:
		return r.variableDecimal(op)
	case avroMismatch:
		if !r.value(op.inside[0]) {
			return false
		}
		op.put.mismatch(&r.fault)
		return true
	}
	return r.skip(op)
}

// lengthBytes reads a length and so many bytes.
func (r *avroRun) lengthBytes() ([]byte, bool) {
	n, ok := r.zigzag()
	if !ok || n < 0 || n > int64(r.left()) {
		return nil, r.truncated()
	}
	return r.take(int(n))
}

// symbolFree is the length up to which an enum's symbol costs no cells.
const symbolFree = 64

func (r *avroRun) enum(op *avroOp) bool {
	v, ok := r.zigzag()
	if !ok {
		return r.truncated()
	}
	if v < 0 || v >= int64(len(op.symbols)) {
		return r.stop(ClassRange, fmt.Sprintf("enum index %d of %d symbols", v, len(op.symbols)))
	}
	symbol := op.symbols[v]
	if len(symbol) > symbolFree && !r.cells.take(len(symbol), 1) {
		return r.stop(ClassTooLarge, "too many long enum symbols in one chunk")
	}
	op.put.bytes(&r.fault, symbol)
	return true
}

func (r *avroRun) union(op *avroOp) bool {
	v, ok := r.zigzag()
	if !ok {
		return r.truncated()
	}
	if v < 0 || v >= int64(len(op.inside)) {
		return r.stop(ClassSyntax, fmt.Sprintf("union branch %d of %d", v, len(op.inside)))
	}
	branch := op.inside[v]
	if !r.value(branch) {
		return false
	}
	if op.code != avroBranches || branch.code == avroNull {
		return true
	}
	for _, other := range op.others[v] {
		other.AppendNull()
	}
	op.put.column.AppendStruct()
	return true
}

func (r *avroRun) record(op *avroOp) bool {
	for _, field := range op.inside {
		if field.step != avroStepNone {
			if end := field.straight(r.data, r.pos); end >= 0 {
				r.pos = end
				continue
			}
		}
		if !r.run(field) {
			return false
		}
	}
	if op.code == avroObject {
		return true
	}
	for _, t := range op.missing {
		appendMissing(t, &r.fault)
	}
	op.put.column.AppendStruct()
	return true
}

// list reads an array or a map: blocks of elements, each with its count before it.
func (r *avroRun) list(op *avroOp) bool {
	element := op.inside[0]
	column := op.put.column
	first := column.Child(0).rows
	for {
		count, ok := r.blockCount()
		if !ok {
			return false
		}
		if count == 0 {
			break
		}
		if !element.empty && count > r.left() {
			return r.stop(ClassSyntax, fmt.Sprintf("%d elements in %d bytes", count, r.left()))
		}
		if !r.cells.take(count, op.width) {
			return r.stop(ClassTooLarge, fmt.Sprintf("%d more elements are too many for one chunk", count))
		}
		for range count {
			if op.code == avroMap && !r.key(column.Child(0)) {
				return false
			}
			if element.step != avroStepNone {
				if end := element.straight(r.data, r.pos); end >= 0 {
					r.pos = end
					continue
				}
			}
			if !r.value(element) {
				return false
			}
		}
	}
	if op.code == avroMap && r.keys.repeats(column.Child(0), first) {
		r.set(ClassDuplicateKey, op.put.node.path+": a map with one key twice")
	}
	column.AppendList()
	return true
}

func (r *avroRun) key(column *Column) bool {
	v, ok := r.lengthBytes()
	if ok {
		appendKey(column, v, &r.fault)
	}
	return ok
}

// blockCount reads the count before a block; a negative one is followed by the block's length, which
// only those need who skip it.
func (r *avroRun) blockCount() (int, bool) {
	count, ok := r.zigzag()
	if ok && count < 0 {
		var size int64
		size, ok = r.zigzag()
		ok = ok && size >= 0 && size <= int64(r.left())
		count = -count
	}
	if !ok || count < 0 || count > math.MaxInt32 {
		return 0, r.truncated()
	}
	return int(count), true
}

// skip passes over a value that no column takes.
func (r *avroRun) skip(op *avroOp) bool {
	if r.depth == 0 {
		return r.stop(ClassTooDeep, "nested too deep")
	}
	r.depth--
	defer func() { r.depth++ }()
	ok := true
	switch op.code {
	case avroSkipNull:
	case avroSkipBool:
		_, ok = r.take(1)
	case avroSkipVarint:
		_, ok = r.varint()
	case avroSkipBytes:
		_, ok = r.lengthBytes()
	case avroSkipFixed:
		_, ok = r.take(op.size)
	case avroSkipUnion:
		return r.union(op)
	case avroSkipRecord:
		for _, field := range op.inside {
			if !r.value(field) {
				return false
			}
		}
	case avroSkipBlocks, avroSkipMap:
		return r.skipBlocks(op)
	default:
		panic(fmt.Sprintf("BUG: Avro op %d", op.code))
	}
	if !ok {
		return r.truncated()
	}
	return true
}

func (r *avroRun) skipBlocks(op *avroOp) bool {
	for {
		count, ok := r.zigzag()
		if !ok {
			return r.truncated()
		}
		if count == 0 {
			return true
		}
		if count < 0 {
			if _, ok := r.lengthBytes(); !ok {
				return false
			}
			continue
		}
		if op.inside[0].empty && op.code != avroSkipMap {
			continue
		}
		if count > int64(r.left()) {
			return r.stop(ClassSyntax, fmt.Sprintf("%d elements in %d bytes", count, r.left()))
		}
		for range count {
			if op.code == avroSkipMap {
				if _, ok := r.lengthBytes(); !ok {
					return false
				}
			}
			if !r.value(op.inside[0]) {
				return false
			}
		}
	}
}
