package ingest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/ingest/spec"
	"github.com/firthlake/firth/ingest/upsert"
)

// MergeOptions say how versions of a row are merged into one, column by column. A column that they do not name
// is the last value that is not null.
type MergeOptions struct {
	// Functions are by column.
	Functions map[string]spec.Function
	// Groups are columns that are taken from one version together.
	Groups []spec.ColumnGroup
}

// functionOf is what ingest/upsert calls a function.
func functionOf(f spec.Function) (upsert.Function, error) {
	switch f {
	case spec.FunctionSum:
		return upsert.Sum, nil
	case spec.FunctionCount:
		return upsert.Count, nil
	case spec.FunctionMin, spec.FunctionAnd: // false is less than true
		return upsert.Min, nil
	case spec.FunctionMax, spec.FunctionOr:
		return upsert.Max, nil
	case spec.FunctionFirst:
		return upsert.FirstValue, nil
	case spec.FunctionLast:
		return upsert.LastValue, nil
	}
	return 0, fmt.Errorf("unknown function %q", f)
}

// foldOptions are how versions of the table's rows stand to each other.
func (k *keyedShape) foldOptions() upsert.Options {
	return upsert.Options{Sequence: k.sequence, First: k.opts.First, Columns: k.columns, Groups: k.groups}
}

// merges says whether old rows are needed to make new ones.
func (k *keyedShape) merges() bool { return k.columns != nil }

// findMerges finds how each column of s is merged.
func (k *keyedShape) findMerges(s *shape, place func(name string) (int, error)) error {
	merge := k.opts.Merge
	if merge == nil {
		return nil
	}
	k.columns = make([]upsert.Column, len(s.schema.Fields()))
	for i, field := range s.schema.Fields() {
		// Coordinates are those of the record that was taken in last, and keys are alike.
		coordinate := strings.HasPrefix(field.Name, spec.MetadataPrefix)
		if coordinate || slices.Contains(s.schema.IdentifierFieldIDs, field.ID) {
			k.columns[i].Function = upsert.Newest
		}
	}
	for name, f := range merge.Functions {
		i, err := place(name)
		if err != nil {
			return err
		}
		if takes, which := f.Takes(s.schema.Field(i).Type); !takes {
			return fmt.Errorf("column %s of type %s has the function %s, whose columns are %s", name,
				spec.FormatType(s.schema.Field(i).Type), f, which)
		}
		if k.columns[i].Function, err = functionOf(f); err != nil {
			return fmt.Errorf("column %s: %w", name, err)
		}
	}
	for g, group := range merge.Groups {
		var sequence []int
		for _, name := range slices.Concat(group.Columns, group.Sequence) {
			i, err := place(name)
			if err != nil {
				return err
			}
			if s.schema.Field(i).Required {
				return fmt.Errorf("column %s is required and belongs to a column group, in which it may be null", name)
			}
			k.columns[i] = upsert.Column{Function: upsert.Grouped, Group: g}
			if slices.Contains(group.Sequence, name) {
				sequence = append(sequence, i)
			}
		}
		k.groups = append(k.groups, sequence)
	}
	return nil
}

// sequenceFields are the columns of the table's sequence (0) or of that of a group (from 1 on).
func (s *shape) sequenceFields(which int) []iceberg.NestedField {
	places := s.keyed.sequence
	if which > 0 {
		places = s.keyed.groups[which-1]
	}
	fields := make([]iceberg.NestedField, len(places))
	for i, place := range places {
		fields[i] = s.schema.Field(place)
	}
	return fields
}
