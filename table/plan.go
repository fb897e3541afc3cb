package table

import (
	"bytes"
	"context"
	"fmt"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"golang.org/x/sync/errgroup"

	"github.com/firthlake/firth/table/filter"
	"github.com/firthlake/firth/table/objstore"
)

// manifestsAtOnce is how many manifests are read at a time: enough to hide the latency of a store,
// and at 8 MiB a manifest little memory.
const manifestsAtOnce = 8

// Plan finds the data files that scan has to read, in the order of the manifests, each with the
// deletes that apply to it. Files that surely hold no row of the filter are left out.
func Plan(ctx context.Context, t *Table, store objstore.Store, scan Scan) ([]Task, error) {
	p := planner{meta: t.Metadata(), store: store, reads: manifestsAtOnce}
	tasks, err := p.plan(ctx, t, scan)
	if err != nil {
		return nil, fmt.Errorf("plan scan of %s: %w", t, err)
	}
	return tasks, nil
}

func (p *planner) plan(ctx context.Context, t *Table, scan Scan) ([]Task, error) {
	snapshot, schema, err := scan.Snapshot(t)
	if err != nil {
		return nil, err
	}
	if scan.Filter != nil {
		if p.prune, err = filter.Bind(scan.Filter, schema); err != nil {
			return nil, err
		}
	}
	if p.template, err = newTemplate(schema, scan, p.prune); err != nil {
		return nil, err
	}
	p.template.NameMapping = p.meta.NameMapping()
	if snapshot == nil {
		return nil, nil
	}
	manifests, err := readManifestList(ctx, p.store, snapshot)
	if err != nil {
		return nil, err
	}
	entries, err := p.readManifests(ctx, manifests)
	if err != nil {
		return nil, err
	}
	return p.pair(entries)
}

// newTemplate is the part that is the same in all tasks of the scan.
func newTemplate(schema *iceberg.Schema, scan Scan, prune *filter.Bound) (Task, error) {
	projected, err := project(schema, scan.Columns)
	if err != nil {
		return Task{}, err
	}
	template := Task{Schema: projected}
	if prune == nil {
		return template, nil
	}
	template.wide = withFilterColumns(schema, projected, prune)
	template.rows, err = filter.Bind(scan.Filter, template.wide)
	return template, err
}

type planner struct {
	meta     icetable.Metadata
	store    objstore.Store
	reads    int           // manifests at a time
	cache    *PlanCache    // nil when nothing is kept
	prune    *filter.Bound // nil without a filter
	template Task
}

func (p *planner) spec(id int32) (iceberg.PartitionSpec, error) {
	spec := p.meta.PartitionSpecByID(int(id))
	if spec == nil {
		return iceberg.PartitionSpec{}, fmt.Errorf("table has no partition spec %d", id)
	}
	return *spec, nil
}

// readManifests reads the manifests that can hold a match, several at a time, and returns their
// live entries in order.
func (p *planner) readManifests(
	ctx context.Context, manifests []iceberg.ManifestFile,
) ([]iceberg.ManifestEntry, error) {
	found := make([][]iceberg.ManifestEntry, len(manifests))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(p.reads)
	for i, manifest := range manifests {
		spec, err := p.spec(manifest.PartitionSpecID())
		if err != nil {
			return nil, fmt.Errorf("manifest %s: %w", manifest.FilePath(), err)
		}
		if p.prune != nil && !p.prune.MayMatchManifest(manifest, spec) {
			continue
		}
		read := func() error {
			entries, err := p.readManifest(ctx, manifest, spec)
			if err != nil {
				return err
			}
			for _, entry := range entries {
				// Delete files have metrics of their own columns, so only their partition
				// could tell; pairing does that.
				isData := entry.DataFile().ContentType() == iceberg.EntryContentData
				if p.prune == nil || !isData || p.prune.MayMatchFile(entry.DataFile(), spec) {
					found[i] = append(found[i], entry)
				}
			}
			return nil
		}
		if p.reads > 1 {
			group.Go(read)
		} else if err := read(); err != nil {
			return nil, err
		}
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var entries []iceberg.ManifestEntry
	for _, some := range found {
		entries = append(entries, some...)
	}
	return entries, nil
}

// readManifest reads the live entries of a manifest, or takes them from the cache.
func (p *planner) readManifest(
	ctx context.Context, manifest iceberg.ManifestFile, spec iceberg.PartitionSpec,
) ([]iceberg.ManifestEntry, error) {
	if p.cache == nil {
		return readManifest(ctx, p.store, manifest)
	}
	return p.cache.read(ctx, p.store, manifest, spec)
}

// pair makes tasks of the data files and finds the deletes of each.
func (p *planner) pair(entries []iceberg.ManifestEntry) ([]Task, error) {
	deletes := newDeleteIndex()
	for _, entry := range entries {
		if entry.DataFile().ContentType() != iceberg.EntryContentData {
			deletes.add(entry.DataFile(), entry.SequenceNum())
		}
	}
	var tasks []Task
	for _, entry := range entries {
		file := entry.DataFile()
		if file.ContentType() != iceberg.EntryContentData {
			continue
		}
		spec, err := p.spec(file.SpecID())
		if err != nil {
			return nil, fmt.Errorf("data file %s: %w", file.FilePath(), err)
		}
		task := p.template
		task.File, task.Spec = file, spec
		task.SnapshotID, task.SequenceNumber = entry.SnapshotID(), entry.SequenceNum()
		if number := entry.FileSequenceNum(); number != nil {
			task.FileSequenceNumber = *number
		}
		if task.Deletes, err = deletes.find(file, task.SequenceNumber); err != nil {
			return nil, err
		}
		task.EqualityDeletes, err = deletes.findEqual(p.meta, file, task.SequenceNumber)
		if err != nil {
			return nil, err
		}
		tasks = append(tasks, task)
	}
	return tasks, nil
}

func readManifestList(
	ctx context.Context, store objstore.Store, snapshot *icetable.Snapshot,
) ([]iceberg.ManifestFile, error) {
	if snapshot.ManifestList == "" {
		return nil, fmt.Errorf("snapshot %d has no manifest list", snapshot.SnapshotID)
	}
	content, err := readWhole(ctx, store, snapshot.ManifestList)
	if err != nil {
		return nil, fmt.Errorf("manifest list of snapshot %d: %w", snapshot.SnapshotID, err)
	}
	manifests, err := iceberg.ReadManifestList(bytes.NewReader(content))
	if err != nil {
		return nil, fmt.Errorf("manifest list %s: %w", snapshot.ManifestList, err)
	}
	return manifests, nil
}

// readManifest reads the live entries of a manifest, by one request.
func readManifest(
	ctx context.Context, store objstore.Store, manifest iceberg.ManifestFile,
) ([]iceberg.ManifestEntry, error) {
	content, err := readWhole(ctx, store, manifest.FilePath())
	if err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	entries, err := iceberg.ReadManifest(manifest, bytes.NewReader(content), true)
	if err != nil {
		return nil, fmt.Errorf("manifest %s: %w", manifest.FilePath(), err)
	}
	return entries, nil
}
