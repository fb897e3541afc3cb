package changelog

import (
	"errors"
	"fmt"
	"slices"

	icetable "github.com/apache/iceberg-go/table"

	"github.com/firthlake/firth/commit"
)

// ErrGap says that snapshots expired that the changelog had not read, or that main was set back behind what it
// has read: what changed cannot be told any more.
var ErrGap = errors.New("the changelog cannot go on")

// walk are the snapshots of main that a changelog has not read.
type walk struct {
	// before is the newest one that it has read; nil is the table before its first snapshot.
	before *icetable.Snapshot
	// unread follow it, oldest first.
	unread []*icetable.Snapshot
	// missing says that snapshots between before and the first of unread are gone.
	missing bool
}

// newWalk finds what lies behind the sequence number next, which is where the changelog goes on. One that
// has read nothing begins with the oldest snapshot that is there, as a whole.
func newWalk(meta icetable.Metadata, next commit.Offset, begun bool) (walk, error) {
	var w walk
	for s := range commit.Ancestry(meta) {
		if begun && s.SequenceNumber < int64(next) {
			w.before = s
			break
		}
		w.unread = append(w.unread, s)
		if s.SequenceNumber == 0 {
			break // of a table that was of format version 1: older ones cannot be told apart
		}
	}
	slices.Reverse(w.unread)
	switch {
	case !begun || next == 0:
		return w, nil
	case w.before == nil && len(w.unread) == 0:
		return w, fmt.Errorf("%w: the table has no snapshot, and the changelog has read up to sequence number %d",
			ErrGap, next-1)
	case w.before == nil:
		w.missing = true
	case w.before.SequenceNumber != int64(next)-1:
		return w, fmt.Errorf("%w: main was set back to sequence number %d, and the changelog has read up to %d",
			ErrGap, w.before.SequenceNumber, next-1)
	}
	return w, nil
}

// movesRows says whether a snapshot only writes rows again that were there.
func movesRows(s *icetable.Snapshot) bool {
	return s.Summary != nil && s.Summary.Operation == icetable.OpReplace
}
