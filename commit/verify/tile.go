package verify

import (
	"cmp"
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
	steps  []step
	// cut says that others expired snapshots that were not folded: the oldest step's parent is
	// gone, and is not in the totals.
	cut bool
}

// tiled is what the ranges of one topic partition add up to.
type tiled struct {
	commit.Range
	ranges  int
	missing int64 // offsets whose ranges others expired
}

// tile lays the folded ranges and those of the snapshots one behind the other and reports what does not
// fit, up to the position. It is pure.
func tile(h history, report func(Fault)) map[commit.TopicPartition]*tiled {
	laid := map[commit.TopicPartition]*tiled{}
	for _, tp := range sorted(h.ledger.Folded) {
		laid[tp] = layFolded(tp, h.ledger.Folded[tp], report)
	}
	for _, s := range h.steps {
		for _, tp := range sorted(s.ranges) {
			lay(laid, tp, s, h.cut, report)
		}
	}
	for _, tp := range sorted(h.ledger.Position) {
		holdAgainstPosition(laid[tp], tp, h, report)
	}
	for _, tp := range sorted(laid) {
		if _, ok := h.ledger.Position[tp]; !ok {
			f := at(tp, FaultLedger, laid[tp].From, laid[tp].Next)
			f.Text = "ranges of a topic partition that the position does not know"
			report(f)
		}
	}
	return laid
}

func layFolded(tp commit.TopicPartition, folded commit.Folded, report func(Fault)) *tiled {
	if have, want := folded.Counts.Sum()+folded.Missing, int64(folded.Next-folded.From); have != want {
		f := at(tp, FaultCounts, folded.From, folded.Next)
		f.Text = fmt.Sprintf("folded counts add up to %d, want %d", have, want)
		report(f)
	}
	if folded.Missing > 0 {
		f := at(tp, FaultExpired, folded.From, folded.Next)
		f.Text = fmt.Sprintf("the counts of %d of these offsets are gone with snapshots that others expired",
			folded.Missing)
		report(f)
	}
	return &tiled{Range: folded.Range, missing: folded.Missing}
}

// lay puts one range behind what is there.
func lay(laid map[commit.TopicPartition]*tiled, tp commit.TopicPartition, s step, cut bool, report func(Fault)) {
	r := s.ranges[tp]
	if err := r.Validate(); err != nil {
		f := at(tp, FaultCounts, r.From, r.Next)
		f.SnapshotID, f.Text = s.snapshotID, err.Error()
		report(f)
	}
	t := laid[tp]
	if t == nil {
		laid[tp] = &tiled{Range: r, ranges: 1}
		if cut && r.From > 0 {
			f := at(tp, FaultExpired, 0, r.From)
			f.SnapshotID = s.snapshotID
			f.Text = "if they were committed, their counts are gone with snapshots that others expired"
			report(f)
		}
		return
	}
	switch {
	case r.From > t.Next && t.ranges == 0 && cut:
		f := at(tp, FaultExpired, t.Next, r.From)
		f.SnapshotID, f.Text = s.snapshotID, "their counts are gone with snapshots that others expired"
		t.missing += int64(r.From - t.Next)
		report(f)
	case r.From > t.Next:
		f := at(tp, FaultGap, t.Next, r.From)
		f.SnapshotID, f.Text = s.snapshotID, "offsets that no commit covers"
		report(f)
	case r.From < t.Next:
		f := at(tp, FaultOverlap, r.From, max(r.From, min(t.Next, r.Next)))
		f.SnapshotID, f.Text = s.snapshotID, "offsets that two commits cover"
		report(f)
	}
	t.Range = commit.Range{
		From: min(t.From, r.From), Next: max(t.Next, r.Next),
		Counts: t.Counts.Add(r.Counts), Checksum: t.Checksum + r.Checksum,
	}
	t.ranges++
}

// holdAgainstPosition looks that the ranges end where the position stands.
func holdAgainstPosition(t *tiled, tp commit.TopicPartition, h history, report func(Fault)) {
	next := h.ledger.Position[tp]
	var f Fault
	switch {
	case t == nil && h.cut:
		f = at(tp, FaultExpired, 0, next)
		f.Text = "their counts are gone with snapshots that others expired"
	case t == nil:
		f = at(tp, FaultGap, 0, next)
		f.Text = "the position says that they are covered, but no range is there"
	case t.Next < next:
		f = at(tp, FaultGap, t.Next, next)
		f.Text = "the position is ahead of the ranges"
	case t.Next > next:
		f = at(tp, FaultOverlap, next, t.Next)
		f.Text = "the position is behind the ranges: these offsets would be read again"
	}
	if f.Next > f.From {
		report(f)
	}
}

// sorted returns the topic partitions in the order of the report.
func sorted[V any](m map[commit.TopicPartition]V) []commit.TopicPartition {
	return slices.SortedFunc(maps.Keys(m), func(a, b commit.TopicPartition) int {
		return cmp.Or(cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Topic, b.Topic),
			cmp.Compare(a.TopicID.String(), b.TopicID.String()), cmp.Compare(a.Partition, b.Partition))
	})
}
