package stream

import "github.com/firthlake/firth/table/filter"

// Request says what to stream.
type Request struct {
	From From
	// Columns are names of columns; nil is all.
	Columns []string
	// Filter keeps the rows for which it holds; nil keeps all.
	Filter *filter.Expr
	// Rows says which rows are asked for.
	Rows Rows
}

// Rows are kinds of rows.
type Rows int

const (
	// RowsFresh are those of the table and what ingest has read since.
	RowsFresh Rows = iota
	// RowsCommitted are those of the table alone.
	RowsCommitted
)

// Asked is a request as clients write it. What is empty is the default.
type Asked struct {
	// From is what ParseFrom reads.
	From string `json:"from"`
	// Filter is a predicate.
	Filter  string   `json:"filter"`
	Columns []string `json:"columns"`
	// Rows is fresh or committed.
	Rows string `json:"rows"`
}

// Request reads what a client has written.
func (a Asked) Request() (out Request, err error) {
	if out.From, err = ParseFrom(a.From); err != nil {
		return out, err
	}
	if a.Filter != "" {
		if out.Filter, err = filter.Parse(a.Filter); err != nil {
			return out, err
		}
	}
	if len(a.Columns) > 0 {
		out.Columns = a.Columns
	}
	switch a.Rows {
	case "", "fresh":
	case "committed":
		out.Rows = RowsCommitted
	default:
		return out, badRequest("rows=%.40q is neither fresh nor committed", a.Rows)
	}
	return out, nil
}
