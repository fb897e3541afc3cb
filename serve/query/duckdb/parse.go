//go:build duckdb_arrow

package duckdb

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/firthlake/firth/serve/query"
)

// reference is a table that a statement names.
type reference struct{ namespace, name string }

// references are the tables that a statement names.
type references struct {
	tables []reference
	// all says that the statement lists tables or columns, of which any may be asked for.
	all bool
	// columnsOnly says that the statement describes a table, and reads no row.
	columnsOnly bool
	needs       needs
	// root is the syntax tree.
	root any
}

// The table functions that make rows of their arguments and of nothing else. All others are refused: they read files,
// settings, the database itself, or run text as SQL.
func rowFunctions() []string {
	return []string{"generate_series", "json_each", "json_tree", "range", "repeat", "repeat_row", "unnest"}
}

// closedFunctions are those that make no rows and tell or change something of the server.
func closedFunctions() []string {
	return []string{"current_setting", "getenv", "getvariable", "write_log"}
}

// parsedReply is what json_serialize_sql answers.
type parsedReply struct {
	Error      bool              `json:"error"`
	Type       string            `json:"error_type"`
	Message    string            `json:"error_message"`
	Statements []json.RawMessage `json:"statements"`
}

// resolve finds what a statement names in its syntax tree, and refuses what no statement may do.
func resolve(tree []byte) (references, error) {
	var found references
	var reply parsedReply
	if err := json.Unmarshal(tree, &reply); err != nil {
		return found, fmt.Errorf("read syntax tree: %w", err)
	}
	switch {
	case reply.Error && reply.Type == "not implemented":
		return found, fmt.Errorf("%w: only queries can be run (SELECT, FROM, WITH, VALUES, DESCRIBE, SHOW): "+
			"rows are written through Kafka, or by an engine at the Iceberg catalog", query.ErrRefused)
	case reply.Error:
		return found, fmt.Errorf("%w: %s", query.ErrInvalid, reply.Message)
	case len(reply.Statements) != 1:
		return found, fmt.Errorf("%w: these are %d statements: send one at a time", query.ErrInvalid,
			len(reply.Statements))
	}
	var root any
	if err := json.Unmarshal(reply.Statements[0], &root); err != nil {
		return found, fmt.Errorf("read syntax tree: %w", err)
	}
	found.columnsOnly = describes(root)
	found.needs, found.root = needsOf(root), root
	w := treeWalk{found: &found, named: map[string]bool{}}
	visit(root, w.collectNames)
	visit(root, w.check)
	found.needs.all = found.needs.all || found.all
	return found, w.err
}

// describes says whether a statement is DESCRIBE or SHOW and nothing more.
func describes(root any) bool {
	statement, _ := root.(map[string]any)
	node, _ := statement["node"].(map[string]any)
	from, _ := node["from_table"].(map[string]any)
	return text(from, "type") == "SHOW_REF" && text(from, "show_type") != "SUMMARY"
}

// visit calls each for every object of a tree.
func visit(node any, each func(map[string]any)) {
	switch n := node.(type) {
	case map[string]any:
		each(n)
		for _, child := range n {
			visit(child, each)
		}
	case []any:
		for _, child := range n {
			visit(child, each)
		}
	}
}

// treeWalk looks at the nodes of a statement.
type treeWalk struct {
	found *references
	named map[string]bool // queries in WITH, in lower case
	err   error
}

func text(node map[string]any, key string) string {
	value, _ := node[key].(string)
	return value
}

// collectNames notes what WITH names.
func (w *treeWalk) collectNames(node map[string]any) {
	entries, _ := node["map"].([]any)
	for _, each := range entries {
		if entry, ok := each.(map[string]any); ok {
			w.named[strings.ToLower(text(entry, "key"))] = true
		}
	}
}

func (w *treeWalk) check(node map[string]any) {
	switch text(node, "type") {
	case "BASE_TABLE":
		w.checkTable(node)
	case "TABLE_FUNCTION":
		function, _ := node["function"].(map[string]any)
		name := text(function, "function_name")
		if !slices.Contains(rowFunctions(), strings.ToLower(name)) {
			w.refuse("table function %s: statements read tables, and of functions only %s", name,
				strings.Join(rowFunctions(), ", "))
		}
	case "FUNCTION":
		if name := strings.ToLower(text(node, "function_name")); slices.Contains(closedFunctions(), name) {
			w.refuse("function %s: it tells of the server, not of tables", name)
		}
	case "SHOW_REF":
		if node["query"] != nil {
			return // it holds what is described
		}
		switch name := strings.Trim(text(node, "table_name"), `"`); name {
		case "tables", "schemas", "databases", "__show_tables_expanded":
			w.found.all = true
		default:
			w.refuse("SHOW %s", name)
		}
	}
}

func (w *treeWalk) checkTable(node map[string]any) {
	database, namespace, name := text(node, "catalog_name"), text(node, "schema_name"), text(node, "table_name")
	switch {
	case node["at_clause"] != nil:
		w.fail(fmt.Errorf("%w: %s AT: write (VERSION => 123), (VERSION => 'tag') or (TIMESTAMP => "+
			"'2026-01-31 12:00:00')", query.ErrInvalid, name))
	case database != "" && !strings.EqualFold(database, catalogName):
		w.fail(fmt.Errorf("%w: there is no catalog %s: the tables are in %s, so write %s.%s", query.ErrInvalid,
			database, catalogName, namespace, name))
	case strings.EqualFold(namespace, "information_schema"):
		w.found.all = true
	case namespace == "" && w.named[strings.ToLower(name)] && !strings.ContainsAny(name, "./\\:"):
	case namespace == "":
		w.fail(fmt.Errorf("%w: there is no table %s without a namespace: write namespace.table",
			query.ErrInvalid, name))
	case strings.EqualFold(namespace, "pg_catalog"):
		w.refuse("%s.%s: information_schema has the tables and columns", namespace, name)
	default:
		w.found.tables = append(w.found.tables, reference{namespace, name})
	}
}

func (w *treeWalk) refuse(format string, args ...any) {
	w.fail(fmt.Errorf("%w: %s", query.ErrRefused, fmt.Sprintf(format, args...)))
}

// fail keeps the error that is the first in alphabetical order, as nodes come in any order.
func (w *treeWalk) fail(err error) {
	if w.err == nil || err.Error() < w.err.Error() {
		w.err = err
	}
}
