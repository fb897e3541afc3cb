package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/google/uuid"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/table"
)

// buffer is a change in the making: open files and the ranges they cover.
type buffer struct {
	change  uuid.UUID
	names   *table.FileNumbers
	opened  time.Time
	rows    *table.Writer // nil before the first row, in keyed tables until they are committed
	letters *table.Writer // nil before the first dead letter
	waiting jointRows     // rows that others of their batch are to follow
	// versions are the rows of a keyed table, nil for others.
	versions *versions
	ranges   map[commit.TopicPartition]commit.Range
	counts   commit.Counts
	// records is the number of records read, newest the timestamp of the newest of them.
	records int64
	newest  int64

	// followed says that what it takes in is handed over to readers as well; it is not once some could not be.
	followed, unfollowable bool
	chunkNames             *table.FileNumbers
	// seen is what look-ups see of it; nil when it was begun while nobody looked up.
	seen *seenBuffer
	// gone says that it was given up.
	gone bool

	closed      bool
	files       []iceberg.DataFile
	deadLetters []iceberg.DataFile
	// unknown says that a commit of it had no known outcome once. Its files are never removed.
	unknown bool
}

// errBuffer says that the files of a buffer could not be written, so that its records must be read
// again.
var errBuffer = errors.New("buffer lost")

func (t *tableState) newBuffer() *buffer {
	b := &buffer{
		change: t.ingester.opts.NewID(), names: new(table.FileNumbers), opened: t.ingester.opts.Now(),
		ranges: map[commit.TopicPartition]commit.Range{}, followed: t.tailing.isOn(),
		chunkNames: new(table.FileNumbers),
	}
	if t.opts.Keyed != nil {
		b.seen = t.opts.Keyed.Keys.fresh.begin(b.opened)
	}
	return b
}

// write adds a portion. After an error the buffer is of no use.
func (b *buffer) write(ctx context.Context, p *portion) error {
	if p.rows != nil {
		if err := b.writeRows(ctx, p); err != nil {
			return err
		}
	}
	if len(p.letters) > 0 {
		if err := b.writeLetters(ctx, p); err != nil {
			return err
		}
	}
	id := p.chunk.TopicPartition
	part := p.part
	if before, found := b.ranges[id]; found {
		part = before.Join(part)
	}
	b.ranges[id] = part
	b.counts = b.counts.Add(p.part.Counts)
	b.records += p.part.Counts.Sum() - p.part.Counts.Absent
	b.newest = max(b.newest, p.newest)
	return nil
}

func (b *buffer) writeRows(ctx context.Context, p *portion) error {
	if p.shape.keyed != nil {
		return b.writeVersions(p)
	}
	if b.rows == nil {
		t := p.shape.table
		w, err := t.newWriter(b, t.opts.Committer.Table(), p.shape.schema)
		if err != nil {
			return err
		}
		b.rows = w
	}
	return b.writeJoint(ctx, p)
}

func (b *buffer) writeLetters(ctx context.Context, p *portion) error {
	t := p.shape.table
	dead := t.opts.DeadLetterTable
	schema := dead.Metadata().CurrentSchema()
	if b.letters == nil {
		w, err := t.newWriter(b, dead, schema)
		if err != nil {
			return err
		}
		b.letters = w
	}
	arrowSchema, err := table.ArrowSchema(schema)
	if err != nil {
		return err
	}
	batch := letterBatch(t.ingester.opts.Allocator, arrowSchema, p, t.ingester.opts.Now())
	defer batch.Release()
	return b.letters.Write(ctx, batch)
}

// newWriter opens a writer of b's change. schema is the one that the batches were made for.
func (t *tableState) newWriter(b *buffer, of *table.Table, schema *iceberg.Schema) (*table.Writer, error) {
	return table.NewWriter(t.ingester.opts.Store, t.writerOptions(b, of, schema))
}

