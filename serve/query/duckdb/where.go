//go:build duckdb_arrow

package duckdb

import (
	"fmt"
	"strings"
	"time"

	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/table/filter"
)

// whereOf finds a condition that all rows of a table fulfil that count for a statement, so that data files without any
// need not be read; nil is none. It is part of the WHERE of the one SELECT that reads the table: comparisons of a
// column with a constant, which are not true of null, so that rows which outer joins fill up do not pass either.
func whereOf(root any, at reference, columns []column, schema *iceberg.Schema) *filter.Expr {
	named := 0
	var parts []string
	visit(root, func(node map[string]any) {
		if isTable(node, at) {
			named++
		}
		from, _ := node["from_table"].(map[string]any)
		if text(node, "type") != "SELECT_NODE" || from == nil || node["sample"] != nil {
			return
		}
		if read := joined(from, at); read != nil {
			where, _ := node["where_clause"].(map[string]any)
			r := rowsOf{alias: aliasOf(read), columns: columns, schema: schema}
			parts = append(parts, r.conditions(where)...)
		}
	})
	if named != 1 || len(parts) == 0 {
		return nil
	}
	expr, err := filter.Parse(strings.Join(parts, " AND "))
	if err != nil {
		return nil // too many, say; all files are read
	}
	return expr
}

func isTable(node map[string]any, at reference) bool {
	return text(node, "type") == "BASE_TABLE" && sameName(text(node, "schema_name"), at.namespace) &&
		sameName(text(node, "table_name"), at.name)
}

func aliasOf(table map[string]any) string {
	if alias := text(table, "alias"); alias != "" {
		return alias
	}
	return text(table, "table_name")
}

// sameName says whether DuckDB takes two names for one.
func sameName(a, b string) bool {
	other := func(r rune) bool { return r > 127 }
	return a == b || strings.IndexFunc(a+b, other) < 0 && strings.EqualFold(a, b)
}

// joined finds the table in a tree of joins whose rows are pairs of rows that fulfil a condition, and rows without a
// partner. In others a row that is left out changes what becomes of its neighbours.
func joined(from map[string]any, at reference) map[string]any {
	switch text(from, "type") {
	case "BASE_TABLE":
		renamed, _ := from["column_name_alias"].([]any)
		if isTable(from, at) && from["sample"] == nil && len(renamed) == 0 {
			return from
		}
	case "JOIN":
		switch text(from, "join_type") + " " + text(from, "ref_type") {
		case "INNER REGULAR", "INNER CROSS", "INNER NATURAL", "LEFT REGULAR", "LEFT NATURAL", "RIGHT REGULAR",
			"RIGHT NATURAL", "FULL REGULAR", "FULL NATURAL":
			for _, side := range []string{"left", "right"} {
				child, _ := from[side].(map[string]any)
				if found := joined(child, at); found != nil {
					return found
				}
			}
		}
	}
	return nil
}

// rowsOf is a table as a WHERE may name its columns.
type rowsOf struct {
	alias   string
	columns []column
	schema  *iceberg.Schema
}

// conditions are those of a WHERE that speak about one column of the table and constants, in the language of filter.
func (r rowsOf) conditions(node map[string]any) []string {
	children := objects(node["children"])
	switch kind := text(node, "type"); kind {
	case "CONJUNCTION_AND":
		var out []string
		for _, child := range children {
			out = append(out, r.conditions(child)...)
		}
		return out
	case "COMPARE_EQUAL", "COMPARE_LESSTHAN", "COMPARE_GREATERTHAN", "COMPARE_LESSTHANOREQUALTO",
		"COMPARE_GREATERTHANOREQUALTO":
		left, right := object(node["left"]), object(node["right"])
		if r.column(left) == nil {
			left, right, kind = right, left, mirrored(kind)
		}
		return r.compared(left, comparisonText(kind), right)
	case "COMPARE_BETWEEN":
		input := object(node["input"])
		return append(r.compared(input, ">=", object(node["lower"])), r.compared(input, "<=", object(node["upper"]))...)
	case "COMPARE_IN":
		if len(children) > 1 {
			return r.among(children[0], children[1:])
		}
	}
	return nil
}

func object(value any) map[string]any {
	out, _ := value.(map[string]any)
	return out
}

func objects(value any) []map[string]any {
	list, _ := value.([]any)
	out := make([]map[string]any, len(list))
	for i := range list {
		out[i] = object(list[i])
	}
	return out
}

// mirrored is a comparison with its sides changed.
func mirrored(kind string) string {
	if rest, less := strings.CutPrefix(kind, "COMPARE_LESSTHAN"); less {
		return "COMPARE_GREATERTHAN" + rest
	}
	if rest, greater := strings.CutPrefix(kind, "COMPARE_GREATERTHAN"); greater {
		return "COMPARE_LESSTHAN" + rest
	}
	return kind
}

