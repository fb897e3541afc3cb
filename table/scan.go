package table

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"

	"github.com/firthlake/firth/table/filter"
)

// Scan says what to read. The zero value is all rows and columns of the newest snapshot of main.
// At most one of Ref, SnapshotID and AsOf may be set.
type Scan struct {
	// Ref is a branch or tag.
	Ref string
	// SnapshotID is a snapshot by its id; it is read with the schema it was written with.
	SnapshotID int64
	// AsOf is a moment: the snapshot that was current then is read, with its schema.
	AsOf time.Time
	// Columns are names of columns, with dots for fields of structs; nil is all. The columns that
	// MetadataColumns lists may be asked for too.
	Columns []string
	// Filter keeps the rows for which it holds; nil keeps all.
	Filter *filter.Expr
}

// Task is one data file to read, with the deletes that apply to it, or some rows in memory. It is an immutable value.
type Task struct {
	// File is the data file, with its metrics; nil for rows that are in memory.
	File iceberg.DataFile
	// Batches are those rows. Who makes the task says how long they are valid.
	Batches []arrow.RecordBatch
	// SnapshotID is the snapshot that added the file.
	SnapshotID int64
	// SequenceNumber is the data sequence number, FileSequenceNumber that of the file.
	SequenceNumber, FileSequenceNumber int64
	// Deletes are position delete files or one deletion vector that apply to the file.
	Deletes []iceberg.DataFile
	// EqualityDeletes are those of others that apply to the file.
	EqualityDeletes []EqualityDelete
	// Unseen are positions in the file that are deleted besides, with no file that says so; nil is none. Nobody changes
	// them.
	Unseen *roaring.Bitmap
	// Schema is what Read yields, by field id.
	Schema *iceberg.Schema
	// Spec is the partition spec of the file.
	Spec iceberg.PartitionSpec
	// NameMapping gives ids to the columns of files that have none.
	NameMapping iceberg.NameMapping

	// wide is Schema and the columns of rows, the filter bound to it; nil when there is no filter.
	wide *iceberg.Schema
	rows *filter.Bound
}

// The names and field ids of metadata columns (Iceberg spec, "Reserved Field IDs"). They can be
// read from every table that has no column of the name.
const (
	ColumnFile             = "_file"
	ColumnPos              = "_pos"
	ColumnRowID            = "_row_id"
	ColumnLastUpdated      = "_last_updated_sequence_number"
	fieldIDFile            = 2147483646
	fieldIDPos             = 2147483645
	fieldIDRowID           = iceberg.RowIDFieldID
	fieldIDLastUpdated     = iceberg.LastUpdatedSequenceNumberFieldID
	metadataColumnsCount   = 4
	columnNamesInErrorsMax = 20
)

// MetadataColumns are the columns that Read makes from what it knows about a file: its location,
// the place of the row in it, and the row's lineage (v3).
func MetadataColumns() [metadataColumnsCount]iceberg.NestedField {
	return [metadataColumnsCount]iceberg.NestedField{
		{ID: fieldIDFile, Name: ColumnFile, Type: iceberg.PrimitiveTypes.String, Required: true},
		{ID: fieldIDPos, Name: ColumnPos, Type: iceberg.PrimitiveTypes.Int64, Required: true},
		iceberg.RowID(),
		iceberg.LastUpdatedSequenceNumber(),
	}
}

// Snapshot is the snapshot that the scan reads, and the schema to read it with. It is nil for a
// table without snapshots.
func (s Scan) Snapshot(t *Table) (*icetable.Snapshot, *iceberg.Schema, error) {
	meta := t.Metadata()
	schema := meta.CurrentSchema()
	switch {
	case s.Ref != "" && s.SnapshotID != 0, s.Ref != "" && !s.AsOf.IsZero(),
		s.SnapshotID != 0 && !s.AsOf.IsZero():
		return nil, nil, errors.New("give one of ref, snapshot id and time, not several")
	case s.SnapshotID != 0:
		return snapshotByID(meta, s.SnapshotID)
	case !s.AsOf.IsZero():
		return snapshotAsOf(meta, s.AsOf)
	case s.Ref != "":
		snapshot := meta.SnapshotByName(s.Ref)
		if snapshot == nil {
			return nil, nil, fmt.Errorf("%w: no branch or tag %q", ErrNotFound, s.Ref)
		}
		for name, ref := range meta.Refs() {
			if name == s.Ref && ref.SnapshotRefType == icetable.TagRef {
				return snapshot, schemaOf(meta, snapshot), nil
			}
		}
		return snapshot, schema, nil
	}
	return meta.CurrentSnapshot(), schema, nil
}

