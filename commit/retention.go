package commit

import (
	"slices"
	"time"

	icetable "github.com/apache/iceberg-go/table"

	"github.com/firthlake/firth/table"
)

// expireMax bounds how many snapshots leave in one commit; what is left over follows in the next.
const expireMax = 64

// retention says which snapshots stay.
type retention struct {
	keep   int
	ageMin time.Duration
	now    time.Time
	// unread is the sequence number from which on snapshots stay, since the changelog of the table has not read
	// them; 0 holds none.
	unread int64
}

// expired is a snapshot that leaves, and the statistics files that leave with it.
type expired struct {
	*icetable.Snapshot
	statistics []string
}

// planExpiry returns the oldest snapshots of main that are to leave with the next commit, oldest first. Those
// that a branch or tag holds stay, and so does the head: outcomes are read back down to it.
func planExpiry(meta icetable.Metadata, r retention) []expired {
	if meta.Properties()[propertyCollect] == "false" {
		return nil
	}
	chain := slices.Collect(Ancestry(meta))
	surplus := len(chain) + 1 - r.keep // the snapshot to come counts too
	if surplus < max(1, r.keep/snapshotsSlack) {
		return nil
	}
	held := heldBy(meta, r.now)
	statistics := statisticsOf(meta)
	var out []expired
	for _, s := range slices.Backward(chain[max(1, len(chain)-min(surplus, expireMax)):]) {
		if r.now.Sub(timeOf(s)) < r.ageMin || isUnread(s, r.unread) {
			break
		}
		if !held[s.SnapshotID] {
			out = append(out, expired{Snapshot: s, statistics: statistics[s.SnapshotID]})
		}
	}
	return out
}

// heldBy are the snapshots that branches and tags point to, and what a branch keeps by a retention of its own.
func heldBy(meta icetable.Metadata, now time.Time) map[int64]bool {
	held := map[int64]bool{}
	for _, ref := range meta.Refs() {
		held[ref.SnapshotID] = true
		if ref.MinSnapshotsToKeep == nil && ref.MaxSnapshotAgeMs == nil {
			continue
		}
		i := 0
		for s := range table.Ancestry(meta, meta.SnapshotByID(ref.SnapshotID)) {
			if !keptBy(ref, i, now.Sub(timeOf(s))) {
				break
			}
			held[s.SnapshotID] = true
			i++
		}
	}
	return held
}

// statisticsOf are the statistics files of each snapshot.
func statisticsOf(meta icetable.Metadata) map[int64][]string {
	out := map[int64][]string{}
	for s := range meta.Statistics() {
		out[s.SnapshotID] = append(out[s.SnapshotID], s.StatisticsPath)
	}
	for s := range meta.PartitionStatistics() {
		out[s.SnapshotID] = append(out[s.SnapshotID], s.StatisticsPath)
	}
	return out
}

// timeOf is when the snapshot was made.
func timeOf(s *icetable.Snapshot) time.Time { return time.UnixMilli(s.TimestampMs) }

// retention tells ages by the newest snapshot when the clock jumped back behind it.
func (t *trunk) retention(h *head) retention {
	r := retention{keep: max(2, t.opts.SnapshotsKeep), ageMin: t.opts.SnapshotAgeMin, now: t.opts.Now(),
		unread: t.unread}
	if r.unread == 0 && h.meta.Properties()[PropertyChangelog] != "" {
		r.unread = unreadAll // nobody has looked yet
	}
	if h.snapshot != nil && timeOf(h.snapshot).After(r.now) {
		r.now = timeOf(h.snapshot)
	}
	return r
}
