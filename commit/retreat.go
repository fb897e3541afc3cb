package commit

import (
	"context"
	"fmt"
	"maps"

	icetable "github.com/apache/iceberg-go/table"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// retreat is the way back from a head to an earlier snapshot of main.
type retreat struct {
	target *icetable.Snapshot
	// back are the standing snapshots that go, newest first; others are those of them that firth did not make.
	back   []*icetable.Snapshot
	others int
	// ledger is that of the target, taken covers what goes of each topic partition.
	ledger Ledger
	taken  map[TopicPartition]Range
	// tally is what files leave and come back, once it was composed.
	tally tally
}

// planRetreat finds the way from h to a snapshot. Every snapshot between must be there, since what it brought is
// taken out of the totals.
func planRetreat(ctx context.Context, store objstore.Store, h *head, target int64) (*retreat, error) {
	r := &retreat{ledger: h.ledger}
	for s := range Standing(h.meta) {
		if s.SnapshotID == target {
			r.target = s
			break
		}
		r.back = append(r.back, s)
	}
	if r.target == nil {
		return nil, notStanding(h.meta, target)
	}
	r.ledger.Folded = maps.Clone(h.ledger.Folded)
	r.ledger.Foreign = h.ledger.Foreign.Since(h.meta, rowsOf(h.manifests))
	for _, s := range r.back {
		if err := r.takeBack(ctx, store, s); err != nil {
			return nil, err
		}
	}
	r.ledger.Position = Position{}
	r.taken = map[TopicPartition]Range{}
	for tp, left := range r.ledger.Folded {
		r.ledger.Position[tp] = left.Next
		if now := h.ledger.Folded[tp]; now.Next > left.Next {
			r.taken[tp] = Range{From: left.Next, Next: now.Next, Counts: now.Counts.Sub(left.Counts),
				Checksum: now.Checksum - left.Checksum}
		}
	}
	return r, nil
}

// takeBack takes what one snapshot brought out of the ledger.
func (r *retreat) takeBack(ctx context.Context, store objstore.Store, s *icetable.Snapshot) error {
	foreign := &r.ledger.Foreign
	if !IsFirth(s) {
		r.others++
		*foreign = foreign.without(ForeignOf(s))
		return nil
	}
	ranges, err := SnapshotRanges(ctx, store, s)
	if err != nil {
		return err
	}
	for tp, last := range ranges {
		before := r.ledger.Folded[tp].Without(last)
		if r.ledger.Folded[tp].Next != last.Next || before.Validate() != nil {
			return damaged("snapshot %d covers %s up to %d, which the totals do not hold: see `firth verify`",
				s.SnapshotID, tp, last.Next)
		}
		r.ledger.Folded[tp] = before
	}
	if rolledBackTo(s) == 0 {
		props := s.Summary.Properties
		if natural(props, summaryDeletedDataFiles) > 0 {
			foreign.Compacted -= natural(props, summaryDeletedRecords) - natural(props, summaryAddedRecords)
		}
		foreign.Expired -= natural(props, SummaryExpiredRows)
	}
	return nil
}

// notStanding says why a snapshot is none to go back to.
func notStanding(meta icetable.Metadata, target int64) error {
	var oldest int64
	for s := range Ancestry(meta) {
		if oldest = s.SnapshotID; oldest == target {
			return fmt.Errorf("%w: snapshot %d was itself rolled back, so its rows are not of the table any more: "+
				"go back to one that `firth describe` does not mark as rolled back", table.ErrRefused, target)
		}
	}
	if meta.SnapshotByID(target) != nil {
		return fmt.Errorf("%w: snapshot %d is not in the history of main: it is of another branch, or main was set "+
			"back by others: choose one that `firth describe` lists", table.ErrRefused, target)
	}
	return fmt.Errorf("%w: no snapshot %d: it has expired or never was; the oldest that is left of main is %d",
		table.ErrNotFound, target, oldest)
}

// hold compares the rows of files with those that the ledger counts, before and after: what is wrong already
// stays as wrong, but a rollback adds nothing to it.
func (r *retreat) hold(h *head, rowsNow, rowsThen int64) error {
	foreign := h.ledger.Foreign.Since(h.meta, rowsNow)
	now := rowsNow - counted(h.ledger.Folded, foreign)
	then := rowsThen - counted(r.ledger.Folded, r.ledger.Foreign)
	if now != then {
		return damaged("files of snapshot %d hold %d rows more than the ledger at it would count, those of the head "+
			"%d: the way back cannot be told exactly; see `firth verify`", r.target.SnapshotID, then, now)
	}
	return nil
}

// counted is how many rows files hold by the ledger.
func counted(folded map[TopicPartition]Range, foreign Foreign) int64 {
	rows := foreign.AddedRecords - foreign.RemovedRecords - foreign.Compacted
	for _, r := range folded {
		rows += r.Counts.Inserted + r.Counts.Updated
	}
	return rows
}
