package commit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"

	"github.com/firthlake/firth/table/objstore"
)

// removal is the objects that expired snapshots refer to and no other snapshot does.
type removal struct {
	files      []string // data and delete files
	manifests  []string // and manifest lists
	statistics []string
}

func (r *removal) all() []string { return slices.Concat(r.files, r.manifests, r.statistics) }

// unneeding finds the objects that leave with snapshots. What it reads is the manifest lists of the snapshots
// that leave, the manifests in which they tell what was removed, and, when there is such a file, the manifests
// of snapshots that stay which may hold it.
type unneeding struct {
	*trunk
	gone     map[int64]bool
	retained []icetable.Snapshot
	// parents of all snapshots, gone and retained.
	parents map[int64]int64
	// needed are the locations that retained snapshots refer to, and those that are told once.
	needed map[string]bool
	// stays are the manifests of retained snapshots.
	stays map[string]iceberg.ManifestFile
	// known are files that this process knows to be in no snapshot of main, unknown are others that snapshots
	// removed, or that a snapshot held of which nothing was made.
	known   map[string]bool
	unknown candidates
	out     removal
}

// candidates are files that may be needed by nothing any more.
type candidates struct {
	data, deletes map[string]bool
	// sources is how many snapshots had data files to offer, and clear counts for each manifest the sources
	// that list it: such a manifest cannot hold those files, since a snapshot holds a data file once.
	sources int
	clear   map[string]int
}

// unneeded returns what snapshots in gone refer to and no retained one does. The caller knows that they left, or
// only asks.
func (t *trunk) unneeded(ctx context.Context, gone []expired, retained []icetable.Snapshot) (removal, error) {
	if err := t.learn(ctx, gone, retained); err != nil {
		return removal{}, err
	}
	u := &unneeding{trunk: t, gone: map[int64]bool{}, retained: retained, parents: map[int64]int64{},
		needed: map[string]bool{}, stays: map[string]iceberg.ManifestFile{}, known: map[string]bool{},
		unknown: candidates{data: map[string]bool{}, deletes: map[string]bool{}, clear: map[string]int{}}}
	u.survey(gone)
	if err := u.collect(ctx, gone); err != nil {
		return removal{}, err
	}
	if err := u.spare(ctx); err != nil {
		return removal{}, err
	}
	for _, files := range []map[string]bool{u.known, u.unknown.data, u.unknown.deletes} {
		for location, ours := range files {
			if ours {
				u.take(&u.out.files, location)
			}
		}
	}
	slices.Sort(u.out.files)
	return u.out, nil
}

// survey notes what stays.
func (u *unneeding) survey(gone []expired) {
	note := func(s *icetable.Snapshot) {
		if s.ParentSnapshotID != nil {
			u.parents[s.SnapshotID] = *s.ParentSnapshotID
		}
	}
	for _, s := range gone {
		u.gone[s.SnapshotID] = true
		note(s.Snapshot)
	}
	for i := range u.retained {
		s := &u.retained[i]
		note(s)
		u.needed[s.ManifestList] = true
		for _, m := range u.lineage.lists[s.SnapshotID] {
			u.needed[m.FilePath()] = true
			u.stays[m.FilePath()] = m
		}
	}
	leaves := func(id int64) bool { return u.gone[id] }
	for id, locations := range statisticsOf(u.head.meta) {
		for _, location := range locations {
			u.needed[location] = u.needed[location] || !leaves(id)
		}
	}
}

// line are the ids of a snapshot and its ancestors, through those that are gone.
func (u *unneeding) line(ids ...int64) map[int64]bool {
	out := map[int64]bool{}
	for _, id := range ids {
		for known := true; known && !out[id]; {
			out[id] = true
			id, known = u.parents[id]
		}
	}
	return out
}

// collect reads what each snapshot that is gone leaves behind.
func (u *unneeding) collect(ctx context.Context, gone []expired) error {
	var ids []int64
	for _, s := range u.retained {
		ids = append(ids, s.SnapshotID)
	}
	went, main := u.line(ids...), map[int64]bool{}
	if u.head.snapshot != nil {
		main = u.line(u.head.snapshot.SnapshotID)
	}
	for _, s := range gone {
		list, err := u.listOf(ctx, s.Snapshot)
		if err != nil {
			return err
		}
		// What was made of it tells what of its files is no more. Of a snapshot that nothing was made of, an
		// old tag's or a lost branch's, every file may be.
		if err := u.removed(ctx, s.Snapshot, list, main); err != nil {
			return err
		}
		if !went[s.SnapshotID] {
			if err := u.held(ctx, list); err != nil {
				return err
			}
		}
		for _, m := range list {
			u.take(&u.out.manifests, m.FilePath())
		}
		u.take(&u.out.manifests, s.ManifestList)
		for _, location := range s.statistics {
			u.take(&u.out.statistics, location)
		}
	}
	for i := range u.retained {
		s := &u.retained[i]
		if err := u.removed(ctx, s, u.lineage.lists[s.SnapshotID], main); err != nil {
			return err
		}
	}
	return nil
}

// take adds a location to out, once, unless it is needed.
func (u *unneeding) take(out *[]string, location string) {
	if location != "" && !u.needed[location] {
		u.needed[location] = true
		*out = append(*out, location)
	}
}

// listOf is the manifest list of a snapshot that is gone. An earlier sweep, here or elsewhere, may have removed
// it before it was cut off.
func (u *unneeding) listOf(ctx context.Context, s *icetable.Snapshot) ([]iceberg.ManifestFile, error) {
	if list, known := u.lineage.lists[s.SnapshotID]; known {
		return list, nil
	}
	list, err := readManifestList(ctx, u.store, s)
	if errors.Is(err, objstore.ErrNotFound) {
		return nil, nil
	}
	return list, err
}

