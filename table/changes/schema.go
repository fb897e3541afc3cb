package changes

import (
	"fmt"

	"github.com/apache/iceberg-go"
)

// The columns that tell of a change.
const (
	// ColumnType is what the row is: Insert, UpdateBefore, UpdateAfter or Delete.
	ColumnType = "_change_type"
	// ColumnOrdinal counts the rows of the table from 0, without gaps. It is the order of changes: the two images
	// of an update lie next to each other.
	ColumnOrdinal = "_change_ordinal"
	// ColumnSnapshot is the snapshot of the source that made the change.
	ColumnSnapshot = "_change_snapshot_id"
	// ColumnTime is when that snapshot was committed.
	ColumnTime = "_change_time"
)

// The types of changes, in the words of Iceberg's changelog views.
const (
	Insert       = "INSERT"
	UpdateBefore = "UPDATE_BEFORE"
	UpdateAfter  = "UPDATE_AFTER"
	Delete       = "DELETE"
)

// IDShift is what the field id of a column of the source is less than that of its images. It leaves room for
// the columns that tell of the change.
const IDShift = 1000

// Columns are those that tell of a change.
func Columns() []iceberg.NestedField {
	return []iceberg.NestedField{
		{ID: 1, Name: ColumnType, Type: iceberg.PrimitiveTypes.String, Required: true},
		{ID: 2, Name: ColumnOrdinal, Type: iceberg.PrimitiveTypes.Int64, Required: true},
		{ID: 3, Name: ColumnSnapshot, Type: iceberg.PrimitiveTypes.Int64, Required: true},
		{ID: 4, Name: ColumnTime, Type: iceberg.PrimitiveTypes.TimestampTz, Required: true},
	}
}

// Begin is the schema that the table is made with. The columns of the source follow by evolution: a catalog
// may number the columns of a new table as it likes, and gives these the ids that they have here.
func Begin() *iceberg.Schema { return iceberg.NewSchema(0, Columns()...) }

// Spec is the partition spec: by the day of the change.
func Spec() iceberg.PartitionSpec {
	return iceberg.NewPartitionSpec(iceberg.PartitionField{SourceIDs: []int{4}, FieldID: 1000,
		Name: ColumnTime + "_day", Transform: iceberg.DayTransform{}})
}

// Schema is the schema, of the given id, that the changes of a table of schema source have.
func Schema(source *iceberg.Schema, id int) (*iceberg.Schema, error) {
	for _, c := range Columns() {
		if _, taken := source.FindFieldByName(c.Name); taken {
			return nil, fmt.Errorf("the table has a column %s, which the changelog needs: rename it, or write no "+
				"changelog", c.Name)
		}
	}
	return iceberg.NewSchema(id, append(Columns(), optional(source.Fields(), IDShift)...)...), nil
}

// Images is the schema of the images in a table of changes, alone.
func Images(source *iceberg.Schema) *iceberg.Schema {
	return iceberg.NewSchema(source.ID, optional(source.Fields(), IDShift)...)
}

// Rows is the schema of the rows of the source that images are of: its own, with all columns optional.
func Rows(source *iceberg.Schema) *iceberg.Schema {
	return iceberg.NewSchema(source.ID, optional(source.Fields(), 0)...)
}

// optional copies fields, makes them optional and moves their ids. Keys of maps stay required, as they are
// everywhere.
func optional(fields []iceberg.NestedField, shift int) []iceberg.NestedField {
	out := make([]iceberg.NestedField, len(fields))
	for i, f := range fields {
		f.ID += shift
		f.Required = false
		f.Type = optionalType(f.Type, shift)
		out[i] = f
	}
	return out
}

func optionalType(t iceberg.Type, shift int) iceberg.Type {
	switch t := t.(type) {
	case *iceberg.StructType:
		return &iceberg.StructType{FieldList: optional(t.FieldList, shift)}
	case *iceberg.ListType:
		return &iceberg.ListType{ElementID: t.ElementID + shift, Element: optionalType(t.Element, shift)}
	case *iceberg.MapType:
		return &iceberg.MapType{KeyID: t.KeyID + shift, KeyType: optionalType(t.KeyType, shift),
			ValueID: t.ValueID + shift, ValueType: optionalType(t.ValueType, shift)}
	}
	return t
}
