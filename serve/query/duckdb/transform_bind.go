//go:build duckdb_arrow

package duckdb

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/serve/query"
	"github.com/firthlake/firth/table"
)

const (
	// rowsName is the one table of a transform, numberName the column that numbers its rows.
	rowsName   = "rows"
	numberName = "__firth_row"
)

// transforms has one database to look at statements.
type transforms struct {
	mu        sync.Mutex // guards analyst and closed
	closed    bool
	analyst   *analyst
	functions map[string]function // by lower name
}

// OpenTransforms opens what compiles transforms. The caller closes it; evaluators live on.
func OpenTransforms() (Transforms, error) {
	looking, err := newAnalyst()
	if err != nil {
		return nil, err
	}
	t := &transforms{analyst: looking}
	if t.functions, err = listFunctions(looking); err != nil {
		looking.close()
		return nil, err
	}
	return t, nil
}

func (t *transforms) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	t.analyst.close()
}

// Bind implements Transforms.
func (t *transforms) Bind(sql string, schema *iceberg.Schema, input []iceberg.NestedField) (Bound, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return Bound{}, errClosed
	}
	if strings.ContainsRune(sql, 0) {
		return Bound{}, fmt.Errorf("%w: it holds a zero byte", query.ErrInvalid)
	}
	tree, err := t.analyst.tree(sql)
	if err != nil {
		return Bound{}, err
	}
	list, err := t.checkStatement(tree, append(slices.Clone(schema.Fields()), input...))
	if err != nil {
		return Bound{}, err
	}
	computed, err := list.computed(schema, input)
	if err != nil || len(computed) == 0 {
		return Bound{}, err
	}
	plan, err := t.plan(tree, list, computed)
	if err != nil {
		return Bound{}, err
	}
	bound := Bound{Reads: list.reads, Open: func() (Evaluator, error) { return openEvaluator(plan) }}
	for _, item := range computed {
		bound.Computes = append(bound.Computes, item.field.Name)
	}
	return bound, nil
}

// transformPlan is what evaluators of a transform share.
type transformPlan struct {
	columns []column // that are read
	input   *arrow.Schema
	items   []item
	// inner gives the number of each row and the computed columns, each with a name of its own.
	inner string
	out   *arrow.Schema
}

// selection of an item's column under its name in the inner statement, in the type of the table.
func (i item) selects(at int) string {
	return fmt.Sprintf("CAST(c%d AS %s) AS c%d", at, i.typ, at)
}

// plan writes the statement anew, for the computed columns alone, and checks their types.
func (t *transforms) plan(tree []byte, list selectList, computed []item) (*transformPlan, error) {
	p := &transformPlan{items: computed}
	var err error
	if p.columns, err = columnsOf(iceberg.NewSchema(0, list.reads...)); err != nil {
		return nil, err
	}
	arrowIn, err := table.ArrowSchema(iceberg.NewSchema(0, list.reads...))
	if err != nil {
		return nil, err
	}
	p.input = inputSchema(arrowIn, list.reads)
	fields := make([]iceberg.NestedField, len(computed))
	for i := range computed {
		fields[i] = computed[i].field
		fields[i].Required = false
	}
	if p.out, err = table.ArrowSchema(iceberg.NewSchema(0, fields...)); err != nil {
		return nil, err
	}
	if p.inner, err = t.write(tree, computed); err != nil {
		return nil, err
	}
	return p, t.checkTypes(p)
}

// write makes the text of a statement that selects the number of the row and the computed columns.
func (t *transforms) write(tree []byte, computed []item) (string, error) {
	var reply map[string]any
	if err := unmarshal(tree, &reply); err != nil {
		return "", err
	}
	statement := reply["statements"].([]any)[0].(map[string]any)
	selected := []any{map[string]any{"class": "COLUMN_REF", "type": "COLUMN_REF", "alias": "",
		"query_location": 0, "column_names": []any{numberName}}}
	for i, item := range computed {
		item.tree["alias"] = fmt.Sprintf("c%d", i)
		selected = append(selected, item.tree)
	}
	statement["node"].(map[string]any)["select_list"] = selected
	text, err := json.Marshal(reply)
	if err != nil {
		return "", fmt.Errorf("write syntax tree: %w", err)
	}
	return t.analyst.ask("SELECT json_deserialize_sql(CAST(? AS JSON))", string(text))
}

// unmarshal reads a syntax tree and keeps its numbers as they are written: places in the text can be the largest
// of 64 bits.
func unmarshal(tree []byte, to any) error {
	d := json.NewDecoder(bytes.NewReader(tree))
	d.UseNumber()
	if err := d.Decode(to); err != nil {
		return fmt.Errorf("read syntax tree: %w", err)
	}
	return nil
}

// create makes the table of the rows.
func (p *transformPlan) create() string {
	parts := []string{quote(numberName) + " BIGINT"}
	for _, c := range p.columns {
		parts = append(parts, quote(c.name)+" "+c.typ)
	}
	return "CREATE TEMP TABLE " + rowsName + " (" + strings.Join(parts, ", ") + ")"
}

// checkTypes refuses columns that would change on their way into the table.
func (t *transforms) checkTypes(p *transformPlan) (err error) {
	if err := t.analyst.instance.exec("BEGIN TRANSACTION", p.create()); err != nil {
		return err
	}
	defer func() { // what the transaction made goes with it
		if rolled := t.analyst.instance.exec("ROLLBACK"); err == nil {
			err = rolled
		}
	}()
	const types = "SELECT string_agg(column_type, chr(10)) FROM (DESCRIBE %s)"
	text, err := t.analyst.ask(fmt.Sprintf(types, p.inner))
	if err != nil {
		return err
	}
	wanted := []string{"0"}
	for _, item := range p.items {
		wanted = append(wanted, "CAST(NULL AS "+item.typ+")")
	}
	want, err := t.analyst.ask(fmt.Sprintf(types, "SELECT "+strings.Join(wanted, ", ")))
	if err != nil {
		return err
	}
	given, asked := strings.Split(text, "\n"), strings.Split(want, "\n")
	for i, item := range p.items {
		if !widens(given[i+1], asked[i+1]) {
			return fmt.Errorf("%w: column %s is %s, and the transform gives %s: write CAST(... AS %s)",
				query.ErrInvalid, item.field.Name, asked[i+1], given[i+1], item.typ)
		}
	}
	return nil
}
