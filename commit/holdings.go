package commit

import (
	"context"
	"crypto/sha256"
	"slices"

	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/table/objstore"
	"github.com/firthlake/firth/table/vector"
)

// fileKey stands for a location, since a table may have millions: the begin of its SHA-256.
type fileKey [16]byte

func keyOf(location string) (key fileKey) {
	sum := sha256.Sum256([]byte(location))
	copy(key[:], sum[:])
	return key
}

// place is where the deletes of one manifest entry lie. Vectors share files.
type place struct {
	file   fileKey
	offset int64
}

func placeOf(file iceberg.DataFile) place {
	p := place{file: keyOf(file.FilePath())}
	if offset := file.ContentOffset(); offset != nil {
		p.offset = *offset
	}
	return p
}

// heldEntry is a live entry of a manifest.
type heldEntry struct {
	content iceberg.ManifestEntryContent
	place   place
	// of is the data file that a delete file is about, zero when there may be several.
	of              fileKey
	sequence, count int64
}

func heldOf(file iceberg.DataFile, sequence int64) heldEntry {
	e := heldEntry{content: file.ContentType(), place: placeOf(file), sequence: sequence, count: file.Count()}
	if of := vector.DataFile(file); of != "" {
		e.of = keyOf(of)
	}
	return e
}

// heldDelete is a delete file and the manifest that holds it.
type heldDelete struct {
	heldEntry
	manifest int32
}

// heldManifest is a manifest by its number.
type heldManifest struct {
	location string
	specID   int32
}

// holdings knows which manifest of the head holds which file. A table takes about 50 bytes a data file and
// 150 a vector. It is made when the first change with deletes comes, by reading all manifests once; an own
// commit tells what it moved, and after a commit of others the manifests that are new are read.
type holdings struct {
	numbers   map[string]int32 // of manifests, by location
	manifests map[int32]heldManifest
	next      int32
	data      map[fileKey]int32        // the manifest of each data file
	deletes   map[fileKey][]heldDelete // by the data file they are about
	loose     []heldDelete             // about several data files, or none in particular
	// entries are the live entries of each delete file.
	entries map[fileKey]int
	// at is the snapshot whose holdings they are. What others commit behind it moves nothing here until sync.
	at int64
}

func newHoldings() *holdings {
	return &holdings{numbers: map[string]int32{}, manifests: map[int32]heldManifest{}, data: map[fileKey]int32{},
		deletes: map[fileKey][]heldDelete{}, entries: map[fileKey]int{}}
}

// sync makes x that of the head. After an error it may be called again.
func (x *holdings) sync(ctx context.Context, store objstore.Store, reads int, h *head) error {
	if h.snapshot == nil || x.at == h.snapshot.SnapshotID {
		return nil
	}
	if err := x.follow(ctx, store, reads, h.manifests); err != nil {
		return err
	}
	x.at = h.snapshot.SnapshotID
	return nil
}

// follow reads the manifests that are new and forgets what those that are gone held alone.
func (x *holdings) follow(ctx context.Context, store objstore.Store, reads int, manifests []iceberg.ManifestFile,
) error {
	listed := make(map[string]bool, len(manifests))
	var fresh []iceberg.ManifestFile
	for _, m := range manifests {
		listed[m.FilePath()] = true
		if _, known := x.numbers[m.FilePath()]; !known {
			fresh = append(fresh, m)
		}
	}
	gone := map[int32]bool{}
	for location, number := range x.numbers {
		if !listed[location] {
			gone[number] = true
		}
	}
	if len(fresh)+len(gone) == 0 {
		return nil
	}
	for some := range slices.Chunk(fresh, max(reads, 1)) {
		read, err := readManifests(ctx, store, reads, some)
		if err != nil {
			return err
		}
		for i, entries := range read {
			var held []heldEntry
			for _, e := range entries {
				if e.Status() != iceberg.EntryStatusDELETED {
					held = append(held, heldOf(e.DataFile(), e.SequenceNum()))
				}
			}
			x.add(some[i], held)
		}
	}
	x.forget(gone)
	return nil
}

// add takes in a manifest and its live entries; what another manifest held before has moved.
func (x *holdings) add(m iceberg.ManifestFile, entries []heldEntry) {
	number := x.next
	x.next++
	x.numbers[m.FilePath()] = number
	x.manifests[number] = heldManifest{location: m.FilePath(), specID: m.PartitionSpecID()}
	for _, e := range entries {
		if e.content == iceberg.EntryContentData {
			x.data[e.place.file] = number
			continue
		}
		list := &x.loose
		if e.of != (fileKey{}) {
			of := x.deletes[e.of]
			list = &of
		}
		if i := slices.IndexFunc(*list, func(d heldDelete) bool { return d.place == e.place }); i >= 0 {
			(*list)[i] = heldDelete{e, number}
		} else {
			*list = append(*list, heldDelete{e, number})
			x.entries[e.place.file]++
		}
		if e.of != (fileKey{}) {
			x.deletes[e.of] = *list
		}
	}
}

// forget drops manifests and all that no other manifest holds by now. It looks at every file.
func (x *holdings) forget(gone map[int32]bool) {
	if len(gone) == 0 {
		return
	}
	for number := range gone {
		delete(x.numbers, x.manifests[number].location)
		delete(x.manifests, number)
	}
	for key, number := range x.data {
		if gone[number] {
			delete(x.data, key)
		}
	}
	stale := func(d heldDelete) bool { return gone[d.manifest] }
	clear(x.entries)
	for key, list := range x.deletes {
		if list = slices.DeleteFunc(list, stale); len(list) == 0 {
			delete(x.deletes, key)
			continue
		}
		x.deletes[key] = list
		for _, d := range list {
			x.entries[d.place.file]++
		}
	}
	x.loose = slices.DeleteFunc(x.loose, stale)
	for _, d := range x.loose {
		x.entries[d.place.file]++
	}
}

// move follows an own swap, whose base must be what x is of. It returns the locations of the files that the
// new head does not hold any more.
func (x *holdings) move(s *swap) (dropped []string) {
	x.at = s.snapshot.SnapshotID
	for _, f := range s.removed {
		e := heldOf(f, 0)
		if e.content == iceberg.EntryContentData {
			delete(x.data, e.place.file)
			dropped = append(dropped, f.FilePath())
			continue
		}
		here := func(d heldDelete) bool { return d.place == e.place }
		if e.of == (fileKey{}) {
			x.loose = slices.DeleteFunc(x.loose, here)
		} else if list := slices.DeleteFunc(x.deletes[e.of], here); len(list) > 0 {
			x.deletes[e.of] = list
		} else {
			delete(x.deletes, e.of)
		}
		if x.entries[e.place.file]--; x.entries[e.place.file] <= 0 {
			delete(x.entries, e.place.file)
			dropped = append(dropped, f.FilePath())
		}
	}
	listed := make(map[string]bool, len(s.manifests))
	for _, m := range s.manifests {
		listed[m.FilePath()] = true
		if entries, own := s.desk.held[m.FilePath()]; own {
			x.add(m, entries)
		}
	}
	for location, number := range x.numbers {
		if !listed[location] {
			delete(x.numbers, location)
			delete(x.manifests, number)
		}
	}
	return dropped
}