func snapshotByID(meta icetable.Metadata, id int64) (*icetable.Snapshot, *iceberg.Schema, error) {
	snapshot := meta.SnapshotByID(id)
	if snapshot == nil {
		return nil, nil, fmt.Errorf("%w: no snapshot %d: it may have expired", ErrNotFound, id)
	}
	return snapshot, schemaOf(meta, snapshot), nil
}

func snapshotAsOf(
	meta icetable.Metadata, at time.Time,
) (*icetable.Snapshot, *iceberg.Schema, error) {
	best := icetable.SnapshotLogEntry{TimestampMs: -1}
	for entry := range meta.SnapshotLogs() {
		if entry.TimestampMs <= at.UnixMilli() && entry.TimestampMs >= best.TimestampMs {
			best = entry
		}
	}
	if best.TimestampMs < 0 {
		return nil, nil, fmt.Errorf("%w: no snapshot is as old as %s",
			ErrNotFound, at.UTC().Format(time.RFC3339Nano))
	}
	return snapshotByID(meta, best.SnapshotID)
}

// schemaOf is the schema that was current when snapshot was made.
func schemaOf(meta icetable.Metadata, snapshot *icetable.Snapshot) *iceberg.Schema {
	if snapshot.SchemaID != nil {
		for _, schema := range meta.Schemas() {
			if schema.ID == *snapshot.SchemaID {
				return schema
			}
		}
	}
	return meta.CurrentSchema()
}

// project is the part of schema that names name, top-level columns in the order asked for.
func project(schema *iceberg.Schema, names []string) (*iceberg.Schema, error) {
	if names == nil {
		return schema, nil
	}
	ids := map[int]bool{}
	order := map[string]int{}
	fields := schema.Fields()
	for i, name := range names {
		id, head, err := resolveName(schema, name)
		if err != nil {
			return nil, err
		}
		ids[id] = true
		if _, seen := order[head]; !seen {
			order[head] = i
		}
	}
	for _, field := range MetadataColumns() {
		if _, taken := schema.FindFieldByID(field.ID); !taken {
			fields = append(fields, field)
		}
	}
	kept := pruneFields(fields, ids)
	slices.SortStableFunc(kept, func(a, b iceberg.NestedField) int {
		return order[a.Name] - order[b.Name]
	})
	return iceberg.NewSchema(schema.ID, kept...), nil
}

// resolveName finds the field id of a column and the name of the top-level column it is in.
func resolveName(schema *iceberg.Schema, name string) (id int, head string, err error) {
	if field, ok := schema.FindFieldByName(name); ok {
		for _, top := range schema.Fields() {
			if top.Name == name || strings.HasPrefix(name, top.Name+".") {
				return field.ID, top.Name, nil
			}
		}
	}
	for _, field := range MetadataColumns() {
		if field.Name == name {
			return field.ID, name, nil
		}
	}
	var names []string
	for _, field := range schema.Fields() {
		names = append(names, field.Name)
	}
	if len(names) > columnNamesInErrorsMax {
		names = append(names[:columnNamesInErrorsMax], "…")
	}
	return 0, "", fmt.Errorf("unknown column %s: there are %s", name, strings.Join(names, ", "))
}

// pruneFields keeps the fields with one of ids, and of structs the part that holds any. A list or
// map is kept whole when anything in it is asked for.
func pruneFields(fields []iceberg.NestedField, ids map[int]bool) []iceberg.NestedField {
	var kept []iceberg.NestedField
	for _, field := range fields {
		if ids[field.ID] {
			kept = append(kept, field)
			continue
		}
		switch typ := field.Type.(type) {
		case *iceberg.StructType:
			if inside := pruneFields(typ.FieldList, ids); len(inside) > 0 {
				field.Type = &iceberg.StructType{FieldList: inside}
				kept = append(kept, field)
			}
		case iceberg.NestedType:
			if len(pruneFields(typ.Fields(), ids)) > 0 {
				kept = append(kept, field)
			}
		}
	}
	return kept
}

// withFilterColumns is projected with the columns of schema that rows reads besides.
func withFilterColumns(schema, projected *iceberg.Schema, rows *filter.Bound) *iceberg.Schema {
	ids := map[int]bool{}
	for _, id := range rows.FieldIDs() {
		ids[id] = true
	}
	var collect func(fields []iceberg.NestedField)
	collect = func(fields []iceberg.NestedField) {
		for _, field := range fields {
			if inside, ok := field.Type.(*iceberg.StructType); ok {
				collect(inside.FieldList)
				continue
			}
			ids[field.ID] = true
		}
	}
	collect(projected.Fields())
	fields := schema.Fields()
	for _, field := range MetadataColumns() {
		if _, taken := schema.FindFieldByID(field.ID); !taken {
			fields = append(fields, field)
		}
	}
	return iceberg.NewSchema(schema.ID, pruneFields(fields, ids)...)
}
