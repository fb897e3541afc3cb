package commit

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/google/uuid"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// Committer is the one writer of a table in a process: it puts changes one behind the other and lands
// each in one swap. Its methods may be called from many goroutines.
type Committer struct {
	opts Options
	// turn holds the right to move the tables; its holder owns main and deadLetters.
	turn        chan struct{}
	main        *trunk
	deadLetters *trunk
	// applied is the newest sequence number of main whose dead letters are known to be published.
	applied int64
	// unresolved are the last attempts at changes whose outcome was told as unknown.
	unresolved map[uuid.UUID]attempt
	// current is main's head for those who only look.
	current atomic.Pointer[head]
}

// Committed says where a change landed.
type Committed struct {
	SnapshotID     int64
	SequenceNumber int64
	CommittedAt    time.Time
	// Table is the table with the change in it, perhaps with later ones too.
	Table *table.Table
}

// Open reads the table, unless it is handed over, and publishes the dead letters that an earlier writer left pending.
func Open(ctx context.Context, catalog Catalog, store objstore.Store, ident table.Ident, opts Options,
) (*Committer, error) {
	opts, err := opts.withDefaults(ident)
	if err != nil {
		return nil, err
	}
	loaded := opts.Table
	opts.Table = nil // nobody holds it beyond its time
	c := &Committer{opts: opts, turn: make(chan struct{}, 1), unresolved: map[uuid.UUID]attempt{}}
	c.main = c.newTrunk(ident, catalog, store)
	c.deadLetters = c.newTrunk(opts.DeadLetters, catalog, store)
	if err := c.main.begin(ctx, loaded); err != nil {
		return nil, err
	}
	c.main.pinned = c.main.head.meta.TableUUID()
	c.publish(ctx)
	c.show()
	return c, nil
}

func (c *Committer) newTrunk(ident table.Ident, catalog Catalog, store objstore.Store) *trunk {
	return &trunk{
		ident: ident, catalog: catalog, store: store, opts: &c.opts,
		log:         c.opts.Log.With("table", table.FormatIdent(ident)),
		unmergeable: map[manifestKind]bool{},
	}
}

// Table is the table as it was last seen.
func (c *Committer) Table() *table.Table { return c.current.Load().table }

// Position is where the table stood when it was last seen.
func (c *Committer) Position() Position { return c.current.Load().ledger.Topics() }

// Refresh reads the table's newest version and publishes what is pending.
func (c *Committer) Refresh(ctx context.Context) error {
	return c.inTurn(ctx, func() error {
		if err := c.main.reload(ctx); err != nil {
			return err
		}
		c.publish(ctx)
		return nil
	})
}

// Commit publishes a change. After ErrStateUnknown the same change may be committed again: it lands at
// most once, and one that landed earlier is found, not repeated. Its files must stay whatever later tries
// say: ErrFenced then means that the table stands elsewhere, perhaps because the change had landed.
func (c *Committer) Commit(ctx context.Context, change Change) (Committed, error) {
	return c.append(ctx, &appendIntent{change: change})
}

// AcceptLoss records that an operator accepts the offsets [from, next) as lost. from must be where
// the table stands.
func (c *Committer) AcceptLoss(ctx context.Context, tp TopicPartition, from, next Offset) (Committed, error) {
	return c.append(ctx, &appendIntent{change: Change{
		ID: c.opts.NewID(),
		Ranges: map[TopicPartition]Range{
			tp: {From: from, Next: next, Counts: Counts{Lost: int64(next - from)}},
		},
	}})
}

// Transition declares topic partitions that go on under another identity (a re-created topic, another
// cluster) and where each begins. Their earlier selves stay in the ledger where they ended.
func (c *Committer) Transition(ctx context.Context, begin Position) (Committed, error) {
	ranges := make(map[TopicPartition]Range, len(begin))
	for tp, at := range begin {
		ranges[tp] = Range{From: at, Next: at}
	}
	return c.append(ctx, &appendIntent{declared: true, change: Change{ID: c.opts.NewID(), Ranges: ranges}})
}

