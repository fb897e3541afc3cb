package evolve

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/ingest/decode"
	"github.com/firthlake/firth/ingest/messageschema"
)

const (
	// metadataPrefix begins the names of the columns that hold a record's coordinates.
	metadataPrefix = "_kafka_"
	// columnsMax bounds a schema's fields at all levels; metadata.json holds each schema in full.
	columnsMax = 10000
	// nameBytesMax is what the strictest catalog in use stores of a column's name.
	nameBytesMax = 255
	// nanosecondFormat is the table format version that has nanosecond timestamps.
	nanosecondFormat = 3
)

// structChange makes new fields of a struct's fields, fieldChange a new field of one among siblings.
type (
	structChange func(fields []iceberg.NestedField) ([]iceberg.NestedField, error)
	fieldChange  func(siblings []iceberg.NestedField, field iceberg.NestedField) (iceberg.NestedField, error)
)

// apply returns the fields after one proposal.
func (s *step) apply(p decode.Proposal) ([]iceberg.NestedField, error) {
	if len(p.Path) == 0 {
		return nil, refused("the proposal names no column")
	}
	if p.Kind == decode.AddColumn {
		add := func(fields []iceberg.NestedField) ([]iceberg.NestedField, error) { return s.add(fields, p) }
		return s.inStruct(s.fields, p.Path, add)
	}
	change := func(siblings []iceberg.NestedField, field iceberg.NestedField) (iceberg.NestedField, error) {
		switch p.Kind {
		case decode.Widen:
			return s.widen(field, p.Type)
		case decode.MakeOptional:
			return s.makeOptional(field)
		case decode.Rename:
			return s.rename(siblings, field, p.To)
		}
		return field, refused(fmt.Sprintf("a proposal of unknown kind %d", p.Kind))
	}
	return s.edit(s.fields, p.Path, change)
}

// inStruct calls change with the fields of the struct that holds the last name of path.
func (s *step) inStruct(fields []iceberg.NestedField, path []string, change structChange) (
	[]iceberg.NestedField, error,
) {
	if len(path) == 1 {
		return change(fields)
	}
	within := func(_ []iceberg.NestedField, field iceberg.NestedField) (iceberg.NestedField, error) {
		of, ok := field.Type.(*iceberg.StructType)
		if !ok {
			return field, refused(fmt.Sprintf("%s is %s and has no fields", field.Name, field.Type))
		}
		inner, err := change(of.FieldList)
		if err != nil {
			return field, err
		}
		field.Type = &iceberg.StructType{FieldList: inner}
		return field, nil
	}
	return s.edit(fields, path[:len(path)-1], within)
}

// edit returns a copy of fields in which the field at path is what change makes of it. Change also
// gets the field's siblings.
func (s *step) edit(fields []iceberg.NestedField, path []string, change fieldChange) (
	[]iceberg.NestedField, error,
) {
	at := s.find(fields, path[0])
	if at < 0 {
		return nil, refused("the table has no column " + path[0])
	}
	field := fields[at]
	var err error
	if len(path) == 1 {
		field, err = change(fields, field)
	} else {
		field.Type, err = s.editInside(field.Type, path[1:], change)
	}
	if err != nil {
		return nil, err
	}
	out := slices.Clone(fields)
	out[at] = field
	return out, nil
}

// find is the place of the field of a name, or of one that had it before: proposals may come from a
// time before a rename.
func (s *step) find(fields []iceberg.NestedField, name string) int {
	at := slices.IndexFunc(fields, func(f iceberg.NestedField) bool { return f.Name == name })
	if at < 0 {
		at = slices.IndexFunc(fields, func(f iceberg.NestedField) bool {
			return slices.Contains(s.names[f.ID], name)
		})
	}
	return at
}

func (s *step) editInside(t iceberg.Type, path []string, change fieldChange) (iceberg.Type, error) {
	if _, ok := t.(*iceberg.MapType); ok && path[0] == "key" {
		return nil, refused("keys of a map cannot change")
	}
	if len(children(t)) == 0 {
		return nil, refused(fmt.Sprintf("%s has no fields", t))
	}
	inner, err := s.edit(children(t), path, change)
	if err != nil {
		return nil, err
	}
	return withChildren(t, inner), nil
}

