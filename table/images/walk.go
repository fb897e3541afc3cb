package images

import (
	"errors"
	"fmt"
	"slices"

	icetable "github.com/apache/iceberg-go/table"

	"github.com/firthlake/firth/table"
)

// ErrGap says that snapshots expired that were not read, or that main was set back behind what was read: what
// changed cannot be told any more.
var ErrGap = errors.New("what changed cannot be told")

// Walk is the snapshots of main that were not read.
type Walk struct {
	// Before is the newest one that was read; nil is the table before its first snapshot.
	Before *icetable.Snapshot
	// Unread follow it, oldest first.
	Unread []*icetable.Snapshot
	// Missing says that snapshots between Before and the first of Unread are gone.
	Missing bool
}

// NewWalk finds what lies behind the sequence number next, which is where a reader goes on. One that has not begun
// begins with the oldest snapshot that is there, as a whole.
func NewWalk(meta icetable.Metadata, next int64, begun bool) (Walk, error) {
	var w Walk
	for s := range table.Ancestry(meta, meta.SnapshotByName(icetable.MainBranch)) {
		if begun && s.SequenceNumber < next {
			w.Before = s
			break
		}
		w.Unread = append(w.Unread, s)
		if s.SequenceNumber == 0 {
			break // of a table that was of format version 1: older ones cannot be told apart
		}
	}
	slices.Reverse(w.Unread)
	switch {
	case !begun || next == 0:
		return w, nil
	case w.Before == nil && len(w.Unread) == 0:
		return w, fmt.Errorf("%w: the table has no snapshot, and it was read up to sequence number %d", ErrGap,
			next-1)
	case w.Before == nil:
		w.Missing = true
	case w.Before.SequenceNumber != next-1:
		return w, fmt.Errorf("%w: main was set back to sequence number %d, and it was read up to %d", ErrGap,
			w.Before.SequenceNumber, next-1)
	}
	return w, nil
}

// MovesRows says whether a snapshot only writes rows again that were there.
func MovesRows(s *icetable.Snapshot) bool {
	return s.Summary != nil && s.Summary.Operation == icetable.OpReplace
}
