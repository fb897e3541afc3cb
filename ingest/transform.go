package ingest

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/ingest/decode"
	"github.com/firthlake/firth/ingest/spec"
)

// Transform computes columns of a table from what was decoded of a record, row by row: the same for a row
// whatever the rows beside it, so that a record that is read again gives the same row.
type Transform interface {
	// Bind compiles it for a version of the table's schema.
	Bind(schema *iceberg.Schema) (BoundTransform, error)
}

// BoundTransform is a transform for one version of a table's schema.
type BoundTransform struct {
	// Input are columns that are decoded for it and that the table does not have.
	Input []iceberg.NestedField
	// Reads are the columns of table and input that it reads, Computes those of the table that it gives.
	Reads    []iceberg.NestedField
	Computes []string
	// Open returns an evaluator for one goroutine.
	Open func() (Evaluator, error)
}

// Evaluator computes columns of batches. It belongs to one goroutine.
type Evaluator interface {
	// Evaluate computes the columns of Computes, in the Arrow types of the table, from a batch of those of
	// Reads. Rows for which that cannot be are null, and told to fault with column and reason. An error says
	// that nothing was computed, for a reason outside of the rows; it may be tried again. The caller releases
	// the batch.
	Evaluate(ctx context.Context, rows arrow.RecordBatch, fault func(row int, column, message string),
	) (arrow.RecordBatch, error)
	Close()
}

// rowSchemas are the schemas of a table's rows: as the table has them, and as they are decoded.
type rowSchemas struct {
	table, decoded *iceberg.Schema
	transform      *BoundTransform // nil when both are the same
}

// rowSchemas binds the table's transform to a version of its schema.
func (t *tableState) rowSchemas(schema *iceberg.Schema) (rowSchemas, error) {
	out := rowSchemas{table: schema, decoded: schema}
	if t.opts.Transform == nil {
		return out, nil
	}
	bound, err := t.opts.Transform.Bind(schema)
	if err != nil {
		return out, fmt.Errorf("table %s: transform: %w", t, err)
	}
	if err := t.checkComputed(schema, bound.Computes); err != nil {
		return out, fmt.Errorf("table %s: transform: %w", t, err)
	}
	if len(bound.Computes) == 0 && len(bound.Input) == 0 {
		return out, nil
	}
	var fields []iceberg.NestedField
	for _, f := range schema.Fields() {
		f.Required = f.Required && !slices.Contains(bound.Computes, f.Name)
		fields = append(fields, f)
	}
	for _, f := range bound.Input {
		f.Required = false
		fields = append(fields, f)
	}
	next := 0
	out.decoded, out.transform = iceberg.NewSchema(0, renumber(fields, &next)...), &bound
	return out, nil
}

// checkComputed refuses to compute what a record says itself: where it stands, and which row it is a version of.
// A delete holds no more of a row than that.
func (t *tableState) checkComputed(schema *iceberg.Schema, computed []string) error {
	for _, name := range computed {
		role := ""
		switch keyed := t.opts.Keyed; {
		case strings.HasPrefix(name, spec.MetadataPrefix):
			role = "tells where the record stands"
		case keyed == nil:
		case slices.ContainsFunc(schema.IdentifierFieldIDs, func(id int) bool {
			f, ok := schema.FindFieldByName(name)
			return ok && holds(f, id)
		}):
			role = "identifies rows"
		case slices.Contains(keyed.Sequence, name):
			role = "is the table's sequence"
		case keyed.DeleteColumn == name:
			role = "says what is deleted"
		}
		if role != "" {
			return fmt.Errorf("column %s %s and cannot be computed: take it out of the list", name, role)
		}
	}
	return nil
}

// shapeTransform is the transform of a shape.
type shapeTransform struct {
	bound *BoundTransform
	// reads are indexes into the group's batch, gives into the table's columns.
	reads, gives []int
	input        *arrow.Schema
}

// faultID stands for the id of a table's column that was computed, in failures: none that is decoded has it.
func faultID(column int) int { return -1 - column }

