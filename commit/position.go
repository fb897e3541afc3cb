package commit

import (
	"context"
	"fmt"
	"maps"

	icetable "github.com/apache/iceberg-go/table"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// PositionAt is where the table stood at a snapshot of main: the position of today without what later snapshots
// committed. The error wraps table.ErrNotFound when the snapshot is not among those of main that are left, or was
// rolled back.
func PositionAt(ctx context.Context, store objstore.Store, meta icetable.Metadata, snapshotID int64,
) (Position, error) {
	ledger, err := ReadLedger(meta)
	if err != nil {
		return nil, err
	}
	position := maps.Clone(ledger.Position)
	oldest := int64(0)
	for s := range Standing(meta) {
		if s.SnapshotID == snapshotID {
			return withoutReplays(position), nil
		}
		oldest = s.SnapshotID
		ranges, err := SnapshotRanges(ctx, store, s)
		if err != nil {
			return nil, err
		}
		for id, r := range ranges {
			if position[id] = r.From; ledger.Folded[id].From == r.From {
				delete(position, id) // the table knew nothing of it before
			}
		}
	}
	return nil, fmt.Errorf("%w: no snapshot %d in the history of main, whose oldest is %d", table.ErrNotFound,
		snapshotID, oldest)
}
