package scanplan

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/table/filter"
)

// expression is a node of a filter as the protocol has it: true, false, or an object.
type expression struct {
	constant *bool

	Type   string            `json:"type"`
	Child  json.RawMessage   `json:"child"`
	Left   json.RawMessage   `json:"left"`
	Right  json.RawMessage   `json:"right"`
	Term   json.RawMessage   `json:"term"`
	Value  json.RawMessage   `json:"value"`
	Values []json.RawMessage `json:"values"`
}

func parseExpression(raw json.RawMessage) (e expression, err error) {
	var constant bool
	if json.Unmarshal(raw, &constant) == nil {
		return expression{constant: &constant}, nil
	}
	if err := json.Unmarshal(raw, &e); err != nil || e.Type == "" {
		return e, fmt.Errorf("%w: the filter has a part that is no expression", ErrInvalid)
	}
	if e.Type == "true" || e.Type == "false" {
		constant = e.Type == "true"
		e.constant = &constant
	}
	return e, nil
}

// depthMax bounds how deep expressions are nested, everyTrue is what is not understood.
const (
	depthMax  = 150
	everyTrue = "TRUE"
)

// translator turns a filter into firth's. Columns are named by one schema and read by another, which has them under the
// same ids.
type translator struct {
	names, columns *iceberg.Schema
	ignoreCase     bool
}

// filterOf is the filter for files of columns; nil keeps all.
func (r *Request) filterOf(names, columns *iceberg.Schema) (*filter.Expr, error) {
	if len(r.Filter) == 0 || string(r.Filter) == "null" {
		return nil, nil
	}
	t := translator{names, columns, r.ignoresCase()}
	text, err := t.translate(r.Filter, true, 0)
	if err != nil {
		return nil, err
	}
	if found, err := filter.Parse(text); err == nil {
		return found, nil
	}
	return nil, nil // too long or too deep: nothing is left out
}

// translate writes a node, or its opposite where holds is false: what is not understood counts as true in both cases.
func (t *translator) translate(raw json.RawMessage, holds bool, depth int) (string, error) {
	if depth > depthMax {
		return "", fmt.Errorf("%w: the filter is nested deeper than %d levels", ErrInvalid, depthMax)
	}
	e, err := parseExpression(raw)
	if err != nil {
		return "", err
	}
	switch {
	case e.constant != nil:
		return strings.ToUpper(fmt.Sprint(*e.constant == holds)), nil
	case e.Type == "not":
		return t.translate(e.Child, !holds, depth+1)
	case e.Type == "and" || e.Type == "or":
		left, err := t.translate(e.Left, holds, depth+1)
		if err != nil {
			return "", err
		}
		right, err := t.translate(e.Right, holds, depth+1)
		word := " AND "
		if (e.Type == "or") == holds {
			word = " OR "
		}
		return "(" + left + word + right + ")", err
	}
	return t.condition(e, holds)
}

// opposites are conditions whose negation is one as well.
var opposites = map[string]string{
	"is-null": "not-null", "is-nan": "not-nan", "lt": "gt-eq", "lt-eq": "gt", "eq": "not-eq", "in": "not-in",
	"starts-with": "not-starts-with",
}

func opposite(of string) string {
	for a, b := range opposites {
		switch of {
		case a:
			return b
		case b:
			return a
		}
	}
	return ""
}

// condition writes a condition on one column.
func (t *translator) condition(e expression, holds bool) (string, error) {
	name := columnOf(e.Term)
	if name == "" {
		return everyTrue, nil // a transform
	}
	field, ok := t.names.FindFieldByName(name)
	if !ok && t.ignoreCase {
		field, ok = t.names.FindFieldByNameCaseInsensitive(name)
	}
	if !ok {
		return "", fmt.Errorf("%w: the filter names column %s, which the table has not", ErrInvalid, name)
	}
	column := quotedPath(t.columns.Fields(), field.ID)
	if column == "" {
		return everyTrue, nil // in a list or map, or not in the snapshot yet
	}
	if !holds {
		e.Type = opposite(e.Type)
	}
	if text, err := writeCondition(e, column, field.Type); err == nil {
		if _, err := filter.ParseAndBind(text, t.columns); err == nil {
			return text, nil
		}
	}
	return everyTrue, nil // such as a literal that the column does not take
}

// columnOf is the name of the column that a term refers to; empty when it is no column.
func columnOf(term json.RawMessage) string {
	var name string
	if json.Unmarshal(term, &name) == nil {
		return name
	}
	var reference struct {
		Type string `json:"type"`
		Term string `json:"term"`
	}
	if json.Unmarshal(term, &reference) == nil && reference.Type == "reference" {
		return reference.Term
	}
	return ""
}

// quotedPath is the name of the column with an id, from the outermost struct on; empty when there is none.
func quotedPath(fields []iceberg.NestedField, id int) string {
	for _, f := range fields {
		name := `"` + strings.ReplaceAll(f.Name, `"`, `""`) + `"`
		if f.ID == id {
			return name
		}
		if s, ok := f.Type.(*iceberg.StructType); ok {
			if inside := quotedPath(s.FieldList, id); inside != "" {
				return name + "." + inside
			}
		}
	}
	return ""
}

var errNotUnderstood = errors.New("not understood")

var comparisons = map[string]string{"lt": "<", "lt-eq": "<=", "gt": ">", "gt-eq": ">=", "eq": "=", "not-eq": "<>"}

// writeCondition writes a condition. By the protocol a null differs from every value, where SQL does not know.
func writeCondition(e expression, column string, typ iceberg.Type) (string, error) {
	orNull := func(text string) string { return "(" + text + " OR " + column + " IS NULL)" }
	switch e.Type {
	case "is-null":
		return column + " IS NULL", nil
	case "not-null":
		return column + " IS NOT NULL", nil
	case "is-nan":
		return column + " IS NAN", nil
	case "not-nan":
		return orNull(column + " IS NOT NAN"), nil
	case "in", "not-in":
		list, err := literals(e.Values, typ)
		if err != nil {
			return "", err
		}
		if e.Type == "in" {
			return column + " IN (" + list + ")", nil
		}
		return orNull(column + " NOT IN (" + list + ")"), nil
	}
	value, err := literal(e.Value, typ)
	if err != nil {
		return "", err
	}
	switch e.Type {
	case "starts-with":
		prefix, ok := strings.CutSuffix(value, "'")
		if !ok || strings.ContainsAny(prefix, `%_\`) {
			return "", errNotUnderstood
		}
		return column + " LIKE " + prefix + "%'", nil
	case "not-eq":
		return orNull(column + " <> " + value), nil
	}
	sign := comparisons[e.Type]
	if sign == "" {
		return "", errNotUnderstood
	}
	return column + " " + sign + " " + value, nil
}

func literals(values []json.RawMessage, typ iceberg.Type) (string, error) {
	if len(values) == 0 {
		return "", errNotUnderstood
	}
	texts := make([]string, len(values))
	for i, raw := range values {
		var err error
		if texts[i], err = literal(raw, typ); err != nil {
			return "", err
		}
	}
	return strings.Join(texts, ", "), nil
}
