package table

import icetable "github.com/apache/iceberg-go/table"

// Ancestry yields a snapshot and its ancestors, newest first, as far as they are still there; none of nil.
func Ancestry(meta icetable.Metadata, s *icetable.Snapshot) func(yield func(*icetable.Snapshot) bool) {
	return func(yield func(*icetable.Snapshot) bool) {
		passed := map[int64]bool{} // so that a circle ends
		for s := s; s != nil && !passed[s.SnapshotID]; {
			if !yield(s) || s.ParentSnapshotID == nil {
				return
			}
			passed[s.SnapshotID] = true
			s = meta.SnapshotByID(*s.ParentSnapshotID)
		}
	}
}
