package spec

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/apache/iceberg-go"
)

// Merge says what becomes of several versions of a row in a keyed table.
type Merge string

// The merge engines.
const (
	MergeLast      Merge = "last"      // the newest version stays
	MergeFirst     Merge = "first"     // the one that came first does
	MergePartial   Merge = "partial"   // newer versions replace what is not null in them
	MergeAggregate Merge = "aggregate" // columns are added up
)

func merges() []string {
	return []string{string(MergeLast), string(MergeFirst), string(MergePartial), string(MergeAggregate)}
}

// MergeEngine is the merge engine, with its default.
func (s *Spec) MergeEngine() Merge {
	if s.Merge == "" {
		return MergeLast
	}
	return s.Merge
}

// PropertyMerge is the table property that names the merge engine of a keyed table (docs/format.md).
const PropertyMerge = "firth.merge"

// merge compares the merge engines. A table without the property was made by somebody else, and takes any.
func (d *differ) merge() {
	have, want := d.table.Metadata().Properties()[PropertyMerge], string(d.spec.MergeEngine())
	if have == "" || have == want || !d.spec.Keyed() {
		return
	}
	d.plan.add(StepRefuse, "merge", have+" cannot become "+want, "the rows that the table has are what "+have+
		" made of their records: write merge: "+have+", or feed a new table")
}

// ColumnGroup are columns that are taken from one version together: the one whose sequence is the greatest.
type ColumnGroup struct {
	Columns  []string `yaml:"columns"`
	Sequence []string `yaml:"sequence"`
}

// Function says how the values of a column come together.
type Function string

// The functions.
const (
	FunctionSum   Function = "sum"
	FunctionMin   Function = "min"
	FunctionMax   Function = "max"
	FunctionCount Function = "count"    // of versions
	FunctionFirst Function = "first"    // that is not null
	FunctionLast  Function = "last"     // that is not null; also that of columns without a function
	FunctionAnd   Function = "bool_and" // whether all are true
	FunctionOr    Function = "bool_or"  // whether any is true
)

func functions() []string {
	return []string{string(FunctionSum), string(FunctionMin), string(FunctionMax), string(FunctionCount),
		string(FunctionFirst), string(FunctionLast), string(FunctionAnd), string(FunctionOr)}
}

// Takes says whether a column of the type may have the function, and otherwise which types may, in words.
func (f Function) Takes(t iceberg.Type) (bool, string) {
	_, decimal := t.(iceberg.DecimalType)
	switch f {
	case FunctionSum:
		return decimal || oneOf(t, iceberg.PrimitiveTypes.Int32, iceberg.PrimitiveTypes.Int64,
			iceberg.PrimitiveTypes.Float32, iceberg.PrimitiveTypes.Float64), "int, long, float, double or decimal"
	case FunctionCount:
		return oneOf(t, iceberg.PrimitiveTypes.Int32, iceberg.PrimitiveTypes.Int64), "int or long"
	case FunctionMin, FunctionMax:
		_, primitive := t.(iceberg.PrimitiveType)
		return primitive && !oneOf(t, iceberg.PrimitiveTypes.Bool),
			"numbers, dates, times, timestamps, strings, uuids or bytes"
	case FunctionAnd, FunctionOr:
		return oneOf(t, iceberg.PrimitiveTypes.Bool), "boolean"
	}
	return true, ""
}

func oneOf(t iceberg.Type, types ...iceberg.Type) bool {
	return slices.ContainsFunc(types, func(other iceberg.Type) bool { return t.Equals(other) })
}

