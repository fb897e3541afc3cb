package commit

import (
	"context"
	"errors"
	"slices"

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

// sweep removes the objects that only expired snapshots needed. The caller knows that the expiry is
// committed. An error costs space, never rows, so it is logged and the rest tried again later.
func (t *trunk) sweep(ctx context.Context) {
	l := &t.lineage
	if t.stale || len(l.gone)+len(l.leftovers) == 0 {
		return
	}
	doomed := l.leftovers
	if len(l.gone) > 0 {
		found, err := t.unneeded(ctx)
		if err != nil {
			t.log.Warn("objects of expired snapshots stay behind for now", "snapshots", len(l.gone), "err", err)
			l.gone = bounded(t.log, l.gone, "snapshots")
			return
		}
		doomed = append(doomed, found...)
		for _, s := range l.gone {
			delete(l.lists, s.SnapshotID)
			delete(l.dropped, s.SnapshotID)
		}
		l.gone = nil
	}
	l.leftovers = nil
	if err := t.store.Remove(ctx, doomed...); err != nil {
		t.log.Warn("objects of expired snapshots stay behind for now", "files", len(doomed), "err", err)
		l.leftovers = bounded(t.log, doomed, "files")
	}
}

// unneeded returns what snapshots in gone refer to and no other snapshot of the table does: manifest
// lists, manifests, statistics, and data files that others removed from the table.
func (t *trunk) unneeded(ctx context.Context) ([]string, error) {
	retained, err := t.learn(ctx)
	if err != nil {
		return nil, err
	}
	needed := map[string]bool{}
	for _, s := range retained {
		needed[s.ManifestList] = true
		for _, m := range t.lineage.lists[s.SnapshotID] {
			needed[m.FilePath()] = true
		}
	}
	dropped, err := t.droppedFiles(ctx, retained)
	if err != nil {
		return nil, err
	}
	var out []string
	take := func(location string) {
		if location != "" && !needed[location] {
			needed[location] = true // once
			out = append(out, location)
		}
	}
	for _, location := range dropped {
		take(location)
	}
	for _, s := range t.lineage.gone {
		for _, m := range t.lineage.lists[s.SnapshotID] {
			take(m.FilePath())
		}
		for _, location := range s.statistics {
			take(location)
		}
		take(s.ManifestList)
	}
	return out, nil
}

// learn reads the manifest lists that are not known yet, of the snapshots that stay and of those that
// are gone, and forgets those of snapshots that others expired. It returns the snapshots that stay.
func (t *trunk) learn(ctx context.Context) ([]icetable.Snapshot, error) {
	l := &t.lineage
	retained := t.head.meta.Snapshots()
	current := map[int64]bool{}
	read := func(s *icetable.Snapshot) error {
		current[s.SnapshotID] = true
		if _, known := l.lists[s.SnapshotID]; known {
			return nil
		}
		manifests, err := readManifestList(ctx, t.store, s)
		if err != nil {
			return err
		}
		l.know(s.SnapshotID, manifests)
		return nil
	}
	for i := range retained {
		if err := read(&retained[i]); err != nil {
			return nil, err
		}
	}
	for _, s := range l.gone {
		// An earlier sweep, here or elsewhere, may have removed the list before it was cut off.
		if err := read(s.Snapshot); err != nil && !errors.Is(err, objstore.ErrNotFound) {
			return nil, err
		}
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
	return retained, nil
}

// droppedFiles returns the data and delete files that snapshots in gone removed from the table and
// that no snapshot holds any more. What this process removed it knows: only snapshots beside main, which a
// branch or a tag holds, are looked at. What others removed, or a process before this one, is read.
func (t *trunk) droppedFiles(ctx context.Context, retained []icetable.Snapshot) ([]string, error) {
	beside := besideMain(t.head.meta, retained)
	known, unknown := map[string]bool{}, map[string]bool{}
	for _, s := range t.lineage.gone {
		locations, own := t.lineage.dropped[s.SnapshotID]
		if own {
			for _, location := range locations {
				known[location] = within(location, t.head.meta) // others' imports are not ours to remove
			}
			continue
		}
		if err := t.removedBy(ctx, s.SnapshotID, unknown); err != nil {
			return nil, err
		}
	}
	if err := t.spareLive(ctx, beside, known); err != nil {
		return nil, err
	}
	if err := t.spareLive(ctx, retained, unknown); err != nil {
		return nil, err
	}
	var out []string
	for _, candidates := range []map[string]bool{known, unknown} {
		for location, ours := range candidates {
			if ours {
				out = append(out, location)
			}
		}
	}
	slices.Sort(out)
	return out, nil
}

// besideMain are the snapshots that are not main's.
func besideMain(meta icetable.Metadata, snapshots []icetable.Snapshot) []icetable.Snapshot {
	main := map[int64]bool{}
	for s := range Ancestry(meta) {
		main[s.SnapshotID] = true
	}
	return slices.DeleteFunc(slices.Clone(snapshots), func(s icetable.Snapshot) bool { return main[s.SnapshotID] })
}

// removedBy adds the files that a snapshot removed to candidates.
func (t *trunk) removedBy(ctx context.Context, snapshotID int64, candidates map[string]bool) error {
	for _, m := range t.lineage.lists[snapshotID] {
		if m.SnapshotID() != snapshotID || m.DeletedDataFiles() == 0 {
			continue
		}
		entries, err := readManifest(ctx, t.store, m)
		if err != nil {
			return err
		}
		for _, e := range entries {
			location := e.DataFile().FilePath()
			if e.Status() == iceberg.EntryStatusDELETED && e.SnapshotID() == snapshotID {
				candidates[location] = within(location, t.head.meta)
			}
		}
	}
	return nil
}

// spareLive takes out of candidates every file that a retained snapshot holds: a tag may hold the
// time before the removal, and a file may have been added again.
func (t *trunk) spareLive(ctx context.Context, retained []icetable.Snapshot, candidates map[string]bool) error {
	seen := map[string]bool{}
	for _, s := range retained {
		for _, m := range t.lineage.lists[s.SnapshotID] {
			if seen[m.FilePath()] || liveEntries(m) == 0 || len(candidates) == 0 {
				continue
			}
			seen[m.FilePath()] = true
			entries, err := readManifest(ctx, t.store, m)
			if err != nil {
				return err
			}
			for _, e := range entries {
				if e.Status() != iceberg.EntryStatusDELETED {
					delete(candidates, e.DataFile().FilePath())
				}
			}
		}
	}
	return nil
}
