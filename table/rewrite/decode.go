package rewrite

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table/dv"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// Decoding are choices about Decode; the zero value is good.
type Decoding struct {
	// Progress is told the bytes of each file that is read; nil is told nothing.
	Progress func(bytes int64)
	// Places notes where rows go; nil notes nothing.
	Places *Places
	// Deleted are, by task, the positions that its Deletes take out, where they have been read before; nil has
	// them read when their task's turn comes.
	Deleted []*dv.RoaringPositionBitmap
}

// Decode reads the rows of tasks, without those that are deleted, and writes them anew with the schema,
// spec and order of opts, whatever schema they were written with. Rows that compare equal stay in the
// order of their tasks; without an order all do when opts.Parallel is 1. Memory is bounded by opts.Memory
// and one row group.
//
// Row ids and last updated sequence numbers (v3) become columns of the new files. There may be no file,
// when all rows are deleted. On an error nothing is left behind.
func Decode(
	ctx context.Context, store objstore.Store, tasks []table.Task, opts table.WriterOptions, how Decoding,
) ([]iceberg.DataFile, error) {
	if hasLineage(tasks) {
		opts.Schema = withLineage(opts.Schema)
	}
	read := opts.Schema
	if how.Places != nil {
		opts.Placed, read = how.Places.placed, withPositions(opts.Schema)
	}
	w, err := table.NewWriter(store, opts)
	if err != nil {
		return nil, fmt.Errorf("rewrite %d files: %w", len(tasks), err)
	}
	tagged, err := table.ArrowSchema(opts.Schema)
	if err != nil {
		return nil, fmt.Errorf("rewrite %d files: %w", len(tasks), err)
	}
	files, err := decode(ctx, store, tasks, w, decoding{how, read, table.WithTags(tagged)})
	if err == nil && how.Places != nil {
		err = how.Places.finish()
	}
	if err != nil {
		return nil, fmt.Errorf("rewrite %d files: %w", len(tasks), errors.Join(err, w.Abort(ctx)))
	}
	return files, nil
}

// decoding is how rows are read.
type decoding struct {
	Decoding
	schema *iceberg.Schema
	tagged *arrow.Schema // of what is written
}

func decode(
	ctx context.Context, store objstore.Store, tasks []table.Task, w *table.Writer, d decoding,
) ([]iceberg.DataFile, error) {
	read := table.ReadOptions{Equality: &table.EqualityDeletes{}}
	for i, task := range tasks {
		task.Schema = d.schema
		if d.Deleted != nil {
			read.Deleted = d.Deleted[i]
		}
		rows := int64(0)
		for batch, err := range table.ReadWith(ctx, store, task, read) {
			if err != nil {
				return nil, err
			}
			rows += batch.NumRows()
			if err := d.write(ctx, w, batch, i); err != nil {
				return nil, err
			}
		}
		if len(task.Deletes)+len(task.EqualityDeletes) == 0 && rows != task.File.Count() {
			return nil, fmt.Errorf("read %s: %d of its %d rows came: a task of a filter leaves rows out",
				task.File.FilePath(), rows, task.File.Count())
		}
		if d.Progress != nil {
			d.Progress(task.File.FileSizeBytes())
		}
	}
	return w.Close(ctx)
}

// write passes rows of a source on. Their positions, the last column when places are noted, become tags.
func (d *decoding) write(ctx context.Context, w *table.Writer, batch arrow.RecordBatch, source int) error {
	if d.Places == nil {
		return w.Write(ctx, batch)
	}
	columns := slices.Clone(batch.Columns())
	last := len(columns) - 1
	positions := columns[last].(*array.Int64).Int64Values()
	tags := make([]int64, len(positions))
	for i, pos := range positions {
		tags[i] = tagOf(source, pos)
	}
	values := memory.NewBufferBytes(arrow.Int64Traits.CastToBytes(tags))
	data := array.NewData(arrow.PrimitiveTypes.Int64, len(tags), []*memory.Buffer{nil, values}, nil, 0, 0)
	defer data.Release()
	columns[last] = array.NewInt64Data(data)
	defer columns[last].Release()
	tagged := array.NewRecordBatch(d.tagged, columns, batch.NumRows())
	defer tagged.Release()
	return w.Write(ctx, tagged)
}

// withPositions is a schema with the position of each row in its file behind the other columns.
func withPositions(schema *iceberg.Schema) *iceberg.Schema {
	for _, field := range table.MetadataColumns() {
		if field.Name == table.ColumnPos {
			field.Name = columnPosition
			return iceberg.NewSchemaWithIdentifiers(schema.ID, schema.IdentifierFieldIDs,
				append(schema.Fields(), field)...)
		}
	}
	panic("BUG: there is no column of positions")
}

// columnPosition is a name that no column of a table has: columns are known by their ids.
const columnPosition = "firth position of the row"

// hasLineage says whether any rows have ids of their own.
func hasLineage(tasks []table.Task) bool {
	return slices.ContainsFunc(tasks, func(t table.Task) bool { return t.File.FirstRowID() != nil })
}

// withLineage is a schema with the columns that hold the lineage of rows.
func withLineage(schema *iceberg.Schema) *iceberg.Schema {
	fields := append(schema.Fields(), iceberg.RowID(), iceberg.LastUpdatedSequenceNumber())
	return iceberg.NewSchemaWithIdentifiers(schema.ID, schema.IdentifierFieldIDs, fields...)
}
