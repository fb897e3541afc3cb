//go:build duckdb_arrow

package duckdb

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	bindings "github.com/duckdb/duckdb-go-bindings"

	"github.com/firthlake/firth/serve/query"
)

const (
	// evaluatorMemory bounds the rows of one batch and what is made of them. What one row makes beyond it is a
	// fault of the row.
	evaluatorMemory = "256MiB"
	// vectorRows is how many rows DuckDB takes at once.
	vectorRows = 2048
)

// evaluator has a database whose one table holds the rows at work.
type evaluator struct {
	plan     *transformPlan
	instance *instance
	schema   bindings.ArrowConvertedSchema
	// all and single select the computed columns of a range of rows: all of them, or one.
	all    string
	single []string
	mem    memory.Allocator
}

// openEvaluator opens the database, which may open nothing else.
func openEvaluator(plan *transformPlan) (_ Evaluator, err error) {
	settings := closedSettings()
	settings["threads"], settings["memory_limit"] = "1", evaluatorMemory
	opened, err := openInstance(settings)
	if err != nil {
		return nil, err
	}
	e := &evaluator{plan: plan, instance: opened, mem: memory.DefaultAllocator}
	defer func() {
		if err != nil {
			e.Close()
		}
	}()
	if err := opened.exec(enclose("")...); err != nil {
		return nil, err
	}
	var fault bindings.ErrorData
	e.schema, fault = bindings.SchemaFromArrow(opened.connection, plan.input)
	if err := takeFault(fault); err != nil {
		return nil, err
	}
	from := " FROM (" + plan.inner + ") WHERE " + numberName + " BETWEEN ? AND ?"
	selected := []string{numberName}
	for i, item := range plan.items {
		selected = append(selected, item.selects(i))
		e.single = append(e.single, "SELECT "+numberName+", "+item.selects(i)+from)
	}
	e.all = "SELECT " + strings.Join(selected, ", ") + from
	return e, nil
}

// Close implements Evaluator.
func (e *evaluator) Close() {
	if e.schema.Ptr != nil {
		bindings.DestroyArrowConvertedSchema(&e.schema)
	}
	e.instance.close()
}

// Evaluate implements Evaluator.
func (e *evaluator) Evaluate(ctx context.Context, rows arrow.RecordBatch, fault func(row int, column, message string),
) (_ arrow.RecordBatch, err error) {
	stop := e.instance.interruptWith(ctx)
	parts := &computedParts{fault: fault, prepared: map[string]*preparedRange{}}
	defer parts.release()
	err = e.work(parts, rows)
	stop() // an interruption would end the clearing too
	parts.closePrepared()
	err = errors.Join(err, e.instance.exec("DROP TABLE IF EXISTS "+rowsName))
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, err
	}
	return e.join(parts, rows.NumRows())
}

// work computes what it can of the rows. Each statement is a transaction of its own: one that fails would take
// the rows with it.
func (e *evaluator) work(parts *computedParts, rows arrow.RecordBatch) error {
	if err := e.instance.exec(e.plan.create()); err != nil {
		return err
	}
	if err := e.fill(rows); err != nil {
		return err
	}
	return e.compute(parts, 0, rows.NumRows())
}

// fill puts the rows into the table, each with its number.
func (e *evaluator) fill(rows arrow.RecordBatch) error {
	var appender bindings.Appender
	if bindings.AppenderCreateExt(e.instance.connection, "temp", "main", rowsName, &appender) == bindings.StateError {
		return fmt.Errorf("sql engine: %s", bindings.AppenderError(appender))
	}
	defer bindings.AppenderDestroy(&appender)
	numbers := array.NewInt64Builder(e.mem)
	defer numbers.Release()
	for from := int64(0); from < rows.NumRows(); from += vectorRows {
		to := min(from+vectorRows, rows.NumRows())
		for n := from; n < to; n++ {
			numbers.Append(n)
		}
		if err := e.appendRows(appender, numbers.NewArray(), rows.NewSlice(from, to)); err != nil {
			return err
		}
	}
	if bindings.AppenderClose(appender) == bindings.StateError {
		return faultOf(bindings.AppenderError(appender))
	}
	return nil
}

