package backfill

import (
	"context"
	"fmt"
	"regexp"
	"strconv"

	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/filter"
	"github.com/firthlake/firth/table/objstore"
)

// Check is what must hold of the rows of a branch before they are promoted.
type Check struct {
	Text string
	// bound holds for every row; nil is a check of their number.
	bound   *filter.Bound
	compare string
	want    int64
}

// Verdict is what a check found.
type Verdict struct {
	Check string `json:"check"`
	Holds bool   `json:"holds"`
	// Rows are those on the branch, Failing those for which an expression does not hold.
	Rows    int64 `json:"rows"`
	Failing int64 `json:"failing,omitempty"`
}

// ofRows is a check of the number of rows.
var ofRows = regexp.MustCompile(`^\s*rows\s*(>=|<=|!=|=|>|<)\s*(\d+)\s*$`)

// ParseCheck reads a check: "rows >= 1000" is about how many rows there are, anything else is an expression of the
// filter language that must be true for every row. Null is not true.
func ParseCheck(text string, schema *iceberg.Schema) (Check, error) {
	out := Check{Text: text}
	if _, taken := schema.FindFieldByName("rows"); !taken {
		if parts := ofRows.FindStringSubmatch(text); parts != nil {
			var err error
			out.compare = parts[1]
			if out.want, err = strconv.ParseInt(parts[2], 10, 64); err != nil {
				return out, fmt.Errorf("check %q: %w", text, err)
			}
			return out, nil
		}
	}
	var err error
	if out.bound, err = filter.ParseAndBind(text, schema); err != nil {
		return out, fmt.Errorf("check %q: %w", text, err)
	}
	return out, nil
}

func (c Check) holds(rows int64) bool {
	switch c.compare {
	case ">=":
		return rows >= c.want
	case "<=":
		return rows <= c.want
	case "!=":
		return rows != c.want
	case "=":
		return rows == c.want
	case ">":
		return rows > c.want
	}
	return rows < c.want
}

// runChecks runs checks over the rows of a branch. It reads them once, and only if an expression asks.
func runChecks(ctx context.Context, t *table.Table, store objstore.Store, held Held) ([]Verdict, error) {
	var verdicts []Verdict
	var evaluators []*filter.Evaluator
	rows, _ := held.State.Rows()
	reads := false
	for _, text := range held.State.Plan.Checks {
		c, err := ParseCheck(text, t.Metadata().CurrentSchema())
		if err != nil {
			return nil, err
		}
		v := Verdict{Check: text, Rows: rows, Holds: c.holds(rows)}
		var evaluator *filter.Evaluator
		if c.bound != nil {
			evaluator, reads = c.bound.Evaluator(), true
		}
		verdicts, evaluators = append(verdicts, v), append(evaluators, evaluator)
	}
	if !reads {
		return verdicts, nil
	}
	tasks, err := table.Plan(ctx, t, store, table.Scan{Ref: held.Branch})
	if err != nil {
		return nil, fmt.Errorf("check branch %s: %w", held.Branch, err)
	}
	for _, task := range tasks {
		for batch, err := range table.Read(ctx, store, task) {
			if err != nil {
				return nil, fmt.Errorf("check branch %s: %w", held.Branch, err)
			}
			for i, e := range evaluators {
				if e == nil {
					continue
				}
				selected, err := e.Select(batch)
				if err != nil {
					return nil, fmt.Errorf("check %q: %w", verdicts[i].Check, err)
				}
				verdicts[i].Failing += batch.NumRows() - int64(selected.Count())
			}
		}
	}
	for i, e := range evaluators {
		if e != nil {
			verdicts[i].Holds = verdicts[i].Failing == 0
		}
	}
	return verdicts, nil
}
