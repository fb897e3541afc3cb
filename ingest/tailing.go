package ingest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/upsert"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/tail"
)

// Bounds of what is handed over beside commits.
const (
	// TailEveryDefault is how often what was read becomes a chunk.
	TailEveryDefault = 500 * time.Millisecond
	// chunkBytesMax is when a chunk is written before its time, gatheredBytesMax what may wait for it. When more comes,
	// the store is slow or the log is being caught up with; then rows are shown once they are committed.
	chunkBytesMax    = 16 << 20
	gatheredBytesMax = 48 << 20
	// versionsMax is how many versions of rows the chunks of a checkpoint may have before it is cut: to tell which are
	// seen takes tailedBytes for each.
	versionsMax = 500_000
	tailedBytes = 160
	// chunksMax is how many chunks a checkpoint may have before it is cut: readers open each.
	chunksMax = 1000
)

// tailing hands over what a table buffers, in chunks, while somebody follows the table. It belongs to the
// applying side. Its methods do nothing on nil, the tailing of a table that nobody can follow.
//
//	take ─► gathered ─► file under _live ─► tail.Feed: a chunk, for all readers
//	            └─► tail.Feed: pieces, for readers in this process until then
//
// What was buffered before somebody came is in no chunk, so it is committed first: a buffer is handed over from
// its first record on or not at all.
type tailing struct {
	feed  *tail.Feed
	every time.Duration
	// hiding is what readers of a keyed table use; nil for others.
	hiding *hiding
	on     bool // somebody follows
	ready  bool // and nothing is buffered that is not handed over
	// queue is what waits to be written, oldest first; the last may still grow.
	queue []*gathered
	// stuck is what could not be written, which readers in this process see until it is committed.
	stuck   []*gathered
	bytes   int64 // in queue, stuck and being written
	writing bool
	// given says that chunks wait for a commit to come to them.
	given bool
}

// gathered becomes one chunk.
type gathered struct {
	buffer  *buffer
	schema  *iceberg.Schema
	spans   map[commit.TopicPartition]tail.Span
	batches []arrow.RecordBatch
	// versions are the rows instead in a keyed table, and shape is theirs.
	versions *upsert.Set
	shape    *shape
	bytes    int64
	since    time.Time
}

func newTailing(t *tableState) *tailing {
	opts := &t.opts
	if opts.Tail == nil || opts.Keyed != nil && opts.Keyed.Merge != nil {
		return nil
	}
	every := opts.TailEvery
	if every == 0 {
		every = TailEveryDefault
	}
	if opts.Keyed != nil {
		h := newHiding(t)
		return &tailing{feed: opts.Tail.FeedKeyed(h), every: every, hiding: h}
	}
	return &tailing{feed: opts.Tail.Feed(), every: every}
}

func (l *tailing) isOn() bool { return l != nil && l.on }

// mustCut says that the buffer is in the way: it holds what is handed over to nobody, or has enough chunks.
func (l *tailing) mustCut(b *buffer) bool {
	if !l.isOn() || b.unfollowable {
		return false
	}
	if l.hiding != nil && l.hiding.unbuilt.CompareAndSwap(true, false) {
		return true // a checkpoint builds the index
	}
	return !b.followed || b.chunkNames.Count() >= chunksMax || b.versions != nil && b.versions.set.Rows() >= versionsMax
}

// gather keeps what a portion that was just buffered adds to the tail.
func (t *tableState) gather(p *portion) {
	b, l := t.filling, t.tailing
	if !b.followed {
		return
	}
	var bytes int64
	if p.rows != nil {
		bytes = table.BatchBytes(p.rows)
	}
	if l.bytes+bytes > gatheredBytesMax {
		t.unfollow(b)
		return
	}
	g := l.open(t, p)
	id := p.chunk.TopicPartition
	span, some := g.spans[id]
	if !some {
		span = tail.Span{From: p.part.From, First: t.isFirst(id, p.part.From)}
	}
	span.Next = p.part.Next
	g.spans[id] = span
	piece := tail.Piece{Change: b.change, TopicPartition: id, SchemaID: p.shape.schema.ID, Rows: p.rows,
		Span: tail.Span{From: p.part.From, Next: p.part.Next, First: span.First && span.From == p.part.From}}
	switch {
	case p.rows == nil:
	case g.versions != nil:
		piece.Versions = &pieceVersions{of: g.versions, first: g.versions.Rows(), ops: p.ops, shape: g.shape}
		if err := g.versions.Add(id, p.rows, p.ops); err != nil {
			panic("BUG: the buffer took what the tail does not: " + err.Error())
		}
		b.versions.hold(tailedBytes*l.hiding.kinds(t.ingester.opts.Now())*p.rows.NumRows(), t.ingester.opts.Budget)
	default:
		p.rows.Retain()
		g.batches = append(g.batches, p.rows)
	}
	t.ingester.opts.Budget.Charge(bytes)
	g.bytes += bytes
	l.bytes += bytes
	l.feed.Add(piece)
}

