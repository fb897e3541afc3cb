package commit

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// readsDefault is how many manifests one commit reads at the same time: a merge of 10 then takes two
// round trips.
const readsDefault = 8

// desk writes the metadata files of one attempt and remembers which, so that an attempt that came to
// nothing can be cleaned up.
type desk struct {
	store    objstore.Store
	meta     icetable.Metadata
	snapshot int64
	name     string
	reads    int
	wrote    []string
	// held, unless nil, gets the live entries of each manifest that is written.
	held map[string][]heldEntry
}

// newDesk names the attempt by commit id and chance: two processes may be at work on one decision
// under one snapshot id, and each must be able to remove its own files.
func (t *trunk) newDesk(meta icetable.Metadata, id uuid.UUID, snapshotID int64) *desk {
	d := &desk{store: t.store, meta: meta, snapshot: snapshotID, reads: t.opts.Reads,
		name: fmt.Sprintf("%s-%016x", id, t.opts.Random())}
	if t.holdings != nil {
		d.held = map[string][]heldEntry{}
	}
	return d
}

// location is the place of a metadata file of this attempt.
func (d *desk) location(suffix string) string {
	return metadataLocation(d.meta) + "/firth-" + d.name + suffix
}

func metadataLocation(meta icetable.Metadata) string {
	if path := meta.Properties()["write.metadata.path"]; path != "" {
		return strings.TrimSuffix(path, "/")
	}
	return strings.TrimSuffix(meta.Location(), "/") + "/metadata"
}

func (d *desk) put(ctx context.Context, location string, body []byte) error {
	d.wrote = append(d.wrote, location) // even when Put fails it may have landed
	_, err := d.store.Put(ctx, location, bytes.NewReader(body), int64(len(body)), objstore.PutOptions{})
	if err != nil {
		return fmt.Errorf("write %s: %w", location, err)
	}
	return nil
}

// manifestKind is what the entries of one manifest must share.
type manifestKind struct {
	specID  int32
	content iceberg.ManifestContent
}

func kindOf(m iceberg.ManifestFile) manifestKind {
	return manifestKind{specID: m.PartitionSpecID(), content: m.ManifestContent()}
}

// manifestLine is an entry to write, and what it is in the snapshot.
type manifestLine struct {
	status iceberg.ManifestEntryStatus
	entry  iceberg.ManifestEntry
}

