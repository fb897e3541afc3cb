package table

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/compute"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table/dv"

	"github.com/firthlake/firth/table/filter"
	"github.com/firthlake/firth/table/objstore"
)

// readRowsDefault is the length of a batch. At 150 bytes a row it is some 2 MiB, which stays in a
// cache, and the cost of a batch vanishes beside it.
const readRowsDefault = 16 << 10

// ReadOptions are choices about reading; the zero value is good.
type ReadOptions struct {
	// Allocator makes the batches; nil is Go's heap.
	Allocator memory.Allocator
	// BatchRows is the most rows of a batch; 0 is 16,384.
	BatchRows int
	// Equality is shared by reads of tasks of one plan, so that equality deletes are read once; nil is one
	// of its own.
	Equality *EqualityDeletes
	// Rows are positions in the file, in order: no other rows are read. Nil is all.
	Rows []uint32
	// Deleted are the positions that the task's Deletes take out, as ReadDeletes told them before; nil has them
	// read.
	Deleted *dv.RoaringPositionBitmap
}

// Read yields the rows of a task in file order, as batches of ArrowSchema(task.Schema): columns
// by field id, whatever schema the file was written with; deleted rows and those the scan's
// filter does not select left out. A batch is valid until the next; who keeps it retains it.
//
// Memory is bounded by the compressed columns of one row group and one batch. An error ends the
// iteration.
func Read(
	ctx context.Context, store objstore.Store, task Task,
) iter.Seq2[arrow.RecordBatch, error] {
	return ReadWith(ctx, store, task, ReadOptions{})
}

// ReadWith is Read with options.
func ReadWith(
	ctx context.Context, store objstore.Store, task Task, opts ReadOptions,
) iter.Seq2[arrow.RecordBatch, error] {
	if opts.Allocator == nil {
		opts.Allocator = memory.DefaultAllocator
	}
	if opts.BatchRows <= 0 {
		opts.BatchRows = readRowsDefault
	}
	return func(yield func(arrow.RecordBatch, error) bool) {
		r := taskReader{task: task, store: store, opts: opts, wanted: wantedRows{opts.Rows, opts.Rows == nil}}
		ctx := compute.WithAllocator(ctx, opts.Allocator)
		emit := func(batch arrow.RecordBatch) bool { return yield(batch, nil) }
		if task.File == nil {
			if err := r.readBatches(ctx, emit); err != nil && !errors.Is(err, errStopped) {
				yield(nil, fmt.Errorf("read rows in memory: %w", err))
			}
			return
		}
		err := r.run(ctx, emit)
		if err != nil && !errors.Is(err, errStopped) {
			yield(nil, fmt.Errorf("read %s: %w", task.File.FilePath(), err))
		}
	}
}

// errStopped says that the consumer wants no more.
var errStopped = errors.New("stopped")

// taskReader reads one task.
type taskReader struct {
	task  Task
	store objstore.Store
	opts  ReadOptions

	source    *storeFile
	parquet   *pqarrow.FileReader
	leaves    []int      // columns of the file to read
	widen     *converter // from the file to the columns that the filter and the output need
	narrow    *converter // from there to the output; nil when that is the same
	evaluator *filter.Evaluator
	deleted   []byte // bit per row of the file, 1 for rows that stay; nil without deletes
	selection filter.Selection
	wanted    wantedRows

	equality   []*equalityGroup
	equalityAt map[int]int // columns of widen by field id
	rows       []uint32
	key        []byte
}

func (r *taskReader) run(ctx context.Context, emit func(arrow.RecordBatch) bool) (err error) {
	if format := r.task.File.FileFormat(); format != iceberg.ParquetFile {
		return fmt.Errorf("format %s: firth reads Parquet alone", format)
	}
	source := &storeFile{ctx: ctx, store: r.store, object: objstore.Object{
		Location: r.task.File.FilePath(), Size: r.task.File.FileSizeBytes(),
	}}
	defer func() { err = errors.Join(err, source.Close()) }()
	opened, err := openParquet(source, r.opts)
	if err != nil {
		return err
	}
	r.source, r.parquet = source, opened
	if err := r.prepare(ctx); err != nil {
		return err
	}
	start := int64(0)
	for group := range opened.ParquetReader().NumRowGroups() {
		rows := opened.ParquetReader().MetaData().RowGroup(group).NumRows()
		if r.wanted.any(start, rows) {
			if err := r.readGroup(ctx, group, start, emit); err != nil {
				return err
			}
		}
		start += rows
	}
	return r.wanted.complete()
}

func openParquet(source parquet.ReaderAtSeeker, opts ReadOptions) (*pqarrow.FileReader, error) {
	props := parquet.NewReaderProperties(opts.Allocator)
	reader, err := file.NewParquetReader(source, file.WithReadProps(props))
	if err != nil {
		return nil, fmt.Errorf("parquet footer: %w", err)
	}
	opened, err := pqarrow.NewFileReader(reader,
		pqarrow.ArrowReadProperties{BatchSize: int64(opts.BatchRows)}, opts.Allocator)
	if err != nil {
		return nil, fmt.Errorf("parquet schema: %w", err)
	}
	return opened, nil
}

