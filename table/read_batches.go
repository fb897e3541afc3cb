package table

import (
	"context"

	"github.com/apache/arrow-go/v18/arrow"
)

// readBatches reads rows that are in memory. Nothing is copied of those that are all selected.
func (r *taskReader) readBatches(ctx context.Context, emit func(arrow.RecordBatch) bool) error {
	wide := r.task.Schema
	if r.task.wide != nil {
		wide = r.task.wide
		r.evaluator = r.task.rows.Evaluator()
	}
	var form *arrow.Schema
	start := int64(0)
	for _, batch := range r.task.Batches {
		if batch.Schema() != form { // batches of one schema share it
			form = batch.Schema()
			if err := r.convert(form.Fields(), wide, constants{}); err != nil {
				return err
			}
		}
		if err := r.emitSlices(ctx, batch, start, emit); err != nil {
			return err
		}
		start += batch.NumRows()
	}
	return r.wanted.complete()
}

// emitSlices hands out a batch, whose first row is row start, in batches of no more rows than are asked for.
func (r *taskReader) emitSlices(ctx context.Context, batch arrow.RecordBatch, start int64,
	emit func(arrow.RecordBatch) bool) error {
	for from := int64(0); from < batch.NumRows(); {
		end := min(from+int64(r.opts.BatchRows), batch.NumRows())
		slice := batch.NewSlice(from, end)
		err := r.emit(ctx, slice.Columns(), start+from, int(end-from), emit)
		slice.Release()
		if err != nil {
			return err
		}
		from = end
	}
	return nil
}
