package table

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"

	"github.com/firthlake/firth/table/objstore"
)

// EqualityDelete is an equality delete file that applies to a data file. Firth writes none; others do.
type EqualityDelete struct {
	File           iceberg.DataFile
	SequenceNumber int64
	// fields are the columns by which rows are compared.
	fields []iceberg.NestedField
	// group is the same for delete files of the same columns and partition.
	group string
}

// EqualityDeletes are the keys of equality delete files that have been read. Who reads several tasks of
// one plan with it has each file read once. It belongs to one goroutine, and takes memory for all keys: a
// map entry each.
type EqualityDeletes struct {
	groups map[string]*equalityGroup
}

// equalityGroup is the delete files of some columns and one partition: each key with the newest sequence number by
// which it was deleted. Rows of files with lower ones are deleted, so one look-up does for all files.
type equalityGroup struct {
	schema *iceberg.Schema
	keys   map[string]int64
	loaded map[string]bool
}

// load reads the delete files that are not known yet, and returns their groups.
func (d *EqualityDeletes) load(ctx context.Context, store objstore.Store, deletes []EqualityDelete,
) ([]*equalityGroup, error) {
	var groups []*equalityGroup
	for _, e := range deletes {
		g := d.groups[e.group]
		if g == nil {
			g = &equalityGroup{schema: iceberg.NewSchema(0, e.fields...), keys: map[string]int64{},
				loaded: map[string]bool{}}
			if d.groups == nil {
				d.groups = map[string]*equalityGroup{}
			}
			d.groups[e.group] = g
		}
		if !slices.Contains(groups, g) {
			groups = append(groups, g)
		}
		if g.loaded[e.File.FilePath()] {
			continue
		}
		if err := g.load(ctx, store, e); err != nil {
			return nil, fmt.Errorf("equality deletes %s: %w", e.File.FilePath(), err)
		}
		g.loaded[e.File.FilePath()] = true
	}
	return groups, nil
}

func (g *equalityGroup) load(ctx context.Context, store objstore.Store, e EqualityDelete) error {
	var key []byte
	for batch, err := range Read(ctx, store, Task{File: e.File, Schema: g.schema}) {
		if err != nil {
			return err
		}
		for row := range int(batch.NumRows()) {
			if key, err = appendKey(key[:0], batch.Columns(), row); err != nil {
				return err
			}
			if known, ok := g.keys[string(key)]; !ok || known < e.SequenceNumber {
				g.keys[string(key)] = e.SequenceNumber
			}
		}
	}
	return nil
}

// removeEqual takes the rows out of r.selection that equality deletes of the task delete.
func (r *taskReader) removeEqual(wide arrow.RecordBatch) error {
	for _, g := range r.equality {
		columns := make([]arrow.Array, g.schema.NumFields())
		for i, field := range g.schema.Fields() {
			columns[i] = wide.Column(r.equalityAt[field.ID])
		}
		r.rows = r.selection.AppendRows(r.rows[:0])
		for _, row := range r.rows {
			var err error
			if r.key, err = appendKey(r.key[:0], columns, int(row)); err != nil {
				return err
			}
			if g.keys[string(r.key)] > r.task.SequenceNumber {
				r.selection.Remove(int(row))
			}
		}
	}
	return nil
}

// prepareEquality loads the equality deletes and returns wide with the columns that they compare.
func (r *taskReader) prepareEquality(ctx context.Context, wide *iceberg.Schema) (*iceberg.Schema, error) {
	known := r.opts.Equality
	if known == nil {
		known = &EqualityDeletes{}
	}
	var err error
	if r.equality, err = known.load(ctx, r.store, r.task.EqualityDeletes); err != nil {
		return nil, err
	}
	fields := wide.Fields()
	r.equalityAt = map[int]int{}
	for _, g := range r.equality {
		for _, field := range g.schema.Fields() {
			at := slices.IndexFunc(fields, func(f iceberg.NestedField) bool { return f.ID == field.ID })
			if at < 0 {
				at = len(fields)
				fields = append(fields, field)
			}
			r.equalityAt[field.ID] = at
		}
	}
	if len(fields) == wide.NumFields() {
		return wide, nil
	}
	return iceberg.NewSchema(wide.ID, fields...), nil
}

// appendKey appends the values of a row: equal rows, nulls and NaNs among them, and no others append the same.
func appendKey(key []byte, columns []arrow.Array, row int) ([]byte, error) {
	for _, column := range columns {
		if ext, ok := column.(array.ExtensionArray); ok {
			column = ext.Storage()
		}
		if column.IsNull(row) {
			key = append(key, 0)
			continue
		}
		key = append(key, 1)
		var number uint64
		switch a := column.(type) {
		case *array.Boolean:
			if a.Value(row) {
				number = 1
			}
		case *array.Int32:
			number = uint64(a.Value(row))
		case *array.Int64:
			number = uint64(a.Value(row))
		case *array.Date32:
			number = uint64(a.Value(row))
		case *array.Time64:
			number = uint64(a.Value(row))
		case *array.Timestamp:
			number = uint64(a.Value(row))
		case *array.Float32:
			number = floatKey(float64(a.Value(row)))
		case *array.Float64:
			number = floatKey(a.Value(row))
		case *array.Decimal128:
			v := a.Value(row)
			key = binary.BigEndian.AppendUint64(key, uint64(v.HighBits()))
			number = v.LowBits()
		case *array.String:
			key = appendText(key, a.Value(row))
			continue
		case *array.Binary:
			key = appendText(key, a.ValueString(row))
			continue
		case *array.FixedSizeBinary:
			key = append(key, a.Value(row)...)
			continue
		default:
			return nil, fmt.Errorf("rows cannot be compared by a column of %s", column.DataType())
		}
		key = binary.BigEndian.AppendUint64(key, number)
	}
	return key, nil
}

func appendText(key []byte, text string) []byte {
	return append(binary.AppendUvarint(key, uint64(len(text))), text...)
}

// floatKey takes all NaNs for one and keeps the zeros apart.
func floatKey(v float64) uint64 {
	if math.IsNaN(v) {
		return canonicalNaN
	}
	return math.Float64bits(v)
}

// equalityFields are the columns of an equality delete file, by the newest schema that has them: others may have
// dropped a column by which rows were deleted before.
func equalityFields(meta icetable.Metadata, file iceberg.DataFile) ([]iceberg.NestedField, error) {
	schemas := append([]*iceberg.Schema{meta.CurrentSchema()}, meta.Schemas()...)
	slices.SortStableFunc(schemas[1:], func(a, b *iceberg.Schema) int { return b.ID - a.ID })
	var fields []iceberg.NestedField
	for _, id := range file.EqualityFieldIDs() {
		field, ok := topLevelField(schemas, id)
		if !ok {
			return nil, fmt.Errorf("equality deletes %s compare field %d, which no schema of the table has at the top",
				file.FilePath(), id)
		}
		field.Required = false // rows may be older than the column
		fields = append(fields, field)
	}
	if len(fields) == 0 {
		return nil, fmt.Errorf("equality deletes %s compare no fields", file.FilePath())
	}
	slices.SortFunc(fields, func(a, b iceberg.NestedField) int { return a.ID - b.ID })
	return fields, nil
}

func topLevelField(schemas []*iceberg.Schema, id int) (iceberg.NestedField, bool) {
	for _, schema := range schemas {
		for _, field := range schema.Fields() {
			if field.ID == id {
				return field, true
			}
		}
	}
	return iceberg.NestedField{}, false
}
