package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"time"

	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/upsert"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/tail"
)

// State says what a table is doing.
type State string

// The states of a table.
const (
	// StateActive reads and commits.
	StateActive State = "active"
	// StateStandby watches another writer that holds the table.
	StateStandby State = "standby"
	// StateStopped waits for a person: Progress has the error.
	StateStopped State = "stopped"
)

// tableState is one table as the applying side knows it.
type tableState struct {
	ingester *Ingester
	opts     TableOptions
	index    int
	name     string
	takes    func(topic string) bool
	log      *slog.Logger
	gauges   tableGauges
	// deadLetters is the name of the dead-letter table, empty without one.
	deadLetters string

	// version counts schemas; shape is of the newest.
	version int
	shape   *shape
	// refused are evolutions that the policy refused, refusedIDs the writer schemas behind them.
	refused    map[string]bool
	refusedIDs map[int32]string

	state   State
	stopped error
	// next is, per assigned topic partition, the end of what is buffered or committed.
	next commit.Position
	// ends are the ends of the logs as they were read, and placed is when topic partitions came last.
	ends   map[commit.TopicPartition]readEnd
	placed time.Time
	// filling takes rows; committing is on its way and is what filling follows.
	filling, committing *buffer
	inFlight            bool

	// What waits for its time, zero when nothing does: trying a commit again, reading on after a
	// trouble, finding the position of new partitions, and looking whether the holder is alive.
	commitAt, readAt, placeAt, lookAt time.Time
	tries                             int
	health                            error  // what is tried again, nil when all is well
	act                               string // at what

	// rolledBack is the newest rollback of the table when its position was taken over, watchAt when to look
	// for another.
	rolledBack int64
	watchAt    time.Time

	// The holder of the table in standby, as last seen to move, and why it cannot be looked at.
	holderPosition commit.Position
	holderMoved    time.Time
	blind          string

	tally  tally
	budget window
	// tailing hands over what is buffered to whoever follows the table; nil when nobody can.
	tailing *tailing
	// hand marks how far the topics had come, ended is for what it is told, marked when that was.
	hand   *tail.Hand
	ended  commit.Position
	marked time.Time
}

func (t *tableState) String() string { return t.name }

func (t *tableState) schema() *iceberg.Schema {
	return t.opts.Committer.Table().Metadata().CurrentSchema()
}

// interval is the longest that a row waits for its commit, unless files pile up.
func (t *tableState) interval() time.Duration { return time.Duration(t.opts.Freshness.Interval) }

// patience is how long a row waits for its commit now: longer than interval while files pile up.
func (t *tableState) patience() time.Duration {
	stretched := time.Duration(float64(t.interval()) * max(1, t.ingester.opts.Stretch(t.name)))
	return max(t.interval(), min(stretched, time.Duration(t.opts.Freshness.IntervalMax)))
}

// retry notes a trouble, tells it unless it is the one that lasts, and returns when to try again.
func (t *tableState) retry(act string, err error) time.Time {
	if t.health == nil || t.health.Error() != err.Error() {
		t.log.Warn("table is in trouble and goes on trying", "act", act, "err", err)
	}
	t.health, t.act = err, act
	wait := backoffMin << min(t.tries, 10)
	t.tries++
	return t.ingester.opts.Now().Add(min(wait, backoffMax))
}

// healthy says that what was tried again went well.
func (t *tableState) healthy() {
	if t.health != nil {
		t.log.Info("trouble of the table is over", "was", t.health)
	}
	t.health, t.act = nil, ""
	t.tries = 0
}

