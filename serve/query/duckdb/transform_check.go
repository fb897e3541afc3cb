//go:build duckdb_arrow

package duckdb

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/serve/query"
)

// item is a column that a transform computes.
type item struct {
	name  string
	tree  map[string]any
	field iceberg.NestedField // of the table
	typ   string              // of SQL
}

// selectList is what a transform selects.
type selectList struct {
	items []item
	star  bool
	reads []iceberg.NestedField
}

// function says of a function's name what it may be in a transform; why is empty when all is well.
type function struct {
	why string
	// macro is the text that stands for it; "" for functions of their own.
	macro string
}

// listFunctions lists what DuckDB knows, by name.
func listFunctions(looking *analyst) (map[string]function, error) {
	text, err := looking.ask(`SELECT CAST(to_json(list({'name': lower(function_name), 'kind': function_type,
		'stability': coalesce(stability, ''), 'macro': coalesce(macro_definition, '')})) AS VARCHAR)
		FROM duckdb_functions()`)
	if err != nil {
		return nil, err
	}
	var listed []struct{ Name, Kind, Stability, Macro string }
	if err := json.Unmarshal([]byte(text), &listed); err != nil {
		return nil, fmt.Errorf("list functions: %w", err)
	}
	out := map[string]function{}
	for _, f := range listed {
		known := out[f.Name]
		switch {
		case f.Kind == "aggregate":
			known.why = "it is an aggregate, and a transform sees one row"
		case f.Kind == "scalar" && f.Stability != "CONSISTENT":
			known.why = "its answer depends on more than the row, so a record that is read again could give another"
		case f.Kind == "macro":
			known.macro = f.Macro
		case f.Kind == "table" || f.Kind == "table_macro":
			if _, also := out[f.Name]; !also && known.why == "" {
				known.why = "it makes rows, and a row must stay one row"
			}
		case f.Kind == "scalar" && strings.HasPrefix(known.why, "it makes rows"):
			known.why = ""
		}
		out[f.Name] = known
	}
	for _, name := range append(closedFunctions(), "in_search_path", "version", "unnest", "unlist") {
		out[name] = function{why: "it tells of the server or makes rows"}
	}
	out["error"] = function{} // it makes the row a dead letter, every time
	return out, nil
}

// checkStatement refuses statements that are not one select over the rows, row by row.
func (t *transforms) checkStatement(tree []byte, rows []iceberg.NestedField) (selectList, error) {
	var reply parsedReply
	if err := unmarshal(tree, &reply); err != nil {
		return selectList{}, err
	}
	switch {
	case reply.Error && reply.Type == "not implemented":
		return selectList{}, fmt.Errorf("%w: a transform is a select: select *, ... from rows", query.ErrRefused)
	case reply.Error:
		return selectList{}, fmt.Errorf("%w: %s", query.ErrInvalid, reply.Message)
	case len(reply.Statements) != 1:
		return selectList{}, fmt.Errorf("%w: a transform is one statement", query.ErrInvalid)
	}
	var root struct {
		Node map[string]any `json:"node"`
	}
	if err := unmarshal(reply.Statements[0], &root); err != nil {
		return selectList{}, err
	}
	if err := checkSelect(root.Node); err != nil {
		return selectList{}, err
	}
	return t.checkList(root.Node["select_list"].([]any), rows)
}

// checkSelect refuses all of a select but its list and "from rows".
func checkSelect(node map[string]any) error {
	from, _ := node["from_table"].(map[string]any)
	plain := text(node, "type") == "SELECT_NODE" && text(from, "type") == "BASE_TABLE" &&
		strings.EqualFold(text(from, "table_name"), rowsName) && text(from, "schema_name") == "" &&
		text(from, "catalog_name") == "" && empty(from["sample"]) && empty(from["at_clause"]) &&
		empty(from["column_name_alias"]) && text(from, "alias") == ""
	if !plain {
		return fmt.Errorf("%w: a transform selects from rows and nothing else: select *, ... from rows",
			query.ErrRefused)
	}
	with, _ := node["cte_map"].(map[string]any)
	for _, part := range []struct {
		found any
		what  string
	}{
		{with["map"], "WITH"}, {node["modifiers"], "DISTINCT, ORDER BY or LIMIT"},
		{node["group_expressions"], "GROUP BY"}, {node["group_sets"], "GROUP BY"}, {node["having"], "HAVING"},
		{node["qualify"], "QUALIFY"}, {node["sample"], "a sample"},
	} {
		if !empty(part.found) {
			return fmt.Errorf("%w: %s is about several rows, and a transform sees one", query.ErrRefused, part.what)
		}
	}
	switch {
	case !empty(node["where_clause"]):
		return fmt.Errorf("%w: WHERE leaves out rows: write it as the source's filter", query.ErrRefused)
	case text(node, "aggregate_handling") != "STANDARD_HANDLING":
		return fmt.Errorf("%w: GROUP BY is about several rows, and a transform sees one", query.ErrRefused)
	}
	return nil
}

