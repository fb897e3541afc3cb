package commit

import (
	"context"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"

	"github.com/firthlake/firth/table/objstore"
)

// lineage knows which manifests each snapshot lists, so that the objects that only expired snapshots
// need are found without reading. It is filled when the first snapshots expire.
type lineage struct {
	lists map[int64][]iceberg.ManifestFile
	// dropped are the files that no snapshot of main from the given one on holds. It knows the snapshots
	// that this process made.
	dropped map[int64][]string
	// gone are snapshots that left by a swap known to be committed, their objects not yet removed.
	gone []expired
	// leftovers are locations whose removal did not work.
	leftovers []string
}

func (l *lineage) know(snapshotID int64, manifests []iceberg.ManifestFile) {
	if l.lists == nil {
		l.lists = map[int64][]iceberg.ManifestFile{}
	}
	l.lists[snapshotID] = manifests
}

func (l *lineage) drop(snapshotID int64, locations []string) {
	if l.dropped == nil {
		l.dropped = map[int64][]string{}
	}
	l.dropped[snapshotID] = locations
}

func (l *lineage) expire(gone []expired) { l.gone = append(l.gone, gone...) }

// sweep removes the objects that only expired snapshots needed, and tells which, and how many of them stay for
// now. The caller knows that the expiry is committed. An error costs space, never rows, so it is logged and the
// rest tried again later.
func (t *trunk) sweep(ctx context.Context) (out removal, left int) {
	l := &t.lineage
	if t.stale || len(l.gone)+len(l.leftovers) == 0 {
		return removal{}, 0
	}
	doomed := l.leftovers
	if len(l.gone) > 0 {
		var err error
		if out, err = t.unneeded(ctx, l.gone, t.head.meta.Snapshots()); err != nil {
			t.log.Warn("objects of expired snapshots stay behind for now", "snapshots", len(l.gone), "err", err)
			l.gone = bounded(t.log, l.gone, "snapshots")
			return removal{}, 0
		}
		doomed = append(doomed, out.all()...)
		for _, s := range l.gone {
			delete(l.lists, s.SnapshotID)
			delete(l.dropped, s.SnapshotID)
		}
		l.gone = nil
	}
	l.leftovers = nil
	if err := objstore.RemoveAll(ctx, t.store, t.opts.Reads, doomed); err != nil {
		t.log.Warn("objects of expired snapshots stay behind for now", "files", len(doomed), "err", err)
		l.leftovers = bounded(t.log, doomed, "files")
	}
	return out, len(l.leftovers)
}

// learn reads the manifest lists of retained snapshots that are not known yet, and forgets those of snapshots
// that others expired.
func (t *trunk) learn(ctx context.Context, gone []expired, retained []icetable.Snapshot) error {
	l := &t.lineage
	current := map[int64]bool{}
	for _, s := range gone {
		current[s.SnapshotID] = true
	}
	for i := range retained {
		s := &retained[i]
		current[s.SnapshotID] = true
		if _, known := l.lists[s.SnapshotID]; known {
			continue
		}
		manifests, err := readManifestList(ctx, t.store, s)
		if err != nil {
			return err
		}
		l.know(s.SnapshotID, manifests)
	}
	for id := range l.lists {
		if !current[id] {
			delete(l.lists, id)
		}
	}
	for id := range l.dropped {
		if !current[id] {
			delete(l.dropped, id)
		}
	}
	return nil
}
