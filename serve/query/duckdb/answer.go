//go:build duckdb_arrow

package duckdb

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	bindings "github.com/duckdb/duckdb-go-bindings"

	"github.com/firthlake/firth/serve/query"
	"github.com/firthlake/firth/serve/query/filecache"
)

// answer is a statement that runs, and the reader of its rows. Its methods belong to one goroutine at a time.
type answer struct {
	engine  *Engine
	context func() context.Context // ends when the statement has to
	cleanup []func()               // in reverse order, when the statement ends

	instance *instance
	result   bindings.Result
	schema   *arrow.Schema
	batch    arrow.RecordBatch
	err      error
	holders  atomic.Int64
	ended    bool
}

var _ array.RecordReader = (*answer)(nil)

func newAnswer(e *Engine, ctx func() context.Context) *answer {
	a := &answer{engine: e, context: ctx}
	a.holders.Store(1)
	return a
}

// start opens the tables and runs the statement until its first rows can be taken.
func (a *answer) start(selected query.Selected, found references, parameters arrow.RecordBatch) error {
	prepared, err := a.prepare(selected, found)
	if errors.Is(err, query.ErrInvalid) && !found.needs.all {
		// What is said of missing columns depends on those that are there.
		found.needs.all = true
		prepared, err = a.prepare(selected, found)
	}
	if err != nil {
		return err
	}
	if err := checkKind(prepared); err != nil {
		return err
	}
	if err := bind(prepared, parameters); err != nil {
		return err
	}
	var pending bindings.PendingResult
	state := bindings.PendingPreparedStreaming(prepared, &pending)
	defer bindings.DestroyPending(&pending)
	if state == bindings.StateError {
		return faultOf(bindings.PendingError(pending))
	}
	state = bindings.ExecutePending(pending, &a.result)
	a.cleanup = append(a.cleanup, func() { bindings.DestroyResult(&a.result) })
	if state == bindings.StateError {
		return faultOf(bindings.ResultError(&a.result))
	}
	a.schema, err = a.instance.schemaOf(columnsOfResult(&a.result))
	return err
}

// prepare opens the tables and prepares the statement.
func (a *answer) prepare(selected query.Selected, found references) (prepared bindings.PreparedStatement, err error) {
	relations, paths, err := a.relations(selected, found)
	if err != nil {
		return prepared, err
	}
	if err := a.takeDatabase(paths); err != nil {
		return prepared, err
	}
	for _, r := range relations {
		if err := a.instance.exec(r.sql()...); err != nil {
			return prepared, fmt.Errorf("table %s.%s: %w", r.namespace, r.name, err)
		}
	}
	if prepared, err = a.instance.prepare(selected.SQL); err != nil {
		return prepared, err
	}
	a.cleanup = append(a.cleanup, func() { bindings.DestroyPrepare(&prepared) })
	return prepared, nil
}

func columnsOfResult(result *bindings.Result) ([]string, []bindings.LogicalType) {
	count := bindings.ColumnCount(result)
	names, types := make([]string, count), make([]bindings.LogicalType, count)
	for i := range count {
		names[i] = bindings.ColumnName(result, i)
		types[i] = bindings.ColumnLogicalType(result, i)
	}
	return names, types
}

// relations opens the tables that the statement names and returns the local files that it may read.
func (a *answer) relations(selected query.Selected, found references) ([]relation, []string, error) {
	ctx := a.context()
	opened, err := a.engine.open(ctx, selected, found)
	if err != nil {
		return nil, nil, err
	}
	a.cleanup = append(a.cleanup, opened.close)
	files := &held{}
	a.cleanup = append(a.cleanup, files.release)
	relations := opened.shapes()
	for i, each := range opened {
		if each.listed || found.columnsOnly {
			continue
		}
		if relations[i], err = a.engine.openRelation(ctx, files, each.at, each.view, found); err != nil {
			if errors.Is(err, filecache.ErrFull) {
				err = fmt.Errorf("%w: the files of the statement do not fit into the cache (%w): read fewer tables, "+
					"or an engine at the Iceberg catalog", query.ErrLimit, err)
			}
			return nil, nil, fmt.Errorf("table %s.%s: %w", each.at.namespace, each.at.name, err)
		}
	}
	return relations, files.paths(), nil
}

// takeDatabase takes a database for the statement, which may read the files of paths.
func (a *answer) takeDatabase(paths []string) error {
	taken, err := a.engine.databases.take(paths)
	if err != nil {
		return err
	}
	a.instance = taken.instance
	stop := taken.interruptWith(a.context())
	a.cleanup = append(a.cleanup, func() { a.giveBack(taken) }, stop)
	return nil
}

// giveBack gives the database to the next statement, unless this one went wrong in it.
func (a *answer) giveBack(taken *database) {
	if a.err != nil || a.context().Err() != nil {
		taken.close()
		return
	}
	a.engine.databases.give(taken)
}

// fault is what err means to the caller: why the statement was interrupted, if it was.
func (a *answer) fault(err error) error {
	cause := context.Cause(a.context())
	switch {
	case cause == nil:
		return err
	case errors.Is(cause, errTime):
		return fmt.Errorf("%w: the statement took longer than %v: read less, or ask an engine at the Iceberg catalog",
			query.ErrLimit, a.engine.opts.TimeMax)
	}
	return cause
}

// end gives everything back.
func (a *answer) end() {
	if a.ended {
		return
	}
	a.ended = true
	a.drop()
	for i := len(a.cleanup) - 1; i >= 0; i-- {
		a.cleanup[i]()
	}
	a.engine.gone(a)
}

func (a *answer) drop() {
	if a.batch != nil {
		a.batch.Release()
		a.batch = nil
	}
}

// Next goes on to the next batch.
func (a *answer) Next() bool {
	a.drop()
	if a.ended || a.err != nil {
		return false
	}
	batch, err := a.instance.fetch(&a.result, a.schema)
	if err == nil {
		// A result that was interrupted may look like one that has ended.
		err = a.context().Err()
	}
	if err != nil {
		if batch != nil {
			batch.Release()
		}
		a.err = a.fault(err)
		return false
	}
	a.batch = batch
	return batch != nil
}

// Schema is the schema of the batches.
func (a *answer) Schema() *arrow.Schema { return a.schema }

// RecordBatch is the present batch, valid until Next.
func (a *answer) RecordBatch() arrow.RecordBatch { return a.batch }

// Record is RecordBatch.
func (a *answer) Record() arrow.RecordBatch { return a.batch }

// Err is why there is no next batch, when that is not the end.
func (a *answer) Err() error { return a.err }

// Retain adds a holder.
func (a *answer) Retain() { a.holders.Add(1) }

// Release lets go; with the last holder the statement ends.
func (a *answer) Release() {
	if a.holders.Add(-1) == 0 {
		a.end()
	}
}
