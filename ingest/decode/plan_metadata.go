package decode

import (
	"fmt"
	"strings"

	"github.com/apache/iceberg-go"
)

// metadataColumn is the reserved name of a column that is filled from the record's coordinates.
type metadataColumn string

// The metadata columns. A table has those that its schema names.
const (
	ColumnTopic     = "_kafka_topic"
	ColumnPartition = "_kafka_partition"
	ColumnOffset    = "_kafka_offset"
	ColumnTimestamp = "_kafka_timestamp"
	ColumnKey       = "_kafka_key"
	ColumnHeaders   = "_kafka_headers"
)

// reservedPrefix begins the names that only metadata columns may have.
const reservedPrefix = "_kafka_"

// DefaultMetadataColumns are the metadata columns that a table has unless its spec says otherwise.
func DefaultMetadataColumns() []string {
	return []string{ColumnTopic, ColumnPartition, ColumnOffset, ColumnTimestamp}
}

// MetadataField returns the schema field of a metadata column. nextID gives out field ids: one, and
// three more for the headers, which are a list of pairs since a record may repeat a header.
func MetadataField(name string, nextID func() int) (iceberg.NestedField, error) {
	field := iceberg.NestedField{ID: nextID(), Name: name}
	switch name {
	case ColumnTopic:
		field.Type, field.Doc = iceberg.PrimitiveTypes.String, "Kafka topic of the record"
	case ColumnPartition:
		field.Type, field.Doc = iceberg.PrimitiveTypes.Int32, "Kafka partition of the record"
	case ColumnOffset:
		field.Type, field.Doc = iceberg.PrimitiveTypes.Int64, "Kafka offset of the record"
	case ColumnTimestamp:
		field.Type, field.Doc = iceberg.PrimitiveTypes.TimestampTz, "Kafka timestamp of the record"
	case ColumnKey:
		field.Type, field.Doc = iceberg.PrimitiveTypes.Binary, "Kafka key of the record"
	case ColumnHeaders:
		field.Doc = "Kafka headers of the record, in order"
		element := nextID()
		field.Type = &iceberg.ListType{ElementID: element, ElementRequired: true,
			Element: &iceberg.StructType{FieldList: []iceberg.NestedField{
				{ID: nextID(), Name: "key", Type: iceberg.PrimitiveTypes.String, Required: true},
				{ID: nextID(), Name: "value", Type: iceberg.PrimitiveTypes.Binary},
			}}}
	default:
		return field, fmt.Errorf("metadata column %q is unknown: there are %s, %s and %s", name,
			strings.Join(DefaultMetadataColumns(), ", "), ColumnKey, ColumnHeaders)
	}
	return field, nil
}

// metadataOf tells whether a top-level field is a metadata column, and checks its type.
func metadataOf(field iceberg.NestedField) (metadataColumn, error) {
	if !strings.HasPrefix(field.Name, reservedPrefix) {
		return "", nil
	}
	want, err := MetadataField(field.Name, func() int { return 0 })
	if err != nil {
		return "", fmt.Errorf("column %s: names that begin with %s are reserved: %w",
			field.Name, reservedPrefix, err)
	}
	if !sameShape(want.Type, field.Type) {
		return "", fmt.Errorf("column %s: its type is %s and must be %s", field.Name, field.Type, want.Type)
	}
	return metadataColumn(field.Name), nil
}

// sameShape compares types without regard to field ids and docs.
func sameShape(a, b iceberg.Type) bool {
	as, bs := childFields(a), childFields(b)
	if len(as) == 0 {
		return a.Equals(b)
	}
	if a.Type() != b.Type() || len(as) != len(bs) {
		return false
	}
	for i := range as {
		if as[i].Name != bs[i].Name || as[i].Required != bs[i].Required || !sameShape(as[i].Type, bs[i].Type) {
			return false
		}
	}
	return true
}
