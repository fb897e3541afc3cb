package commit

import (
	"context"
	"fmt"
	"time"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/google/uuid"

	"github.com/firthlake/firth/table"
)

// Rollback says to what snapshot main goes back, as it was with its position.
type Rollback struct {
	// SnapshotID is a snapshot in the history of main.
	SnapshotID int64
	// Force lets commits of others go too, which nobody reads again.
	Force bool
}

// RolledBack tells what a rollback took out of a table, or would.
type RolledBack struct {
	// From was the head, To is what main holds again, which was committed at At.
	From, To int64
	At       time.Time
	// Snapshots are undone, Others of them firth did not make.
	Snapshots, Others int
	// Ranges are the offsets that are read again; Position is where the table stands then.
	Ranges   map[TopicPartition]Range
	Position Position
	// Before and After are the rows of data files and those that delete files take out.
	Before, After Rows
	// Files left, and others came back that compaction or deletes had taken the place of.
	FilesGone, FilesBack int64
	// SnapshotID is the rollback itself, 0 when it is only planned.
	SnapshotID int64
}

// Rows are those of data files, and those of them that are deleted.
type Rows struct{ Files, Deleted int64 }

// Live is what readers see.
func (r Rows) Live() int64 { return r.Files - r.Deleted }

// PlanRollback tells what Rollback would do, and changes nothing.
func (c *Committer) PlanRollback(ctx context.Context, r Rollback) (out RolledBack, err error) {
	err = c.inTurn(ctx, func() error {
		if err := c.main.reload(ctx); err != nil {
			return err
		}
		way, err := c.wayBack(ctx, c.main.head, Rollback{SnapshotID: r.SnapshotID, Force: true})
		if err != nil {
			return err
		}
		d := c.main.newDesk(c.main.head.meta, c.opts.NewID(), c.opts.snapshotID())
		w := work{retreat: way}
		if _, err := c.main.exchange(ctx, d, c.main.head, &w); err != nil {
			return err
		}
		out = way.tell(c.main.head, &w.tally)
		return nil
	})
	if err != nil {
		return RolledBack{}, fmt.Errorf("plan rollback of %s: %w", c.main.name(), err)
	}
	return out, nil
}

// Rollback lands a snapshot that holds what an earlier one held, and the position of it, so that what was read
// behind is read again. What the table has taken in since the caller planned it goes too.
func (c *Committer) Rollback(ctx context.Context, r Rollback) (out RolledBack, err error) {
	err = c.inTurn(ctx, func() error {
		t := c.main
		if err := t.reload(ctx); err != nil {
			return err
		}
		if err := c.drain(ctx); err != nil {
			return err
		}
		t.holdings = nil // which files come back is for the next to find out
		in := &rollbackIntent{committer: c, rollback: r, id: c.opts.NewID()}
		if err := t.land(ctx, in); err != nil {
			return err
		}
		out = in.out
		return nil
	})
	if err != nil {
		return RolledBack{}, fmt.Errorf("roll %s back to snapshot %d: %w", c.main.name(), r.SnapshotID, err)
	}
	return out, nil
}

// RolledBack is the sequence number of the newest rollback of the table as it was last seen, or 0. Whoever reads
// for the table goes back to its position when it grows.
func (c *Committer) RolledBack() int64 { return c.current.Load().ledger.Foreign.RolledBack }

// wayBack plans a rollback and refuses one that would leave something wrong.
func (c *Committer) wayBack(ctx context.Context, h *head, r Rollback) (*retreat, error) {
	props := h.meta.Properties()
	switch {
	case h.snapshot == nil || len(h.ledger.Position) == 0:
		return nil, fmt.Errorf("%w: firth has read nothing into it", table.ErrRefused)
	case props[PropertyChangelogOf] != "":
		return nil, fmt.Errorf("%w: it holds the changes of %s: roll that table back, and the changes say so",
			table.ErrRefused, props[PropertyChangelogOf])
	case h.snapshot.SnapshotID == r.SnapshotID:
		return nil, fmt.Errorf("%w: that is the newest snapshot: nothing lies behind it", table.ErrRefused)
	}
	way, err := planRetreat(ctx, c.main.store, h, r.SnapshotID)
	if err != nil {
		return nil, err
	}
	if way.others > 0 && !r.Force {
		return nil, fmt.Errorf("%w: %d of the %d snapshots that go are of other writers, and nobody reads their rows "+
			"again: --force lets them go", table.ErrRefused, way.others, len(way.back))
	}
	for _, tp := range sortedTopicPartitions(way.taken) {
		if n := way.taken[tp].Counts.DeadLetters; n > 0 {
			return nil, fmt.Errorf("%w: %d records of %s that go are dead letters and published in %s, where they "+
				"would be twice once they are read again: go back to a snapshot behind them", table.ErrRefused, n, tp,
				c.deadLetters.name())
		}
		if id, filled := BackfillID(tp); filled {
			return nil, fmt.Errorf("%w: rows of backfill %s go, which no topic has: go back to a snapshot behind its "+
				"promotion", table.ErrRefused, id)
		}
		if of, replays := ReplayedBy(tp); replays {
			return nil, fmt.Errorf("%w: dead letters of %s were replayed behind it, and %s says that they are "+
				"resolved: go back to a snapshot behind that", table.ErrRefused, of, c.deadLetters.name())
		}
	}
	return way, nil
}

// rollbackIntent lands one rollback.
type rollbackIntent struct {
	committer *Committer
	rollback  Rollback
	id        uuid.UUID
	out       RolledBack
}

func (in *rollbackIntent) build(ctx context.Context, h *head) (*swap, error) {
	if find(h.meta, in.id) != nil {
		return nil, nil
	}
	c := in.committer
	way, err := c.wayBack(ctx, h, in.rollback)
	if err != nil {
		return nil, err
	}
	w := work{id: in.id, snapshotID: c.opts.snapshotID(), retreat: way, ledger: way.ledger,
		summary: iceberg.Properties{SummaryRolledBackTo: fmt.Sprint(in.rollback.SnapshotID)}}
	w.ledger.Pending = c.unpublished(h.ledger)
	s, err := c.main.compose(ctx, h, w)
	if err != nil {
		return nil, err
	}
	in.out = way.tell(h, &way.tally)
	in.out.SnapshotID = w.snapshotID
	return s, nil
}

func (in *rollbackIntent) landed(h *head, s *swap) verdict { return verdictOf(h, s, in.id) }

// tell says what goes and what comes back.
func (r *retreat) tell(h *head, t *tally) RolledBack {
	deleted := func(s *icetable.Snapshot) int64 {
		if s.Summary == nil {
			return 0
		}
		return natural(s.Summary.Properties, summaryTotalPositionDelete)
	}
	before := Rows{Files: rowsOf(h.manifests), Deleted: deleted(h.snapshot)}
	return RolledBack{From: h.snapshot.SnapshotID, To: r.target.SnapshotID, At: timeOf(r.target),
		Snapshots: len(r.back), Others: r.others, Ranges: r.taken, Position: r.ledger.Topics(),
		Before: before,
		After: Rows{Files: before.Files + t.records - t.removed.records,
			Deleted: max(0, before.Deleted+t.positions-t.removed.positions)},
		FilesGone: t.removed.files, FilesBack: t.files}
}