// add appends a new optional column, or brings one that is there up to the proposed type.
func (s *step) add(fields []iceberg.NestedField, p decode.Proposal) ([]iceberg.NestedField, error) {
	name := p.Path[len(p.Path)-1]
	for at, field := range fields {
		if field.Name == name {
			grown, err := s.grow(field, p.Type)
			if err != nil {
				return nil, err
			}
			out := slices.Clone(fields)
			out[at] = grown
			return out, nil
		}
	}
	if !s.policy.AddColumn {
		return nil, refused("the policy adds no columns")
	}
	if err := s.checkNew(fields, p); err != nil {
		return nil, err
	}
	field := iceberg.NestedField{ID: s.nextID(), Name: name, Doc: p.Doc}
	field.Type = messageschema.FreshIDs(p.Type, s.nextID)
	return append(slices.Clip(slices.Clone(fields)), field), nil
}

func (s *step) nextID() int { s.lastID++; return s.lastID }

// checkNew refuses a column that tables, or engines that read them, cannot have.
func (s *step) checkNew(fields []iceberg.NestedField, p decode.Proposal) error {
	name := p.Path[len(p.Path)-1]
	if err := s.checkName(fields, name, len(p.Path) == 1); err != nil {
		return err
	}
	if p.Type == nil {
		return refused("no column type holds its values")
	}
	count := countFields(s.fields) + countFields([]iceberg.NestedField{{Type: p.Type}})
	switch {
	case count > columnsMax:
		return refused(fmt.Sprintf("the table would have more than %d fields", columnsMax))
	case s.state.FormatVersion < nanosecondFormat && hasNanoseconds(p.Type):
		return refused("nanosecond timestamps need table format 3")
	}
	return nil
}

func (s *step) checkName(fields []iceberg.NestedField, name string, top bool) error {
	switch {
	case name == "" || len(name) > nameBytesMax:
		return refused(fmt.Sprintf("a column's name has 1 to %d bytes", nameBytesMax))
	case strings.Contains(name, "."):
		return refused("a name with a dot cannot be told from a field of a struct: " +
			"give the field a column by a path")
	case top && strings.HasPrefix(name, metadataPrefix) && !s.policy.Metadata:
		return refused("names that begin with " + metadataPrefix + " are for the record's coordinates")
	}
	if at := s.find(fields, name); at >= 0 {
		return refused("column " + fields[at].Name + " has this name now or had it before")
	}
	for _, field := range fields {
		if strings.EqualFold(field.Name, name) {
			return refused("differs from column " + field.Name +
				" in case only, which most engines do not tell apart")
		}
	}
	return nil
}

// grow brings a column that exists already up to a type that another writer, or another process,
// proposed for it.
func (s *step) grow(field iceberg.NestedField, to iceberg.Type) (iceberg.NestedField, error) {
	if to == nil || holds(field.Type, to) {
		return field, errNothingToDo
	}
	was := children(field.Type)
	_, isMap := field.Type.(*iceberg.MapType)
	if len(was) == 0 || to == nil || field.Type.Type() != to.Type() {
		return s.widen(field, to)
	}
	inner, changed := was, false
	for _, want := range children(to) {
		at := slices.IndexFunc(inner, func(f iceberg.NestedField) bool { return f.Name == want.Name })
		var err error
		var next []iceberg.NestedField
		switch {
		case at < 0:
			path := []string{field.Name, want.Name}
			next, err = s.add(inner, decode.Proposal{Path: path, Type: want.Type, Doc: want.Doc})
		case isMap && at == 0 && !holds(inner[at].Type, want.Type):
			err = refused("keys of a map cannot change")
		default:
			next, err = s.growChild(inner, at, want)
		}
		if errors.Is(err, errNothingToDo) {
			continue
		}
		if err != nil {
			return field, err
		}
		inner, changed = next, true
	}
	if !changed {
		return field, errNothingToDo
	}
	field.Type = withChildren(field.Type, inner)
	return field, nil
}