// removed notes the files that a snapshot removed from one that is gone.
func (u *unneeding) removed(ctx context.Context, s *icetable.Snapshot, list []iceberg.ManifestFile,
	main map[int64]bool) error {
	id := s.SnapshotID
	if s.ParentSnapshotID == nil || !u.gone[*s.ParentSnapshotID] {
		return nil
	}
	// What was dropped before a rollback may have come back by it.
	after := s.SequenceNumber > u.head.ledger.Foreign.RolledBack
	if locations, own := u.lineage.dropped[id]; own && main[id] && after {
		for _, location := range locations {
			u.known[location] = within(location, u.head.meta) // others' imports are not ours to remove
		}
		return nil
	}
	var telling []iceberg.ManifestFile
	for _, m := range list {
		if m.SnapshotID() == id && m.DeletedDataFiles() > 0 {
			telling = append(telling, m)
		}
	}
	return u.offer(ctx, list, telling, func(e iceberg.ManifestEntry) bool {
		return e.Status() == iceberg.EntryStatusDELETED && e.SnapshotID() == id
	})
}

// held notes the files of the manifests that no retained snapshot lists.
func (u *unneeding) held(ctx context.Context, list []iceberg.ManifestFile) error {
	var holding []iceberg.ManifestFile
	for _, m := range list {
		if !u.needed[m.FilePath()] && liveEntries(m) > 0 {
			holding = append(holding, m)
		}
	}
	return u.offer(ctx, list, holding, func(e iceberg.ManifestEntry) bool {
		return e.Status() != iceberg.EntryStatusDELETED
	})
}

// offer reads some manifests of a list and makes the files of entries that are chosen candidates.
func (u *unneeding) offer(ctx context.Context, list, some []iceberg.ManifestFile,
	chosen func(iceberg.ManifestEntry) bool) error {
	offered := false
	visit := func(m iceberg.ManifestFile, e iceberg.ManifestEntry) {
		if !chosen(e) {
			return
		}
		location := e.DataFile().FilePath()
		ours := within(location, u.head.meta)
		if m.ManifestContent() == iceberg.ManifestContentDeletes {
			u.unknown.deletes[location] = ours
			return
		}
		u.unknown.data[location] = ours
		offered = true
	}
	err := u.entries(ctx, some, visit)
	if errors.Is(err, objstore.ErrNotFound) {
		if some, err = u.left(ctx, some); err == nil {
			err = u.entries(ctx, some, visit)
		}
	}
	if err != nil || !offered {
		return err
	}
	u.unknown.sources++
	for _, m := range list {
		if _, stays := u.stays[m.FilePath()]; stays {
			u.unknown.clear[m.FilePath()]++
		}
	}
	return nil
}

// left are the manifests that are still there. Another process may be removing those that leave.
func (u *unneeding) left(ctx context.Context, manifests []iceberg.ManifestFile) ([]iceberg.ManifestFile, error) {
	var out []iceberg.ManifestFile
	for _, m := range manifests {
		switch _, err := u.store.Stat(ctx, m.FilePath()); {
		case err == nil:
			out = append(out, m)
		case !errors.Is(err, objstore.ErrNotFound):
			return nil, fmt.Errorf("manifests of expired snapshots: %w", err)
		}
	}
	return out, nil
}

// entries reads manifests, some at a time.
func (u *unneeding) entries(ctx context.Context, manifests []iceberg.ManifestFile,
	visit func(iceberg.ManifestFile, iceberg.ManifestEntry)) error {
	for some := range slices.Chunk(manifests, max(u.opts.Reads, 1)) {
		read, err := readManifests(ctx, u.store, u.opts.Reads, some)
		if err != nil {
			return err
		}
		for i, entries := range read {
			for _, e := range entries {
				visit(some[i], e)
			}
		}
	}
	return nil
}

// onMain are the snapshots of main from the head back to the first that is gone. They are what became of all that
// is gone of main, so none of them holds a known file.
func (u *unneeding) onMain() map[int64]bool {
	out := map[int64]bool{}
	for s := range Ancestry(u.head.meta) {
		if u.gone[s.SnapshotID] {
			break
		}
		out[s.SnapshotID] = true
	}
	return out
}

// spare takes out of the candidates every file that a retained snapshot holds: a tag may hold the time before
// the removal, and a file may have been added again. Of known files only snapshots beside main may.
func (u *unneeding) spare(ctx context.Context) error {
	beside := map[string]bool{}
	main := u.onMain()
	for _, s := range u.retained {
		for _, m := range u.lineage.lists[s.SnapshotID] {
			beside[m.FilePath()] = beside[m.FilePath()] || !main[s.SnapshotID]
		}
	}
	var some []iceberg.ManifestFile
	for location, m := range u.stays {
		may := len(u.unknown.data) > 0 && u.unknown.clear[location] < u.unknown.sources
		if m.ManifestContent() == iceberg.ManifestContentDeletes {
			may = len(u.unknown.deletes) > 0 // others' vectors may share files, so a part of one may have left
		}
		if liveEntries(m) > 0 && (may || len(u.known) > 0 && beside[location]) {
			some = append(some, m)
		}
	}
	slices.SortFunc(some, func(a, b iceberg.ManifestFile) int { return cmp.Compare(a.FilePath(), b.FilePath()) })
	return u.entries(ctx, some, func(_ iceberg.ManifestFile, e iceberg.ManifestEntry) {
		if e.Status() == iceberg.EntryStatusDELETED {
			return
		}
		location := e.DataFile().FilePath()
		delete(u.known, location)
		delete(u.unknown.data, location)
		delete(u.unknown.deletes, location)
	})
}
