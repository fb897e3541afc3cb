package keyed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	icetable "github.com/apache/iceberg-go/table"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/difference"
	"github.com/firthlake/firth/table/keyindex"
	"github.com/firthlake/firth/table/objstore"
)

// Follow makes the index mirror the newest snapshot of main. It does nothing when it does so already,
// catches up by the difference when it knows the snapshot that the index mirrors, and else rebuilds it.
// After an error it may be called again.
func (k *Keeper) Follow(ctx context.Context, t *table.Table) error {
	if err := k.follow(ctx, t); err != nil {
		return fmt.Errorf("bring key index of %s to its newest snapshot: %w", t, err)
	}
	k.finder.resume()
	return nil
}

func (k *Keeper) follow(ctx context.Context, t *table.Table) error {
	if err := k.belongs(t); err != nil {
		return err
	}
	tag := tagOf(t.Metadata().CurrentSnapshot())
	if k.ready && k.at == tag && k.files != nil {
		k.table = t
		return nil
	}
	if !k.ready {
		return k.rebuild(ctx, t)
	}
	err := k.catchUp(ctx, t)
	if anew := []error{errTooMuch, errEquality, errUnknown, difference.ErrUnknown,
		keyindex.ErrDamaged}; slices.ContainsFunc(anew,
		func(reason error) bool { return errors.Is(err, reason) }) {
		k.log.Info("key index is built anew", "snapshot_id", tag.SnapshotID, "err", err)
		return k.rebuild(ctx, t)
	}
	return err
}

// belongs says whether the index can be the table's.
func (k *Keeper) belongs(t *table.Table) error {
	identifier, err := keyindex.Identifier(t.Metadata().CurrentSchema())
	switch {
	case err != nil:
		return err
	case t.Metadata().TableUUID() != k.uuid:
		return fmt.Errorf("the table was dropped and made again (uuid %s, before %s): open its index anew",
			t.Metadata().TableUUID(), k.uuid)
	case identifier != k.identifier:
		return fmt.Errorf("the identifier was changed (%s, before %s): open the index anew",
			identifier, k.identifier)
	}
	return nil
}

func tagOf(s *icetable.Snapshot) keyindex.Tag {
	if s == nil {
		return keyindex.Tag{}
	}
	return keyindex.Tag{SnapshotID: s.SnapshotID, SequenceNumber: s.SequenceNumber}
}

// plan finds the live files of a snapshot, 0 for the newest; files of snapshots are read with the newest
// schema, for their identifiers are of the same columns.
func (k *Keeper) plan(
	ctx context.Context, t *table.Table, snapshotID int64,
) (map[string]*table.Task, error) {
	scan := table.Scan{SnapshotID: snapshotID}
	if snapshotID == 0 {
		columns, err := keyColumns(t.Metadata().CurrentSchema())
		if err != nil {
			return nil, err
		}
		scan.Columns = columns
	}
	return k.plans.Files(ctx, t, k.store, scan)
}

// rebuild builds the index from the key columns of all live rows. Files are numbered by age, so that of
// doubles the builder keeps the newest.
func (k *Keeper) rebuild(ctx context.Context, t *table.Table) error {
	files, err := k.plan(ctx, t, 0)
	if err != nil {
		return err
	}
	k.table, k.ready, k.at, k.files, k.doubles = t, false, keyindex.Tag{}, nil, nil
	k.missed, k.offered = false, 0
	k.finder.pause()
	tag := tagOf(t.Metadata().CurrentSnapshot())
	if tag == (keyindex.Tag{}) && k.index.Keys() == 0 && k.index.Tag() == (keyindex.Tag{}) {
		k.ready, k.files = true, files
		return nil
	}
	b, err := k.index.Rebuild()
	if err != nil {
		return err
	}
	portions := make([]portion, 0, len(files))
	for _, task := range difference.ByAge(files) {
		portions = append(portions, portion{task: *task, number: k.index.Number(task.File.FilePath())})
	}
	if err := k.readKeys(ctx, portions, b.Add); err != nil {
		b.Abort()
		return err
	}
	// Without a tag, until it is known that no row is doubled.
	count, err := b.Finish(ctx, keyindex.Tag{})
	if err != nil {
		return err
	}
	k.doubles = b.Doubles()
	k.missed = count > int64(len(k.doubles))
	if err := k.apply(ctx, keyindex.Changes{}, tag); err != nil {
		return err
	}
	k.ready, k.files = true, files
	k.log.Info("key index built anew", "snapshot_id", tag.SnapshotID, "keys", k.index.Keys(),
		"files", len(files))
	k.tellDoubles(count)
	return nil
}

// apply makes the index that of a snapshot. It keeps the tag from the disk while there are doubles.
func (k *Keeper) apply(ctx context.Context, c keyindex.Changes, tag keyindex.Tag) error {
	if c.Tag = tag; len(k.doubles) > 0 {
		c.Tag = keyindex.Tag{}
	}
	if err := k.index.Apply(ctx, c); err != nil {
		return err
	}
	k.at = tag
	k.settle(ctx)
	return nil
}

// settle brings the index under its limits. When the disk is full it is only larger than it should be.
func (k *Keeper) settle(ctx context.Context) {
	if err := k.index.Settle(ctx); err != nil {
		k.log.Warn("key index stays above its limits", "err", err)
	}
}

// errUnknown says that the difference to the snapshot that the index mirrors cannot be told.
var errUnknown = errors.New("the snapshot that the key index mirrors is gone")

// before are the live files of the snapshot that the index mirrors, when nobody remembers them.
func (k *Keeper) before(ctx context.Context, t *table.Table) (map[string]*table.Task, error) {
	if t.Metadata().SnapshotByID(k.at.SnapshotID) == nil {
		return nil, errUnknown
	}
	files, err := k.plan(ctx, t, k.at.SnapshotID)
	if errors.Is(err, objstore.ErrNotFound) {
		return nil, fmt.Errorf("%w: %w", errUnknown, err)
	}
	return files, err
}

// locked hands calls on one at a time.
func locked(yield func([]keyindex.Entry) error) func([]keyindex.Entry) error {
	var mu sync.Mutex
	return func(entries []keyindex.Entry) error {
		mu.Lock()
		defer mu.Unlock()
		return yield(entries)
	}
}
