package stream

import (
	"context"
	"slices"

	icetable "github.com/apache/iceberg-go/table"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/images"
	"github.com/firthlake/firth/table/objstore"
)

// liveMax is how many snapshots' files are known of a table: streams that keep up need two, and those behind two more.
const liveMax = 4

// liveFiles are the live files of snapshots of a keyed table that its streams asked for last. They are not changed.
type liveFiles struct {
	turn  chan struct{}   // has room for the one who plans
	plans table.PlanCache // his
	known []liveSnapshot  // his, the last one asked for last
}

type liveSnapshot struct {
	id    int64
	files map[string]*table.Task
}

func newLiveFiles() *liveFiles { return &liveFiles{turn: make(chan struct{}, 1)} }

// of finds the live files of a snapshot; none of nil.
func (l *liveFiles) of(ctx context.Context, t *table.Table, store objstore.Store, s *icetable.Snapshot,
) (map[string]*table.Task, error) {
	if s == nil {
		return nil, nil
	}
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	for i, known := range l.known {
		if known.id == s.SnapshotID {
			l.known = append(slices.Delete(l.known, i, i+1), known)
			return known.files, nil
		}
	}
	files, err := images.Live(ctx, &l.plans, t, store, s)
	if err != nil {
		return nil, err
	}
	if len(l.known) == liveMax {
		l.known = slices.Delete(l.known, 0, 1)
	}
	l.known = append(l.known, liveSnapshot{s.SnapshotID, files})
	return files, nil
}
