package decode

import (
	"context"
	"errors"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/ingest/source"
)

// Decoder turns chunks of records into record batches. It belongs to one goroutine; the plan it was
// made from is immutable and shared.
type Decoder interface {
	// Decode returns a batch with exactly one row per record, in the chunk's order; with an envelope,
	// Changes say which record each row is of. A record or a
	// value that cannot be decoded leaves nulls in its row and a Failure beside it, and never
	// ends the call: an error means that nothing could be decoded for a reason outside the records
	// (registry down), and the chunk may be tried again. A chunk written with a schema that the
	// plan's schema cannot hold ends in *EvolutionError. The caller releases the batch.
	Decode(ctx context.Context, chunk *source.Chunk) (Decoded, error)
	// Close releases what the decoder holds.
	Close()
}

// Decoded is a decoded chunk.
type Decoded struct {
	// Batch has the arrow form of the plan's schema, field ids in the metadata of its fields.
	Batch arrow.RecordBatch
	// Failures are in the order of records. A record may have several.
	Failures []Failure
	// Changes say what the rows do, under a plan with an envelope; else it is nil.
	Changes *Changes
}

// Class is why a value was refused. The classes are stable: policies and metrics name them.
type Class string

// The classes of failure.
const (
	ClassSyntax        Class = "syntax"         // not a document of the format at all
	ClassType          Class = "type"           // a value of another type than the column
	ClassRange         Class = "range"          // a number, timestamp or decimal out of range
	ClassRequired      Class = "required"       // a required column without a value
	ClassUTF8          Class = "utf8"           // a string that is not UTF-8
	ClassTooDeep       Class = "depth"          // nested deeper than the limit
	ClassTooLarge      Class = "size"           // larger than the limit for a record
	ClassDuplicateKey  Class = "duplicate_key"  // an object with one key twice
	ClassUnknownField  Class = "unknown_field"  // a field that no column takes, where policy forbids it
	ClassSchemaID      Class = "schema_id"      // a schema id the registry does not know, or none
	ClassSchemaChanged Class = "schema_changed" // written with a schema that the table may not follow
	ClassOperation     Class = "operation"      // a change event that names no change of a row
	ClassUnavailable   Class = "unavailable"    // an unchanged value that the source did not send
	ClassTransform     Class = "transform"      // a row that the table's transform could not compute
)

// Failure says why a row, or one column of it, could not be decoded.
type Failure struct {
	// Row is the index of the record in the chunk.
	Row int
	// FieldID is the top-level column at fault, or 0 for the record as a whole.
	FieldID int
	Class   Class
	// Message names the path and the value, shortened.
	Message string
	// SchemaID is the registry's id of the writer schema, or 0.
	SchemaID int32
}

// Proposal is one step that would let a table hold what a writer schema says.
type Proposal struct {
	Kind ProposalKind
	// Path is the column, from the top down.
	Path []string
	// Type is the new type (AddColumn, Widen).
	Type iceberg.Type
	// Doc is the writer's documentation of the field, if any.
	Doc string
	// To is the new name (Rename).
	To string
}

// ProposalKind is the kind of a Proposal.
type ProposalKind int

// The safe steps of evolution (Iceberg spec, "Schema Evolution").
const (
	AddColumn ProposalKind = iota
	Widen
	MakeOptional
	Rename // by a registry alias or by the spec only
)

// EvolutionError says that a chunk was written with a schema that has more than the plan's schema.
// When the table has followed the proposals, the chunk decodes with a new plan.
type EvolutionError struct {
	SchemaID  int32
	Proposals []Proposal
}

func (e *EvolutionError) Error() string { return "writer schema is ahead of the table" }

// ErrRegistry says that the schema registry gave no answer. The chunk must be tried again; it is no
// fault of the records.
var ErrRegistry = errors.New("schema registry unreachable")
