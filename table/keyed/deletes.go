package keyed

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/apache/iceberg-go"
	"github.com/google/uuid"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/keyindex"
	"github.com/firthlake/firth/table/vector"
)

// Deletes writes the delete files that take rows at old places out, and those of doubles: what
// commit.Change.Deletes wants, with Snapshot as its base. In format version 3 they are vectors, merged with
// what was deleted before, and in version 2 position deletes of one data file each. Places come in any
// order; one that comes twice counts once. It is called once a change.
func (k *Keeper) Deletes(
	ctx context.Context, changeID uuid.UUID, old []keyindex.Place,
) ([]iceberg.DataFile, error) {
	if !k.ready || k.files == nil {
		return nil, fmt.Errorf("delete rows of %s: %w", k.table, ErrNotFollowed)
	}
	positions := map[uint32][]int64{}
	for _, place := range old {
		positions[place.File] = append(positions[place.File], int64(place.Row))
	}
	for _, e := range k.doubles {
		positions[e.Place.File] = append(positions[e.Place.File], int64(e.Place.Row))
	}
	targets := make([]vector.Target, 0, len(positions))
	for _, number := range slices.Sorted(maps.Keys(positions)) {
		rows := positions[number]
		slices.Sort(rows)
		path := k.index.Path(number)
		task := k.files[path]
		if task == nil {
			return nil, fmt.Errorf("BUG: delete rows of %s: snapshot %d has no file %d %q",
				k.table, k.at.SnapshotID, number, path)
		}
		targets = append(targets,
			vector.Target{File: task.File, Positions: slices.Compact(rows), Before: task.Deletes})
	}
	files, err := vector.Write(ctx, k.store, vector.Options{Metadata: k.table.Metadata(),
		ChangeID: changeID, Read: table.ReadDeletes, AtOnce: k.opts.Reads}, targets)
	if err != nil {
		return nil, fmt.Errorf("delete rows of %s: %w", k.table, err)
	}
	k.offered, k.offeredBy = len(k.doubles), changeID
	return files, nil
}
