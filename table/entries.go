package table

import (
	"context"
	"fmt"
	"iter"

	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/table/objstore"
)

// Entry is one live file of a snapshot, as its manifest tells it. Sequence numbers and the
// snapshot id that the manifest leaves out are filled in from the manifest list.
type Entry struct {
	// File is a data file or a delete file (ContentType).
	File iceberg.DataFile
	// Status says whether the file came with the snapshot of the manifest or was there before.
	Status iceberg.ManifestEntryStatus
	// SnapshotID is the snapshot that added the file.
	SnapshotID int64
	// SequenceNumber is the data sequence number, FileSequenceNumber that of the file.
	SequenceNumber, FileSequenceNumber int64
	// Manifest is the location of the manifest.
	Manifest string
}

// Entries yields the live entries of a snapshot, data and deletes, manifest by manifest. It holds
// one manifest in memory at a time and ends with the first error.
func Entries(
	ctx context.Context, t *Table, store objstore.Store, snapshotID int64,
) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		fail := func(err error) {
			yield(Entry{}, fmt.Errorf("entries of %s, snapshot %d: %w", t, snapshotID, err))
		}
		snapshot := t.Metadata().SnapshotByID(snapshotID)
		if snapshot == nil {
			fail(ErrNotFound)
			return
		}
		manifests, err := readManifestList(ctx, store, snapshot)
		if err != nil {
			fail(err)
			return
		}
		for _, manifest := range manifests {
			entries, err := readManifest(ctx, store, manifest)
			if err != nil {
				fail(err)
				return
			}
			for _, entry := range entries {
				if !yield(newEntry(manifest, entry), nil) {
					return
				}
			}
		}
	}
}

func newEntry(manifest iceberg.ManifestFile, entry iceberg.ManifestEntry) Entry {
	found := Entry{
		File: entry.DataFile(), Status: entry.Status(), SnapshotID: entry.SnapshotID(),
		SequenceNumber: entry.SequenceNum(), Manifest: manifest.FilePath(),
	}
	if number := entry.FileSequenceNum(); number != nil {
		found.FileSequenceNumber = *number
	}
	return found
}

// ManifestEntries are the live entries of one manifest as its list describes it.
func ManifestEntries(
	ctx context.Context, store objstore.Store, manifest iceberg.ManifestFile,
) ([]iceberg.ManifestEntry, error) {
	return readManifest(ctx, store, manifest)
}

// WithBounds returns a new manifest with the bounds of its partitions as a list must hold them. The
// library gives an empty text as a nil slice and writes that as no bound, which says that all values are
// null: readers with a condition on the column would leave out the whole manifest.
func WithBounds(m iceberg.ManifestFile) iceberg.ManifestFile {
	partitions, mended := m.Partitions(), false
	for _, p := range partitions {
		for _, bound := range []*[]byte{p.LowerBound, p.UpperBound} {
			if bound != nil && *bound == nil {
				*bound, mended = []byte{}, true
			}
		}
	}
	if !mended {
		return m
	}
	return iceberg.NewManifestFile(m.Version(), m.FilePath(), m.Length(), m.PartitionSpecID(), m.SnapshotID()).
		Content(m.ManifestContent()).SequenceNum(m.SequenceNum(), m.MinSequenceNum()).
		AddedFiles(m.AddedDataFiles()).AddedRows(m.AddedRows()).
		ExistingFiles(m.ExistingDataFiles()).ExistingRows(m.ExistingRows()).
		DeletedFiles(m.DeletedDataFiles()).DeletedRows(m.DeletedRows()).
		Partitions(partitions).Build()
}