func empty(value any) bool {
	switch v := value.(type) {
	case nil:
		return true
	case []any:
		return len(v) == 0
	}
	return false
}

// checkList takes the list apart.
func (t *transforms) checkList(nodes []any, rows []iceberg.NestedField) (selectList, error) {
	var out selectList
	seen := map[string]bool{}
	w := rowWalk{functions: t.functions, rows: rows, reads: map[string]bool{}, parse: t.analyst.tree}
	for _, each := range nodes {
		node, _ := each.(map[string]any)
		if text(node, "class") == "STAR" {
			if !plainStar(node) || out.star {
				return out, fmt.Errorf("%w: write * once and alone, and name what changes behind it: "+
					"select *, upper(country) as country from rows", query.ErrInvalid)
			}
			out.star = true
			continue
		}
		name := text(node, "alias")
		names, _ := node["column_names"].([]any)
		if name == "" && len(names) > 0 {
			name, _ = names[len(names)-1].(string)
		}
		switch {
		case name == "":
			return out, fmt.Errorf("%w: an expression of the transform has no name: write ... as column",
				query.ErrInvalid)
		case seen[strings.ToLower(name)]:
			return out, fmt.Errorf("%w: the transform gives column %s twice", query.ErrInvalid, name)
		}
		seen[strings.ToLower(name)] = true
		if len(names) == 1 && strings.EqualFold(fmt.Sprint(names[0]), name) {
			out.items = append(out.items, item{name: name}) // as it was decoded
			continue
		}
		w.visit(node, map[string]bool{})
		out.items = append(out.items, item{name: name, tree: node})
	}
	for _, f := range rows {
		if w.reads[strings.ToLower(f.Name)] {
			f.Required = false
			out.reads = append(out.reads, f)
		}
	}
	return out, w.err
}

func plainStar(node map[string]any) bool {
	for _, part := range []string{"exclude_list", "replace_list", "qualified_exclude_list", "rename_list", "expr"} {
		if !empty(node[part]) {
			return false
		}
	}
	return node["columns"] == false && text(node, "relation_name") == "" && text(node, "alias") == ""
}

// computed are the items that give columns of the table, with its fields and types.
func (l selectList) computed(schema *iceberg.Schema, input []iceberg.NestedField) ([]item, error) {
	var out []item
	given := map[string]bool{}
	for _, i := range l.items {
		at := slices.IndexFunc(schema.Fields(), func(f iceberg.NestedField) bool {
			return strings.EqualFold(f.Name, i.name)
		})
		if at < 0 {
			named := func(f iceberg.NestedField) bool { return strings.EqualFold(f.Name, i.name) }
			if slices.ContainsFunc(input, named) {
				return nil, fmt.Errorf("%w: column %s is input of the transform and no column of the table: leave it "+
					"out of the list", query.ErrInvalid, i.name)
			}
			return nil, fmt.Errorf("%w: the transform gives column %s, which the table does not have: add it to "+
				"schema.columns", query.ErrInvalid, i.name)
		}
		i.field = schema.Field(at)
		given[i.field.Name] = true
		if i.tree == nil {
			continue
		}
		var err error
		if i.typ, err = computedType(i.field.Type); err != nil {
			return nil, fmt.Errorf("%w: column %s: %w", query.ErrInvalid, i.field.Name, err)
		}
		out = append(out, i)
	}
	for _, f := range schema.Fields() {
		if !l.star && !given[f.Name] && !strings.HasPrefix(f.Name, "_") {
			return nil, fmt.Errorf("%w: the transform does not give column %s: write select *, ... to keep what is "+
				"not named", query.ErrInvalid, f.Name)
		}
	}
	return out, nil
}

// rowWalk looks at the expressions of a transform.
type rowWalk struct {
	functions map[string]function
	rows      []iceberg.NestedField
	reads     map[string]bool // columns of rows in lower case
	parse     func(sql string) ([]byte, error)
	err       error
}

