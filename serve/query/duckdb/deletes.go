//go:build duckdb_arrow

package duckdb

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table/dv"

	"github.com/firthlake/firth/table"
)

// findDeleted tells each part the positions that its task's deletes take out.
func (e *Engine) findDeleted(ctx context.Context, parts []part, tasks []table.Task) error {
	var equality table.EqualityDeletes // read once for all tasks
	for i, task := range tasks {
		if len(task.Deletes) == 0 && len(task.EqualityDeletes) == 0 && task.Unseen == nil {
			continue
		}
		var err error
		location := task.File.FilePath()
		if len(task.EqualityDeletes) > 0 {
			parts[i].deleted, err = e.missingRows(ctx, task, &equality)
		} else {
			parts[i].deleted, err = table.ReadDeletes(ctx, e.opts.Objects, location, task.Deletes)
		}
		if err != nil {
			return fmt.Errorf("deletes of %s: %w", location, err)
		}
		parts[i].deletes = deletesKey(task)
		if task.Unseen != nil {
			parts[i].deleted, parts[i].unseen = table.WithUnseen(parts[i].deleted, task.Unseen), true
		}
		if parts[i].deleted.IsEmpty() {
			parts[i].deleted = nil
		}
	}
	return nil
}

// deletesKey names the data file and its deletes.
func deletesKey(task table.Task) string {
	key := []string{task.File.FilePath()}
	for _, file := range task.Deletes {
		name := file.FilePath()
		if at := file.ContentOffset(); at != nil {
			name = fmt.Sprintf("%s@%d", name, *at)
		}
		key = append(key, name)
	}
	for _, each := range task.EqualityDeletes {
		key = append(key, each.File.FilePath())
	}
	return strings.Join(key, "\x00")
}

// missingRows are the positions that table.Read leaves out.
func (e *Engine) missingRows(ctx context.Context, task table.Task, equality *table.EqualityDeletes,
) (*dv.RoaringPositionBitmap, error) {
	place := table.MetadataColumns()[1]
	if place.Name != table.ColumnPos {
		panic("BUG: the second metadata column is " + place.Name)
	}
	whole := withoutDeletes(task, iceberg.NewSchema(0, place))
	whole.Deletes, whole.EqualityDeletes = task.Deletes, task.EqualityDeletes
	missing, next := dv.NewRoaringPositionBitmap(), int64(0)
	for batch, err := range table.ReadWith(ctx, e.opts.Objects, whole, table.ReadOptions{Equality: equality}) {
		if err != nil {
			return nil, err
		}
		for _, position := range batch.Column(0).(*array.Int64).Int64Values() {
			missing.SetRange(uint64(next), uint64(position))
			next = position + 1
		}
	}
	missing.SetRange(uint64(next), uint64(task.File.Count()))
	return missing, nil
}

// writeDeleted writes the deleted rows of parts: the place of the file among parts, and the position in it.
func writeDeleted(_ context.Context, to io.Writer, parts []part) error {
	form := arrow.NewSchema([]arrow.Field{{Name: "file", Type: arrow.PrimitiveTypes.Int64},
		{Name: "pos", Type: arrow.PrimitiveTypes.Int64}}, nil)
	writer, err := newParquet(form, to)
	if err != nil {
		return err
	}
	builder := array.NewRecordBuilder(memory.DefaultAllocator, form)
	defer builder.Release()
	files, positions := builder.Field(0).(*array.Int64Builder), builder.Field(1).(*array.Int64Builder)
	flush := func() error {
		batch := builder.NewRecordBatch()
		defer batch.Release()
		return writer.WriteBuffered(batch)
	}
	for i := range parts {
		for position := range parts[i].deleted.Positions() {
			files.Append(int64(i))
			positions.Append(int64(position))
			if files.Len() == deletedRows {
				if err := flush(); err != nil {
					return err
				}
			}
		}
	}
	if err := flush(); err != nil {
		return err
	}
	return writer.Close()
}

// deletedRows is the length of a batch of deleted rows: 1 MiB.
const deletedRows = 64 << 10