func comparisonText(kind string) string {
	return map[string]string{"COMPARE_EQUAL": "=", "COMPARE_LESSTHAN": "<", "COMPARE_GREATERTHAN": ">",
		"COMPARE_LESSTHANOREQUALTO": "<=", "COMPARE_GREATERTHANOREQUALTO": ">="}[kind]
}

// compared is a comparison of a column with a constant, or nothing.
func (r rowsOf) compared(left map[string]any, with string, right map[string]any) []string {
	c := r.column(left)
	if c == nil {
		return nil
	}
	constant, ok := constantOf(right, c.field.Type)
	if !ok {
		return nil
	}
	return r.checked(quote(c.field.Name) + " " + with + " " + constant)
}

// among says that a column is one of constants, or nothing.
func (r rowsOf) among(left map[string]any, list []map[string]any) []string {
	c := r.column(left)
	if c == nil {
		return nil
	}
	constants := make([]string, len(list))
	for i, each := range list {
		var ok bool
		if constants[i], ok = constantOf(each, c.field.Type); !ok {
			return nil
		}
	}
	return r.checked(quote(c.field.Name) + " IN (" + strings.Join(constants, ", ") + ")")
}

// checked is a condition that the table's schema knows, or nothing.
func (r rowsOf) checked(condition string) []string {
	if _, err := filter.ParseAndBind(condition, r.schema); err != nil {
		return nil
	}
	return []string{condition}
}

// column is the column of the table that a node names, or nil. A name without a table that two tables have is an error
// to DuckDB, or stands for both (USING).
func (r rowsOf) column(node map[string]any) *column {
	if text(node, "type") != "COLUMN_REF" {
		return nil
	}
	names, _ := node["column_names"].([]any)
	if len(names) == 0 || len(names) > 2 {
		return nil
	}
	if qualifier, _ := names[0].(string); len(names) == 2 && !sameName(qualifier, r.alias) {
		return nil
	}
	name, _ := names[len(names)-1].(string)
	for i := range r.columns {
		if sameName(r.columns[i].name, name) {
			return &r.columns[i]
		}
	}
	return nil
}

// constantOf writes a constant for filter, when it means the same there: whole numbers, texts, dates and times. Not for
// floats, which DuckDB compares after a cast, nor for nanoseconds, which it reads in microseconds.
func constantOf(node map[string]any, typ iceberg.Type) (string, bool) {
	as := ""
	if text(node, "type") == "OPERATOR_CAST" {
		if tried, _ := node["try_cast"].(bool); tried {
			return "", false
		}
		as = text(object(node["cast_type"]), "id")
		node = object(node["child"])
	}
	value := object(node["value"])
	if text(node, "type") != "VALUE_CONSTANT" || value["is_null"] != false {
		return "", false
	}
	switch v := value["value"].(type) {
	case float64:
		return wholeNumber(v, text(object(value["type"]), "id"), as, typ)
	case string:
		if text(object(value["type"]), "id") == "VARCHAR" && textMeans(v, as, typ) {
			return quoteText(v), true
		}
	}
	return "", false
}

// exactMax is up to where every whole number is a float64, in which numbers of the syntax tree come.
const exactMax = 1 << 53

func wholeNumber(v float64, id, as string, typ iceberg.Type) (string, bool) {
	switch typ.(type) {
	case iceberg.Int32Type, iceberg.Int64Type, iceberg.DecimalType:
	default:
		return "", false
	}
	switch id {
	case "TINYINT", "SMALLINT", "INTEGER", "BIGINT":
	default:
		return "", false
	}
	if as != "" || v != float64(int64(v)) || v >= exactMax || v <= -exactMax {
		return "", false
	}
	return fmt.Sprintf("%d", int64(v)), true
}

// textMeans says whether a text, cast to a type of SQL or left as it is, is a value of a column's type.
func textMeans(v, as string, typ iceberg.Type) bool {
	switch typ.(type) {
	case iceberg.StringType:
		return as == "" || as == "VARCHAR"
	case iceberg.DateType:
		return (as == "" || as == "DATE") && isMoment(v, time.DateOnly)
	case iceberg.TimestampType, iceberg.TimestampTzType:
		switch as {
		case "DATE":
			return isMoment(v, time.DateOnly)
		case "", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE":
			return isMoment(v, time.DateOnly) || isMoment(v, time.DateTime) || isMoment(v, "2006-01-02T15:04:05")
		}
	}
	return false
}

// isMoment says whether a text is a time in a layout, in microseconds at most.
func isMoment(v, layout string) bool {
	_, err := time.Parse(layout, v)
	return err == nil && len(v) <= len("2006-01-02T15:04:05.000000")
}
