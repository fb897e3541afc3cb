package verify

import (
	"fmt"
	"maps"
	"slices"

	"github.com/firthlake/firth/commit"
)

// step is the ranges of one snapshot.
type step struct {
	snapshotID int64
	schemaID   int
	ranges     map[commit.TopicPartition]commit.Range
}

// history is what the ledger says, oldest step first.
type history struct {
	ledger commit.Ledger
	// steps are the snapshots of main from the head back to the oldest whose ranges can be read.
	steps []step
	// whole says that nothing was committed before the oldest step.
	whole bool
}

// unfolded is the folded totals taken apart again.
type unfolded struct {
	// totals is all that was committed of each topic partition, ranges in how many retained snapshots.
	totals map[commit.TopicPartition]commit.Range
	ranges map[commit.TopicPartition]int
	// expired is what is left of the totals when the ranges of retained snapshots are taken out.
	expired map[commit.TopicPartition]commit.Range
}

// unfold takes the ranges of snapshots out of the folded totals, newest first, and reports where one does
// not end where the next begins, and what is left where nothing can be. It is pure.
func unfold(h history, report func(Fault)) unfolded {
	u := unfolded{totals: map[commit.TopicPartition]commit.Range{}, ranges: map[commit.TopicPartition]int{}}
	maps.Copy(u.totals, h.ledger.Folded)
	u.rebuild(h.steps, report)
	u.expired = maps.Clone(u.totals)
	above := map[commit.TopicPartition]int64{} // the snapshot whose range was taken out last
	torn := map[commit.TopicPartition]bool{}
	for _, s := range slices.Backward(h.steps) {
		for _, tp := range sorted(s.ranges) {
			r := s.ranges[tp]
			if err := r.Validate(); err != nil {
				torn[tp] = true
				f := at(tp, FaultCounts, r.From, r.Next)
				f.SnapshotID, f.Text = s.snapshotID, err.Error()
				report(f)
			}
			if f := seam(tp, r, u.expired[tp].Next); f.Next > f.From {
				torn[tp] = true
				f.SnapshotID = above[tp]
				if f.SnapshotID == 0 {
					f.SnapshotID, f.Text = s.snapshotID, "the folded totals end elsewhere than the newest range of main"
				}
				report(f)
			}
			u.expired[tp] = u.expired[tp].Without(r)
			u.ranges[tp]++
			above[tp] = s.snapshotID
		}
	}
	for _, tp := range sorted(u.expired) {
		if !torn[tp] {
			u.holdLeft(tp, h.whole, report)
		}
	}
	for _, tp := range sorted(h.ledger.Position) {
		u.holdAgainstPosition(tp, h.ledger.Position[tp], report)
	}
	for _, tp := range sorted(u.totals) {
		if _, known := h.ledger.Position[tp]; !known {
			f := at(tp, FaultLedger, u.totals[tp].From, u.totals[tp].Next)
			f.Text = "ranges of a topic partition that the position does not know"
			report(f)
		}
	}
	return u
}

// rebuild joins the ranges of topic partitions that the totals do not know, so that they are looked at too.
func (u *unfolded) rebuild(steps []step, report func(Fault)) {
	lost := map[commit.TopicPartition]commit.Range{}
	for _, s := range steps {
		for tp, r := range s.ranges {
			if _, known := u.totals[tp]; known {
				continue
			}
			sum, more := lost[tp]
			if !more {
				sum.From = r.From
			}
			lost[tp] = commit.Range{From: min(sum.From, r.From), Next: max(sum.Next, r.Next),
				Counts: sum.Counts.Add(r.Counts), Checksum: sum.Checksum + r.Checksum}
		}
	}
	for _, tp := range sorted(lost) {
		f := at(tp, FaultLedger, lost[tp].From, lost[tp].Next)
		f.Text = "ranges of a topic partition that the folded totals do not know"
		report(f)
		u.totals[tp] = lost[tp]
	}
}

// seam is the gap or overlap between a range and the next one, which begins at next; for the newest range
// next is where the totals end. It is empty when they touch.
func seam(tp commit.TopicPartition, r commit.Range, next commit.Offset) Fault {
	if r.Next < next {
		f := at(tp, FaultGap, r.Next, next)
		f.Text = "offsets that no commit covers"
		return f
	}
	f := at(tp, FaultOverlap, max(r.From, next), r.Next)
	f.Text = "offsets that two commits cover"
	return f
}

// holdLeft looks that what is left of the totals can be what expired snapshots held.
func (u *unfolded) holdLeft(tp commit.TopicPartition, whole bool, report func(Fault)) {
	left := u.expired[tp]
	f := at(tp, FaultCounts, left.From, left.Next)
	switch err := left.Validate(); {
	case err != nil:
		f.Text = "the snapshots count other than the folded totals, of which is left: " + err.Error()
	case left.Next > left.From && whole:
		f.Kind = FaultGap
		f.Text = "the folded totals cover them, but no snapshot does and none has expired"
	case left.Next == left.From && left.Checksum != 0:
		total := u.totals[tp]
		f.From, f.Next = total.From, total.Next
		f.Text = fmt.Sprintf("the checksums of the snapshots add up to %x, the folded one is %x",
			total.Checksum-left.Checksum, total.Checksum)
	default:
		return
	}
	report(f)
}

// holdAgainstPosition looks that the totals end where the position stands.
func (u *unfolded) holdAgainstPosition(tp commit.TopicPartition, next commit.Offset, report func(Fault)) {
	total, known := u.totals[tp]
	var f Fault
	switch {
	case !known:
		f = at(tp, FaultGap, 0, next)
		f.Text = "the position says that they are covered, but no range is there"
	case total.Next < next:
		f = at(tp, FaultGap, total.Next, next)
		f.Text = "the position is ahead of the ranges"
	case total.Next > next:
		f = at(tp, FaultOverlap, next, total.Next)
		f.Text = "the position is behind the ranges: these offsets would be read again"
	}
	if f.Next > f.From {
		report(f)
	}
}

// sorted returns the topic partitions in the order of the report.
func sorted[V any](m map[commit.TopicPartition]V) []commit.TopicPartition {
	return slices.SortedFunc(maps.Keys(m), commit.TopicPartition.Compare)
}