func (t *tableState) writerOptions(b *buffer, of *table.Table, schema *iceberg.Schema) table.WriterOptions {
	meta := of.Metadata()
	opts := &t.ingester.opts
	return table.WriterOptions{
		Schema: schema, Spec: meta.PartitionSpec(), Sort: meta.SortOrder(),
		Location: meta.Location(), ChangeID: b.change, Names: b.names,
		Parquet: t.opts.Parquet, Properties: meta.Properties(), Memory: opts.Budget, SpillDir: opts.SpillDir,
		Parallel: t.parallel(), Metrics: opts.WriterMetrics, Allocator: opts.Allocator,
	}
}

// parallel is how many goroutines a writer may use. Half of them are left to those who look up.
func (t *tableState) parallel() int {
	if t.opts.Keyed != nil && t.opts.Keyed.Keys.fresh.isWanted(t.ingester.opts.Now()) {
		return max(1, t.ingester.parallel/2)
	}
	return t.ingester.parallel
}

// bytes is the memory that the buffer holds.
func (b *buffer) bytes() int64 {
	var n int64
	if b.rows != nil {
		n += b.rows.Bytes()
	}
	if b.letters != nil {
		n += b.letters.Bytes()
	}
	if b.versions != nil {
		n += b.versions.held
	}
	return n
}

// shrinkBytes is about how much shrink frees.
func (b *buffer) shrinkBytes() int64 {
	if b.rows == nil {
		return 0
	}
	return b.rows.ShrinkBytes()
}

// shrink encodes the rows that wait. After an error the buffer is of no use.
func (b *buffer) shrink(ctx context.Context) error {
	if b.rows == nil {
		return nil
	}
	if err := b.writeWaiting(ctx); err != nil {
		return err
	}
	return b.rows.Shrink(ctx)
}

// close completes the files. Its error is errBuffer. What takes memory of its own, encoding the last
// rows, is done by as many buffers at once as encoders has room for.
func (b *buffer) close(ctx context.Context, encoders chan struct{}) error {
	if b.closed {
		return nil
	}
	select {
	case encoders <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("%w: wait for other tables to encode: %w", errBuffer, ctx.Err())
	}
	err := b.shrink(ctx)
	<-encoders
	if err != nil {
		return fmt.Errorf("%w: encode the last rows: %w", errBuffer, err)
	}
	if b.rows != nil {
		if b.files, err = b.rows.Close(ctx); err != nil {
			return fmt.Errorf("%w: close files: %w", errBuffer, err)
		}
	}
	if err := b.closeLetters(ctx); err != nil {
		return err
	}
	b.closed = true
	return nil
}

// closeLetters completes the dead-letter files, once.
func (b *buffer) closeLetters(ctx context.Context) (err error) {
	if b.letters == nil || b.deadLetters != nil {
		return nil
	}
	if b.deadLetters, err = b.letters.Close(ctx); err != nil {
		return fmt.Errorf("%w: close dead-letter files: %w", errBuffer, err)
	}
	return nil
}

// commit publishes the buffer. It may be called again after an error that is not final.
func (b *buffer) commit(ctx context.Context, t *tableState) (commit.Committed, error) {
	if b.versions != nil {
		return b.commitVersions(ctx, t)
	}
	if err := b.close(ctx, t.ingester.encoders); err != nil {
		return commit.Committed{}, err
	}
	out, err := t.opts.Committer.Commit(ctx, commit.Change{
		ID: b.change, Files: b.files, DeadLetters: b.deadLetters, Ranges: b.ranges,
	})
	if err == nil && t.opts.Keyed != nil { // the ledger has moved, and the index has not been told
		t.opts.Keyed.Keys.fresh.land(b.seen, out.Table, 0, t.ingester.opts.Now())
	}
	return out, err
}

// abort gives the buffer up and removes its files, unless they may be in the table.
func (b *buffer) abort(ctx context.Context) error {
	b.waiting.drop()
	if b.unknown {
		return nil
	}
	var errs []error
	for _, w := range []*table.Writer{b.rows, b.letters} {
		if w != nil {
			errs = append(errs, w.Abort(ctx))
		}
	}
	return errors.Join(errs...)
}