// newShapeTransform finds the columns of a transform in the group's batch. Failures of columns that it neither
// leaves alone nor reads are of no concern to the table.
func (u *union) newShapeTransform(s *shape, bound *BoundTransform, whole *arrow.Schema, idOf func(place int) int,
) *shapeTransform {
	t := &shapeTransform{bound: bound}
	for i, f := range s.schema.Fields() {
		if slices.Contains(bound.Computes, f.Name) {
			delete(s.fields, idOf(s.columns[i]))
			s.fields[faultID(i)] = f.Name
		}
	}
	for _, name := range bound.Computes {
		named := func(f iceberg.NestedField) bool { return f.Name == name }
		t.gives = append(t.gives, slices.IndexFunc(s.schema.Fields(), named))
	}
	var fields []arrow.Field
	for _, f := range bound.Reads {
		place := u.places[f.Name]
		t.reads = append(t.reads, place)
		fields = append(fields, whole.Field(place))
		id := idOf(place)
		s.fields[id] = f.Name
		if s.keyed != nil {
			delete(s.keyed.keeping, id) // an old value that stays was not there to compute from
		}
	}
	t.input = arrow.NewSchema(fields, nil)
	return t
}

// fault is a row that the transform does not give.
type fault struct {
	row     int
	failure decode.Failure
}

// transform returns the table's columns of a group's batch with those that are computed, and the rows at fault.
// Rows that are no rows for other reasons are computed too, of nulls.
func (w *worker) transform(ctx context.Context, s *shape, batch arrow.RecordBatch) (arrow.RecordBatch, []fault, error) {
	plain := s.conform(batch)
	if s.transform == nil || batch.NumRows() == 0 || len(s.transform.gives) == 0 {
		return plain, nil, nil
	}
	defer plain.Release()
	evaluator, err := w.evaluator(s)
	if err != nil {
		return nil, nil, err
	}
	read := make([]arrow.Array, len(s.transform.reads))
	for i, place := range s.transform.reads {
		read[i] = batch.Column(place)
	}
	input := array.NewRecordBatch(s.transform.input, read, batch.NumRows())
	defer input.Release()
	var faults []fault
	failed := map[int]bool{}
	given, err := evaluator.Evaluate(ctx, input, func(row int, column, message string) {
		at := slices.Index(s.transform.bound.Computes, column)
		id := 0
		if at >= 0 {
			id = faultID(s.transform.gives[at])
		}
		failed[row] = true
		faults = append(faults, fault{row, decode.Failure{Row: row, FieldID: id, Class: decode.ClassTransform,
			Message: column + ": " + message}})
	})
	if err != nil {
		return nil, nil, fmt.Errorf("transform: %w", err)
	}
	defer given.Release()
	columns := slices.Clone(plain.Columns())
	for i, at := range s.transform.gives {
		columns[at] = given.Column(i)
		if s.schema.Field(at).Required && columns[at].NullN() > 0 {
			faults = append(faults, missing(s, at, columns[at], failed)...)
		}
	}
	return array.NewRecordBatch(s.arrow, columns, batch.NumRows()), faults, nil
}

// missing are the rows in which a required column came out null.
func missing(s *shape, at int, column arrow.Array, failed map[int]bool) []fault {
	var out []fault
	for row := range column.Len() {
		if column.IsNull(row) && !failed[row] {
			out = append(out, fault{row, decode.Failure{Row: row, FieldID: faultID(at), Class: decode.ClassRequired,
				Message: s.schema.Field(at).Name + ": the transform gives null, and the column is required"}})
		}
	}
	return out
}

// evaluator is the worker's evaluator of a shape. Those of the table's shapes before are closed.
func (w *worker) evaluator(s *shape) (Evaluator, error) {
	if known := w.evaluators[s]; known != nil {
		return known, nil
	}
	for other, old := range w.evaluators {
		if other.table == s.table {
			old.Close()
			delete(w.evaluators, other)
		}
	}
	opened, err := s.transform.bound.Open()
	if err != nil {
		return nil, fmt.Errorf("open transform: %w", err)
	}
	w.evaluators[s] = opened
	return opened, nil
}

// withFaults are the failures of a chunk whose records are rows, and those of the transform behind them.
func withFaults(failures []decode.Failure, faults []fault) []decode.Failure {
	if len(faults) == 0 {
		return failures
	}
	out := slices.Clone(failures)
	for _, f := range faults {
		out = append(out, f.failure)
	}
	return out
}

// withFaults is the same for keyed tables: of rows that delete nothing is computed that counts.
func (r *keyedRows) withFaults(failures []decode.Failure, faults []fault) []decode.Failure {
	if len(faults) == 0 {
		return failures
	}
	out := slices.Clone(failures)
	for _, f := range faults {
		if r.changes != nil {
			f.failure.Row = int(r.changes.Rows[f.row].Record)
		}
		if !r.deletesRow(f.failure.Row, f.row) {
			out = append(out, f.failure)
		}
	}
	return out
}
