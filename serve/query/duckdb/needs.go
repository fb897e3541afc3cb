//go:build duckdb_arrow

package duckdb

import (
	"strings"

	"github.com/apache/iceberg-go"
)

// needs are the columns that a statement may read. A relation has no others, so DuckDB cannot read what was not
// fetched; a statement that names one that is not there is prepared again with all.
type needs struct {
	// all says that columns are meant without their names: *, a whole row, NATURAL JOIN.
	all bool
	// names are all texts of the statement in lower case, names of columns among them.
	names map[string]bool
}

// needsOf finds what a statement needs in its syntax tree.
func needsOf(root any) needs {
	n := needs{names: map[string]bool{}}
	tables := map[string]bool{}
	visit(root, func(node map[string]any) {
		if text(node, "type") == "BASE_TABLE" {
			tables[strings.ToLower(text(node, "table_name"))] = true
			tables[strings.ToLower(text(node, "alias"))] = true
		}
	})
	n.walk(root, tables)
	return n
}

// walk looks at a tree whose tables have these names.
func (n *needs) walk(node any, tables map[string]bool) {
	switch v := node.(type) {
	case string:
		n.names[strings.ToLower(v)] = true
	case []any:
		for _, child := range v {
			n.walk(child, tables)
		}
	case map[string]any:
		n.all = n.all || meansAll(v, tables)
		exists := text(v, "type") == "SUBQUERY" && text(v, "subquery_type") == "EXISTS"
		for key, child := range v {
			if exists && key == "subquery" {
				child = withoutStar(child)
			}
			n.walk(child, tables)
		}
	}
}

// meansAll says whether a node means columns that it does not name.
func meansAll(node map[string]any, tables map[string]bool) bool {
	switch text(node, "type") {
	case "STAR", "POSITIONAL_REFERENCE", "PIVOT", "SHOW_REF":
		return true
	case "BASE_TABLE":
		renamed, _ := node["column_name_alias"].([]any)
		return len(renamed) > 0 // by their places
	case "COLUMN_REF":
		names, _ := node["column_names"].([]any)
		last := ""
		if len(names) > 0 {
			last, _ = names[len(names)-1].(string)
		}
		return tables[strings.ToLower(last)] // a row as one value
	}
	return text(node, "ref_type") == "NATURAL"
}

// withoutStar is the query of EXISTS without the columns that it selects, when that is all columns and has no part in
// how many rows there are: nobody sees them.
func withoutStar(subquery any) any {
	outer, _ := subquery.(map[string]any)
	node, _ := outer["node"].(map[string]any)
	selected, _ := node["select_list"].([]any)
	modifiers, _ := node["modifiers"].([]any) // DISTINCT is one
	if text(node, "type") != "SELECT_NODE" || len(selected) != 1 || len(modifiers) > 0 ||
		text(node, "aggregate_handling") != "STANDARD_HANDLING" { // GROUP BY ALL
		return subquery
	}
	if only, _ := selected[0].(map[string]any); text(only, "type") != "STAR" {
		return subquery
	}
	rest := map[string]any{}
	for key, child := range node {
		if key != "select_list" {
			rest[key] = child
		}
	}
	return map[string]any{"node": rest}
}

// of are those of columns that are needed; where none is, one that costs little, since a relation has at least one.
func (n needs) of(columns []column) []column {
	if n.all {
		return columns
	}
	var out []column
	for _, c := range columns {
		if n.names[strings.ToLower(c.name)] {
			out = append(out, c)
		}
	}
	if len(out) == 0 {
		out = columns[:1]
		for i := range columns {
			if cheap(columns[i].field.Type) {
				return columns[i : i+1]
			}
		}
	}
	return out
}

// cheap says whether the values of a type are small.
func cheap(typ iceberg.Type) bool {
	switch typ.(type) {
	case iceberg.BooleanType, iceberg.Int32Type, iceberg.Int64Type, iceberg.DateType, iceberg.Float32Type:
		return true
	}
	return false
}
