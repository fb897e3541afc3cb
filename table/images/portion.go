package images

import (
	"context"
	"fmt"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/difference"
	"github.com/firthlake/firth/table/objstore"
)

// Portion are rows of a data file that went or came.
type Portion struct {
	// Task has the deletes that hide rows which did neither.
	Task table.Task
	// Rows are positions in the file, in order; nil is all that the task's deletes leave.
	Rows []uint32
	Went bool
	// kept are the rows as they were read first, when there was room for them; nil when there was none.
	kept []Piece
}

// Piece is a batch of rows of a portion and their positions in the file.
type Piece struct {
	Rows      arrow.RecordBatch
	Positions []int64
}

// Most is how many rows the portion has at most.
func (p *Portion) Most() int64 {
	if p.Rows != nil {
		return int64(len(p.Rows))
	}
	return p.Task.File.Count()
}

// Live are the live files of a snapshot by their locations.
func Live(
	ctx context.Context, plans *table.PlanCache, source *table.Table, store objstore.Store, s *icetable.Snapshot,
) (map[string]*table.Task, error) {
	return plans.Files(ctx, source, store, table.Scan{SnapshotID: s.SnapshotID})
}

// Portions are the rows that came and went between the live files of two snapshots: those that went first, each in
// order of age. The reader reads them until it is asked for others.
func (r *Reader) Portions(ctx context.Context, before, after map[string]*table.Task) ([]*Portion, error) {
	d := difference.Of(before, after)
	if err := d.Read(ctx, r.opts.Store, r.opts.Reads); err != nil {
		return nil, err
	}
	return r.portions(ctx, &d)
}

// Each calls do with the rows of a portion, only those at positions when that is not nil. A batch is valid during
// the call.
func (r *Reader) Each(ctx context.Context, p *Portion, positions []uint32, do func(Piece) error) error {
	for _, kept := range p.kept {
		if err := do(kept); err != nil {
			return err
		}
	}
	if p.kept != nil {
		return nil
	}
	task, opts := p.Task, r.read
	task.Schema, opts.Rows, opts.Equality = r.wide, p.Rows, r.after
	if p.Went {
		opts.Equality = r.before
	}
	if positions != nil {
		opts.Rows = positions
	}
	for batch, err := range table.ReadWith(ctx, r.opts.Store, task, opts) {
		if err != nil {
			return err
		}
		last := int(batch.NumCols()) - 1
		rows := array.NewRecordBatch(r.form, batch.Columns()[:last], batch.NumRows())
		err = do(Piece{rows, batch.Column(last).(*array.Int64).Int64Values()})
		rows.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

// live are the positions of rows that the deletes of a task leave.
func (r *Reader) live(
	ctx context.Context, task *table.Task, equality *table.EqualityDeletes,
) (*roaring.Bitmap, error) {
	asked, opts := *task, r.read
	opts.Equality = equality
	asked.Schema = iceberg.NewSchema(0, positionColumn())
	out := roaring.New()
	for batch, err := range table.ReadWith(ctx, r.opts.Store, asked, opts) {
		if err != nil {
			return nil, err
		}
		for _, pos := range batch.Column(0).(*array.Int64).Int64Values() {
			out.Add(uint32(pos))
		}
	}
	return out, nil
}

// portions makes them of a difference.
func (r *Reader) portions(ctx context.Context, d *difference.Difference) ([]*Portion, error) {
	r.before, r.after = new(table.EqualityDeletes), new(table.EqualityDeletes)
	var went, came []*Portion
	for _, task := range d.Removed {
		went = append(went, &Portion{Task: *task, Went: true})
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
			went = append(went, &Portion{Task: before, Rows: c.Gone.ToArray(), Went: true})
		}
		if !c.Back.IsEmpty() {
			came = append(came, &Portion{Task: after, Rows: c.Back.ToArray()})
		}
	}
	for _, task := range d.Added {
		came = append(came, &Portion{Task: *task})
	}
	return append(went, came...), nil
}

// byReading finds the positions that changed of a file whose equality deletes are others now.
func (r *Reader) byReading(ctx context.Context, c *difference.Changed) error {
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
