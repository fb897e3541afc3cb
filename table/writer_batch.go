package table

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/cespare/xxhash/v2"
)

// check says what keeps batch from being written: another schema, or a null in a required column.
func (w *Writer) check(batch arrow.RecordBatch) error {
	want := w.layout.schema
	if schema := batch.Schema(); schema != w.fits {
		if err := checkSchema(schema, want); err != nil {
			return err
		}
		w.fits = schema
	}
	for i, column := range batch.Columns() {
		if err := checkRequired(want.Field(i).Name, want.Field(i), column); err != nil {
			return err
		}
	}
	return nil
}

// checkSchema says in what a batch's schema differs from the table's.
func checkSchema(schema, want *arrow.Schema) error {
	if schema.NumFields() != want.NumFields() {
		return fmt.Errorf("batch has %d columns, the table's schema %d", schema.NumFields(), want.NumFields())
	}
	for i, field := range want.Fields() {
		column := schema.Field(i)
		if !sameType(column.Type, field.Type) {
			return fmt.Errorf("column %s: batch holds %s, the table %s", field.Name, column.Type, field.Type)
		}
		if id := fieldID(column); id != 0 && id != fieldID(field) {
			return fmt.Errorf("column %s has field id %d in the batch, %d in the table",
				field.Name, id, fieldID(field))
		}
	}
	return nil
}

// sameType compares types without the names and metadata of nested fields, which do not change how
// values lie in memory.
func sameType(a, b arrow.DataType) bool {
	if a.ID() != b.ID() {
		return false
	}
	below, wanted := nestedTypes(a), nestedTypes(b)
	if wanted == nil {
		return arrow.TypeEqual(a, b)
	}
	if len(below) != len(wanted) {
		return false
	}
	for i := range below {
		if !sameType(below[i], wanted[i]) {
			return false
		}
	}
	return true
}

func nestedTypes(typ arrow.DataType) []arrow.DataType {
	nested, ok := typ.(arrow.NestedType)
	if !ok {
		return nil
	}
	var out []arrow.DataType
	if m, isMap := typ.(*arrow.MapType); isMap {
		return []arrow.DataType{m.Elem()}
	}
	for _, field := range nested.Fields() {
		out = append(out, field.Type)
	}
	return out
}

func checkRequired(path string, field arrow.Field, column arrow.Array) error {
	if !field.Nullable && column.NullN() > 0 {
		return fmt.Errorf("column %s is required and the batch has %d nulls in it",
			path, column.NullN())
	}
	// A required field below an optional struct is null where the struct is.
	a, ok := column.(*array.Struct)
	if !ok {
		return nil
	}
	for i, child := range field.Type.(*arrow.StructType).Fields() {
		if child.Nullable || a.Field(i).NullN() == 0 {
			continue
		}
		for row := range a.Len() {
			if a.IsValid(row) && a.Field(i).IsNull(row) {
				return fmt.Errorf("column %s.%s is required and row %d of the batch has a null in it",
					path, child.Name, row)
			}
		}
	}
	return nil
}

// BatchBytes estimates the memory that the rows of batch take, whatever else its buffers hold.
func BatchBytes(batch arrow.RecordBatch) int64 { return batchBytes(batch) }

// batchBytes estimates the memory that the rows of batch take, whatever else its buffers hold.
func batchBytes(batch arrow.RecordBatch) int64 {
	var bytes int64
	for _, column := range batch.Columns() {
		bytes += arrayBytes(column)
	}
	return bytes
}

func arrayBytes(arr arrow.Array) int64 {
	n := int64(arr.Len())
	validity := n / 8
	switch a := arr.(type) {
	case *array.String:
		return validity + 4*n + int64(len(a.ValueBytes()))
	case *array.Binary:
		return validity + 4*n + int64(len(a.ValueBytes()))
	case *array.Struct:
		for i := range a.NumField() {
			validity += arrayBytes(a.Field(i))
		}
		return validity
	case array.ListLike: // maps too
		first, last := valueRange(a)
		values := array.NewSlice(a.ListValues(), int64(first), int64(last))
		defer values.Release()
		return validity + 4*n + arrayBytes(values)
	}
	if fixed, ok := arr.DataType().(arrow.FixedWidthDataType); ok {
		return validity + n*int64(fixed.BitWidth())/8
	}
	return validity + 8*n
}

func hashText(text string) uint64 { return xxhash.Sum64String(text) }
