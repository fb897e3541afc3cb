package ingest

import (
	"context"

	"github.com/apache/arrow-go/v18/arrow"
)

// jointRows are rows [first, end) of a batch of several portions; the batch is nil when there are none.
type jointRows struct {
	batch      arrow.RecordBatch
	first, end int64
}

func (j *jointRows) drop() {
	if j.batch != nil {
		j.batch.Release()
	}
	*j = jointRows{}
}

// writeJoint writes the portion's rows. If they lie in a batch with those of others, it waits for the others,
// so that the batch is written as one.
func (b *buffer) writeJoint(ctx context.Context, p *portion) error {
	if b.waiting.batch != p.joint || b.waiting.end != p.first {
		if err := b.writeWaiting(ctx); err != nil {
			return err
		}
	}
	if p.joint == nil {
		return b.rows.Write(ctx, p.rows)
	}
	if b.waiting.batch == nil {
		p.joint.Retain()
		b.waiting = jointRows{batch: p.joint, first: p.first}
	}
	b.waiting.end = p.first + p.rows.NumRows()
	if b.waiting.end < p.joint.NumRows() {
		return nil
	}
	return b.writeWaiting(ctx)
}

// writeWaiting writes the rows that wait for others, which may never come: the table may have stopped
// before them.
func (b *buffer) writeWaiting(ctx context.Context) error {
	w := b.waiting
	if w.batch == nil {
		return nil
	}
	defer b.waiting.drop()
	if w.first == 0 && w.end == w.batch.NumRows() {
		return b.rows.Write(ctx, w.batch)
	}
	rows := w.batch.NewSlice(w.first, w.end)
	defer rows.Release()
	return b.rows.Write(ctx, rows)
}
