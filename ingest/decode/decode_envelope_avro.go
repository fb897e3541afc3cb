package decode

import (
	"context"
	"fmt"

	"github.com/firthlake/firth/ingest/messageschema"
)

// avroEventReader reads change events in Avro. A writer's schema becomes a tree of parts: what is outside of
// the rows is passed over by its type, and the row goes straight into the columns.
type avroEventReader struct {
	out    *changeRows
	values *writerDecoder
	keys   *writerDecoder // of the records' keys
	// program and value are those of the event read last.
	program *avroEventProgram
	value   []byte
}

func newAvroEventReader(plan *Plan, out *changeRows) *avroEventReader {
	a := &avroEventReader{out: out, values: newWriterDecoder(plan, out.rows)}
	a.values.events = a
	a.keys = newWriterDecoder(plan.keysOnly(), out.rows)
	return a
}

func (a *avroEventReader) endChunk() error {
	a.value = nil
	return nil
}

func (a *avroEventReader) read(ctx context.Context, value []byte) error {
	a.program = nil
	err := a.values.decodeValue(ctx, value, a.out.rows)
	a.takeRefusal()
	return err
}

// takeRefusal makes the event's what was said of the record as a whole.
func (a *avroEventReader) takeRefusal() {
	out := a.out
	if !out.rowFailed {
		return
	}
	last := out.failures[len(out.failures)-1]
	out.failures = out.failures[:len(out.failures)-1]
	out.rowFailed = false
	out.event.class = ""
	out.event.fail(last.Class, last.Message)
}

func (a *avroEventReader) readRecordKey(ctx context.Context, key []byte) error {
	err := a.keys.decodeValue(ctx, key, a.out.rows)
	a.takeRefusal()
	return err
}

func (a *avroEventReader) readKeyOf(role envelopeRole, place int) {
	a.again(a.program.key[role], place)
}

func (a *avroEventReader) readOuter(i, place int) {
	if op := a.program.outer[i]; op != nil {
		a.again(op, place)
	}
}

// again reads a part of the event that was passed over at first.
func (a *avroEventReader) again(op *avroOp, place int) {
	p := a.program
	run := p.newRun(a.value, a.out.rows)
	run.pos = place
	if !run.run(op) {
		a.out.event.fail(run.broken.class, run.broken.message)
	}
}

// avroEventProgram reads the events of one writer schema.
type avroEventProgram struct {
	avroProgram
	events *avroEventReader
	part   *avroPart
	// key takes the columns of the key from an image, by its role; outer take the envelope's columns.
	key   [roleBefore + 1]*avroOp
	outer []*avroOp
}

// avroPart is how a part of an event is read that lies outside of the rows.
type avroPart struct {
	code avroPartCode
	name string
	// op passes over the value, or reads the row.
	op *avroOp
	// outer are those of the envelope's columns that lie here.
	outer []int
	// inside are a record's fields, a union's branches, an array's element.
	inside []*avroPart
	role   envelopeRole
}

type avroPartCode uint8

const (
	partSkip avroPartCode = iota
	partUnion
	partRecord
	partRows // an array of images
	partRow  // an image
	partText // the operation
	partFlag
	partWrong // what has a role and the wrong type
)

func (p *avroEventProgram) newRun(value []byte, out *rows) *avroRun {
	return &avroRun{cursor: cursor{data: value}, out: out, cells: p.cells, keys: &p.keys, depth: p.depthMax}
}

// decode implements program: it reads an event.
func (p *avroEventProgram) decode(_ context.Context, value []byte, out *rows) error {
	a := p.events
	a.program, a.value = p, value
	run := avroRun{cursor: cursor{data: value}, out: out, cells: p.cells, keys: &p.keys, depth: p.depthMax}
	if p.read(&run, p.part) && run.left() > 0 {
		run.stop(ClassSyntax, fmt.Sprintf("%d bytes behind the end of the value", run.left()))
	}
	if run.broken.class != "" {
		a.out.event.class = "" // what cannot be read is refused for that alone
		a.out.event.fail(run.broken.class, run.broken.message)
	}
	return nil
}

