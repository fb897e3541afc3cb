package changelog

import (
	"context"
	"fmt"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/changes"
	"github.com/firthlake/firth/table/difference"
	"github.com/firthlake/firth/table/objstore"
)

// portion are rows of a data file that went or came.
type portion struct {
	// task has the deletes that hide rows which did neither.
	task table.Task
	// rows are positions in the file, in order; nil is all that the task's deletes leave.
	rows []uint32
	went bool
	// kept are the rows as they were read first, when there was room for them.
	kept []piece
}

// piece is a batch of rows of a portion and their positions in the file.
type piece struct {
	rows      arrow.RecordBatch
	positions []int64
}

// most is how many rows the portion has at most.
func (p *portion) most() int64 {
	if p.rows != nil {
		return int64(len(p.rows))
	}
	return p.task.File.Count()
}

// rowReader reads rows of the source in the form of its newest schema.
type rowReader struct {
	store objstore.Store
	// schema is that of the rows, and wide has the position behind them.
	schema, wide *iceberg.Schema
	form         *arrow.Schema
	opts         table.ReadOptions
	// before and after are equality deletes of the two snapshots that are compared: those of the later one
	// would take rows of the earlier one out.
	before, after *table.EqualityDeletes
}

func newRowReader(store objstore.Store, source *iceberg.Schema, opts table.ReadOptions) (*rowReader, error) {
	r := &rowReader{store: store, schema: changes.Rows(source), opts: opts}
	r.wide = iceberg.NewSchema(source.ID, append(r.schema.Fields(), positionColumn())...)
	var err error
	r.form, err = table.ArrowSchema(r.schema)
	return r, err
}

func positionColumn() iceberg.NestedField {
	for _, c := range table.MetadataColumns() {
		if c.Name == table.ColumnPos {
			return c
		}
	}
	panic("BUG: rows have no position")
}

// each calls do with the rows of a portion, only those at positions when that is not nil. A batch is valid
// during the call.
func (r *rowReader) each(
	ctx context.Context, p *portion, positions []uint32, do func(piece) error,
) error {
	for _, kept := range p.kept {
		if err := do(kept); err != nil {
			return err
		}
	}
	if p.kept != nil {
		return nil
	}
	task, opts := p.task, r.opts
	task.Schema, opts.Rows, opts.Equality = r.wide, p.rows, r.after
	if p.went {
		opts.Equality = r.before
	}
	if positions != nil {
		opts.Rows = positions
	}
	for batch, err := range table.ReadWith(ctx, r.store, task, opts) {
		if err != nil {
			return err
		}
		last := int(batch.NumCols()) - 1
		rows := array.NewRecordBatch(r.form, batch.Columns()[:last], batch.NumRows())
		err = do(piece{rows, batch.Column(last).(*array.Int64).Int64Values()})
		rows.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

// live are the positions of rows that the deletes of a task leave.
func (r *rowReader) live(
	ctx context.Context, task *table.Task, equality *table.EqualityDeletes,
) (*roaring.Bitmap, error) {
	asked, opts := *task, r.opts
	opts.Equality = equality
	asked.Schema = iceberg.NewSchema(0, positionColumn())
	out := roaring.New()
	for batch, err := range table.ReadWith(ctx, r.store, asked, opts) {
		if err != nil {
			return nil, err
		}
		for _, pos := range batch.Column(0).(*array.Int64).Int64Values() {
			out.Add(uint32(pos))
		}
	}
	return out, nil
}

// portions are the rows that came and went by a difference: those that went first, each in order of age.
func (r *rowReader) portions(ctx context.Context, d *difference.Difference) ([]*portion, error) {
	r.before, r.after = new(table.EqualityDeletes), new(table.EqualityDeletes)
	var went, came []*portion
	for _, task := range d.Removed {
		went = append(went, &portion{task: *task, went: true})
	}
	for _, c := range d.Changed {
		before, after := *c.Before, *c.After
		before.Deletes, after.Deletes = nil, nil // the positions tell
		if c.Equality {
			if err := r.byReading(ctx, c); err != nil {
				return nil, fmt.Errorf("find rows that equality deletes took: %w", err)
			}
			before.EqualityDeletes, after.EqualityDeletes = nil, nil
		}
		if !c.Gone.IsEmpty() {
			went = append(went, &portion{task: before, rows: c.Gone.ToArray(), went: true})
		}
		if !c.Back.IsEmpty() {
			came = append(came, &portion{task: after, rows: c.Back.ToArray()})
		}
	}
	for _, task := range d.Added {
		came = append(came, &portion{task: *task})
	}
	return append(went, came...), nil
}

// byReading finds the positions that changed of a file whose equality deletes are others now.
func (r *rowReader) byReading(ctx context.Context, c *difference.Changed) error {
	before, err := r.live(ctx, c.Before, r.before)
	if err != nil {
		return err
	}
	after, err := r.live(ctx, c.After, r.after)
	if err != nil {
		return err
	}
	c.Gone, c.Back = roaring.AndNot(before, after), roaring.AndNot(after, before)
	return nil
}
