package commit

import (
	"strconv"

	icetable "github.com/apache/iceberg-go/table"
)

// Standing yields, like Ancestry, the snapshots of main from the head back, but for those that a rollback took
// back: their ranges are in the ledger no more. A rollback itself covers no offsets, and the ledger that it
// left is that of its target.
func Standing(meta icetable.Metadata) func(yield func(*icetable.Snapshot) bool) {
	return func(yield func(*icetable.Snapshot) bool) {
		var until int64 // the target of a rollback that was not met yet
		for s := range Ancestry(meta) {
			if until != 0 && s.SnapshotID != until {
				continue
			}
			if until = rolledBackTo(s); !yield(s) {
				return
			}
		}
	}
}

// rolledBackTo is the snapshot to which s rolled main back, 0 when it is no rollback.
func rolledBackTo(s *icetable.Snapshot) int64 {
	if s.Summary == nil || !IsFirth(s) {
		return 0
	}
	id, err := strconv.ParseInt(s.Summary.Properties[SummaryRolledBackTo], 10, 64)
	if err != nil {
		return 0
	}
	return id
}
