package messageschema

import (
	"fmt"
	"strings"

	"github.com/apache/iceberg-go"
)

const (
	// depthMax bounds the nesting of a schema. Parquet readers give up at about this depth.
	depthMax = 64
	// columnsMax bounds the fields of a schema, counted at all levels after shared types are
	// expanded: twenty lines of schema can describe a million of them.
	columnsMax = 10000
	// textBytesMax bounds a schema's text with all it refers to.
	textBytesMax = 16 << 20
)

// Options say how writers' types become columns.
type Options struct {
	// Nanoseconds allows columns of timestamp_ns and timestamptz_ns, which table format v3 has.
	Nanoseconds bool
}

// Refusal is a part of a schema that no column can hold.
type Refusal struct {
	// Path is the field, from the top down.
	Path []string
	// Reason says why, for people.
	Reason string
}

// String is "path: reason".
func (r Refusal) String() string {
	if len(r.Path) == 0 {
		return r.Reason
	}
	return strings.Join(r.Path, ".") + ": " + r.Reason
}

// Columns is the Iceberg form of a schema. Field ids are all 0 until FreshIDs sets them.
type Columns struct {
	// Fields are the top-level columns.
	Fields []iceberg.NestedField
	// Refusals are the parts that were left out.
	Refusals []Refusal
}

// Schema returns the columns as a schema with fresh ids from 1.
func (c Columns) Schema() *iceberg.Schema {
	last := 0
	next := func() int { last++; return last }
	fields := FreshIDs(&iceberg.StructType{FieldList: c.Fields}, next).(*iceberg.StructType)
	return iceberg.NewSchema(0, fields.FieldList...)
}

// FreshIDs returns t with ids from next on all its fields: a struct's fields first, then what is in
// them, as other writers of Iceberg number a new table. The type itself is not changed.
func FreshIDs(t iceberg.Type, next func() int) iceberg.Type {
	switch t := t.(type) {
	case *iceberg.StructType:
		fields := make([]iceberg.NestedField, len(t.FieldList))
		copy(fields, t.FieldList)
		for i := range fields {
			fields[i].ID = next()
		}
		for i := range fields {
			fields[i].Type = FreshIDs(fields[i].Type, next)
		}
		return &iceberg.StructType{FieldList: fields}
	case *iceberg.ListType:
		list := *t
		list.ElementID = next()
		list.Element = FreshIDs(t.Element, next)
		return &list
	case *iceberg.MapType:
		m := *t
		m.KeyID, m.ValueID = next(), next()
		m.KeyType, m.ValueType = FreshIDs(t.KeyType, next), FreshIDs(t.ValueType, next)
		return &m
	}
	return t
}

// expander builds Columns and keeps its bounds.
type expander struct {
	options  Options
	refusals []Refusal
	path     []string
	count    int
}

// refuse notes that what stands at the present path has no column.
func (e *expander) refuse(format string, args ...any) {
	const refusalsMax = 1000
	if len(e.refusals) < refusalsMax {
		path := append([]string(nil), e.path...)
		e.refusals = append(e.refusals, Refusal{Path: path, Reason: fmt.Sprintf(format, args...)})
	}
}

// enter adds name to the path and reports whether the bounds allow to go on; leave must follow.
func (e *expander) enter(name string) bool {
	e.path = append(e.path, name)
	e.count++
	switch {
	case e.count > columnsMax:
		e.refuse("the schema has more than %d fields", columnsMax)
		return false
	case len(e.path) > depthMax:
		e.refuse("nested deeper than %d levels", depthMax)
		return false
	}
	return true
}

func (e *expander) leave() { e.path = e.path[:len(e.path)-1] }

// structOf is a struct type of fields, or nil with a refusal when there is none.
func (e *expander) structOf(fields []iceberg.NestedField) iceberg.Type {
	if len(fields) == 0 {
		e.refuse("a struct without fields")
		return nil
	}
	return &iceberg.StructType{FieldList: fields}
}
