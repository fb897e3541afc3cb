//go:build duckdb_arrow

package duckdb

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table/dv"
	"golang.org/x/sync/errgroup"

	"github.com/firthlake/firth/serve/query/filecache"
	"github.com/firthlake/firth/table"
)

// part is one data file in a form that DuckDB reads right.
type part struct {
	path      string
	selection selection
	deleted   *dv.RoaringPositionBitmap // nil without deletes
	deletes   string                    // says which deletes these are
	unseen    bool                      // more is deleted than that says
}

// held are the local files of a statement, which stay until it ends.
type held struct{ files []*filecache.File }

func (h *held) release() {
	for _, file := range h.files {
		file.Release()
	}
}

func (h *held) paths() []string {
	paths := make([]string, len(h.files))
	for i, file := range h.files {
		paths[i] = file.Path()
	}
	return paths
}

// fetchesAtOnce is how many data files are fetched at a time: a store's latency is hidden by that, and a network of
// 10 Gb/s is full with it.
const fetchesAtOnce = 8

// fetch makes parts of tasks, with local files that h holds.
func (e *Engine) fetch(ctx context.Context, h *held, schema *iceberg.Schema, columns []column, tasks []table.Task,
) ([]part, error) {
	parts := make([]part, len(tasks))
	files := make([]*filecache.File, len(tasks))
	group, working := errgroup.WithContext(ctx)
	group.SetLimit(fetchesAtOnce)
	for i, task := range tasks {
		group.Go(func() (err error) {
			if parts[i], files[i], err = e.fetchOne(working, schema, columns, task); err != nil {
				return fmt.Errorf("%s: %w", nameOf(task), err)
			}
			return nil
		})
	}
	err := group.Wait()
	for _, file := range files {
		if file != nil {
			h.files = append(h.files, file)
		}
	}
	if err != nil {
		return nil, err
	}
	return parts, e.findDeleted(ctx, parts, tasks)
}

// nameOf says what a task reads.
func nameOf(task table.Task) string {
	if task.File == nil {
		return "rows in memory"
	}
	return "data file " + task.File.FilePath()
}

// fetchOne fetches the columns of a data file, or copies what table.Read makes of it.
func (e *Engine) fetchOne(ctx context.Context, schema *iceberg.Schema, columns []column, task table.Task,
) (part, *filecache.File, error) {
	if task.File == nil {
		return e.writeRows(ctx, schema, columns, task)
	}
	location := task.File.FilePath()
	if task.File.FileFormat() != iceberg.ParquetFile {
		return part{}, nil, fmt.Errorf("format %s: firth reads Parquet alone", task.File.FileFormat())
	}
	found, err := e.layoutOf(ctx, task)
	if err != nil {
		return part{}, nil, err
	}
	if selection, ok := found.selection(columns); ok {
		file, err := e.fetchColumns(ctx, found, columns, task)
		if err != nil {
			return part{}, nil, err
		}
		return part{path: file.Path(), selection: selection}, file, nil
	}
	file, err := e.files.Get(ctx, fmt.Sprintf("rows %s of %s", schema, location),
		func(ctx context.Context, to io.Writer) error {
			all, err := columnsOf(schema) // another statement needs others
			if err != nil {
				return err
			}
			return e.copyRows(ctx, to, schema, all, task)
		})
	if err != nil {
		return part{}, nil, err
	}
	return part{path: file.Path(), selection: copiedSelection(columns)}, file, nil
}

// writeRows writes columns of rows that are in memory.
func (e *Engine) writeRows(ctx context.Context, schema *iceberg.Schema, columns []column, task table.Task,
) (part, *filecache.File, error) {
	file, err := e.files.Once(ctx, func(ctx context.Context, to io.Writer) error {
		return e.copyRows(ctx, to, schema, columns, task)
	})
	if err != nil {
		return part{}, nil, err
	}
	selection := copiedSelection(columns)
	selection.key = "memory " + selection.key // whole copies have other columns besides
	return part{path: file.Path(), selection: selection}, file, nil
}

// fetchColumns fetches what reading columns of a data file takes.
func (e *Engine) fetchColumns(ctx context.Context, found layout, columns []column, task table.Task,
) (*filecache.File, error) {
	if ranges, known := found.of(columns); known {
		return e.files.Parts(ctx, e.object(task), ranges...)
	}
	return e.files.Whole(ctx, e.opts.Objects, task.File.FilePath())
}