// appendRows appends numbered rows, both of which it releases.
func (e *evaluator) appendRows(appender bindings.Appender, numbers arrow.Array, rows arrow.RecordBatch) error {
	defer numbers.Release()
	defer rows.Release()
	columns := []arrow.Array{numbers}
	for i, column := range rows.Columns() {
		whole, err := e.fromZero(column)
		if err != nil {
			return err
		}
		data := retype(whole.Data(), e.plan.input.Field(i+1).Type)
		whole.Release()
		columns = append(columns, array.MakeFromData(data))
		data.Release()
		defer columns[i+1].Release()
	}
	batch := array.NewRecordBatch(e.plan.input, columns, rows.NumRows())
	defer batch.Release()
	chunk, fault := bindings.DataChunkFromArrow(e.instance.connection, batch, e.schema)
	if err := takeFault(fault); err != nil {
		return err
	}
	defer bindings.DestroyDataChunk(&chunk)
	if bindings.AppendDataChunk(appender, chunk) == bindings.StateError {
		return faultOf(bindings.AppenderError(appender))
	}
	return nil
}

// fromZero is a column that begins where its memory does, if it is nested: DuckDB adds the offset of a struct to
// its fields once more than there is reason to. The caller releases it.
func (e *evaluator) fromZero(column arrow.Array) (arrow.Array, error) {
	if _, nested := column.DataType().(arrow.NestedType); !nested || column.Data().Offset() == 0 {
		column.Retain()
		return column, nil
	}
	return array.Concatenate([]arrow.Array{column}, e.mem)
}

// computedParts are batches of computed columns, which follow each other.
type computedParts struct {
	batches []arrow.RecordBatch
	fault   func(row int, column, message string)
	// prepared are the statements of one evaluation.
	prepared map[string]*preparedRange
}

// preparedRange is a statement over a range of rows.
type preparedRange struct {
	statement bindings.PreparedStatement
	schema    *arrow.Schema
}

func (p *computedParts) closePrepared() {
	for _, each := range p.prepared {
		bindings.DestroyPrepare(&each.statement)
	}
	clear(p.prepared)
}

// prepare prepares a statement, once.
func (e *evaluator) prepare(parts *computedParts, sql string) (*preparedRange, error) {
	if known := parts.prepared[sql]; known != nil {
		return known, nil
	}
	statement, err := e.instance.prepare(sql)
	if err != nil {
		return nil, err
	}
	fresh := &preparedRange{statement: statement}
	parts.prepared[sql] = fresh
	fresh.schema, err = e.instance.schemaOf(columnsOfPrepared(statement))
	return fresh, err
}

func (p *computedParts) release() {
	for _, batch := range p.batches {
		batch.Release()
	}
}

// compute computes the rows of [from, next). Where that fails it halves them, down to the rows at fault.
func (e *evaluator) compute(parts *computedParts, from, next int64) error {
	if from == next {
		return nil
	}
	before := len(parts.batches)
	err := e.run(parts, e.all, from, next)
	if err == nil || !errors.Is(err, query.ErrInvalid) && !errors.Is(err, query.ErrLimit) {
		return err
	}
	for _, batch := range parts.batches[before:] {
		batch.Release()
	}
	parts.batches = parts.batches[:before]
	if next-from > 1 {
		middle := from + (next-from)/2
		if err := e.compute(parts, from, middle); err != nil {
			return err
		}
		return e.compute(parts, middle, next)
	}
	parts.fault(int(from), e.blame(parts, from), reason(err))
	parts.batches = append(parts.batches, e.nulls())
	return nil
}

