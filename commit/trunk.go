package commit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/google/uuid"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// trunk is the main branch of one table as this process knows it, and the one way to move it. It
// belongs to whoever holds the committer's turn.
type trunk struct {
	ident   table.Ident
	catalog Catalog
	store   objstore.Store
	opts    *Options
	log     *slog.Logger

	head *head
	// pinned is the UUID that the table must have, or none. A table that was dropped and made again
	// under its name stands nowhere, so a writer that goes on in the middle would not be fenced.
	pinned uuid.UUID
	// stale says that the head may have moved by an own swap whose outcome is unknown.
	stale   bool
	lineage lineage
	// holdings are those of the head, or of one before it; nil until a change with deletes comes.
	holdings *holdings
	// unmergeable are kinds of manifests that could not be merged; they are left alone.
	unmergeable map[manifestKind]bool
	// unread is that of retention, as it was found last.
	unread int64
	// unreadTold is how many snapshots the log was told that the changelog holds.
	unreadTold int
}

// intent is something to be made true of a table by one swap.
type intent interface {
	// build prepares a swap on top of h, or nil when h is as wanted already.
	build(ctx context.Context, h *head) (*swap, error)
	// landed says whether h holds what s wanted.
	landed(h *head, s *swap) verdict
}

// verdict is what reading back tells.
type verdict int

const (
	notLanded verdict = iota
	hasLanded
	// undecided: the head's history does not reach back to where the swap began.
	undecided
)

// swap is one attempt: what is asked of the catalog, and the head that it makes.
type swap struct {
	requirements []icetable.Requirement
	updates      []icetable.Update
	// base is the head it was built on.
	base *head
	// snapshot, manifests and ledger are the new head's; snapshot is nil when main does not move.
	snapshot  *icetable.Snapshot
	manifests []iceberg.ManifestFile
	ledger    Ledger
	expired   []expired
	removed   []iceberg.DataFile // that the head does not hold any more
	desk      *desk
	// unknown says that a request of this swap may still be under way.
	unknown bool
}

// land makes in true of the table: it builds, swaps, reads back and tries again. It is the one place
// where commits are retried. nil means done and t.head shows it; ErrStateUnknown means that it may
// be done; every other error means that it is not done and never will be.
func (t *trunk) land(ctx context.Context, in intent) error {
	if t.head == nil || t.stale {
		if err := t.reload(ctx); err != nil {
			return err
		}
	}
	var s *swap
	for try := 1; ; try++ {
		if s == nil {
			var err error
			before := t.head
			s, err = in.build(ctx, t.head)
			if errors.Is(err, objstore.ErrNotFound) && try < triesMax && t.outdated(ctx, before) {
				continue
			}
			if err != nil || s == nil {
				return err
			}
		}
		tbl, err := t.catalog.CommitTable(ctx, t.ident, s.requirements, s.updates)
		if err == nil {
			t.adopt(ctx, s, tbl)
			return nil
		}
		step, err := t.settle(ctx, in, s, err)
		if err != nil || step == stepDone {
			return err
		}
		if step == stepRebuild {
			s = nil
		}
		if try == triesMax {
			return t.giveUp(s, fmt.Errorf("no success in %d tries", triesMax))
		}
		if err := t.opts.Sleep(ctx, t.opts.backoff(try)); err != nil {
			return t.giveUp(s, err)
		}
	}
}

// outdated says that others moved the table on since h, and reads it. They may have let h expire, with what it is
// built of.
func (t *trunk) outdated(ctx context.Context, h *head) bool {
	return t.reload(ctx) == nil && !sameSnapshot(h, t.head)
}

// giveUp ends the tries; s is the swap that would have been sent again, nil when the last one is
// known to be lost.
func (t *trunk) giveUp(s *swap, cause error) error {
	if s != nil {
		t.stale = true
		return fmt.Errorf("%w: %w", cause, ErrStateUnknown)
	}
	return fmt.Errorf("%w: %w", cause, ErrConflict)
}

// step is how land goes on after an error of the catalog.
type step int

const (
	stepDone    step = iota // it landed after all
	stepResend              // not landed yet: the same swap again, it is pinned, so one lands at most
	stepRebuild             // lost: build anew on the new head
)

