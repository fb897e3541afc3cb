package decode

import (
	"context"
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/ingest/messageschema"
	"github.com/firthlake/firth/ingest/registry"
)

// The formats whose records are read with the schema they were written with.
const (
	FormatAvro       Format = "avro"
	FormatProtobuf   Format = "protobuf"
	FormatJSONSchema Format = "jsonschema"
)

// Schemas finds writer schemas by id; registry.Client does.
type Schemas interface {
	ByID(ctx context.Context, id int32) (*registry.Schema, error)
}

// WriterOptions say where writer schemas come from, and which of their changes end a chunk in
// *EvolutionError. Added columns follow Options.UnknownFields.
type WriterOptions struct {
	// Schemas is asked for the schema whose id stands before each value.
	Schemas Schemas
	// Fixed, instead of Schemas, is the schema of all values, which then carry no id.
	Fixed *registry.Schema
	// Message is the full name of the message in a fixed Protobuf schema; empty means the first.
	Message string
	// Evolve are the changes that the table follows. Without them values are tried one by one:
	// those that fit the column pass, others fail.
	Evolve Evolve
	// Refused are the schema ids whose changes the table may not follow, with the reason. Their
	// records fail with ClassSchemaChanged.
	Refused map[int32]string
	// Former are earlier names of columns, by dotted name, under which writers may still have them.
	Former map[string][]string
	// Nanoseconds proposes nanosecond columns for nanosecond timestamps (table format v3).
	Nanoseconds bool
}

// Evolve are the kinds of change of a writer schema that are proposed to the table.
type Evolve struct {
	Widen        bool
	MakeOptional bool
	Rename       bool
}

// writers is the part of a plan that belongs to formats with writer schemas.
type writers struct {
	options WriterOptions
}

// NewWriterPlan compiles a plan for FormatAvro, FormatProtobuf or FormatJSONSchema. A decoder made
// from it returns an error that wraps ErrRegistry when a schema cannot be had.
func NewWriterPlan(ctx context.Context, schema *iceberg.Schema, options Options,
	writer WriterOptions,
) (*Plan, error) {
	plan, err := newPlan(schema, options)
	if err != nil {
		return nil, err
	}
	plan.writers = &writers{options: writer}
	if (writer.Schemas == nil) == (writer.Fixed == nil) {
		return nil, fmt.Errorf("format %s needs a schema registry or a schema of its own, one of the two",
			options.Format)
	}
	r := resolver{writer: &plan.writers.options}
	if _, err := r.root(plan, newRows(plan, memory.DefaultAllocator).columns); err != nil {
		return nil, err
	}
	switch options.Format {
	case FormatAvro, FormatProtobuf:
	case FormatJSONSchema:
		plan.object, err = newJSONObject(plan)
	default:
		err = fmt.Errorf("format %q has no writer schemas: write avro, protobuf or jsonschema", options.Format)
	}
	if err == nil && plan.envelope != nil {
		err = plan.checkWriterEnvelope()
	}
	if err == nil && writer.Fixed != nil {
		err = plan.checkFixed(ctx)
	}
	if err != nil {
		return nil, err
	}
	return plan, nil
}

// checkWriterEnvelope refuses what change events with writer schemas do not have.
func (p *Plan) checkWriterEnvelope() error {
	envelope := &p.options.Envelope
	switch {
	case p.options.Format != FormatAvro:
		return fmt.Errorf("format %s holds no change events: they are read in JSON and Avro", p.options.Format)
	case envelope.BeforePartial:
		return errors.New("partial images before are read in JSON only")
	case envelope.RecordKey && p.writers.options.Fixed != nil:
		return errors.New("a schema of its own does not tell how the record's key is written: " +
			"use a schema registry")
	}
	var err error
	p.events, err = newEventObjects(p)
	return err
}

// checkFixed refuses a fixed schema that does not parse.
func (p *Plan) checkFixed(ctx context.Context) error {
	d := newWriterDecoder(p, newRows(p, memory.DefaultAllocator))
	_, err := d.compile(ctx, p.writers.options.Fixed)
	var ahead *EvolutionError
	if errors.As(err, &ahead) {
		return nil // what the table lacks is told by the first chunk
	}
	return err
}

func (o *WriterOptions) columns() messageschema.Options {
	return messageschema.Options{Nanoseconds: o.Nanoseconds}
}
