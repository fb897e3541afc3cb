package live

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/google/uuid"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
	"github.com/firthlake/firth/table/tail"
	"github.com/firthlake/firth/table/vector"
)

// deletesAtOnce is how many delete files are written at a time: each is one small request, and readers wait.
const deletesAtOnce = 32

// deletion is a delete file of a version, which later versions use as long as it says the same.
type deletion struct {
	rows   *roaring.Bitmap
	before []iceberg.DataFile
	file   iceberg.DataFile
	specID int32
}

// same says that the delete file would be written again as it is.
func (d *deletion) same(h *tail.Hidden, before []iceberg.DataFile) bool {
	return d != nil && (d.rows == h.Rows || d.rows.Equals(h.Rows)) &&
		slices.EqualFunc(d.before, before, func(a, b iceberg.DataFile) bool { return placeOf(a) == placeOf(b) })
}

// place is where the content of a delete file lies. Vectors may share files.
type place struct {
	file   string
	offset int64
}

func placeOf(file iceberg.DataFile) place {
	p := place{file: file.FilePath()}
	if offset := file.ContentOffset(); offset != nil {
		p.offset = *offset
	}
	return p
}

// isWhole says that none of a chunk's rows is seen, so that its file is left out.
func isWhole(h *tail.Hidden) bool {
	return h.OfTail && h.Rows.GetCardinality() == uint64(h.File.Count())
}

// writeDeletes writes the delete files of what the version hides, but for those that the one before has too.
func (d *draft) writeDeletes(ctx context.Context, store objstore.Store, id uuid.UUID, last *version) error {
	v := d.version
	v.deletions = make(map[string]*deletion, len(v.hidden))
	specID, _ := tailSpecID(d.meta)
	var targets []vector.Target
	var fresh []*deletion
	for i := range v.hidden {
		h := &v.hidden[i]
		path := h.File.FilePath()
		if h.OfTail {
			v.tailHidden += int64(h.Rows.GetCardinality())
		}
		if isWhole(h) {
			d.unseen[path] = true
			continue
		}
		target := vector.Target{File: h.File}
		made := &deletion{rows: h.Rows, specID: h.File.SpecID()}
		if h.OfTail {
			target.Spec, made.specID = iceberg.UnpartitionedSpec, int32(specID)
		} else if d.meta.Version() >= 3 { // in version 2 position deletes add up
			target.Before, made.before = h.Before, h.Before
		}
		if last != nil && last.deletions[path].same(h, made.before) {
			v.deletions[path] = last.deletions[path]
			continue
		}
		for _, row := range h.Rows.ToArray() {
			target.Positions = append(target.Positions, int64(row))
		}
		v.deletions[path] = made
		targets, fresh = append(targets, target), append(fresh, made)
	}
	files, err := vector.Write(ctx, store, vector.Options{Metadata: d.meta, ChangeID: id, Folder: tail.Folder,
		Read: table.ReadDeletes, AtOnce: deletesAtOnce}, targets)
	if err != nil {
		return err
	}
	for i, file := range files {
		fresh[i].file = file
	}
	for _, each := range v.deletions {
		v.files = append(v.files, each.file.FilePath())
	}
	return nil
}

// deleteManifests makes manifests of the version's delete files, one a partition spec, and returns those of the base
// that stay: a vector takes the place of the one that its data file had, since there is one for each.
func (d *draft) deleteManifests(
	ctx context.Context, store objstore.Store, base []iceberg.ManifestFile, o *overlay,
) (objects []object, manifests []iceberg.ManifestFile, err error) {
	entries := map[int32][]iceberg.ManifestEntry{}
	replaced := map[place]bool{}
	for _, each := range d.version.deletions {
		entries[each.specID] = append(entries[each.specID],
			iceberg.NewManifestEntry(iceberg.EntryStatusADDED, &d.snapshotID, nil, nil, each.file))
		d.deletes.files++
		d.deletes.rows += each.file.Count()
		for _, before := range each.before {
			if icetable.IsDeletionVector(before) {
				replaced[placeOf(before)] = true
				d.replaced.files++
				d.replaced.rows += before.Count()
			}
		}
	}
	manifests, err = d.keepDeletes(ctx, store, base, o, replaced, entries)
	if err != nil {
		return nil, nil, err
	}
	for _, specID := range slices.Sorted(maps.Keys(entries)) {
		made, manifest, err := d.deleteManifest(specID, entries[specID])
		if err != nil {
			return nil, nil, fmt.Errorf("encode manifest: %w", err)
		}
		objects, manifests = append(objects, *made), append(manifests, manifest)
	}
	return objects, manifests, nil
}

// keepDeletes returns the manifests without those that hold what is replaced, whose other entries join entries.
func (d *draft) keepDeletes(ctx context.Context, store objstore.Store, base []iceberg.ManifestFile, o *overlay,
	replaced map[place]bool, entries map[int32][]iceberg.ManifestEntry,
) ([]iceberg.ManifestFile, error) {
	if len(replaced) == 0 {
		return base, nil
	}
	var kept []iceberg.ManifestFile
	known := o.deletes // by turn
	o.deletes = map[string][]iceberg.ManifestEntry{}
	found := 0
	for _, m := range base {
		if m.ManifestContent() != iceberg.ManifestContentDeletes {
			kept = append(kept, m)
			continue
		}
		some, read := known[m.FilePath()]
		if !read {
			var err error
			if some, err = table.ManifestEntries(ctx, store, m); err != nil {
				return nil, err
			}
		}
		o.deletes[m.FilePath()] = some
		isReplaced := func(e iceberg.ManifestEntry) bool { return replaced[placeOf(e.DataFile())] }
		if !slices.ContainsFunc(some, isReplaced) {
			kept = append(kept, m)
			continue
		}
		for _, e := range some {
			if isReplaced(e) {
				found++
				continue
			}
			entries[m.PartitionSpecID()] = append(entries[m.PartitionSpecID()], e)
		}
	}
	if found != len(replaced) {
		return nil, fmt.Errorf("%d deletion vectors are to be replaced, the snapshot's manifests have %d of them",
			len(replaced), found)
	}
	return kept, nil
}

func (d *draft) deleteManifest(
	specID int32, entries []iceberg.ManifestEntry,
) (*object, iceberg.ManifestFile, error) {
	spec := d.meta.PartitionSpecByID(int(specID))
	if own, _ := tailSpecID(d.meta); int(specID) == own {
		unpartitioned := iceberg.NewPartitionSpecID(own)
		spec = &unpartitioned
	}
	if spec == nil {
		return nil, nil, fmt.Errorf("partition spec %d is not in the table", specID)
	}
	var buf bytes.Buffer
	w, err := iceberg.NewManifestWriter(d.meta.Version(), &buf, *spec, d.meta.CurrentSchema(), d.snapshotID,
		iceberg.WithManifestWriterContent(iceberg.ManifestContentDeletes))
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		write := w.Existing
		if e.Status() == iceberg.EntryStatusADDED && e.SnapshotID() == d.snapshotID {
			write = w.Add
		}
		if err := write(e); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", e.DataFile().FilePath(), err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, nil, err
	}
	made := &object{fmt.Sprintf("%s-d%d.avro", d.prefix, specID), buf.Bytes()}
	manifest, err := w.ToManifestFile(made.location, int64(buf.Len()))
	if err != nil {
		return nil, nil, err
	}
	return made, table.WithBounds(manifest), nil
}
