package rewrite

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// Decode reads the rows of tasks, without those that are deleted, and writes them anew with the schema,
// spec and order of opts, whatever schema they were written with. Rows that compare equal stay in the
// order of their tasks; without an order all do when opts.Parallel is 1. Memory is bounded by opts.Memory
// and one row group.
//
// Row ids and last updated sequence numbers (v3) become columns of the new files. There may be no file,
// when all rows are deleted. On an error nothing is left behind. Progress, when it is not nil, is told
// the bytes of each file that is read.
func Decode(
	ctx context.Context, store objstore.Store, tasks []table.Task, opts table.WriterOptions,
	progress func(bytes int64),
) ([]iceberg.DataFile, error) {
	if hasLineage(tasks) {
		opts.Schema = withLineage(opts.Schema)
	}
	w, err := table.NewWriter(store, opts)
	if err != nil {
		return nil, fmt.Errorf("rewrite %d files: %w", len(tasks), err)
	}
	files, err := decode(ctx, store, tasks, w, decoding{opts.Schema, progress})
	if err != nil {
		return nil, fmt.Errorf("rewrite %d files: %w", len(tasks), errors.Join(err, w.Abort(ctx)))
	}
	return files, nil
}

// decoding is how rows are read.
type decoding struct {
	schema   *iceberg.Schema
	progress func(bytes int64)
}

func decode(
	ctx context.Context, store objstore.Store, tasks []table.Task, w *table.Writer, d decoding,
) ([]iceberg.DataFile, error) {
	for _, task := range tasks {
		task.Schema = d.schema
		rows := int64(0)
		for batch, err := range table.Read(ctx, store, task) {
			if err != nil {
				return nil, err
			}
			rows += batch.NumRows()
			if err := w.Write(ctx, batch); err != nil {
				return nil, err
			}
		}
		if len(task.Deletes) == 0 && rows != task.File.Count() {
			return nil, fmt.Errorf("read %s: %d of its %d rows came: a task of a filter leaves rows out",
				task.File.FilePath(), rows, task.File.Count())
		}
		if d.progress != nil {
			d.progress(task.File.FileSizeBytes())
		}
	}
	return w.Close(ctx)
}

// hasLineage says whether any rows have ids of their own.
func hasLineage(tasks []table.Task) bool {
	return slices.ContainsFunc(tasks, func(t table.Task) bool { return t.File.FirstRowID() != nil })
}

// withLineage is a schema with the columns that hold the lineage of rows.
func withLineage(schema *iceberg.Schema) *iceberg.Schema {
	fields := append(schema.Fields(), iceberg.RowID(), iceberg.LastUpdatedSequenceNumber())
	return iceberg.NewSchemaWithIdentifiers(schema.ID, schema.IdentifierFieldIDs, fields...)
}
