package duckdb

import (
	"context"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"
)

// Transforms compile statements that compute columns row by row: "select *, upper(country) as code from rows".
// It may be used by many goroutines.
type Transforms interface {
	// Bind compiles a statement for rows with the columns of a table and others that are its input only. It
	// refuses what is not row by row: aggregates, windows, subqueries, joins, conditions, functions whose answer
	// depends on more than their arguments. An error is a query.ErrInvalid or a query.ErrRefused.
	Bind(sql string, schema *iceberg.Schema, input []iceberg.NestedField) (Bound, error)
	Close()
}

// Bound is a statement that is compiled for one schema.
type Bound struct {
	// Reads are the columns that it computes others from, Computes the columns of the table that it gives. All
	// other columns are as they were.
	Reads    []iceberg.NestedField
	Computes []string
	// Open returns an evaluator for one goroutine, with a database of its own.
	Open func() (Evaluator, error)
}

// Evaluator computes columns of batches. It belongs to one goroutine.
type Evaluator interface {
	// Evaluate computes the columns of Computes, in the Arrow types of the table, from a batch of those of Reads.
	// Rows for which that cannot be are null, and told to fault with the column and the reason. An error says
	// that nothing could be computed, whatever the rows are. The caller releases the batch.
	Evaluate(ctx context.Context, rows arrow.RecordBatch, fault func(row int, column, message string),
	) (arrow.RecordBatch, error)
	Close()
}
