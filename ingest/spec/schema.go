package spec

import (
	"fmt"
	"slices"
	"strings"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"

	"github.com/firthlake/firth/ingest/decode"
	"github.com/firthlake/firth/table"
)

// Fields returns the metadata columns that are on, in their order, with field ids of 0.
func (m MetadataColumns) Fields() []iceberg.NestedField {
	var fields []iceberg.NestedField
	for _, name := range m.Names() {
		field, err := decode.MetadataField(name, func() int { return 0 })
		if err != nil {
			panic("BUG: " + err.Error())
		}
		fields = append(fields, field)
	}
	return fields
}

// Names are the names of the metadata columns that are on.
func (m MetadataColumns) Names() []string {
	var names []string
	for _, c := range []struct {
		on   bool
		name string
	}{
		{m.Topic, decode.ColumnTopic}, {m.Partition, decode.ColumnPartition},
		{m.Offset, decode.ColumnOffset}, {m.Timestamp, decode.ColumnTimestamp},
		{m.Key, decode.ColumnKey}, {m.Headers, decode.ColumnHeaders},
	} {
		if c.on {
			names = append(names, c.name)
		}
	}
	return names
}

// WithColumns returns the spec with its columns from a registry subject or a sample. The result is
// validated like a file.
func (s *Spec) WithColumns(columns []Column) (*Spec, error) {
	out := *s
	out.Schema = Schema{Columns: slices.Clone(columns)}
	for i := range columns { // registries and samples seldom know what is never null
		c := &out.Schema.Columns[i]
		c.Required = c.Required || slices.Contains(s.Identifier, c.Name)
	}
	if err := out.Validate(); err != nil {
		return nil, err
	}
	return &out, nil
}

// RowSchema is the Iceberg schema of the spec's own columns, without the metadata columns, with
// fresh field ids. It is nil when the spec leaves its columns to a registry or a sample.
func (s *Spec) RowSchema() (*iceberg.Schema, error) {
	if len(s.Schema.Columns) == 0 {
		return nil, nil
	}
	return s.schemaOf(nil)
}

// TableSchema is the Iceberg schema of a new table: the spec's columns, then the metadata columns,
// with fresh field ids. It is nil when the spec leaves its columns to a registry or a sample.
func (s *Spec) TableSchema() (*iceberg.Schema, error) {
	if len(s.Schema.Columns) == 0 {
		return nil, nil
	}
	return s.schemaOf(s.Metadata.Fields())
}

func (s *Spec) schemaOf(more []iceberg.NestedField) (*iceberg.Schema, error) {
	fields := make([]iceberg.NestedField, 0, len(s.Schema.Columns)+len(more))
	for _, c := range s.Schema.Columns {
		t, err := ParseType(c.Type)
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", c.Name, err)
		}
		fields = append(fields, iceberg.NestedField{Name: c.Name, Type: t, Required: c.Required, Doc: c.Doc})
	}
	schema, err := iceberg.AssignFreshSchemaIDs(iceberg.NewSchema(0, append(fields, more...)...), nil)
	if err != nil {
		return nil, fmt.Errorf("schema of %s: %w", s.Name, err)
	}
	s.identify(schema)
	return schema, nil
}

// PartitionSpec binds the partition terms to schema, which is the table's, or TableSchema for a new
// table.
func (s *Spec) PartitionSpec(schema *iceberg.Schema) (iceberg.PartitionSpec, error) {
	fields := make([]iceberg.PartitionField, 0, len(s.Partition))
	names := map[string]bool{}
	for i, text := range s.Partition {
		term, err := parseTerm(text)
		if err != nil {
			return iceberg.PartitionSpec{}, err
		}
		source, err := term.bind(schema)
		if err != nil {
			return iceberg.PartitionSpec{}, err
		}
		name := term.column + term.suffix()
		if names[name] {
			return iceberg.PartitionSpec{},
				fmt.Errorf("partition term %q names the partition field %s a second time", text, name)
		}
		names[name] = true
		if _, ok := schema.FindFieldByName(name); ok && term.suffix() != "" {
			return iceberg.PartitionSpec{},
				fmt.Errorf("partition field %s of term %q has the name of a column", name, text)
		}
		fields = append(fields, iceberg.PartitionField{SourceIDs: []int{source.ID},
			FieldID: firstPartitionFieldID + i, Name: name, Transform: term.transform})
	}
	return iceberg.NewPartitionSpec(fields...), nil
}

// firstPartitionFieldID is where the Iceberg spec lets partition field ids begin.
const firstPartitionFieldID = 1000

// SortOrder binds the sort terms to schema.
func (s *Spec) SortOrder(schema *iceberg.Schema) (icetable.SortOrder, error) {
	zorder, err := s.ZOrder()
	if err == nil && zorder != nil {
		_, err = table.NewZOrder(schema, zorder, nil) // Iceberg has no sort order for it
	}
	if err != nil {
		return icetable.SortOrder{}, err
	}
	if len(s.Sort) == 0 || zorder != nil {
		return icetable.UnsortedSortOrder, nil
	}
	var fields []icetable.SortField
	for _, text := range s.Sort {
		field, term, err := parseSortTerm(text)
		if err != nil {
			return icetable.SortOrder{}, err
		}
		source, err := term.bind(schema)
		if err != nil {
			return icetable.SortOrder{}, err
		}
		field.SourceIDs = []int{source.ID}
		fields = append(fields, field)
	}
	order, err := icetable.NewSortOrder(1, fields)
	if err != nil {
		return icetable.SortOrder{}, fmt.Errorf("sort order of %s: %w", s.Name, err)
	}
	return order, nil
}

// Version is the Iceberg format version that the spec asks for: what it says, or for auto 3 where a column
// needs it or rows are deleted by vectors, else 2.
func (s *Spec) Version() int {
	if s.Format != 0 {
		return int(s.Format)
	}
	if len(s.versionThree()) > 0 || s.Keyed() && s.ReaderProfile != "wide" {
		return 3
	}
	return 2
}

// versionThree names the columns whose types exist only in format version 3.
func (s *Spec) versionThree() []string {
	var names []string
	for _, c := range s.Schema.Columns {
		if strings.Contains(c.Type, "_ns") {
			names = append(names, c.Name)
		}
	}
	return names
}