// copiedSelection is the SELECT list over a file that copyRows made.
func copiedSelection(columns []column) selection {
	parts := make([]string, len(columns))
	for i, c := range columns {
		parts[i] = fmt.Sprintf("CAST(d.%s AS %s) AS %s", copiedName(c.place), c.typ, quote(c.name))
	}
	list := strings.Join(parts, ", ")
	return selection{list: list, key: list}
}

func copiedName(i int) string { return fmt.Sprintf("c%d", i) }

// withoutDeletes is the task of all rows of its file.
func withoutDeletes(task table.Task, schema *iceberg.Schema) table.Task {
	return table.Task{File: task.File, Batches: task.Batches, SnapshotID: task.SnapshotID,
		SequenceNumber: task.SequenceNumber, FileSequenceNumber: task.FileSequenceNumber,
		Schema: schema, Spec: task.Spec, NameMapping: task.NameMapping}
}

// copyRows writes columns of all rows of a task as table.Read reads them, those that are deleted too, so that each
// keeps its position.
func (e *Engine) copyRows(ctx context.Context, to io.Writer, schema *iceberg.Schema, copied []column, task table.Task,
) error {
	form, err := table.ArrowSchema(schema)
	if err != nil {
		return err
	}
	fields := make([]arrow.Field, len(copied))
	for i, c := range copied {
		fields[i] = arrow.Field{Name: copiedName(c.place), Nullable: true,
			Type: plain(form.Field(c.place).Type, c.field.Type)}
	}
	form = arrow.NewSchema(fields, nil)
	writer, err := newParquet(form, to)
	if err != nil {
		return err
	}
	for batch, err := range table.Read(ctx, e.opts.Objects, withoutDeletes(task, schema)) {
		if err != nil {
			return err
		}
		columns := make([]arrow.Array, len(copied))
		for i, c := range copied {
			data := retype(batch.Column(c.place).Data(), fields[i].Type)
			columns[i] = array.MakeFromData(data)
			data.Release()
		}
		rows := array.NewRecordBatch(form, columns, batch.NumRows())
		for _, column := range columns {
			column.Release()
		}
		err := writer.WriteBuffered(rows)
		rows.Release()
		if err != nil {
			return err
		}
	}
	return writer.Close()
}

func newParquet(form *arrow.Schema, to io.Writer) (*pqarrow.FileWriter, error) {
	return pqarrow.NewFileWriter(form, to,
		parquet.NewWriterProperties(parquet.WithCompression(compress.Codecs.Snappy)),
		pqarrow.NewArrowWriterProperties(pqarrow.WithAllocator(memory.DefaultAllocator)))
}

// plain is an arrow type without ids, with the names that structs have in SQL, and with uuid told from other bytes.
func plain(typ arrow.DataType, source iceberg.Type) arrow.DataType {
	nested, ok := source.(iceberg.NestedType)
	if !ok {
		if _, ok := source.(iceberg.UUIDType); ok {
			return extensions.NewUUIDType()
		}
		return typ
	}
	inside := nested.Fields()
	field := func(f arrow.Field, i int, name string) arrow.Field {
		return arrow.Field{Name: name, Type: plain(f.Type, inside[i].Type), Nullable: f.Nullable}
	}
	switch t := typ.(type) {
	case *arrow.StructType:
		fields, names := make([]arrow.Field, t.NumFields()), newNames()
		for i := range fields {
			fields[i] = field(t.Field(i), i, names.take(t.Field(i).Name))
		}
		return arrow.StructOf(fields...)
	case *arrow.ListType:
		return arrow.ListOfField(field(t.ElemField(), 0, "element"))
	case *arrow.MapType:
		return arrow.MapOfFields(field(t.KeyField(), 0, "key"), field(t.ItemField(), 1, "value"))
	}
	return typ
}

// retype is the same memory under another type of the same form.
func retype(data arrow.ArrayData, to arrow.DataType) arrow.ArrayData {
	inside := to
	if extension, ok := to.(arrow.ExtensionType); ok {
		inside = extension.StorageType()
	}
	var children []arrow.ArrayData
	if nested, ok := inside.(arrow.NestedType); ok {
		for i, child := range data.Children() {
			children = append(children, retype(child, nested.Fields()[i].Type))
		}
	}
	out := array.NewData(to, data.Len(), data.Buffers(), children, data.NullN(), data.Offset())
	for _, child := range children {
		child.Release()
	}
	return out
}
