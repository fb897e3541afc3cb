package table

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/table/objstore"
)

// PlanCache plans scans of one table again and again: manifests of the scan before are not read anew. Of
// data files it keeps what reading them takes and the bounds of numbers and times, some 2 KB, but no other
// column statistics. The zero value is an empty cache; it belongs to one goroutine.
type PlanCache struct {
	// Reads is how many manifests are read at a time; 0 is 8, and 1 starts no goroutine.
	Reads int

	mu sync.Mutex // guards all below: Plan reads several manifests at a time
	// manifests are the live entries of manifests by location: before those of the last scan, now those
	// of this one.
	before, now map[string][]iceberg.ManifestEntry
}

// Plan is the function Plan for scans without a filter. Files of its tasks have few column statistics.
func (c *PlanCache) Plan(
	ctx context.Context, t *Table, store objstore.Store, scan Scan,
) ([]Task, error) {
	if scan.Filter != nil {
		return nil, errors.New("BUG: a PlanCache has no statistics to filter by")
	}
	c.now = map[string][]iceberg.ManifestEntry{}
	p := planner{meta: t.Metadata(), store: store, reads: c.Reads, cache: c}
	if p.reads <= 0 {
		p.reads = manifestsAtOnce
	}
	tasks, err := p.plan(ctx, t, scan)
	if err != nil {
		return nil, fmt.Errorf("plan scan of %s: %w", t, err)
	}
	c.before = c.now
	return tasks, nil
}

// Files is Plan by the locations of the data files, each of which must be in the snapshot once.
func (c *PlanCache) Files(
	ctx context.Context, t *Table, store objstore.Store, scan Scan,
) (map[string]*Task, error) {
	tasks, err := c.Plan(ctx, t, store, scan)
	if err != nil {
		return nil, err
	}
	files := make(map[string]*Task, len(tasks))
	for i := range tasks {
		files[tasks[i].File.FilePath()] = &tasks[i]
	}
	if len(files) < len(tasks) {
		return nil, fmt.Errorf("the snapshot lists %d data files more than once: see firth verify",
			len(tasks)-len(files))
	}
	return files, nil
}

// read returns the live entries of a manifest. It is called from several goroutines.
func (c *PlanCache) read(
	ctx context.Context, store objstore.Store, manifest iceberg.ManifestFile,
	spec iceberg.PartitionSpec,
) ([]iceberg.ManifestEntry, error) {
	c.mu.Lock()
	entries, known := c.before[manifest.FilePath()]
	c.mu.Unlock()
	if !known {
		read, err := readManifest(ctx, store, manifest)
		if err != nil {
			return nil, err
		}
		if entries, err = slimEntries(read, spec); err != nil {
			return nil, fmt.Errorf("manifest %s: %w", manifest.FilePath(), err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now[manifest.FilePath()] = entries
	return entries, nil
}

// boundBytes is how long a bound may be that is kept.
const boundBytes = 8

// slimEntries leaves out most column statistics of data files. Those of delete files tell what they are about.
func slimEntries(
	entries []iceberg.ManifestEntry, spec iceberg.PartitionSpec,
) ([]iceberg.ManifestEntry, error) {
	slim := make([]iceberg.ManifestEntry, len(entries))
	for i, entry := range entries {
		slim[i] = entry
		file := entry.DataFile()
		if file.ContentType() != iceberg.EntryContentData {
			continue
		}
		b, err := iceberg.NewDataFileBuilder(spec, file.ContentType(), file.FilePath(),
			file.FileFormat(), file.Partition(), nil, nil, file.Count(), file.FileSizeBytes())
		if err != nil {
			return nil, fmt.Errorf("data file %s: %w", file.FilePath(), err)
		}
		if id := file.FirstRowID(); id != nil {
			b.FirstRowID(*id)
		}
		b.LowerBoundValues(shortBounds(file.LowerBoundValues()))
		b.UpperBoundValues(shortBounds(file.UpperBoundValues()))
		snapshot, sequence := entry.SnapshotID(), entry.SequenceNum()
		slim[i] = iceberg.NewManifestEntry(entry.Status(), &snapshot, &sequence,
			entry.FileSequenceNum(), b.Build())
	}
	return slim, nil
}

func shortBounds(bounds map[int][]byte) map[int][]byte {
	short := make(map[int][]byte, len(bounds))
	for id, bound := range bounds {
		if len(bound) <= boundBytes {
			short[id] = bound
		}
	}
	return short
}