// valueNames are functions of the server that are written as columns are.
func valueNames() []string {
	return []string{"current_catalog", "current_date", "current_role", "current_schema", "current_time",
		"current_timestamp", "current_user", "localtime", "localtimestamp", "session_user", "user"}
}

// visit looks at a node and all below it; inside are the parameters of lambdas around it, nil in the text of a
// function, where names are its arguments.
func (w *rowWalk) visit(node any, inside map[string]bool) {
	switch n := node.(type) {
	case []any:
		for _, child := range n {
			w.visit(child, inside)
		}
	case map[string]any:
		inside = w.check(n, inside)
		for _, child := range n {
			w.visit(child, inside)
		}
	}
}

func (w *rowWalk) check(n map[string]any, inside map[string]bool) map[string]bool {
	switch text(n, "class") {
	case "SUBQUERY":
		w.refuse("a subquery reads more than the row")
	case "WINDOW":
		w.refuse("a window is about several rows, and a transform sees one")
	case "STAR":
		w.refuse("* stands alone")
	case "PARAMETER", "POSITIONAL_REFERENCE", "DEFAULT":
		w.refuse("parameters and #1 have no meaning")
	case "COLUMN_REF":
		w.column(n, inside)
	case "FUNCTION":
		w.function(n)
	case "LAMBDA":
		if inside != nil {
			return withParameters(n, inside)
		}
	}
	return inside
}

// withParameters adds the parameters of a lambda: names, or a list of them.
func withParameters(n map[string]any, inside map[string]bool) map[string]bool {
	out := map[string]bool{}
	for name := range inside {
		out[name] = true
	}
	visit(n["lhs"], func(node map[string]any) {
		names, _ := node["column_names"].([]any)
		for _, name := range names {
			out[strings.ToLower(fmt.Sprint(name))] = true
		}
	})
	parameters, _ := n["named_parameters"].([]any)
	for _, name := range parameters {
		out[strings.ToLower(fmt.Sprint(name))] = true
	}
	return out
}

// column notes the column that a reference begins with. A name that is none could be a moment or a user.
func (w *rowWalk) column(n map[string]any, inside map[string]bool) {
	names, _ := n["column_names"].([]any)
	if len(names) > 1 && strings.EqualFold(fmt.Sprint(names[0]), rowsName) {
		names = names[1:]
	}
	if len(names) == 0 {
		return
	}
	name := strings.ToLower(fmt.Sprint(names[0]))
	if inside == nil {
		if slices.Contains(valueNames(), name) {
			w.refuse("%s depends on more than the row", name)
		}
		return // an argument
	}
	if inside[name] {
		return
	}
	for _, f := range w.rows {
		if strings.EqualFold(f.Name, name) {
			w.reads[name] = true
			return
		}
	}
	w.fail(fmt.Errorf("%w: rows have no column %v", query.ErrInvalid, names[0]))
}

func (w *rowWalk) function(n map[string]any) {
	name := strings.ToLower(text(n, "function_name"))
	arguments, _ := n["children"].([]any)
	known, found := w.functions[name]
	switch {
	case !found:
		w.fail(fmt.Errorf("%w: there is no function %s", query.ErrInvalid, name))
	case known.why != "":
		w.refuse("function %s: %s", name, known.why)
	case name == "age" && len(arguments) < 2:
		w.refuse("function age of one moment depends on the day: give it two")
	case known.macro != "":
		w.macro(name, known.macro)
	}
}

// macro looks at the text that stands for a function. Its columns are its arguments.
func (w *rowWalk) macro(name, definition string) {
	tree, err := w.parse("SELECT " + definition)
	var body any
	if err == nil {
		err = json.Unmarshal(tree, &body)
	}
	if err != nil {
		w.fail(fmt.Errorf("function %s: %w", name, err))
		return
	}
	inner := rowWalk{functions: w.functions, parse: w.parse, reads: map[string]bool{}}
	statements, _ := body.(map[string]any)["statements"].([]any)
	visit(statements, func(node map[string]any) {
		if list, ok := node["select_list"]; ok && inner.err == nil {
			inner.visit(list, nil)
		}
	})
	if inner.err != nil {
		w.fail(fmt.Errorf("function %s: %w", name, inner.err))
	}
}

func (w *rowWalk) refuse(format string, args ...any) {
	w.fail(fmt.Errorf("%w: %s", query.ErrRefused, fmt.Sprintf(format, args...)))
}

// fail keeps the error that is the first in alphabetical order, as nodes come in any order.
func (w *rowWalk) fail(err error) {
	if w.err == nil || err.Error() < w.err.Error() {
		w.err = err
	}
}