// prepare finds the columns and loads the deletes.
func (r *taskReader) prepare(ctx context.Context) error {
	wide := r.task.Schema
	if r.task.wide != nil {
		wide = r.task.wide
		r.evaluator = r.task.rows.Evaluator()
	}
	if len(r.task.EqualityDeletes) > 0 {
		var err error
		if wide, err = r.prepareEquality(ctx, wide); err != nil {
			return err
		}
	}
	columns, err := resolveColumns(r.parquet.Manifest, wide, r.task.NameMapping)
	if err != nil {
		return err
	}
	r.leaves = columns.leaves
	source := constants{
		file: r.task.File.FilePath(), firstRowID: r.task.File.FirstRowID(),
		sequence: r.task.SequenceNumber,
	}
	if err := r.convert(columns.found, wide, source); err != nil {
		return err
	}
	if len(r.task.Deletes) > 0 || r.task.Unseen != nil {
		r.deleted, err = loadDeletes(ctx, r.store, r.task, r.opts.Deleted, r.parquet.ParquetReader().NumRows())
	}
	return err
}

// convert finds the way from columns to those that are asked for, by wide.
func (r *taskReader) convert(from []arrow.Field, wide *iceberg.Schema, source constants) (err error) {
	if r.widen, err = newConverter(from, wide, source); err != nil || wide == r.task.Schema {
		return err
	}
	form, err := ArrowSchema(wide)
	if err != nil {
		return err
	}
	r.narrow, err = newConverter(form.Fields(), r.task.Schema, source)
	return err
}

// readGroup reads one row group, whose first row is row start of the file.
func (r *taskReader) readGroup(
	ctx context.Context, group int, start int64, emit func(arrow.RecordBatch) bool,
) error {
	rows := r.parquet.ParquetReader().MetaData().RowGroup(group).NumRows()
	if rows == 0 {
		return nil
	}
	if len(r.leaves) == 0 { // nothing of the file is asked for but how many rows there are
		for end := start + rows; start < end; {
			n := min(end-start, int64(r.opts.BatchRows))
			if err := r.emit(ctx, nil, start, int(n), emit); err != nil {
				return err
			}
			start += n
		}
		return nil
	}
	batches, err := r.openGroup(ctx, group)
	if err != nil {
		return fmt.Errorf("row group %d: %w", group, err)
	}
	defer batches.Release()
	for end := start + rows; ; {
		next := r.seek(start, end)
		if start, rows = next, rows-(next-start); !r.wanted.all && rows == 0 || !batches.Next() {
			break
		}
		batch := batches.RecordBatch()
		if err := r.emit(ctx, batch.Columns(), start, int(batch.NumRows()), emit); err != nil {
			return err
		}
		start, rows = start+batch.NumRows(), rows-batch.NumRows()
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	if err := batches.Err(); err != nil {
		return fmt.Errorf("row group %d: %w", group, err)
	}
	if rows != 0 {
		return fmt.Errorf("row group %d: %d rows are missing", group, rows)
	}
	return nil
}

// openGroup fetches the columns of a row group by few requests.
func (r *taskReader) openGroup(ctx context.Context, group int) (pqarrow.RecordReader, error) {
	ranges, err := fetchRanges(r.parquet.ParquetReader().MetaData().RowGroup(group), r.leaves)
	if err != nil {
		return nil, err
	}
	if err := r.source.preload(ranges); err != nil {
		return nil, err
	}
	return r.parquet.GetRecordReader(ctx, r.leaves, []int{group})
}

// emit turns columns of the file, from row start on, into a batch and hands out what is selected.
func (r *taskReader) emit(
	ctx context.Context, columns []arrow.Array, start int64, rows int,
	emit func(arrow.RecordBatch) bool,
) error {
	wide, err := r.widen.batch(ctx, columns, start, rows)
	if err != nil {
		return err
	}
	defer wide.Release()
	if err := r.selectRows(wide, start); err != nil {
		return err
	}
	if r.selection.Count() == 0 {
		return nil
	}
	kept := r.selection.Apply(r.opts.Allocator, wide)
	defer kept.Release()
	out := kept
	if r.narrow != nil {
		out, err = r.narrow.batch(ctx, kept.Columns(), start, int(kept.NumRows()))
		if err != nil {
			return err
		}
		defer out.Release()
	}
	if !emit(out) {
		return errStopped
	}
	return nil
}

// selectRows leaves the rows of wide that are neither deleted nor filtered out in r.selection.
func (r *taskReader) selectRows(wide arrow.RecordBatch, start int64) error {
	r.selection.Reset(int(wide.NumRows()))
	if r.deleted != nil {
		r.selection.IntersectBitmap(r.deleted, int(start))
	}
	r.wanted.leave(&r.selection, start, wide.NumRows())
	if err := r.removeEqual(wide); err != nil {
		return err
	}
	if r.evaluator == nil || r.selection.Count() == 0 {
		return nil
	}
	matching, err := r.evaluator.Select(wide)
	if err != nil {
		return err
	}
	r.selection.Intersect(matching)
	return nil
}
