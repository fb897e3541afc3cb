package table

import (
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/iceberg-go"
)

// fileColumns are the columns of a file that a read needs.
type fileColumns struct {
	// leaves are the indexes of Parquet columns.
	leaves []int
	// found are the top-level fields in the order in which the reader of those leaves gives them,
	// with field ids.
	found []arrow.Field
}

// resolveColumns finds the columns of schema in a file by field id. Files written without ids get
// them from the name mapping of the table.
func resolveColumns(
	manifest *pqarrow.SchemaManifest, schema *iceberg.Schema, mapping iceberg.NameMapping,
) (fileColumns, error) {
	var columns fileColumns
	wanted := map[int]bool{}
	collectIDs(schema.Fields(), wanted)
	mapped, err := withFieldIDs(manifest.Fields, mapping)
	if err != nil {
		return columns, err
	}
	for i := range mapped {
		before := len(columns.leaves)
		field, ok := mapped[i].prune(wanted, &columns.leaves)
		if ok && len(columns.leaves) > before {
			columns.found = append(columns.found, field)
		}
	}
	return columns, nil
}

func collectIDs(fields []iceberg.NestedField, ids map[int]bool) {
	for _, field := range fields {
		ids[field.ID] = true
		if nested, ok := field.Type.(iceberg.NestedType); ok {
			collectIDs(nested.Fields(), ids)
		}
	}
}

// fileField is a field of a Parquet file with its field id.
type fileField struct {
	id       int
	field    arrow.Field
	leaf     int // index of the column, or -1
	children []fileField
}

// withFieldIDs copies the tree of fields. When no field has an id, ids come from mapping.
func withFieldIDs(fields []pqarrow.SchemaField, mapping iceberg.NameMapping) ([]fileField, error) {
	tree := make([]fileField, len(fields))
	some := false
	for i := range fields {
		tree[i] = newFileField(&fields[i])
		some = some || tree[i].hasIDs()
	}
	if some || len(tree) == 0 {
		return tree, nil
	}
	if len(mapping) == 0 {
		return nil, errors.New("the columns of the file have no field ids and the table no name " +
			"mapping: set the table property schema.name-mapping.default")
	}
	for i := range tree {
		tree[i].applyMapping(mapping)
	}
	return tree, nil
}

func newFileField(from *pqarrow.SchemaField) fileField {
	f := fileField{id: fieldID(*from.Field), field: *from.Field, leaf: from.ColIndex}
	if !from.IsLeaf() {
		f.leaf = -1
	}
	for i := range from.Children {
		f.children = append(f.children, newFileField(&from.Children[i]))
	}
	return f
}

func (f *fileField) hasIDs() bool {
	for i := range f.children {
		if f.children[i].hasIDs() {
			return true
		}
	}
	return f.id > 0
}

func (f *fileField) applyMapping(mapping []iceberg.MappedField) {
	name := f.field.Name
	for _, m := range mapping {
		for _, known := range m.Names {
			if known != name {
				continue
			}
			if m.FieldID != nil {
				f.id = *m.FieldID
			}
			f.mapChildren(m.Fields)
			return
		}
	}
}

// mapChildren maps fields of structs by name, and elements, keys and values by the names that the
// spec gives them, whatever they are called in the file.
func (f *fileField) mapChildren(mapping []iceberg.MappedField) {
	children := f.children
	var names []string
	switch f.field.Type.ID() {
	case arrow.LIST, arrow.LARGE_LIST, arrow.FIXED_SIZE_LIST:
		names = []string{"element"}
	case arrow.MAP:
		names = []string{"key", "value"}
		if len(children) == 1 {
			children = children[0].children
		}
	}
	for i := range children {
		if i < len(names) {
			children[i].field.Name = names[i]
		}
		children[i].applyMapping(mapping)
	}
}