// merge checks the merge engine, as far as it needs no column.
func (c *check) merge() {
	s := c.spec
	if !slices.Contains(merges(), string(s.MergeEngine())) {
		c.fault("merge", "write one of "+strings.Join(merges(), ", "), "unknown merge engine %q", s.Merge)
		return
	}
	if s.MergeEngine() == MergeFirst && len(s.Sequence) > 0 {
		c.fault("sequence", "remove it, or write merge: last", "merge first keeps what came first, whatever "+
			"its sequence")
	}
	if s.MergeEngine() != MergePartial && len(s.ColumnGroups) > 0 {
		c.fault("column_groups", "write merge: partial, or remove it", "is for merge: partial")
	}
	switch {
	case s.MergeEngine() != MergeAggregate && len(s.Aggregate) > 0:
		c.fault("aggregate", "write merge: aggregate, or remove it", "is for merge: aggregate")
	case s.MergeEngine() == MergeAggregate && len(s.Aggregate) == 0:
		c.fault("merge", "write aggregate: {column: sum, ...}, or merge: partial", "no column has a function")
	}
	for _, name := range slices.Sorted(maps.Keys(s.Aggregate)) {
		if f := s.Aggregate[name]; !slices.Contains(functions(), string(f)) {
			c.fault("aggregate."+name, "write one of "+strings.Join(functions(), ", "), "unknown function %q", f)
		}
	}
	for i, g := range s.ColumnGroups {
		key := "column_groups[" + strconv.Itoa(i) + "]"
		if len(g.Columns) == 0 {
			c.fault(key, "write columns: [column, ...]", "has no columns")
		}
		if len(g.Sequence) == 0 {
			c.fault(key, "write sequence: [column, ...], or remove the group: columns without one follow the "+
				"table's sequence", "has no sequence")
		}
	}
}

// mergeColumns checks functions and column groups against the columns.
func (c *check) mergeColumns(schema *iceberg.Schema) {
	s := c.spec
	for _, name := range slices.Sorted(maps.Keys(s.Aggregate)) {
		key, function := "aggregate."+name, s.Aggregate[name]
		field, ok := schema.FindFieldByName(name)
		if !ok || strings.HasPrefix(name, MetadataPrefix) {
			c.fault(key, "name a column of the table", "there is no column %q", name)
			continue
		}
		if role := c.role(name); role != "" {
			c.fault(key, "remove it", "column %s %s, and has no function", name, role)
		}
		if takes, which := function.Takes(field.Type); !takes {
			c.fault(key, "columns with "+string(function)+" are "+which, "column %s is of type %s", name,
				FormatType(field.Type))
		}
		if function == FunctionCount && field.Required {
			c.fault(key, "remove required: true at the column", "column %s counts, and records need not have it",
				name)
		}
	}
	groupOf := map[string]int{}
	for i, g := range s.ColumnGroups {
		key := "column_groups[" + strconv.Itoa(i) + "]"
		for at, name := range g.Columns {
			c.groupColumn(schema, key+".columns["+strconv.Itoa(at)+"]", name, i, groupOf)
		}
		for at, name := range g.Sequence {
			sequence := key + ".sequence[" + strconv.Itoa(at) + "]"
			if !c.groupColumn(schema, sequence, name, i, groupOf) {
				continue
			}
			if field, _ := schema.FindFieldByName(name); !Orders(field.Type) {
				c.fault(sequence, "choose columns of int, long, date, time or timestamps",
					"column %s of type %s puts no versions in order", name, FormatType(field.Type))
			}
		}
	}
}

// role is what a column is for, if it cannot be merged like others.
func (c *check) role(name string) string {
	s := c.spec
	switch {
	case slices.Contains(s.Identifier, name):
		return "identifies rows"
	case slices.Contains(s.Sequence, name):
		return "is the table's sequence"
	case s.Delete.Column == name:
		return "says what is deleted"
	}
	return ""
}

// groupColumn checks a column of a group, and says whether it is one.
func (c *check) groupColumn(
	schema *iceberg.Schema, key, name string, group int, groupOf map[string]int,
) bool {
	field, ok := schema.FindFieldByName(name)
	if !ok || strings.HasPrefix(name, MetadataPrefix) {
		c.fault(key, "name a column of the table", "there is no column %q", name)
		return false
	}
	if role := c.role(name); role != "" {
		c.fault(key, "take it out of the group", "column %s %s", name, role)
		return false
	}
	if other, twice := groupOf[name]; twice {
		c.fault(key, "name it once", "column %s is in group %d already", name, other)
		return false
	}
	groupOf[name] = group
	if field.Required {
		c.fault(key, "remove required: true at the column",
			"column %s is null until a version has the group's sequence", name)
	}
	return true
}

// mergeText says in words how versions are merged, for a plan.
func (s *Spec) mergeText() string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(s.Aggregate)) {
		parts = append(parts, name+": "+string(s.Aggregate[name]))
	}
	for _, g := range s.ColumnGroups {
		parts = append(parts, "["+strings.Join(g.Columns, ", ")+"] by ["+strings.Join(g.Sequence, ", ")+"]")
	}
	if len(parts) == 0 {
		return string(s.MergeEngine())
	}
	return string(s.MergeEngine()) + "; " + strings.Join(parts, ", ")
}