// read reads one part and reports whether what follows it can be read.
func (p *avroEventProgram) read(r *avroRun, part *avroPart) bool {
	e := &p.events.out.event
	for _, i := range part.outer {
		e.outer[i] = r.pos
	}
	start := r.pos
	switch part.code {
	case partSkip:
		return r.value(part.op)
	case partUnion:
		v, ok := r.zigzag()
		if !ok {
			return r.truncated()
		}
		if v < 0 || v >= int64(len(part.inside)) {
			return r.stop(ClassSyntax, fmt.Sprintf("union branch %d of %d", v, len(part.inside)))
		}
		return p.read(r, part.inside[v])
	case partRecord:
		for _, field := range part.inside {
			if !p.read(r, field) {
				return false
			}
		}
		return true
	case partRow:
		return p.readImage(r, part)
	case partRows:
		return p.readImages(r, part)
	}
	if !r.value(part.op) {
		return false
	}
	switch text := r.data[start:r.pos]; part.code {
	case partText:
		e.setOp(part.op.symbolOf(text), p.events.out.envelope.operations)
	case partFlag:
		e.ddl = text[0] == 1
	default:
		e.fail(ClassType, part.name+": not of the type that the envelope needs")
	}
	return true
}

// symbolOf is the text of a value that the op passed over: a string, or an enum's symbol.
func (op *avroOp) symbolOf(value []byte) []byte {
	c := cursor{data: value}
	v, ok := c.zigzag()
	switch {
	case ok && op.code == avroSkipBytes:
		return value[c.pos:]
	case ok && v >= 0 && v < int64(len(op.symbols)):
		return op.symbols[v]
	}
	return nil
}

// readImage reads one image; that of after becomes a row.
func (p *avroEventProgram) readImage(r *avroRun, part *avroPart) bool {
	out := p.events.out
	e := &out.event
	if part.role == roleBefore {
		e.before = append(e.before, r.pos)
		return r.value(part.op)
	}
	e.after = append(e.after, r.pos)
	out.beginRow()
	if !r.run(part.op) {
		return false
	}
	out.filled = p.fillsAll
	out.endRow()
	return true
}

// readImages reads an array of images.
func (p *avroEventProgram) readImages(r *avroRun, part *avroPart) bool {
	for {
		count, ok := r.blockCount()
		if !ok {
			return false
		}
		if count == 0 {
			return true
		}
		if count > r.left() {
			return r.stop(ClassSyntax, fmt.Sprintf("%d rows in %d bytes", count, r.left()))
		}
		for range count {
			if !p.read(r, part.inside[0]) {
				return false
			}
		}
	}
}

// compile makes the program of a writer schema.
func (a *avroEventReader) compile(c compilation) (program, error) {
	schema, err := parseAvro(c.schema)
	if err != nil {
		return nil, err
	}
	rows := avroCompiler{resolver: c.resolver, skips: map[*messageschema.AvroType]*avroOp{}}
	key := avroCompiler{resolver: a.keys.newResolver(), skips: rows.skips}
	keyRoot, err := key.resolver.root(a.keys.plan, a.out.columns)
	if err != nil {
		return nil, err
	}
	p := &avroEventProgram{events: a, outer: make([]*avroOp, len(a.out.envelope.outer))}
	compiler := avroEventCompiler{program: p, rows: &rows, row: c.root, keys: &key, key: keyRoot,
		root: a.out.plan.events.root}
	inner, _ := schema.Optional()
	if inner.Kind != messageschema.AvroRecord {
		return nil, fmt.Errorf("%w: an event is a record", errSchema)
	}
	p.part = compiler.event(schema, compiler.root)
	p.avroProgram = avroProgram{fillsAll: compiler.fillsAll, depthMax: a.out.plan.options.DepthMax,
		cells: &a.values.cells}
	return c.finish(p)
}