// take adds a portion to the table's buffer. Portions that do not begin where the buffer ends are
// left-overs of an assignment or a rewind: what they hold comes again.
func (t *tableState) take(ctx context.Context, p *portion) {
	defer p.release()
	id := p.chunk.TopicPartition
	next, assigned := t.next[id]
	if t.state != StateActive || !assigned || next != p.part.From || !t.readAt.IsZero() {
		return
	}
	switch {
	case p.shape.version != t.version:
		t.ingester.decodeAgain(ctx, t, p)
		return
	case p.evolution != nil:
		t.ingester.follow(ctx, t, p)
		return
	case p.err != nil:
		t.pause(p.err)
		return
	case p.suspend != nil:
		t.stop(ctx, p.suspend)
		return
	}
	if t.filling == nil {
		t.filling = t.newBuffer()
	}
	if err := t.filling.write(ctx, p); err != nil {
		t.lose(ctx, err)
		return
	}
	t.gather(p)
	if t.filling.seen != nil {
		t.opts.Keyed.Keys.fresh.add(t.filling.seen, p)
	}
	t.next[id] = p.part.Next
	t.cameTo(id, p.part.Next, p.chunk.End, t.ingester.polled)
	t.tally.add(p.part.Counts)
	t.ingester.opts.Metrics.read(t.name, p.part.Counts)
	if err := t.budget.add(t, p.part.Counts); err != nil {
		t.stop(ctx, err)
	}
}

// lose gives up what is buffered, since its files cannot be written now, and reads it again later.
func (t *tableState) lose(ctx context.Context, err error) {
	t.dropFilling(ctx)
	if t.state == StateActive {
		t.pause(fmt.Errorf("write files: %w", err))
	}
}

// pause makes the table read on later from where it is.
func (t *tableState) pause(err error) {
	t.ingester.router.hold(t)
	t.readAt = t.retry("read", err)
}

// stop makes the table wait for a person. What it has read is still committed.
func (t *tableState) stop(ctx context.Context, err error) {
	if t.state == StateStopped {
		return
	}
	t.ingester.router.hold(t)
	t.state, t.stopped = StateStopped, err
	t.tellReads()
	t.readAt, t.placeAt, t.lookAt = time.Time{}, time.Time{}, time.Time{}
	t.log.Error("table stopped", "err", err)
	t.cut(ctx)
}

// dropFilling gives up what is buffered and not on its way, and reads it again.
func (t *tableState) dropFilling(ctx context.Context) {
	b := t.filling
	if b == nil {
		return
	}
	t.filling = nil
	t.abort(ctx, b)
	back := commit.Position{}
	for id, r := range b.ranges {
		if _, assigned := t.next[id]; assigned {
			back[id] = r.From
		}
	}
	maps.Copy(t.next, back)
	if t.state == StateActive {
		t.ingester.router.set(t, back)
	}
}

// dropRows lets go of the rows of a keyed table's buffer, which look-ups see no more.
func (t *tableState) dropRows(b *buffer) {
	if t.opts.Keyed != nil {
		t.opts.Keyed.Keys.fresh.withdraw(b.seen)
	}
	if b.versions != nil {
		b.versions.drop(t.ingester.opts.Budget)
	}
}

func (t *tableState) abort(ctx context.Context, b *buffer) {
	t.dropRows(b)
	t.tailing.withdraw(b, &t.ingester.opts)
	if err := b.abort(ctx); err != nil {
		// What stays behind is an orphan that no snapshot names.
		t.log.Warn("remove files of a dropped change", "err", err)
	}
}

// due says whether it is time to cut a checkpoint.
func (t *tableState) due(now time.Time) bool {
	b := t.filling
	if b == nil || t.committing != nil {
		return false
	}
	return t.state != StateActive || t.full() || now.Sub(b.opened) >= t.patience() || t.tailing.mustCut(b) ||
		t.opts.Keyed != nil && t.opts.Keyed.Keys.fresh.mustCut(b.seen, now)
}

// full says whether the buffer has reached its size.
func (t *tableState) full() bool {
	b := t.filling
	return b != nil && (b.records >= t.opts.Freshness.Rows || b.bytes() >= int64(t.opts.Freshness.Bytes))
}

// cut begins to commit what is buffered, if nothing is on its way.
func (t *tableState) cut(ctx context.Context) {
	if t.filling == nil || t.committing != nil {
		return
	}
	t.committing, t.filling = t.filling, nil
	t.tryCommit(ctx)
}