// open is what the portion goes to.
func (l *tailing) open(t *tableState, p *portion) *gathered {
	if n := len(l.queue); n > 0 {
		g := l.queue[n-1]
		if g.buffer == t.filling && g.schema == p.shape.schema && g.bytes < chunkBytesMax {
			return g
		}
	}
	g := &gathered{buffer: t.filling, schema: p.shape.schema, since: t.ingester.opts.Now(),
		spans: map[commit.TopicPartition]tail.Span{}, shape: p.shape}
	if p.shape.keyed != nil {
		g.versions = upsert.New(p.shape.keyed.foldOptions())
	}
	l.queue = append(l.queue, g)
	return g
}

// isFirst says that the table has nothing of the topic partition, nor will it before the buffer is committed.
func (t *tableState) isFirst(id commit.TopicPartition, from commit.Offset) bool {
	if t.filling.ranges[id].From != from {
		return false
	}
	if t.committing != nil {
		if _, some := t.committing.ranges[id]; some {
			return false
		}
	}
	_, known := t.opts.Committer.Position()[id]
	return !known
}

// unfollow gives up handing over the rest of a buffer. Rows that readers in this process have seen are still written.
func (t *tableState) unfollow(b *buffer) {
	t.log.Warn("readers see rows later: they are read faster than they can be handed over", "bytes", t.tailing.bytes)
	b.followed, b.unfollowable = false, true
}

// giveUp ends handing over a buffer of which a chunk could not be written, nor is it tried again. Readers in this
// process see the rows of it all the same.
func (l *tailing) giveUp(g *gathered, budget *table.Budget) {
	b := g.buffer
	b.followed, b.unfollowable = false, true
	if b.gone {
		l.release(g, budget)
		l.forget(b, budget)
		return
	}
	l.stuck = append(l.stuck, g)
	l.queue = slices.DeleteFunc(l.queue, func(other *gathered) bool {
		if other.buffer == b {
			l.stuck = append(l.stuck, other)
		}
		return other.buffer == b
	})
}

// forget drops what waits to be written of a buffer, and what cannot be.
func (l *tailing) forget(b *buffer, budget *table.Budget) {
	drop := func(g *gathered) bool {
		if g.buffer == b {
			l.release(g, budget)
		}
		return g.buffer == b
	}
	l.queue, l.stuck = slices.DeleteFunc(l.queue, drop), slices.DeleteFunc(l.stuck, drop)
	l.feed.WithdrawPieces(b.change)
}

// dropStuck drops what could not be written of buffers that are committed.
func (l *tailing) dropStuck(t *tableState) {
	for i := 0; i < len(l.stuck); {
		if b := l.stuck[i].buffer; b != t.filling && b != t.committing {
			l.forget(b, t.ingester.opts.Budget)
			continue
		}
		i++
	}
}

func (l *tailing) release(g *gathered, budget *table.Budget) {
	for _, batch := range g.batches {
		batch.Release()
	}
	g.batches = nil
	if g.versions != nil {
		for i := range g.versions.Parts() {
			g.versions.Drop(i)
		}
	}
	l.bytes -= g.bytes
	budget.Release(g.bytes)
}

// handOver does what is due: it begins and ends following, and writes a chunk.
func (t *tableState) handOver(ctx context.Context, now time.Time) {
	l := t.tailing
	if l == nil {
		return
	}
	if !l.feed.Wanted(now) {
		l.pause(t)
		return
	}
	l.on = true
	if !l.ready && isHandedOver(t.committing) && isHandedOver(t.filling) {
		l.ready = true
		l.feed.Ready()
	}
	if !l.writing && l.untilWrite(t, now) == 0 {
		t.writeChunk(ctx)
	}
}

func isHandedOver(b *buffer) bool { return b == nil || b.followed }

// pause ends following.
func (l *tailing) pause(t *tableState) {
	if !l.on {
		return
	}
	l.on, l.ready = false, false
	l.feed.Pause()
	for _, b := range []*buffer{t.committing, t.filling} {
		if b != nil {
			b.followed = false
			l.forget(b, t.ingester.opts.Budget)
		}
	}
}

// untilDue is how long there is nothing to hand over.
func (l *tailing) untilDue(t *tableState, now time.Time) time.Duration {
	if l == nil || l.writing {
		return publishEvery
	}
	return l.untilWrite(t, now)
}

// untilWrite is how long the next chunk still grows.
func (l *tailing) untilWrite(t *tableState, now time.Time) time.Duration {
	if len(l.queue) == 0 {
		return publishEvery
	}
	if g := l.queue[0]; len(l.queue) == 1 && g.buffer == t.filling && g.bytes < chunkBytesMax {
		return max(0, g.since.Add(l.every).Sub(now))
	}
	return 0
}