func (c *Committer) append(ctx context.Context, in *appendIntent) (out Committed, err error) {
	in.committer = c
	err = c.inTurn(ctx, func() (err error) {
		began := c.opts.Now()
		defer func() { c.opts.Metrics.observe(c.main.name(), c.opts.Now().Sub(began), err) }()
		if err := c.prepare(ctx); err != nil {
			return err
		}
		if err := c.main.land(ctx, in); err != nil {
			c.remember(in, err)
			return fmt.Errorf("change %s: %w", in.change.ID, err)
		}
		if out, err = c.committed(in); err != nil {
			return err
		}
		delete(c.unresolved, in.change.ID)
		c.count(in)
		c.publish(ctx)
		return nil
	})
	return out, err
}

// prepare looks at the newest version before snapshots expire, since a tag made meanwhile would go with
// its snapshot, and makes room for pending dead letters.
func (c *Committer) prepare(ctx context.Context) error {
	t := c.main
	if t.head == nil || t.stale || t.expiryDue() > 0 {
		if err := t.reload(ctx); err != nil {
			return err
		}
		t.holdUnread(ctx)
	}
	if len(t.head.ledger.Pending) > 0 {
		if err := c.drain(ctx); err != nil && len(c.unpublished(t.head.ledger)) >= pendingMax {
			return fmt.Errorf("%d commits wait for dead-letter table %s: %w",
				pendingMax, c.deadLetters.name(), err)
		}
	}
	return nil
}

func (c *Committer) committed(in *appendIntent) (Committed, error) {
	h := c.main.head
	s := find(h.meta, in.change.ID)
	switch earlier, unresolved := c.unresolved[in.change.ID]; {
	case s != nil:
	case in.last != nil: // landed, and others expired it since
		s = in.last.snapshot
	case unresolved:
		s = earlier.snapshot
	default:
		panic("BUG: a change landed and no snapshot tells of it")
	}
	return Committed{SnapshotID: s.SnapshotID, SequenceNumber: s.SequenceNumber, CommittedAt: timeOf(s),
		Table: h.table}, nil
}

func (c *Committer) count(in *appendIntent) {
	if len(in.change.Removed) > 0 {
		return // its rows were counted when they came
	}
	c.opts.Metrics.files.WithLabelValues(c.main.name()).Add(float64(len(in.change.Files)))
	c.opts.Metrics.rows.WithLabelValues(c.main.name()).Add(float64(countRows(in.change.Files)))
}

// inTurn runs f alone, then removes what expired and shows the new head.
func (c *Committer) inTurn(ctx context.Context, f func() error) error {
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("commit %s: wait for turn: %w", c.main.name(), context.Cause(ctx))
	}
	defer func() { <-c.turn }()
	err := f()
	if err == nil {
		c.main.sweep(ctx)
		c.deadLetters.sweep(ctx)
	}
	c.show()
	return err
}

func (c *Committer) show() {
	h := c.main.head
	if h == nil {
		return
	}
	before := c.current.Swap(h)
	c.opts.Metrics.show(c.main.name(), h)
	if c.opts.Moved != nil && (before == nil || before.table.MetadataLocation() != h.table.MetadataLocation()) {
		c.opts.Moved()
	}
}

// appendIntent lands one change.
type appendIntent struct {
	committer *Committer
	change    Change
	// declared lets topic partitions begin under another identity.
	declared bool
	// branch is one whose files the change adds, and that goes with it; nil is none.
	branch *branchPin
	last   *swap
}