// settle finds out what became of s after the catalog answered with cause, which names the commit and
// its table already.
func (t *trunk) settle(ctx context.Context, in intent, s *swap, cause error) (step, error) {
	refused := errors.Is(cause, table.ErrRefused) && !t.overtaken(ctx, s) || errors.Is(cause, table.ErrNotFound)
	switch {
	case refused && !s.unknown:
		t.discard(ctx, s)
		return 0, cause
	case !refused && !errors.Is(cause, table.ErrConflict) && !errors.Is(cause, table.ErrRefused):
		s.unknown = true
		t.opts.Metrics.unknown.WithLabelValues(t.name()).Inc()
		t.log.Warn("commit outcome unknown, reading back", "err", cause)
	default:
		t.opts.Metrics.conflicts.WithLabelValues(t.name()).Inc()
	}
	if err := t.reload(ctx); err != nil {
		if !s.unknown {
			t.discard(ctx, s)
			return 0, err
		}
		t.stale = true
		return 0, fmt.Errorf("%w; read back: %w: %w", cause, err, ErrStateUnknown)
	}
	moved := !sameSnapshot(s.base, t.head)
	switch v := in.landed(t.head, s); {
	case v == hasLanded:
		t.lineage.expire(s.expired)
		return stepDone, nil
	case s.unknown && (v == undecided || refused && !moved):
		t.stale = true
		return 0, fmt.Errorf("%w: %w", cause, ErrStateUnknown)
	case refused:
		return 0, cause
	case s.unknown && !moved:
		return stepResend, nil
	}
	t.discard(ctx, s)
	return stepRebuild, nil
}

// overtaken says that somebody took the sequence number of s by a commit to another branch, which leaves main where it
// was. Some catalogs refuse such a swap for good, as they do a wrong one: a rebuilt one fits.
func (t *trunk) overtaken(ctx context.Context, s *swap) bool {
	return t.reload(ctx) == nil && t.head.meta.LastSequenceNumber() > s.base.meta.LastSequenceNumber()
}

func sameSnapshot(a, b *head) bool {
	if a.snapshot == nil || b.snapshot == nil {
		return a.snapshot == b.snapshot
	}
	return a.snapshot.SnapshotID == b.snapshot.SnapshotID
}

// discard removes what s wrote, unless a request of it may still land. What cannot be removed is left
// to the removal of orphans.
func (t *trunk) discard(ctx context.Context, s *swap) {
	if s.unknown || s.desk == nil {
		return
	}
	if err := s.desk.discard(context.WithoutCancel(ctx)); err != nil {
		t.log.Warn("files of a lost commit stay behind", "files", len(s.desk.wrote), "err", err)
	}
}

// adopt takes the catalog's answer to a swap that it committed as the new head.
func (t *trunk) adopt(ctx context.Context, s *swap, tbl *table.Table) {
	t.lineage.expire(s.expired)
	meta := tbl.Metadata()
	main := meta.SnapshotByName(icetable.MainBranch)
	if s.snapshot != nil && main != nil && main.SnapshotID == s.snapshot.SnapshotID {
		t.lineage.know(main.SnapshotID, s.manifests)
		if t.holdings != nil && s.base.snapshot != nil && s.base.snapshot.SnapshotID == t.holdings.at {
			t.lineage.drop(main.SnapshotID, t.holdings.move(s))
		}
		t.head = &head{table: tbl, meta: meta, snapshot: main, manifests: s.manifests, ledger: s.ledger}
		return
	}
	// Others moved it since, or the swap made no snapshot.
	h, err := readHead(ctx, t.store, tbl, t.head)
	if err != nil {
		t.stale = true
		t.log.Warn("table is committed but cannot be read back", "err", err)
		return
	}
	t.head = h
}

// reload reads the table's newest version. When ctx has ended it tries once more for a short time,
// so that a commit that was under way can be told.
func (t *trunk) reload(ctx context.Context) error {
	if ctx.Err() != nil {
		short, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastLoadTimeout)
		defer cancel()
		return t.load(short)
	}
	for try := 1; ; try++ {
		err := t.load(ctx)
		final := err == nil || errors.Is(err, table.ErrNotFound) || errors.Is(err, table.ErrRefused) ||
			errors.Is(err, ErrDamaged)
		if final || try == loadTriesMax {
			return err
		}
		if t.opts.Sleep(ctx, t.opts.backoff(try)) != nil {
			return err
		}
	}
}

// begin makes the first head, of what was loaded already if that is of use. What is wrong with that is not
// told: its snapshot may have expired since, and if it has not, reload finds the same.
func (t *trunk) begin(ctx context.Context, loaded *table.Table) error {
	if loaded != nil {
		if h, err := readHead(ctx, t.store, loaded, nil); err == nil {
			t.head = h
			return nil
		}
	}
	return t.reload(ctx)
}

func (t *trunk) load(ctx context.Context) error {
	tbl, err := t.catalog.LoadTable(ctx, t.ident)
	if err != nil {
		return fmt.Errorf("load table %s: %w", t.name(), err)
	}
	if id := tbl.Metadata().TableUUID(); t.pinned != uuid.Nil && t.pinned != id {
		return fmt.Errorf("table %s was dropped and created again (UUID %s, was %s): start again: %w",
			t.name(), id, t.pinned, table.ErrRefused)
	}
	h, err := readHead(ctx, t.store, tbl, t.head)
	if err != nil {
		return err
	}
	t.head, t.stale = h, false
	return nil
}

func (t *trunk) name() string { return table.FormatIdent(t.ident) }
