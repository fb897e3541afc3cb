package table

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
)

// fieldIDKey is the key in the metadata of an arrow field that holds its Iceberg field id. Parquet
// writers turn it into the field id of the column.
const fieldIDKey = icetable.ArrowParquetFieldIDKey

// ArrowSchema is the one mapping from a table's schema to the arrow form of its record batches:
// decoders build batches of it, Writer takes them and Read yields them.
//
// Field ids stand in the metadata of the fields, elements, keys and values included. Timestamps are
// in microseconds (or nanoseconds, v3), with zone UTC or none; time is in microseconds; strings and
// binaries have 32-bit offsets; decimals are 128 bits wide; uuid is a fixed binary of 16 bytes.
// Types that firth cannot write (variant, geometry, geography, unknown) are errors.
func ArrowSchema(schema *iceberg.Schema) (*arrow.Schema, error) {
	if schema == nil {
		return nil, fmt.Errorf("arrow schema: no schema given")
	}
	for _, field := range schema.Fields() {
		if err := checkWritable(field.Name, field.Type); err != nil {
			return nil, err
		}
	}
	// A Doc would land in the metadata of the field: it has no place in a batch.
	full, err := icetable.SchemaToArrowSchema(schema, nil, true, false)
	if err != nil {
		return nil, fmt.Errorf("arrow schema: %w", err)
	}
	fields := slices.Clone(full.Fields())
	for i := range fields {
		fields[i] = plainField(fields[i])
	}
	return arrow.NewSchema(fields, nil), nil
}

func checkWritable(path string, typ iceberg.Type) error {
	switch t := typ.(type) {
	case iceberg.VariantType, iceberg.GeometryType, iceberg.GeographyType, iceberg.UnknownType:
		return fmt.Errorf("column %s: type %s cannot be written by firth: leave it out of the schema",
			path, typ)
	case iceberg.NestedType:
		for _, child := range t.Fields() {
			if err := checkWritable(path+"."+child.Name, child.Type); err != nil {
				return err
			}
		}
	}
	return nil
}

// plainField keeps the field id alone in the metadata and replaces the uuid extension by its
// storage type.
func plainField(field arrow.Field) arrow.Field {
	return mapFields(field, func(f arrow.Field) arrow.Field {
		if id, ok := f.Metadata.GetValue(fieldIDKey); ok {
			f.Metadata = arrow.NewMetadata([]string{fieldIDKey}, []string{id})
		}
		if ext, ok := f.Type.(*extensions.UUIDType); ok {
			f.Type = ext.StorageType()
		}
		return f
	})
}

// mapFields applies change to field and all fields below it, leaves first.
func mapFields(field arrow.Field, change func(arrow.Field) arrow.Field) arrow.Field {
	switch t := field.Type.(type) {
	case *arrow.StructType:
		children := slices.Clone(t.Fields())
		for i := range children {
			children[i] = mapFields(children[i], change)
		}
		field.Type = arrow.StructOf(children...)
	case *arrow.ListType:
		field.Type = arrow.ListOfField(mapFields(t.ElemField(), change))
	case *arrow.MapType:
		field.Type = arrow.MapOfFields(
			mapFields(t.KeyField(), change), mapFields(t.ItemField(), change))
	}
	return change(field)
}

// fieldID is the Iceberg field id in the metadata of f, or 0 when there is none.
func fieldID(f arrow.Field) int {
	text, ok := f.Metadata.GetValue(fieldIDKey)
	if !ok {
		return 0
	}
	id, err := strconv.Atoi(text)
	if err != nil {
		return 0
	}
	return id
}

// fileSchema is schema as the mapping to Parquet must see it: uuid columns carry the extension type that
// gives them Parquet's UUID annotation, which the Iceberg spec asks for, and integers the one that keeps
// it from annotating them.
func fileSchema(schema *arrow.Schema, source *iceberg.Schema) *arrow.Schema {
	fields := slices.Clone(schema.Fields())
	for i := range fields {
		fields[i] = mapFields(fields[i], func(f arrow.Field) arrow.Field {
			typ, ok := source.FindTypeByID(fieldID(f))
			if !ok {
				return f
			}
			switch typ.(type) {
			case iceberg.UUIDType:
				f.Type = extensions.NewUUIDType()
			case iceberg.Int32Type, iceberg.Int64Type:
				f.Type = newBareInteger(f.Type)
			}
			return f
		})
	}
	return arrow.NewSchema(fields, nil)
}
