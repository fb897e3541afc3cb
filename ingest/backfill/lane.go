package backfill

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/decode"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/filter"
	"github.com/firthlake/firth/table/objstore"
)

// lane reads files of one round, one behind the other, into a writer of its own. It belongs to one goroutine.
type lane struct {
	backfill *Backfill
	tp       commit.TopicPartition
	count    Lane // since the backfill began
	writer   *table.Writer
	sums     *table.Checksummer
	filter   *filter.Evaluator // nil keeps all
}

func (b *Backfill) newLane(index int, count Lane, change writing) (*lane, error) {
	l := &lane{backfill: b, tp: commit.BackfillOf(b.id, b.listing.ID, int32(index)), count: count}
	var err error
	if l.sums, err = table.NewChecksummer(change.opener.schema); err != nil {
		return nil, err
	}
	if b.plan.Filter != "" {
		bound, err := filter.ParseAndBind(b.plan.Filter, change.opener.schema)
		if err != nil {
			return nil, fmt.Errorf("filter: %w", err)
		}
		l.filter = bound.Evaluator()
	}
	meta := b.opts.Committer.Table().Metadata()
	l.writer, err = table.NewWriter(b.opts.Store, table.WriterOptions{
		Schema: change.opener.schema, Spec: meta.PartitionSpec(), Sort: meta.SortOrder(), Location: meta.Location(),
		ChangeID: change.id, Names: change.names, Parquet: b.opts.Parquet, Properties: meta.Properties(),
		Memory: b.opts.Memory, SpillDir: b.opts.SpillDir, Parallel: 1,
	})
	return l, err
}

// read takes in all rows of a file.
func (l *lane) read(ctx context.Context, o *opener, file objstore.Object) error {
	r, err := o.open(ctx, file)
	if err != nil {
		return err
	}
	defer r.close()
	told := int64(0)
	for {
		batch, err := r.next(ctx)
		if errors.Is(err, io.EOF) {
			return l.backfill.meter.add(ctx, 0, file.Size-told)
		}
		if err != nil {
			return err
		}
		err = l.take(ctx, batch)
		rows := batch.NumRows()
		batch.Release()
		if err != nil {
			return fmt.Errorf("%s: %w", file.Location, err)
		}
		done := min(r.consumed(), file.Size)
		if err := l.backfill.meter.add(ctx, rows, done-told); err != nil {
			return err
		}
		told = done
	}
}

// take puts coordinates to rows and writes those that the filter keeps.
func (l *lane) take(ctx context.Context, batch arrow.RecordBatch) error {
	rows := place(batch, l.tp, l.count.Read())
	defer rows.Release()
	if l.filter != nil {
		selected, err := l.filter.Select(rows)
		if err != nil {
			return err
		}
		kept := selected.Apply(memory.DefaultAllocator, rows)
		defer kept.Release()
		l.count.Filtered += rows.NumRows() - kept.NumRows()
		rows = kept
	}
	sum, err := l.sums.Sum(rows)
	if err != nil {
		return err
	}
	l.count.Inserted += rows.NumRows()
	l.count.Checksum += sum
	return l.writer.Write(ctx, rows)
}

// place fills the metadata columns: the topic, partition and offset of the lane, and else null.
func place(batch arrow.RecordBatch, tp commit.TopicPartition, first int64) arrow.RecordBatch {
	schema, n := batch.Schema(), int(batch.NumRows())
	columns := make([]arrow.Array, len(schema.Fields()))
	for i, field := range schema.Fields() {
		if !strings.HasPrefix(field.Name, reserved) {
			columns[i] = batch.Column(i)
			continue
		}
		columns[i] = coordinate(field, tp, first, n)
		defer columns[i].Release()
	}
	return array.NewRecordBatch(schema, columns, int64(n))
}

func coordinate(field arrow.Field, tp commit.TopicPartition, first int64, rows int) arrow.Array {
	switch field.Name {
	case decode.ColumnTopic:
		b := array.NewStringBuilder(memory.DefaultAllocator)
		defer b.Release()
		for range rows {
			b.Append(tp.Topic)
		}
		return b.NewArray()
	case decode.ColumnPartition:
		b := array.NewInt32Builder(memory.DefaultAllocator)
		defer b.Release()
		for range rows {
			b.Append(tp.Partition)
		}
		return b.NewArray()
	case decode.ColumnOffset:
		b := array.NewInt64Builder(memory.DefaultAllocator)
		defer b.Release()
		for i := range rows {
			b.Append(first + int64(i))
		}
		return b.NewArray()
	}
	return array.MakeArrayOfNull(memory.DefaultAllocator, field.Type, rows)
}

// writing is what the lanes of one round share.
type writing struct {
	opener *opener
	id     [16]byte
	names  *table.FileNumbers
}

// finish closes the writers of a round and returns their files.
func finish(ctx context.Context, lanes []*lane) (files []iceberg.DataFile, err error) {
	for _, l := range lanes {
		some, err := l.writer.Close(ctx)
		if err != nil {
			return nil, err
		}
		files = append(files, some...)
	}
	return files, nil
}