// blame finds the column that cannot be computed for a row.
func (e *evaluator) blame(parts *computedParts, row int64) string {
	if len(e.plan.items) == 1 {
		return e.plan.items[0].field.Name
	}
	for i, sql := range e.single {
		alone := &computedParts{prepared: parts.prepared}
		err := e.run(alone, sql, row, row+1)
		alone.release()
		if err != nil {
			return e.plan.items[i].field.Name
		}
	}
	return ""
}

// reason is what is told of an error: what went wrong, without the text of our statement.
func reason(err error) string {
	text := strings.TrimPrefix(err.Error(), query.ErrInvalid.Error()+": ")
	text, _, _ = strings.Cut(text, "\n")
	const most = 200
	if runes := []rune(text); len(runes) > most {
		text = string(runes[:most]) + "..."
	}
	return text
}

// run appends what a statement gives for the rows of [from, next). It holds all of it in memory.
func (e *evaluator) run(parts *computedParts, sql string, from, next int64) error {
	prepared, err := e.prepare(parts, sql)
	if err != nil {
		return err
	}
	if bindings.BindInt64(prepared.statement, 1, from) == bindings.StateError ||
		bindings.BindInt64(prepared.statement, 2, next-1) == bindings.StateError {
		return faultOf(bindings.PrepareError(prepared.statement))
	}
	var result bindings.Result
	state := bindings.ExecutePrepared(prepared.statement, &result)
	defer bindings.DestroyResult(&result)
	if state == bindings.StateError {
		return faultOf(bindings.ResultError(&result))
	}
	for at := from; ; {
		batch, err := e.instance.fetch(&result, prepared.schema)
		if err != nil {
			return err
		}
		if batch == nil {
			if at != next {
				panic(fmt.Sprintf("BUG: %d of %d rows came back of a transform", at-from, next-from))
			}
			return nil
		}
		parts.batches = append(parts.batches, batch)
		numbers := batch.Column(0).(*array.Int64).Int64Values()
		if numbers[0] != at || numbers[len(numbers)-1] != at+batch.NumRows()-1 {
			panic("BUG: the rows of a transform came back in another order")
		}
		at += batch.NumRows()
	}
}

// nulls is a row in which nothing is computed; the number in front counts for nothing any more.
func (e *evaluator) nulls() arrow.RecordBatch {
	columns := []arrow.Array{array.MakeArrayOfNull(e.mem, arrow.PrimitiveTypes.Int64, 1)}
	fields := []arrow.Field{{Name: numberName, Type: arrow.PrimitiveTypes.Int64, Nullable: true}}
	for _, f := range e.plan.out.Fields() {
		columns = append(columns, array.MakeArrayOfNull(e.mem, f.Type, 1))
		fields = append(fields, arrow.Field{Name: f.Name, Type: f.Type, Nullable: true})
	}
	defer func() {
		for _, c := range columns {
			c.Release()
		}
	}()
	return array.NewRecordBatch(arrow.NewSchema(fields, nil), columns, 1)
}

// join makes one batch of the parts, in the types of the table.
func (e *evaluator) join(parts *computedParts, rows int64) (arrow.RecordBatch, error) {
	columns := make([]arrow.Array, 0, len(e.plan.items))
	defer func() {
		for _, c := range columns {
			c.Release()
		}
	}()
	for i, f := range e.plan.out.Fields() {
		pieces := make([]arrow.Array, 0, len(parts.batches))
		err := func() error {
			defer func() {
				for _, p := range pieces {
					p.Release()
				}
			}()
			for _, batch := range parts.batches {
				piece, err := typed(batch.Column(i+1), f.Type)
				if err != nil {
					return fmt.Errorf("column %s: %w", f.Name, err)
				}
				pieces = append(pieces, piece)
			}
			column, err := array.Concatenate(pieces, e.mem)
			if err == nil {
				columns = append(columns, column)
			}
			return err
		}()
		if err != nil {
			return nil, err
		}
	}
	return array.NewRecordBatch(e.plan.out, columns, rows), nil
}