// writeChunk writes the oldest of what waits and hands it over. Chunks of a buffer that was given up meanwhile are
// handed over and withdrawn at once, so that their files are removed with the others.
func (t *tableState) writeChunk(ctx context.Context) {
	l := t.tailing
	g := l.queue[0]
	l.queue = l.queue[1:]
	l.writing = true
	t.ingester.spawn(func() func() {
		chunk, err := t.makeChunk(ctx, g)
		return func() {
			l.writing = false
			if err != nil {
				t.log.Warn("readers see rows later: a chunk of the tail cannot be written", "err", err)
				l.giveUp(g, t.ingester.opts.Budget)
				l.dropStuck(t)
				return
			}
			l.release(g, t.ingester.opts.Budget)
			l.feed.Give(chunk)
			l.given = true
			switch {
			case g.buffer.gone:
				l.feed.Withdraw(g.buffer.change, t.ingester.opts.Now())
			case g.buffer != t.filling && g.buffer != t.committing: // its commit has landed
				l.landed(t)
			}
		}
	})
}

// makeChunk writes the chunk's file: one of no partition, whatever partitions the table has.
func (t *tableState) makeChunk(ctx context.Context, g *gathered) (tail.Chunk, error) {
	chunk := tail.Chunk{Change: g.buffer.change, Spans: g.spans, SchemaID: g.schema.ID}
	opts := &t.ingester.opts
	batches := g.batches
	if g.versions != nil {
		var err error
		chunk.Versions, err = t.tailVersions(ctx, g)
		if err == nil {
			chunk.Keys, err = tailKeys(g)
		}
		if err != nil {
			return chunk, fmt.Errorf("make keys of a chunk: %w", err)
		}
		batches = g.versions.Seen(opts.Allocator)
		defer func() {
			for _, batch := range batches {
				batch.Release()
			}
		}()
	}
	for _, batch := range batches {
		chunk.Rows += batch.NumRows()
	}
	if chunk.Rows == 0 {
		return chunk, nil
	}
	w, err := table.NewWriter(opts.Store, table.WriterOptions{
		Schema: g.schema, Spec: *iceberg.UnpartitionedSpec, Location: t.opts.Committer.Table().Metadata().Location(),
		Folder: tail.Folder, ChangeID: g.buffer.change, Names: g.buffer.chunkNames, Parquet: t.opts.Parquet,
		Memory: opts.Budget, Allocator: opts.Allocator,
	})
	if err != nil {
		return chunk, err
	}
	for _, batch := range batches {
		if err = w.Write(ctx, batch); err != nil {
			break
		}
	}
	if err == nil {
		chunk.Files, err = w.Close(ctx)
	}
	if err != nil {
		// What stays behind is swept with what processes leave that die.
		_ = w.Abort(ctx)
		return chunk, fmt.Errorf("write a chunk of %d rows: %w", chunk.Rows, err)
	}
	if g.versions != nil && len(chunk.Files) != 1 {
		panic(fmt.Sprintf("BUG: %d rows of a chunk are in %d files", chunk.Rows, len(chunk.Files)))
	}
	return chunk, nil
}

// withdraw takes back what was handed over of a buffer that is given up.
func (l *tailing) withdraw(b *buffer, opts *Options) {
	if l == nil {
		return
	}
	b.gone = true
	l.forget(b, opts.Budget)
	l.feed.Withdraw(b.change, opts.Now())
}

// tellReads says which topic partitions the table is read from here. Look-ups count those of a table that has stopped
// too: nobody else reads them.
func (t *tableState) tellReads() {
	if t.tailing == nil && t.opts.Keyed == nil {
		return
	}
	reads, held, cluster := map[commit.TopicPartition]bool{}, map[commit.TopicPartition]bool{}, ""
	for id := range t.ingester.assigned {
		cluster = id.Cluster
		if !t.takes(id.Topic) {
			continue
		}
		if t.state != StateStandby {
			held[id] = true
		}
		if t.state == StateActive {
			reads[id] = true
		}
	}
	// A table that has gone over to another cluster keeps the position that it had in the old one.
	if t.tailing != nil {
		t.tailing.feed.Reads(reads, func(id commit.TopicPartition) bool {
			return (cluster == "" || id.Cluster == cluster) && t.takes(id.Topic)
		})
	}
	if t.opts.Keyed != nil {
		t.opts.Keyed.Keys.fresh.tell(t, reading{held, func(id commit.TopicPartition) bool {
			return id.Cluster == cluster && t.takes(id.Topic)
		}})
	}
}

// landed tells that a commit has come to chunks.
func (l *tailing) landed(t *tableState) {
	if l == nil {
		return
	}
	l.dropStuck(t)
	if l.given {
		l.given = l.feed.Committed(t.opts.Committer.Position(), t.ingester.opts.Now()) > 0
	}
}

// close ends it; what nobody has committed is not shown any more.
func (l *tailing) close(opts *Options) {
	if l == nil {
		return
	}
	for _, g := range slices.Concat(l.queue, l.stuck) {
		l.release(g, opts.Budget)
	}
	l.queue, l.stuck = nil, nil
	l.feed.Close(opts.Now())
}
