package live

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/table/objstore"
)

// manifestChunks is how many chunks a manifest of the tail has at most. A version adds to the last of them alone, so
// of a thousand chunks no more than these are encoded anew; each manifest more is one more request of an engine.
const manifestChunks = 100

// tailManifest is a manifest of some chunks' files, which later versions use as long as they have the same.
type tailManifest struct {
	group    uint64 // the chunks' numbers, in hundreds
	schemaID int
	version  int // of the format
	paths    []string
	rows     int64
	// snapshotID is that of the version that it was written for: its entries name it.
	snapshotID int64
	location   string
	length     int64
	written    time.Time
}

// tailGroup is the files that a version has of chunks whose numbers lie in one hundred.
type tailGroup struct {
	number uint64
	files  []iceberg.DataFile
}

// tailGroups are the files of the tail that are seen, in order.
func (d *draft) tailGroups() []tailGroup {
	var groups []tailGroup
	view := &d.version.view
	numbers := view.Numbers()
	for i, chunk := range view.Chunks {
		number := numbers[i] / d.manifestChunks
		for _, f := range chunk.Files {
			if d.unseen[f.FilePath()] {
				continue
			}
			if n := len(groups); n == 0 || groups[n-1].number != number {
				groups = append(groups, tailGroup{number: number})
			}
			last := &groups[len(groups)-1]
			last.files = append(last.files, f)
			d.tail.files++
			d.tail.rows += f.Count()
		}
	}
	return groups
}

// tailManifests makes the manifests of the tail, but for those that the version before has too.
func (d *draft) tailManifests(last *version) (objects []object, manifests []iceberg.ManifestFile, err error) {
	v := d.version
	for i, group := range d.tailGroups() {
		made := last.tailManifest(group.number)
		if !d.fits(made, group) {
			var body []byte
			location := fmt.Sprintf("%s-m%d.avro", d.prefix, i)
			if made, body, err = d.encodeTail(group, location); err != nil {
				return nil, nil, fmt.Errorf("encode manifest: %w", err)
			}
			objects = append(objects, object{location, body})
		} else {
			v.files = append(v.files, made.location)
		}
		v.manifests = append(v.manifests, made)
		manifests = append(manifests, d.listed(made))
	}
	return objects, manifests, nil
}

// tailManifest is the manifest of a group, nil when the version has none.
func (v *version) tailManifest(group uint64) *tailManifest {
	if v == nil {
		return nil
	}
	at := slices.IndexFunc(v.manifests, func(m *tailManifest) bool { return m.group == group })
	if at < 0 {
		return nil
	}
	return v.manifests[at]
}

// fits says that a manifest would be written again as it is. One that is old is, since others may remove it.
func (d *draft) fits(m *tailManifest, group tailGroup) bool {
	return m != nil && m.schemaID == d.meta.CurrentSchema().ID && m.version == d.meta.Version() &&
		d.version.asked.Sub(m.written) < versionAgeMax &&
		slices.EqualFunc(m.paths, group.files, func(path string, f iceberg.DataFile) bool {
			return path == f.FilePath()
		})
}

// encodeTail makes the manifest of a group.
func (d *draft) encodeTail(group tailGroup, location string) (*tailManifest, []byte, error) {
	made := &tailManifest{group: group.number, schemaID: d.meta.CurrentSchema().ID, version: d.meta.Version(),
		snapshotID: d.snapshotID, location: location, written: d.version.asked}
	specID, _ := tailSpecID(d.meta)
	var buf bytes.Buffer
	w, err := iceberg.NewManifestWriter(made.version, &buf, iceberg.NewPartitionSpecID(specID), d.meta.CurrentSchema(),
		d.snapshotID)
	if err != nil {
		return nil, nil, err
	}
	for _, f := range group.files {
		if err := w.Add(iceberg.NewManifestEntry(iceberg.EntryStatusADDED, &d.snapshotID, nil, nil, f)); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", f.FilePath(), err)
		}
		made.paths = append(made.paths, f.FilePath())
		made.rows += f.Count()
	}
	if err := w.Close(); err != nil {
		return nil, nil, err
	}
	made.length = int64(buf.Len())
	return made, buf.Bytes(), nil
}

// listed is a manifest of the tail as a version lists it: its files are as new as the version, whichever version it was
// written for, since they come behind all that the base has.
func (d *draft) listed(m *tailManifest) iceberg.ManifestFile {
	specID, _ := tailSpecID(d.meta)
	return iceberg.NewManifestFile(m.version, m.location, m.length, int32(specID), m.snapshotID).
		AddedFiles(int32(len(m.paths))).AddedRows(m.rows).SequenceNum(d.sequence, d.sequence).
		Partitions([]iceberg.FieldSummary{}).Build()
}

// readManifests are those of a manifest list that was read.
type readManifests struct {
	location  string
	manifests []iceberg.ManifestFile
}

// committedManifests are those of the base. Who has the turn reads each list once.
func (o *overlay) committedManifests(ctx context.Context, store objstore.Store, list string,
) ([]iceberg.ManifestFile, error) {
	if o.read.location != list {
		manifests, err := readList(ctx, store, list)
		if err != nil {
			return nil, err
		}
		o.read = readManifests{list, manifests}
	}
	return o.read.manifests, nil
}