func (in *appendIntent) build(ctx context.Context, h *head) (*swap, error) {
	c := in.committer
	unresolved := c.unresolved[in.change.ID]
	if find(h.meta, in.change.ID) != nil || unresolved.in(h.ledger) {
		return nil, nil // committed by an earlier try of the caller
	}
	if err := in.change.Validate(h.meta); err != nil {
		return nil, fmt.Errorf("commit %s: %w", c.main.name(), err)
	}
	if err := fence(h.ledger.Position, in.change.Ranges, in.declared); err != nil {
		return nil, fmt.Errorf("commit %s: %w", c.main.name(), keepFiles(h.fenced(err), unresolved))
	}
	if err := validateReplays(h.ledger, in.change.Ranges); err != nil {
		return nil, fmt.Errorf("commit %s: %w", c.main.name(), err)
	}
	if err := pinned(h, &in.change); err != nil {
		return nil, fmt.Errorf("commit %s: %w", c.main.name(), keepFiles(err, unresolved))
	}
	if in.branch != nil {
		if err := in.branch.check(h.meta); err != nil {
			return nil, fmt.Errorf("commit %s: %w", c.main.name(), keepFiles(err, unresolved))
		}
	}
	ledger := h.ledger.advance(in.change.Ranges)
	ledger.Pending = c.unpublished(ledger)
	w := work{id: in.change.ID, files: in.change.Files, ranges: in.change.Ranges, ledger: ledger,
		compacted: compacted(&in.change)}
	if change := in.change; len(change.Deletes)+len(change.Removed)+len(change.Dead) > 0 || change.Expiry != nil {
		var err error
		if w.cut, err = c.main.plan(ctx, h, &change); err != nil {
			return nil, fmt.Errorf("commit %s: %w", c.main.name(), keepFiles(err, unresolved))
		}
		w.deletes = change.Deletes
	}
	switch expiry := in.change.Expiry; {
	case expiry != nil:
		w.summary = expiry.summary(w.cut.expired)
	case len(in.change.Removed)+len(in.change.Dead) > 0:
		w.rewriteOf, _ = begunAt(h.meta, &in.change)
	case in.declared:
		w.summary = iceberg.Properties{SummaryTransition: "true"}
	}
	var letters *desk
	if len(in.change.DeadLetters) > 0 {
		var err error
		if letters, err = c.decide(ctx, &w, in.change.DeadLetters, h.meta.LastSequenceNumber()+1); err != nil {
			return nil, err
		}
	}
	s, err := c.main.compose(ctx, h, w)
	if err != nil {
		if letters != nil {
			c.deadLetters.discard(ctx, &swap{desk: letters})
		}
		return nil, err
	}
	if in.branch != nil {
		updates, gone := in.branch.drop(h.meta)
		s.requirements = append(s.requirements, in.branch.requires())
		s.updates, s.expired = append(s.updates, updates...), append(s.expired, gone...)
	}
	if letters != nil {
		s.desk.wrote = append(s.desk.wrote, letters.wrote...)
	}
	in.last = s
	return s, nil
}

// keepFiles tells the caller of a change that an earlier try may have landed.
func keepFiles(err error, unresolved attempt) error {
	if unresolved.snapshot == nil {
		return err
	}
	return fmt.Errorf("an earlier try may have landed, keep its files: %w", err)
}

func (in *appendIntent) landed(h *head, s *swap) verdict {
	v := verdictOf(h, s, in.change.ID)
	if v != undecided {
		return v
	}
	for tp, r := range in.change.Ranges {
		if at, ok := h.ledger.Position[tp]; r.Next > r.From && (!ok || at <= r.From) {
			return notLanded // the position has not passed it
		}
	}
	if attemptOf(s, in.change.Ranges).in(h.ledger) {
		return hasLanded
	}
	return undecided
}

// IsFinal says whether err tells for certain that a change did not land and that committing it again
// as it is cannot help: it was fenced, stale, invalid or refused.
func IsFinal(err error) bool {
	return !errors.Is(err, ErrStateUnknown) && (errors.Is(err, ErrFenced) ||
		errors.Is(err, ErrStale) || errors.Is(err, ErrInvalid) || errors.Is(err, ErrBranch) ||
		errors.Is(err, ErrTopicRecreated) || errors.Is(err, ErrClusterChanged) ||
		errors.Is(err, table.ErrRefused) || errors.Is(err, table.ErrNotFound))
}

// commitIDs are derived for the dead-letter table's commits, so that the two tables' histories can be
// held against each other.
func deadLetterCommitID(main uuid.UUID) uuid.UUID { return uuid.NewSHA1(main, []byte("dead letters")) }
