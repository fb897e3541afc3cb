package committest

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"

	"github.com/firthlake/firth/table/objstore"
)

// entriesOf reads manifests. Snapshots share most of theirs, and iceberg-go compiles the Avro schema of every
// one that it opens, so each is parsed once for what a list says of it; that it is there is looked at each time.
type entriesOf struct {
	store objstore.Store
	known map[listed][]iceberg.ManifestEntry
}

// listed is what entries take over from the line of a manifest in a list.
type listed struct {
	path               string
	content            iceberg.ManifestContent
	snapshot           int64
	sequence, firstRow int64
	firstRowIsSet      bool
}

func newEntriesOf(store objstore.Store) *entriesOf {
	return &entriesOf{store: store, known: map[listed][]iceberg.ManifestEntry{}}
}

// manifest returns the live entries of a manifest, which has the length that its list says.
func (o *entriesOf) manifest(ctx context.Context, m iceberg.ManifestFile) ([]iceberg.ManifestEntry, error) {
	object, err := o.store.Stat(ctx, m.FilePath())
	if err != nil {
		return nil, err
	}
	if object.Size != m.Length() {
		return nil, fmt.Errorf("manifest %s has %d bytes, its list says %d", m.FilePath(), object.Size, m.Length())
	}
	key := listed{path: m.FilePath(), content: m.ManifestContent(), snapshot: m.SnapshotID(),
		sequence: m.SequenceNum()}
	if first := m.FirstRowID(); first != nil {
		key.firstRow, key.firstRowIsSet = *first, true
	}
	if entries, ok := o.known[key]; ok {
		return entries, nil
	}
	data, err := read(ctx, o.store, m.FilePath())
	if err != nil {
		return nil, err
	}
	entries, err := iceberg.ReadManifest(m, bytes.NewReader(data), true)
	if err == nil {
		o.known[key] = entries
	}
	return entries, err
}

func readList(ctx context.Context, store objstore.Store, s *icetable.Snapshot) ([]iceberg.ManifestFile, error) {
	list, err := read(ctx, store, s.ManifestList)
	if err != nil {
		return nil, err
	}
	return iceberg.ReadManifestList(bytes.NewReader(list))
}

func read(ctx context.Context, store objstore.Store, location string) ([]byte, error) {
	body, err := store.Get(ctx, location, 0, -1)
	if err != nil {
		return nil, err
	}
	defer body.Close() // reading: ReadAll's error says it all
	return io.ReadAll(body)
}

// Files returns the data and delete files that the table's snapshots need.
func Files(ctx context.Context, store objstore.Store, meta icetable.Metadata) (map[string]bool, error) {
	needed, reader := map[string]bool{}, newEntriesOf(store)
	for _, s := range meta.Snapshots() {
		manifests, err := readList(ctx, store, &s)
		if err != nil {
			return nil, err
		}
		for _, m := range manifests {
			entries, err := reader.manifest(ctx, m)
			if err != nil {
				return nil, err
			}
			for _, e := range entries {
				needed[e.DataFile().FilePath()] = true
			}
		}
	}
	return needed, nil
}

// MetadataFiles returns the manifest lists, manifests and statistics that the table's snapshots need.
func MetadataFiles(ctx context.Context, store objstore.Store, meta icetable.Metadata) (map[string]bool, error) {
	needed := map[string]bool{}
	for _, s := range meta.Snapshots() {
		needed[s.ManifestList] = true
		manifests, err := readList(ctx, store, &s)
		if err != nil {
			return nil, err
		}
		for _, m := range manifests {
			needed[m.FilePath()] = true
		}
	}
	for s := range meta.Statistics() {
		needed[s.StatisticsPath] = true
	}
	return needed, nil
}
