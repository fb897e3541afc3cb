package live

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"golang.org/x/sync/errgroup"

	"github.com/firthlake/firth/catalog"
	"github.com/firthlake/firth/table/objstore"
)

// listBytesMax bounds the manifest list of a base: an entry takes about 200 bytes.
const listBytesMax = 64 << 20

// object is one that is still to be written.
type object struct {
	location string
	body     []byte
}

// make writes a version: v says of what. On an error, what was written is swept later.
func (o *overlay) make(ctx context.Context, c *Catalog, b committed, v version) (*version, error) {
	o.mu.Lock()
	number, stamp := o.number, o.stamp
	o.mu.Unlock()
	head := b.meta.SnapshotByName(icetable.MainBranch)
	if at := backdated(head); at > stamp {
		stamp = at
	}
	stamp++
	id := c.opts.NewID()
	d := draft{meta: b.meta, head: head, version: &v, prefix: o.folder + "firth-" + id.String(), stamp: stamp,
		snapshotID: int64(binary.BigEndian.Uint64(id[:]) & math.MaxInt64), sequence: b.meta.LastSequenceNumber() + 1,
		unseen: map[string]bool{}, manifestChunks: c.manifestChunks}
	if err := d.writeDeletes(ctx, c.opts.Store, id, o.last()); err != nil {
		return nil, err
	}
	objects, err := d.manifests(ctx, c.opts.Store, o)
	if err != nil {
		return nil, err
	}
	m := overlaid{draft: &d, id: o.id, pinned: o.pinned(v.asked)}
	snapshot := m.snapshot()
	own, err := json.Marshal(snapshot)
	if err != nil {
		return nil, err
	}
	metadata, err := m.json(b.loaded.Metadata, own)
	if err != nil {
		return nil, err
	}
	// There may be hundreds in a pin window, and who goes back to one has read its summary.
	snapshot.Summary.Properties = nil
	if v.snapshot, err = json.Marshal(snapshot); err != nil {
		return nil, err
	}
	location := fmt.Sprintf("%s%05d-%s.metadata.json", o.folder, number, id)
	objects = append(objects, object{location, metadata})
	if err := put(ctx, c.opts.Store, objects); err != nil {
		return nil, err
	}
	o.mu.Lock()
	o.number, o.stamp = number+1, stamp
	o.mu.Unlock()
	v.base, v.loaded = b.loaded.MetadataLocation, catalog.Loaded{MetadataLocation: location, Metadata: metadata}
	for _, each := range objects {
		v.files = append(v.files, each.location)
	}
	return &v, nil
}

// backdated is the least timestamp of a version, well before its base: DuckDB takes a snapshot for current
// only once its own clock is beyond it, and clocks differ.
func backdated(head *icetable.Snapshot) int64 {
	const hour = 3_600_000
	if head == nil {
		return 0
	}
	return max(0, head.TimestampMs-hour)
}

func put(ctx context.Context, store objstore.Store, objects []object) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, each := range objects {
		group.Go(func() error {
			_, err := store.Put(ctx, each.location, bytes.NewReader(each.body), int64(len(each.body)),
				objstore.PutOptions{})
			if err != nil {
				return fmt.Errorf("write %s: %w", each.location, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// draft is a version before it is written.
type draft struct {
	meta       icetable.Metadata
	head       *icetable.Snapshot // of the base; nil when it has none
	version    *version
	prefix     string // of the names of manifest and list
	snapshotID int64
	sequence   int64
	stamp      int64
	// manifestChunks are in a manifest of the tail at most.
	manifestChunks uint64

	list      string
	nextRowID int64
	// unseen are the files of the tail that are left out.
	unseen map[string]bool
	// tail are the files of the tail and their rows, deletes the delete files of the version and the rows that
	// these hide, replaced those of the base.
	tail, deletes, replaced total
}

type total struct{ files, rows int64 }

// tailSpecID is the partition spec that the tail's files are of: one without fields, which the table may have already.
func tailSpecID(meta icetable.Metadata) (id int, found bool) {
	next := 0
	for _, spec := range meta.PartitionSpecs() {
		if spec.NumFields() == 0 {
			return spec.ID(), true
		}
		next = max(next, spec.ID()+1)
	}
	return next, false
}

// manifests makes manifests of the tail and of its deletes, and the list of them and the base's.
func (d *draft) manifests(ctx context.Context, store objstore.Store, o *overlay) ([]object, error) {
	objects, manifests, err := d.tailManifests(o.last())
	if err != nil {
		return nil, err
	}
	var base []iceberg.ManifestFile
	if d.head != nil {
		if base, err = o.committedManifests(ctx, store, d.head.ManifestList); err != nil {
			return nil, err
		}
	}
	more, rest, err := d.deleteManifests(ctx, store, base, o)
	if err != nil {
		return nil, err
	}
	objects, manifests = append(objects, more...), append(manifests, rest...)
	body, err := d.encodeList(manifests)
	if err != nil {
		return nil, fmt.Errorf("encode manifest list: %w", err)
	}
	d.list = d.prefix + "-list.avro"
	return append(objects, object{d.list, body}), nil
}

func (d *draft) encodeList(manifests []iceberg.ManifestFile) ([]byte, error) {
	var buf bytes.Buffer
	var w *iceberg.ManifestListWriter
	var parent *int64
	if d.head != nil {
		parent = &d.head.SnapshotID
	}
	var err error
	if d.meta.Version() == 2 {
		w, err = iceberg.NewManifestListWriterV2(&buf, d.snapshotID, d.sequence, parent)
	} else {
		w, err = iceberg.NewManifestListWriterV3(&buf, d.snapshotID, d.sequence, d.meta.NextRowID(), parent)
	}
	if err != nil {
		return nil, err
	}
	if err := w.AddManifests(manifests); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	if next := w.NextRowID(); next != nil {
		d.nextRowID = *next
	}
	return buf.Bytes(), nil
}

func readList(ctx context.Context, store objstore.Store, location string) ([]iceberg.ManifestFile, error) {
	body, err := store.Get(ctx, location, 0, -1)
	if err != nil {
		return nil, fmt.Errorf("read manifest list: %w", err)
	}
	defer body.Close() // reading: the error of ReadAll says it all
	content, err := io.ReadAll(io.LimitReader(body, listBytesMax+1))
	if err == nil && len(content) > listBytesMax {
		err = fmt.Errorf("larger than %d bytes", listBytesMax)
	}
	if err != nil {
		return nil, fmt.Errorf("read manifest list %s: %w", location, err)
	}
	manifests, err := iceberg.ReadManifestList(bytes.NewReader(content))
	if err != nil {
		return nil, fmt.Errorf("read manifest list %s: %w", location, err)
	}
	return manifests, nil
}

// count adds n to a count in a summary, if the summary has it.
func count(summary iceberg.Properties, name string, n int64) {
	before, err := strconv.ParseInt(summary[name], 10, 64)
	if err != nil && summary[name] != "" {
		delete(summary, name)
		return
	}
	summary[name] = strconv.FormatInt(before+n, 10)
}