func (s *step) growChild(fields []iceberg.NestedField, at int, want iceberg.NestedField) (
	[]iceberg.NestedField, error,
) {
	grown, err := s.grow(fields[at], want.Type)
	if grown.Required && !want.Required {
		optional, optionalErr := s.makeOptional(grown)
		if optionalErr != nil {
			return nil, optionalErr
		}
		grown, err = optional, nil
	}
	if err != nil {
		return nil, err
	}
	out := slices.Clone(fields)
	out[at] = grown
	return out, nil
}

func withChildren(t iceberg.Type, inner []iceberg.NestedField) iceberg.Type {
	switch t := t.(type) {
	case *iceberg.ListType:
		list := *t
		list.Element, list.ElementRequired = inner[0].Type, inner[0].Required
		return &list
	case *iceberg.MapType:
		m := *t
		m.ValueType, m.ValueRequired = inner[1].Type, inner[1].Required
		return &m
	}
	return &iceberg.StructType{FieldList: inner}
}

func (s *step) widen(field iceberg.NestedField, to iceberg.Type) (iceberg.NestedField, error) {
	switch {
	case to == nil || holds(field.Type, to):
		return field, errNothingToDo
	case !wider(field.Type, to):
		return field, refused(fmt.Sprintf("its type %s cannot become %s: only int to long, float to double "+
			"and more digits of a decimal are safe", field.Type, to))
	case !s.policy.Widen:
		return field, refused(fmt.Sprintf("the policy widens no types (%s to %s)", field.Type, to))
	case s.state.Sources[field.ID]:
		return field, refused("the table is partitioned or sorted by it: change that first")
	}
	field.Type = to
	return field, nil
}

func (s *step) makeOptional(field iceberg.NestedField) (iceberg.NestedField, error) {
	switch {
	case !field.Required:
		return field, errNothingToDo
	case !s.policy.MakeOptional:
		return field, refused("the policy makes no required column optional")
	case slices.Contains(s.state.Schema.IdentifierFieldIDs, field.ID):
		return field, refused("identifier fields must be required")
	}
	field.Required = false
	return field, nil
}

func (s *step) rename(siblings []iceberg.NestedField, field iceberg.NestedField, to string) (
	iceberg.NestedField, error,
) {
	if field.Name == to {
		return field, errNothingToDo
	}
	if !s.policy.Rename {
		return field, refused("the policy renames no columns")
	}
	if strings.HasPrefix(field.Name, metadataPrefix) {
		return field, refused("columns of the record's coordinates keep their names")
	}
	isField := func(f iceberg.NestedField) bool { return f.ID == field.ID }
	others := slices.DeleteFunc(slices.Clone(siblings), isField)
	if err := s.checkName(others, to, true); err != nil {
		return field, err
	}
	s.names[field.ID], s.renamed = append(s.names[field.ID], field.Name), true
	field.Name = to
	return field, nil
}

// holds tells whether a column of type have takes all values of type want as it is.
func holds(have, want iceberg.Type) bool {
	return have.Equals(want) || wider(want, have)
}

// wider tells whether from may become to (Iceberg spec, "Type promotion").
func wider(from, to iceberg.Type) bool {
	switch from := from.(type) {
	case iceberg.Int32Type:
		_, ok := to.(iceberg.Int64Type)
		return ok
	case iceberg.Float32Type:
		_, ok := to.(iceberg.Float64Type)
		return ok
	case iceberg.DecimalType:
		wide, ok := to.(iceberg.DecimalType)
		return ok && wide.Scale() == from.Scale() && wide.Precision() > from.Precision()
	}
	return false
}

func hasNanoseconds(t iceberg.Type) bool {
	switch t.(type) {
	case iceberg.TimestampNsType, iceberg.TimestampTzNsType:
		return true
	}
	for _, field := range children(t) {
		if hasNanoseconds(field.Type) {
			return true
		}
	}
	return false
}

func countFields(fields []iceberg.NestedField) int {
	count := len(fields)
	for _, field := range fields {
		count += countFields(children(field.Type))
	}
	return count
}
