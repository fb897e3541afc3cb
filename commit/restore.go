package commit

import (
	"context"
	"fmt"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
)

// restore returns what a rollback lists: the manifests of its target as they are, and one of each kind that tells
// which files leave with it, as every snapshot does that removes files.
func (t *trunk) restore(ctx context.Context, d *desk, h *head, w *work,
) (manifests []iceberg.ManifestFile, removed []iceberg.DataFile, err error) {
	x, err := t.exchange(ctx, d, h, w)
	if err != nil {
		return nil, nil, err
	}
	manifests = x.manifests
	for _, kind := range x.order {
		m, err := d.manifest(ctx, kind, x.gone[kind])
		if err != nil {
			return nil, nil, err
		}
		manifests = append(manifests, m)
	}
	w.retreat.tally = w.tally
	return manifests, x.removed, nil
}

// exchanged is how the files of two snapshots differ.
type exchanged struct {
	manifests []iceberg.ManifestFile // of the target
	gone      map[manifestKind][]manifestLine
	order     []manifestKind
	removed   []iceberg.DataFile
}

// exchange finds the files that leave and those that come back, and counts them in w.
func (t *trunk) exchange(ctx context.Context, d *desk, h *head, w *work) (*exchanged, error) {
	target := w.retreat.target
	x := &exchanged{gone: map[manifestKind][]manifestLine{}}
	var err error
	if x.manifests, err = readManifestList(ctx, t.store, target); err != nil {
		return nil, err
	}
	if err := w.retreat.hold(h, rowsOf(h.manifests), rowsOf(x.manifests)); err != nil {
		return nil, err
	}
	then, err := d.live(ctx, without(x.manifests, h.manifests))
	if err != nil {
		return nil, fmt.Errorf("files of snapshot %d: %w", target.SnapshotID, err)
	}
	now, err := d.live(ctx, without(h.manifests, x.manifests))
	if err != nil {
		return nil, fmt.Errorf("files of the newest snapshot: %w", err)
	}
	for _, l := range now.lines {
		if then.places[heldOf(l.entry.DataFile(), 0).place] {
			continue
		}
		if _, more := x.gone[l.kind]; !more {
			x.order = append(x.order, l.kind)
		}
		x.gone[l.kind] = append(x.gone[l.kind], manifestLine{iceberg.EntryStatusDELETED, l.entry})
		x.removed = append(x.removed, l.entry.DataFile())
		w.tally.remove(l.entry.DataFile())
	}
	for _, l := range then.lines {
		if !now.places[heldOf(l.entry.DataFile(), 0).place] {
			w.tally.add(l.entry.DataFile())
		}
	}
	return x, nil
}

// without are the manifests that another list does not have.
func without(manifests, other []iceberg.ManifestFile) (out []iceberg.ManifestFile) {
	has := make(map[string]bool, len(other))
	for _, m := range other {
		has[m.FilePath()] = true
	}
	for _, m := range manifests {
		if !has[m.FilePath()] && liveEntries(m) > 0 {
			out = append(out, m)
		}
	}
	return out
}

// liveLines are the files that manifests hold.
type liveLines struct {
	lines []struct {
		kind  manifestKind
		entry iceberg.ManifestEntry
	}
	places map[place]bool
}

// live reads the live entries of manifests.
func (d *desk) live(ctx context.Context, manifests []iceberg.ManifestFile) (*liveLines, error) {
	read, err := readManifests(ctx, d.store, d.reads, manifests)
	if err != nil {
		return nil, err
	}
	out := &liveLines{places: map[place]bool{}}
	for i, entries := range read {
		for _, e := range entries {
			if e.Status() == iceberg.EntryStatusDELETED {
				continue
			}
			out.places[heldOf(e.DataFile(), 0).place] = true
			out.lines = append(out.lines, struct {
				kind  manifestKind
				entry iceberg.ManifestEntry
			}{kindOf(manifests[i]), e})
		}
	}
	return out, nil
}

// guard makes the catalog refuse the swap when the target has expired meanwhile, whose files then go: a tag can
// only be put on a snapshot that is there. It is taken off in the same swap.
func (r *retreat) guard(id int64) []icetable.Update {
	if r == nil {
		return nil
	}
	tag := fmt.Sprintf("firth-rollback-%d", id)
	return []icetable.Update{
		icetable.NewSetSnapshotRefUpdate(tag, r.target.SnapshotID, icetable.TagRef, 0, 0, 0),
		icetable.NewRemoveSnapshotRefUpdate(tag),
	}
}
