package verify

import (
	"fmt"
	"maps"
	"slices"

	"github.com/firthlake/firth/commit"
)

// step is the ranges of one snapshot, oldest first.
type step struct {
	snapshotID int64
	ranges     map[commit.TopicPartition]commit.Range
}

// tiled is what the ranges of one topic partition add up to.
type tiled struct {
	commit.Range
	ranges  int
	missing int64 // offsets whose ranges others expired
}

// tile lays the folded ranges and those of the snapshots one behind the other and reports what does not
// fit, up to the position. It is pure.
func tile(ledger commit.Ledger, steps []step, report func(Fault)) map[commit.TopicPartition]*tiled {
	laid := map[commit.TopicPartition]*tiled{}
	for tp, folded := range ledger.Folded {
		laid[tp] = &tiled{Range: folded.Range, missing: folded.Missing}
		if have, want := folded.Counts.Sum()+folded.Missing, int64(folded.Next-folded.From); have != want {
			f := at(tp, FaultCounts, folded.From, folded.Next)
			f.Text = fmt.Sprintf("folded counts add up to %d, want %d", have, want)
			report(f)
		}
	}
	for _, s := range steps {
		for _, tp := range sorted(s.ranges) {
			lay(laid, tp, s, report)
		}
	}
	for tp, next := range ledger.Position {
		t := laid[tp]
		switch {
		case t == nil && next != 0:
			f := at(tp, FaultGap, 0, next)
			f.Text = "the position says it is covered, but no range is there"
			report(f)
		case t != nil && t.Next < next:
			f := at(tp, FaultGap, t.Next, next)
			f.Text = "the position is ahead of the ranges"
			report(f)
		case t != nil && t.Next > next:
			f := at(tp, FaultOverlap, next, t.Next)
			f.Text = "the position is behind the ranges: these offsets would be read again"
			report(f)
		}
	}
	for tp, t := range laid {
		if _, ok := ledger.Position[tp]; !ok {
			f := at(tp, FaultLedger, t.From, t.Next)
			f.Text = "ranges of a topic partition that the position does not know"
			report(f)
		}
	}
	return laid
}

// lay puts one range behind what is there.
func lay(laid map[commit.TopicPartition]*tiled, tp commit.TopicPartition, s step, report func(Fault)) {
	r := s.ranges[tp]
	if err := r.Validate(); err != nil {
		f := at(tp, FaultCounts, r.From, r.Next)
		f.SnapshotID, f.Text = s.snapshotID, err.Error()
		report(f)
	}
	t := laid[tp]
	if t == nil {
		laid[tp] = &tiled{Range: r, ranges: 1}
		return
	}
	switch {
	case r.From > t.Next:
		f := at(tp, FaultGap, t.Next, r.From)
		f.SnapshotID, f.Text = s.snapshotID, "offsets that no commit covers"
		report(f)
	case r.From < t.Next:
		f := at(tp, FaultOverlap, r.From, min(t.Next, r.Next))
		f.SnapshotID, f.Text = s.snapshotID, "offsets that two commits cover"
		report(f)
	}
	t.Range = commit.Range{
		From: t.From, Next: max(t.Next, r.Next),
		Counts: t.Counts.Add(r.Counts), Checksum: t.Checksum + r.Checksum,
	}
	t.ranges++
}

func sorted[V any](m map[commit.TopicPartition]V) []commit.TopicPartition {
	return slices.SortedFunc(maps.Keys(m), func(a, b commit.TopicPartition) int {
		switch {
		case a.Topic != b.Topic && a.Topic < b.Topic:
			return -1
		case a.Topic != b.Topic:
			return 1
		}
		return int(a.Partition) - int(b.Partition)
	})
}