// manifest writes one manifest.
func (d *desk) manifest(ctx context.Context, kind manifestKind, lines []manifestLine) (iceberg.ManifestFile, error) {
	spec := d.meta.PartitionSpecByID(int(kind.specID))
	if spec == nil {
		return nil, fmt.Errorf("partition spec %d is not in the table", kind.specID)
	}
	var buf bytes.Buffer
	w, err := iceberg.NewManifestWriter(d.meta.Version(), &buf, *spec, d.meta.CurrentSchema(), d.snapshot,
		iceberg.WithManifestWriterContent(kind.content))
	if err != nil {
		return nil, fmt.Errorf("begin manifest: %w", err)
	}
	location := d.location(fmt.Sprintf("-m%d.avro", len(d.wrote)))
	for _, l := range lines {
		write := w.Existing
		switch l.status {
		case iceberg.EntryStatusADDED:
			write = w.Add
		case iceberg.EntryStatusDELETED:
			write = w.Delete
		}
		if err := write(l.entry); err != nil {
			return nil, fmt.Errorf("encode manifest: %s: %w", l.entry.DataFile().FilePath(), err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("encode manifest: %w", err)
	}
	file, err := w.ToManifestFile(location, int64(buf.Len()))
	if err != nil {
		return nil, fmt.Errorf("encode manifest: %w", err)
	}
	d.hold(location, lines)
	return table.WithBounds(file), d.put(ctx, location, buf.Bytes())
}

// hold notes the live entries of a manifest.
func (d *desk) hold(location string, lines []manifestLine) {
	if d.held == nil {
		return
	}
	d.held[location] = nil // also one without live entries is known
	for _, l := range lines {
		sequence := l.entry.SequenceNum()
		if sequence < 0 { // it comes from the list
			sequence = d.meta.LastSequenceNumber() + 1
		}
		if l.status != iceberg.EntryStatusDELETED {
			d.held[location] = append(d.held[location], heldOf(l.entry.DataFile(), sequence))
		}
	}
}

// added writes one manifest a partition spec for new data files. sequence is their data sequence number, or
// nil for that of the snapshot.
func (d *desk) added(ctx context.Context, files []iceberg.DataFile, sequence *int64) ([]iceberg.ManifestFile, error) {
	bySpec := map[int32][]manifestLine{}
	var order []int32
	for _, f := range files {
		if _, ok := bySpec[f.SpecID()]; !ok {
			order = append(order, f.SpecID())
		}
		bySpec[f.SpecID()] = append(bySpec[f.SpecID()], d.newLine(f, sequence))
	}
	var manifests []iceberg.ManifestFile
	for _, spec := range order {
		m, err := d.manifest(ctx, manifestKind{specID: spec, content: iceberg.ManifestContentData}, bySpec[spec])
		if err != nil {
			return nil, err
		}
		manifests = append(manifests, m)
	}
	return manifests, nil
}

func (d *desk) newLine(file iceberg.DataFile, sequence *int64) manifestLine {
	return manifestLine{iceberg.EntryStatusADDED,
		iceberg.NewManifestEntry(iceberg.EntryStatusADDED, &d.snapshot, sequence, nil, file)}
}

// merged writes the live entries of manifests of one kind into one. They keep their snapshot id, both
// sequence numbers and their row ids.
func (d *desk) merged(ctx context.Context, manifests []iceberg.ManifestFile) (iceberg.ManifestFile, error) {
	entries, err := readManifests(ctx, d.store, d.reads, manifests)
	if err != nil {
		return nil, err
	}
	var lines []manifestLine
	for _, list := range entries {
		for _, e := range list {
			if e.Status() != iceberg.EntryStatusDELETED {
				lines = append(lines, manifestLine{iceberg.EntryStatusEXISTING, e})
			}
		}
	}
	return d.manifest(ctx, kindOf(manifests[0]), lines)
}

// readManifests reads manifests, several at a time; one at a time needs no goroutine.
func readManifests(ctx context.Context, store objstore.Store, reads int, manifests []iceberg.ManifestFile,
) ([][]iceberg.ManifestEntry, error) {
	entries := make([][]iceberg.ManifestEntry, len(manifests))
	read := func(ctx context.Context, i int) (err error) {
		entries[i], err = readManifest(ctx, store, manifests[i])
		return err
	}
	if reads == 1 {
		for i := range manifests {
			if err := read(ctx, i); err != nil {
				return nil, err
			}
		}
		return entries, nil
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(reads)
	for i := range manifests {
		group.Go(func() error { return read(groupCtx, i) })
	}
	return entries, group.Wait()
}

// readManifest returns the entries of a manifest, the deleted ones too.
func readManifest(ctx context.Context, store objstore.Store, m iceberg.ManifestFile,
) ([]iceberg.ManifestEntry, error) {
	data, err := readObject(ctx, store, m.FilePath(), manifestBytesMax)
	if err != nil {
		return nil, fmt.Errorf("read manifest %s: %w", m.FilePath(), err)
	}
	entries, err := iceberg.ReadManifest(m, bytes.NewReader(data), false)
	if err != nil {
		return nil, fmt.Errorf("read manifest %s: %w", m.FilePath(), err)
	}
	return entries, nil
}

// list writes the manifest list and returns it as a reader finds it, sequence numbers and row ids
// assigned, and the next free row id.
func (d *desk) list(ctx context.Context, parent *int64, sequence int64, manifests []iceberg.ManifestFile,
) (location string, written []iceberg.ManifestFile, nextRowID int64, err error) {
	var buf bytes.Buffer
	var w *iceberg.ManifestListWriter
	if d.meta.Version() == 2 {
		w, err = iceberg.NewManifestListWriterV2(&buf, d.snapshot, sequence, parent)
	} else {
		w, err = iceberg.NewManifestListWriterV3(&buf, d.snapshot, sequence, d.meta.NextRowID(), parent)
	}
	if err != nil {
		return "", nil, 0, fmt.Errorf("begin manifest list: %w", err)
	}
	if err := w.AddManifests(manifests); err != nil {
		return "", nil, 0, fmt.Errorf("encode manifest list: %w", err)
	}
	if err := w.Close(); err != nil {
		return "", nil, 0, fmt.Errorf("encode manifest list: %w", err)
	}
	if next := w.NextRowID(); next != nil {
		nextRowID = *next
	}
	if written, err = iceberg.ReadManifestList(bytes.NewReader(buf.Bytes())); err != nil {
		return "", nil, 0, fmt.Errorf("read manifest list back: %w", err)
	}
	if len(written) != len(manifests) {
		panic(fmt.Sprintf("BUG: wrote %d manifests to a list and read %d back", len(manifests), len(written)))
	}
	location = d.location("-list.avro")
	return location, written, nextRowID, d.put(ctx, location, buf.Bytes())
}

// discard removes what this attempt wrote. It is called only when the attempt can never land.
func (d *desk) discard(ctx context.Context) error {
	if len(d.wrote) == 0 {
		return nil
	}
	return d.store.Remove(ctx, d.wrote...)
}