// prune appends the leaves of f that are wanted and returns f as a reader of them gives it. A
// struct of which only fields unknown to the file are wanted keeps one leaf, to tell null
// structs.
func (f *fileField) prune(wanted map[int]bool, leaves *[]int) (arrow.Field, bool) {
	out := f.withID()
	if f.leaf >= 0 {
		if wanted[f.id] {
			*leaves = append(*leaves, f.leaf)
		}
		return out, wanted[f.id]
	}
	switch typ := f.field.Type.(type) {
	case *arrow.StructType:
		return f.pruneStruct(wanted, leaves)
	case *arrow.MapType:
		if !wanted[f.id] || len(f.children) != 1 || len(f.children[0].children) != 2 {
			return out, false
		}
		entries := f.children[0].children // read whole: a map needs both of its columns
		key, value := entries[0].all(leaves), entries[1].all(leaves)
		out.Type = arrow.MapOfFields(key, value)
		return out, true
	case *arrow.ListType, *arrow.LargeListType, *arrow.FixedSizeListType:
		if !wanted[f.id] || len(f.children) != 1 {
			return out, false
		}
		before := len(*leaves)
		element, ok := f.children[0].prune(wanted, leaves)
		if !ok || len(*leaves) == before {
			*leaves = (*leaves)[:before]
			element = f.children[0].firstLeaf(leaves)
		}
		out.Type = listLike(typ, element)
		return out, true
	}
	return out, false
}

func (f *fileField) pruneStruct(wanted map[int]bool, leaves *[]int) (arrow.Field, bool) {
	out := f.withID()
	var kept []arrow.Field
	for i := range f.children {
		if child, ok := f.children[i].prune(wanted, leaves); ok {
			kept = append(kept, child)
		}
	}
	if len(kept) == 0 {
		if !wanted[f.id] || len(f.children) == 0 {
			return out, false
		}
		kept = append(kept, f.children[0].firstLeaf(leaves))
	}
	out.Type = arrow.StructOf(kept...)
	return out, true
}

func (f *fileField) withID() arrow.Field {
	out := f.field
	if f.id > 0 {
		out.Metadata = arrow.NewMetadata([]string{fieldIDKey}, []string{fmt.Sprint(f.id)})
	}
	return out
}

// all appends every leaf of f.
func (f *fileField) all(leaves *[]int) arrow.Field {
	out := f.withID()
	if f.leaf >= 0 {
		*leaves = append(*leaves, f.leaf)
		return out
	}
	children := make([]arrow.Field, len(f.children))
	for i := range f.children {
		children[i] = f.children[i].all(leaves)
	}
	switch typ := f.field.Type.(type) {
	case *arrow.StructType:
		out.Type = arrow.StructOf(children...)
	case *arrow.MapType:
		if entries, ok := children[0].Type.(*arrow.StructType); ok && entries.NumFields() == 2 {
			out.Type = arrow.MapOfFields(entries.Field(0), entries.Field(1))
		}
	default:
		out.Type = listLike(typ, children[0])
	}
	return out
}

// firstLeaf appends the first leaf of f, or all of it when it is a map.
func (f *fileField) firstLeaf(leaves *[]int) arrow.Field {
	out := f.withID()
	switch typ := f.field.Type.(type) {
	case *arrow.MapType:
		return f.all(leaves)
	case *arrow.StructType:
		out.Type = arrow.StructOf(f.children[0].firstLeaf(leaves))
	case *arrow.ListType, *arrow.LargeListType, *arrow.FixedSizeListType:
		out.Type = listLike(typ, f.children[0].firstLeaf(leaves))
	default:
		*leaves = append(*leaves, f.leaf)
	}
	return out
}

func listLike(typ arrow.DataType, element arrow.Field) arrow.DataType {
	switch t := typ.(type) {
	case *arrow.LargeListType:
		return arrow.LargeListOfField(element)
	case *arrow.FixedSizeListType:
		return arrow.FixedSizeListOfField(t.Len(), element)
	}
	return arrow.ListOfField(element)
}
