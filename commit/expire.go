package commit

import (
	"context"
	"maps"
	"slices"
	"time"

	icetable "github.com/apache/iceberg-go/table"

	"github.com/firthlake/firth/table/objstore"
)

// expireMax bounds how many snapshots leave in one commit; what is left over follows in the next.
const expireMax = 64

// retention says which snapshots stay.
type retention struct {
	keep   int
	ageMin time.Duration
	now    time.Time
}

// expired is a snapshot that leaves, and the statistics files that leave with it.
type expired struct {
	*icetable.Snapshot
	statistics []string
}

// planExpiry returns the oldest snapshots of main that are to be folded, oldest first. Those that a
// branch or tag holds are folded and stay.
func planExpiry(meta icetable.Metadata, r retention) []*icetable.Snapshot {
	if meta.Properties()["gc.enabled"] == "false" {
		return nil
	}
	chain := slices.Collect(Ancestry(meta))
	surplus := len(chain) + 1 - r.keep // the snapshot to come counts too
	if surplus < max(1, r.keep/snapshotsSlack) {
		return nil
	}
	var fold []*icetable.Snapshot
	for _, s := range slices.Backward(chain) {
		if surplus == 0 || len(fold) == expireMax || r.now.Sub(timeOf(s)) < r.ageMin {
			break
		}
		fold = append(fold, s)
		surplus--
	}
	if len(fold) == len(chain) {
		fold = fold[:len(fold)-1] // the parent stays: outcomes are read back down to it
	}
	return fold
}

// timeOf is when the snapshot was made.
func timeOf(s *icetable.Snapshot) time.Time { return time.UnixMilli(s.TimestampMs) }

// leaving returns those of fold that no branch or tag holds, with their statistics files.
func leaving(meta icetable.Metadata, fold []*icetable.Snapshot) []expired {
	held := map[int64]bool{}
	for _, ref := range meta.Refs() {
		held[ref.SnapshotID] = true
	}
	statistics := map[int64][]string{}
	for s := range meta.Statistics() {
		statistics[s.SnapshotID] = append(statistics[s.SnapshotID], s.StatisticsPath)
	}
	for s := range meta.PartitionStatistics() {
		statistics[s.SnapshotID] = append(statistics[s.SnapshotID], s.StatisticsPath)
	}
	var out []expired
	for _, s := range fold {
		if !held[s.SnapshotID] {
			out = append(out, expired{Snapshot: s, statistics: statistics[s.SnapshotID]})
		}
	}
	return out
}

// foldInto returns the ledger with what the snapshots of fold hold moved into its totals.
func foldInto(ctx context.Context, store objstore.Store, ledger Ledger, fold []*icetable.Snapshot) (Ledger, error) {
	totals := maps.Clone(ledger.Folded)
	for _, s := range fold {
		if s.SequenceNumber <= ledger.Foreign.Through {
			continue
		}
		ranges, err := SnapshotRanges(ctx, store, s)
		if err != nil {
			return Ledger{}, err
		}
		if err := foldRanges(totals, ranges); err != nil {
			return Ledger{}, err
		}
		if !IsFirth(s) {
			ledger.Foreign = ledger.Foreign.Add(ForeignOf(s))
		}
		ledger.Foreign.Through = s.SequenceNumber
	}
	ledger.Folded = totals
	return ledger, nil
}

func foldRanges(totals map[TopicPartition]Folded, ranges map[TopicPartition]Range) (err error) {
	for tp, r := range ranges {
		f, ok := totals[tp]
		if !ok {
			f = Folded{Range: Range{From: r.From, Next: r.From}}
		}
		if totals[tp], err = f.fold(r); err != nil {
			return err
		}
	}
	return nil
}

// expire prepares the expiry that goes with the next commit. What stands in its way is logged and
// tried again with a later commit; it never stops one.
func (t *trunk) expire(ctx context.Context, h *head, ledger Ledger) ([]expired, Ledger) {
	fold := planExpiry(h.meta, t.retention(h))
	if len(fold) == 0 {
		return nil, ledger
	}
	after, err := foldInto(ctx, t.store, ledger, fold)
	if err != nil {
		t.log.Error("snapshots cannot expire: their ranges cannot be read; run verify",
			"snapshots", len(fold), "err", err)
		return nil, ledger
	}
	return leaving(h.meta, fold), after
}

// retention tells ages by the newest snapshot when the clock jumped back behind it.
func (t *trunk) retention(h *head) retention {
	r := retention{keep: max(2, t.opts.SnapshotsKeep), ageMin: t.opts.SnapshotAgeMin, now: t.opts.Now()}
	if h.snapshot != nil && timeOf(h.snapshot).After(r.now) {
		r.now = timeOf(h.snapshot)
	}
	return r
}
