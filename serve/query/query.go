package query

import (
	"context"
	"errors"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/filter"
)

// The ways in which a statement ends without an answer, beside table.ErrNotFound and the errors of its context. Each is
// wrapped with what is wrong and what to do.
var (
	// ErrInvalid says that the statement is no right SQL.
	ErrInvalid = errors.New("invalid statement")
	// ErrRefused says that the statement is right, and asks for what no statement may do.
	ErrRefused = errors.New("refused")
	// ErrLimit says that the statement takes more memory, disk or time than one may.
	ErrLimit = errors.New("limit reached")
)

// At is the state of a table that a view shows. The zero value is the newest; at most one field is set.
type At struct {
	// SnapshotID is a snapshot.
	SnapshotID int64
	// Ref is a branch or tag.
	Ref string
	// Time is a moment: the state that was current then.
	Time time.Time
	// Committed is the newest committed state, without what was read since. It is what tells the columns, too: making
	// it costs nothing.
	Committed bool
}

// View is one table at one state, which stays the same until it is closed.
type View interface {
	// Schema is the schema to read the rows with.
	Schema() *iceberg.Schema
	// Tasks are the data files with the deletes that apply to each, and rows in memory. Their rows, less the deleted,
	// are those of the view. Files that surely hold no row of where are left out; nil leaves out none.
	Tasks(ctx context.Context, where *filter.Expr) ([]table.Task, error)
	// Close gives up what kept the files from being removed.
	Close()
}

// Views opens tables for statements. Both methods may be called from many goroutines.
type Views interface {
	// Tables are the names of all tables.
	Tables(ctx context.Context) ([]table.Ident, error)
	// Open pins a table at a state. The error is table.ErrNotFound when there is no such table or state.
	Open(ctx context.Context, ident table.Ident, at At) (View, error)
}

// Description is what is known of a statement before it is run.
type Description struct {
	// Columns are those of its answer.
	Columns *arrow.Schema
	// Parameters are the places for values, in order; the type is null where any value would do.
	Parameters *arrow.Schema
}

// Engine answers SQL. All methods may be called from many goroutines.
type Engine interface {
	// Describe tells what a statement would answer. It reads no row.
	Describe(ctx context.Context, sql string) (Description, error)
	// Run starts a statement; parameters is one row with a column for each of its parameters, or nil. The caller
	// releases the reader, which ends the statement, as the end of ctx does.
	Run(ctx context.Context, sql string, parameters arrow.RecordBatch) (array.RecordReader, error)
	// Close ends all statements.
	Close() error
}
