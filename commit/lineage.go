package commit

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"

	"github.com/firthlake/firth/table/objstore"
)

// lineage knows which manifests each snapshot lists, so that the objects that only expired snapshots
// need are found without reading. It is filled when the first snapshots expire.
type lineage struct {
	lists map[int64][]iceberg.ManifestFile
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
	return retained, nil
}

// droppedFiles returns the data and delete files that snapshots in gone removed from the table and
// that no snapshot holds any more. firth only adds files, so this reads nothing until others delete.
func (t *trunk) droppedFiles(ctx context.Context, retained []icetable.Snapshot) ([]string, error) {
	var removers []iceberg.ManifestFile
	for _, s := range t.lineage.gone {
		for _, m := range t.lineage.lists[s.SnapshotID] {
			if m.SnapshotID() == s.SnapshotID && m.DeletedDataFiles() > 0 {
				removers = append(removers, m)
			}
		}
	}
	if len(removers) == 0 {
		return nil, nil
	}
	inside := strings.TrimSuffix(t.head.meta.Location(), "/") + "/" // others' imports are not ours to remove
	candidates := map[string]bool{}
	for _, m := range removers {
		entries, err := readManifest(ctx, t.store, m)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			location := e.DataFile().FilePath()
			if e.Status() == iceberg.EntryStatusDELETED && e.SnapshotID() == m.SnapshotID() &&
				strings.HasPrefix(location, inside) {
				candidates[location] = true
			}
		}
	}
	if err := t.spareLive(ctx, retained, candidates); err != nil {
		return nil, err
	}
	var out []string
	for location := range candidates {
		out = append(out, location)
	}
	slices.Sort(out)
	return out, nil
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