// tryCommit sends what is to be committed on its way.
func (t *tableState) tryCommit(ctx context.Context) {
	b := t.committing
	t.commitAt = time.Time{}
	t.inFlight = true
	began := t.ingester.opts.Now()
	t.ingester.spawn(func() func() {
		committed, err := b.commit(ctx, t)
		if err == nil {
			t.ingester.ack(ctx, b.ranges)
		}
		return func() {
			t.inFlight = false
			// ctx may be that of a flush that has given up since.
			t.settle(context.WithoutCancel(ctx), b, outcome{committed, err, t.ingester.opts.Now().Sub(began)})
		}
	})
}

type outcome struct {
	committed commit.Committed
	err       error
	elapsed   time.Duration
}

// settle acts on the outcome of a commit.
func (t *tableState) settle(ctx context.Context, b *buffer, o outcome) {
	var fenced *commit.FencedError
	var overflow *upsert.OverflowError
	switch {
	case o.err == nil:
		t.landed(b, o)
		t.followTable(ctx)
	case errors.Is(o.err, commit.ErrStateUnknown):
		b.unknown = true
		t.commitAt = t.retry("ask for the outcome of a commit", o.err)
	case errors.As(o.err, &fenced):
		t.drop(ctx)
		t.fenced(fenced)
	case errors.As(o.err, &overflow): // the same records come to the same
		t.drop(ctx)
		t.stop(ctx, fmt.Errorf("%w: leave the record out by a filter, or give the column a wider type, then "+
			"`firth apply`", o.err))
	case errors.Is(o.err, errBuffer):
		t.drop(ctx)
		t.placeAt = t.retry("write files", o.err)
	case errors.Is(o.err, commit.ErrStale) && b.unknown: // the table says whether it landed before others went on
		t.drop(ctx)
		t.placeAt = t.retry("commit", o.err)
	case errors.Is(o.err, commit.ErrStale): // others change the table faster than this can be worked out
		t.commitAt = t.retry("commit", o.err)
	case errors.Is(o.err, table.ErrRefused): // a right that was taken away may come back
		t.commitAt = t.retry("commit", o.err)
	case commit.IsFinal(o.err), errors.Is(o.err, commit.ErrDamaged):
		t.drop(ctx)
		t.stop(ctx, o.err)
	default:
		t.commitAt = t.retry("commit", o.err)
	}
}

func (t *tableState) landed(b *buffer, o outcome) {
	t.committing = nil
	if b.versions != nil {
		b.versions.drop(t.ingester.opts.Budget)
	}
	t.tailing.landed(t)
	t.healthy()
	t.tally.landed(b, t.ingester.opts.Now())
	t.ingester.opts.Metrics.committed(t.name, b)
	t.log.Info("committed", "snapshot_id", o.committed.SnapshotID, "rows", b.counts.Inserted+b.counts.Updated,
		"files", len(b.files), "dead_letters", b.counts.DeadLetters, "elapsed", o.elapsed)
}

// followTable takes over a schema that somebody else has given the table.
func (t *tableState) followTable(ctx context.Context) {
	if t.schema().ID == t.shape.schema.ID {
		return
	}
	t.version++
	if err := t.ingester.regroup(ctx); err != nil {
		t.stop(ctx, fmt.Errorf("table %s has a schema that its spec does not fit: %w: "+
			"`firth plan` says what to do", t, err))
		return
	}
	t.log.Info("table has a new schema", "schema_id", t.shape.schema.ID)
}

// drop gives up all that is buffered, and reads nothing until the position is known again.
func (t *tableState) drop(ctx context.Context) {
	t.ingester.router.hold(t)
	for _, b := range []*buffer{t.committing, t.filling} {
		if b != nil {
			t.abort(ctx, b)
		}
	}
	t.committing, t.filling = nil, nil
	t.commitAt, t.readAt = time.Time{}, time.Time{}
	clear(t.next)
}
