package keyed

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/keyindex"
)

// Landing is what a commit did, by those who made it.
type Landing struct {
	// SnapshotID is the commit's, and ChangeID that of its change.
	SnapshotID int64
	ChangeID   uuid.UUID
	// Entries are where rows of keys are now; the last of a key counts.
	Entries []keyindex.Entry
	// Deleted are keys that have no row any more.
	Deleted []keyindex.Key
}

// Landed moves the index by a commit that is known to have landed, with what the last Deletes wrote. When
// others committed between Snapshot and it, or the commit is gone already, nothing is taken in, and the next
// Follow finds in the files what happened. After an error the index is as it was.
func (k *Keeper) Landed(ctx context.Context, t *table.Table, l Landing) error {
	s := t.Metadata().SnapshotByID(l.SnapshotID)
	if !k.ready || s == nil {
		return nil
	}
	parent := int64(0)
	if s.ParentSnapshotID != nil {
		parent = *s.ParentSnapshotID
	}
	if parent != k.at.SnapshotID {
		return nil
	}
	entries := make([]keyindex.Entry, 0, len(l.Deleted)+len(l.Entries))
	for _, key := range l.Deleted {
		entries = append(entries, keyindex.Entry{Key: key})
	}
	doubles, offered := k.doubles, k.offered
	if k.offeredBy != l.ChangeID {
		offered = 0
	}
	k.doubles, k.offered = slices.Clone(doubles[offered:]), 0
	if err := k.apply(ctx, keyindex.Changes{Entries: append(entries, l.Entries...)}, tagOf(s)); err != nil {
		k.doubles, k.offered = doubles, offered
		return fmt.Errorf("move key index of %s to snapshot %d: %w", t, l.SnapshotID, err)
	}
	k.files = nil
	if k.missed && len(k.doubles) == 0 {
		k.ready = false // a rebuild finds those that were too many to keep
	}
	return nil
}
