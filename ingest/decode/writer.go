package decode

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/firthlake/firth/ingest/registry"
)

// programsMax bounds the compiled writer schemas of a decoder. A topic's records have a handful;
// beyond it all are dropped and compiled again as they are met.
const programsMax = 256

// program is one writer schema compiled against the columns of one decoder.
type program interface {
	// decode decodes a value without its frame into the current row.
	decode(ctx context.Context, value []byte, out *rows) error
}

// errSchema says that a schema does not parse, or not as the format of the source.
var errSchema = errors.New("schema cannot be used")

// writerDecoder reads each value with the schema it was written with.
type writerDecoder struct {
	plan     *Plan
	out      *rows
	programs map[int32]program
	// lastID and last are the program of the value before: most chunks have one writer.
	lastID int32
	last   program
	cells  cells
	json   valueDecoder     // FormatJSONSchema: values are JSON whatever their schema
	events *avroEventReader // with an envelope, of which the values are the events
}

func newWriterDecoder(plan *Plan, out *rows) *writerDecoder {
	d := &writerDecoder{plan: plan, out: out, programs: map[int32]program{}, cells: cells{row: math.MaxInt}}
	if plan.options.Format == FormatJSONSchema {
		d.json = newJSONDecoder(plan, out)
	}
	return d
}

func (d *writerDecoder) decodeValue(ctx context.Context, value []byte, out *rows) error {
	d.cells.begin(out.record, len(value))
	options := &d.plan.writers.options
	if options.Fixed != nil {
		return d.decodeWith(ctx, options.Fixed.ID, value)
	}
	id, payload, err := registry.ParseHeader(value)
	if err != nil {
		out.failRow(ClassSyntax, err.Error())
		return nil
	}
	return d.decodeWith(ctx, id, payload)
}

func (d *writerDecoder) endChunk() error {
	if d.json != nil {
		return d.json.endChunk()
	}
	return nil
}

func (d *writerDecoder) decodeWith(ctx context.Context, id int32, payload []byte) error {
	d.out.schemaID = id
	if d.last == nil || d.lastID != id {
		p, err := d.program(ctx, id)
		if err != nil {
			return err
		}
		if p == nil {
			d.out.failRow(ClassSchemaID, fmt.Sprintf("schema %d: %s", id, registry.ErrUnknownID))
			return nil
		}
		d.last, d.lastID = p, id
	}
	return d.last.decode(ctx, payload, d.out)
}

// program returns the program of a schema id, or nil for an id that the registry does not know.
func (d *writerDecoder) program(ctx context.Context, id int32) (program, error) {
	if p, ok := d.programs[id]; ok {
		return p, nil
	}
	schema := d.plan.writers.options.Fixed
	if schema == nil {
		var err error
		schema, err = d.plan.writers.options.Schemas.ByID(ctx, id)
		switch {
		case errors.Is(err, registry.ErrUnknownID):
			return nil, nil
		case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
			return nil, err
		case err != nil:
			return nil, fmt.Errorf("%w: %w", ErrRegistry, err)
		}
	}
	p, err := d.compile(ctx, schema)
	if errors.Is(err, errSchema) {
		p, err = refusedSchema{ClassSchemaID, fmt.Sprintf("schema %d: %s", id, err)}, nil
	}
	if err != nil {
		return nil, err
	}
	if len(d.programs) == programsMax {
		clear(d.programs)
	}
	d.programs[id] = p
	return p, nil
}

// fillsAll tells whether so many columns are all that the chunk does not fill itself.
func (d *writerDecoder) fillsAll(columns int) bool {
	for _, kind := range d.plan.metadata {
		if kind == "" {
			columns--
		}
	}
	return columns == 0
}

func (d *writerDecoder) newResolver() *resolver {
	return &resolver{writer: &d.plan.writers.options, unknown: d.plan.options.UnknownFields}
}

// compile makes the program of a schema. The error wraps errSchema or is an *EvolutionError.
func (d *writerDecoder) compile(ctx context.Context, schema *registry.Schema) (program, error) {
	if reason, ok := d.plan.writers.options.Refused[schema.ID]; ok {
		return refusedSchema{ClassSchemaChanged, reason}, nil
	}
	r := d.newResolver()
	root, err := r.root(d.plan, d.out.columns)
	if err != nil {
		return nil, err
	}
	formats := map[Format]registry.Format{FormatAvro: registry.Avro, FormatProtobuf: registry.Protobuf,
		FormatJSONSchema: registry.JSONSchema}
	if want := formats[d.plan.options.Format]; schema.Format != want {
		return nil, fmt.Errorf("%w: it is %s, and the source's format is %s", errSchema,
			schema.Format, d.plan.options.Format)
	}
	compilation := compilation{decoder: d, resolver: r, root: root, schema: schema}
	switch d.plan.options.Format {
	case FormatAvro:
		if d.events != nil {
			return d.events.compile(compilation)
		}
		return compileAvro(compilation)
	case FormatProtobuf:
		return compileProtobuf(ctx, compilation)
	default:
		return compileJSONSchema(compilation)
	}
}

// compilation is what a format needs to make a program.
type compilation struct {
	decoder  *writerDecoder
	resolver *resolver
	root     *destination
	schema   *registry.Schema
}

// finish returns p unless policy wants something else for this schema.
func (c compilation) finish(p program) (program, error) {
	switch {
	case len(c.resolver.proposals) > 0:
		return nil, &EvolutionError{SchemaID: c.schema.ID, Proposals: c.resolver.proposals}
	case c.resolver.refused != "":
		return refusedSchema{ClassUnknownField, c.resolver.refused + ": no column takes this field"}, nil
	}
	return p, nil
}

// refusedSchema is the program of a schema whose records all fail.
type refusedSchema struct {
	class   Class
	message string
}

func (p refusedSchema) decode(_ context.Context, _ []byte, out *rows) error {
	out.failRow(p.class, p.message)
	return nil
}

const (
	// cellsFree and cellsPerByte bound the values in lists and maps of a chunk: a byte of payload
	// can stand for an element of a thousand empty fields, and no honest writer sends many.
	cellsFree    = 4 << 20
	cellsPerByte = 16
)

// cells counts the values that the elements of a chunk's lists and maps take.
type cells struct {
	left int
	row  int
}

// begin adds what a value may take. Rows count up within a chunk.
func (c *cells) begin(row, valueBytes int) {
	if row <= c.row {
		c.left = cellsFree
	}
	c.row = row
	c.left += cellsPerByte * valueBytes
}

// take reports whether n elements of a width still fit.
func (c *cells) take(n, width int) bool {
	if n > c.left/width {
		return false
	}
	c.left -= n * width
	return true
}

// takeOne is take for one element.
func (c *cells) takeOne(width int) bool {
	c.left -= width
	return c.left >= 0
}

// cells is the number of values that one value of n takes, its own and those in it.
func (n *node) cells() int {
	count := 1
	for _, child := range n.children {
		count += child.cells()
	}
	return count
}
