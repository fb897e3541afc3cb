package main

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// others does one thing that another engine may do to a table through the same catalog. It happens at
// once, between two operations of the firth processes. iceberg-go's transactions are not used: they
// draw ids and times of their own, and no run could be repeated.
func (w *world) others(ctx context.Context) error {
	f := w.feeds[w.rng.IntN(len(w.feeds))]
	t, err := w.healthy.LoadTable(ctx, f.ident)
	if err != nil {
		return err
	}
	w.foreigners++
	if f.keyed {
		return w.othersOfKeys(ctx, f, t)
	}
	if t.Metadata().CurrentSnapshot() == nil {
		return w.foreignAppend(ctx, f, t)
	}
	switch w.rng.IntN(8) {
	case 0, 1:
		return w.foreignAppend(ctx, f, t)
	case 2:
		return w.foreignDelete(ctx, f, t)
	case 3, 4:
		return w.foreignRewrite(ctx, f, t)
	case 5:
		return w.foreignExpire(ctx, f, t)
	}
	return w.foreignRef(ctx, f, t)
}

// foreignAppend adds rows that come from no topic.
func (w *world) foreignAppend(ctx context.Context, f *feed, t *table.Table) error {
	schema, err := table.ArrowSchema(t.Metadata().CurrentSchema())
	if err != nil {
		return err
	}
	rows := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer rows.Release()
	for range 1 + w.rng.IntN(5) {
		id := -1 - int64(w.rng.Uint64()>>1)
		f.foreign[id] = true
		for i, column := range rows.Fields() {
			if schema.Field(i).Name == "id" {
				column.(*array.Int64Builder).Append(id)
			} else {
				column.AppendNull()
			}
		}
	}
	batch := rows.NewRecordBatch()
	defer batch.Release()
	added, err := w.writeFiles(ctx, t, batch)
	if err != nil {
		return err
	}
	w.tracef("others append %d rows to %s", batch.NumRows(), t)
	return w.foreignCommit(ctx, t, foreignChange{operation: icetable.OpAppend, added: added})
}

// foreignDelete removes a whole file.
func (w *world) foreignDelete(ctx context.Context, f *feed, t *table.Table) error {
	task, err := w.anyFile(ctx, t)
	if err != nil || task == nil {
		return err
	}
	var removed []readRow
	if _, err := w.readTask(ctx, *task, &removed); err != nil {
		return err
	}
	for _, r := range removed {
		if r.foreign {
			delete(f.foreign, r.id)
		} else {
			f.removed[r.at] = true
		}
	}
	w.tracef("others delete %s", task.File.FilePath())
	return w.foreignCommit(ctx, t, foreignChange{operation: icetable.OpDelete, removed: []string{task.File.FilePath()}})
}

// foreignRewrite puts the rows of a file into others.
func (w *world) foreignRewrite(ctx context.Context, _ *feed, t *table.Table) error {
	task, err := w.anyFile(ctx, t)
	if err != nil || task == nil {
		return err
	}
	var rows []readRow
	batches, err := w.readTask(ctx, *task, &rows)
	defer release(batches)
	if err != nil {
		return err
	}
	added, err := w.writeFiles(ctx, t, batches...)
	if err != nil {
		return err
	}
	w.tracef("others rewrite %s", task.File.FilePath())
	return w.foreignCommit(ctx, t, foreignChange{operation: icetable.OpReplace, added: added,
		removed: []string{task.File.FilePath()}})
}

func release(batches []arrow.RecordBatch) {
	for _, b := range batches {
		b.Release()
	}
}

// foreignExpire takes all but the newest snapshots out of a table, with no regard for its ledger.
func (w *world) foreignExpire(ctx context.Context, _ *feed, t *table.Table) error {
	held := map[int64]bool{}
	for _, ref := range t.Metadata().Refs() {
		held[ref.SnapshotID] = true
	}
	snapshots := t.Metadata().Snapshots()
	snapshots = snapshots[:max(0, len(snapshots)-1-w.rng.IntN(4))]
	var gone []int64
	for _, s := range snapshots {
		if !held[s.SnapshotID] {
			gone = append(gone, s.SnapshotID)
		}
	}
	if len(gone) == 0 {
		return nil
	}
	w.tracef("others expire %d snapshots of %s", len(gone), t)
	_, err := w.healthy.CommitTable(ctx, t.Ident(), nil,
		[]icetable.Update{icetable.NewRemoveSnapshotsUpdate(gone, false)})
	return err
}

// foreignRef makes a tag or a branch on a snapshot, or removes one.
func (w *world) foreignRef(ctx context.Context, f *feed, t *table.Table) error {
	snapshots := t.Metadata().Snapshots()
	snapshot := snapshots[w.rng.IntN(len(snapshots))].SnapshotID
	name, kind := fmt.Sprintf("held-%d", w.foreigners), icetable.TagRef
	if w.rng.IntN(3) == 0 {
		kind = icetable.BranchRef
	}
	f.tags[name] = snapshot
	w.tracef("others hold snapshot %d of %s as %s", snapshot, t, name)
	_, err := w.healthy.CommitTable(ctx, t.Ident(), nil,
		[]icetable.Update{icetable.NewSetSnapshotRefUpdate(name, snapshot, kind, 0, 0, 0)})
	return err
}

// anyFile draws a data file of the head, nil when it has none.
func (w *world) anyFile(ctx context.Context, t *table.Table) (*table.Task, error) {
	tasks, err := table.Plan(ctx, t, w.objects, table.Scan{})
	if err != nil || len(tasks) == 0 {
		return nil, err
	}
	return &tasks[w.rng.IntN(len(tasks))], nil
}

func (w *world) writeFiles(ctx context.Context, t *table.Table, batches ...arrow.RecordBatch,
) ([]iceberg.DataFile, error) {
	meta := t.Metadata()
	writer, err := table.NewWriter(w.objects, table.WriterOptions{Schema: meta.CurrentSchema(),
		Spec: meta.PartitionSpec(), Location: meta.Location(), ChangeID: w.newID()})
	if err != nil {
		return nil, err
	}
	for _, b := range batches {
		if err := writer.Write(ctx, b); err != nil {
			return nil, err
		}
	}
	files, err := writer.Close(ctx)
	for i := range files {
		if files[i], err = w.disguise(ctx, meta, files[i]); err != nil {
			return nil, err
		}
	}
	return files, err
}

// disguise gives a file a name that is none of firth's.
func (w *world) disguise(ctx context.Context, meta icetable.Metadata, file iceberg.DataFile) (iceberg.DataFile, error) {
	location := fmt.Sprintf("%s/data/theirs-%s.parquet", meta.Location(), w.newID())
	body, err := w.objects.Get(ctx, file.FilePath(), 0, -1)
	if err != nil {
		return nil, err
	}
	defer body.Close() // memory
	if _, err := w.objects.Put(ctx, location, body, file.FileSizeBytes(), objstore.PutOptions{}); err != nil {
		return nil, err
	}
	b, err := iceberg.NewDataFileBuilder(meta.PartitionSpec(), iceberg.EntryContentData, location,
		iceberg.ParquetFile, file.Partition(), nil, nil, file.Count(), file.FileSizeBytes())
	if err != nil {
		return nil, err
	}
	return b.ValueCounts(file.ValueCounts()).NullValueCounts(file.NullValueCounts()).
		LowerBoundValues(file.LowerBoundValues()).UpperBoundValues(file.UpperBoundValues()).Build(), nil
}

// foreignChange is what others do in one snapshot.
type foreignChange struct {
	operation icetable.Operation
	// added are data files, deletes delete files, removed the names of files of both kinds that leave.
	added, deletes []iceberg.DataFile
	removed        []string
}

// foreignCommit lands one snapshot as engines make it: manifests for what is added, manifests that
// hold removed files written anew, the others taken over.
func (w *world) foreignCommit(ctx context.Context, t *table.Table, change foreignChange) error {
	meta := t.Metadata()
	c := foreignSnapshot{world: w, meta: meta, id: int64(w.rng.Uint64() >> 1), counts: map[string]int64{}}
	var manifests []iceberg.ManifestFile
	for _, spec := range meta.PartitionSpecs() {
		for _, files := range [][]iceberg.DataFile{change.added, change.deletes} {
			of := slices.DeleteFunc(slices.Clone(files),
				func(file iceberg.DataFile) bool { return int(file.SpecID()) != spec.ID() })
			if len(of) == 0 {
				continue
			}
			m, err := c.addition(ctx, spec, of)
			if err != nil {
				return err
			}
			manifests = append(manifests, m)
		}
	}
	kept, err := c.without(ctx, change.removed)
	if err != nil {
		return err
	}
	snapshot, err := c.list(ctx, change.operation, append(manifests, kept...))
	if err != nil {
		return err
	}
	_, err = w.healthy.CommitTable(ctx, t.Ident(), nil, []icetable.Update{
		icetable.NewAddSnapshotUpdate(snapshot),
		icetable.NewSetSnapshotRefUpdate(icetable.MainBranch, c.id, icetable.BranchRef, 0, 0, 0),
	})
	return err
}

// foreignSnapshot is a snapshot in the making.
type foreignSnapshot struct {
	world  *world
	meta   icetable.Metadata
	id     int64
	wrote  int
	counts map[string]int64
}

// count counts a file that comes or goes.
func (c *foreignSnapshot) count(comes bool, file iceberg.DataFile) {
	names := [2]string{"deleted-data-files", "deleted-records"}
	deletes := file.ContentType() != iceberg.EntryContentData
	switch {
	case comes && deletes:
		names = [2]string{"added-delete-files", "added-position-deletes"}
	case comes:
		names = [2]string{"added-data-files", "added-records"}
	case deletes:
		names = [2]string{"removed-delete-files", "removed-position-deletes"}
	}
	c.counts[names[0]]++
	if file.ContentType() != iceberg.EntryContentEqDeletes {
		c.counts[names[1]] += file.Count()
	}
}

// addition is a manifest of files of one kind that come.
func (c *foreignSnapshot) addition(ctx context.Context, spec iceberg.PartitionSpec, files []iceberg.DataFile,
) (iceberg.ManifestFile, error) {
	content := iceberg.ManifestContentData
	if files[0].ContentType() != iceberg.EntryContentData {
		content = iceberg.ManifestContentDeletes
	}
	return c.manifest(ctx, spec, content, func(out *iceberg.ManifestWriter) error {
		for _, file := range files {
			c.count(true, file)
			if err := out.Add(iceberg.NewManifestEntry(iceberg.EntryStatusADDED, &c.id, nil, nil, file)); err != nil {
				return err
			}
		}
		return nil
	})
}

func (c *foreignSnapshot) put(ctx context.Context, body []byte) (string, error) {
	location := fmt.Sprintf("%s/metadata/foreign-%d-%d.avro", c.meta.Location(), c.id, c.wrote)
	c.wrote++
	_, err := c.world.objects.Put(ctx, location, bytes.NewReader(body), int64(len(body)), objstore.PutOptions{})
	return location, err
}

func (c *foreignSnapshot) manifest(ctx context.Context, spec iceberg.PartitionSpec, content iceberg.ManifestContent,
	fill func(*iceberg.ManifestWriter) error) (iceberg.ManifestFile, error) {
	var buf bytes.Buffer
	out, err := iceberg.NewManifestWriter(c.meta.Version(), &buf, spec, c.meta.CurrentSchema(), c.id,
		iceberg.WithManifestWriterContent(content))
	if err != nil {
		return nil, err
	}
	if err := fill(out); err != nil {
		return nil, err
	}
	if err := out.Close(); err != nil {
		return nil, err
	}
	location, err := c.put(ctx, buf.Bytes())
	if err != nil {
		return nil, err
	}
	return out.ToManifestFile(location, int64(buf.Len()))
}

// without returns the head's manifests, those that hold removed files written anew.
func (c *foreignSnapshot) without(ctx context.Context, removed []string) ([]iceberg.ManifestFile, error) {
	parent := c.meta.CurrentSnapshot()
	if parent == nil {
		return nil, nil
	}
	files := table.FileIO(ctx, c.world.objects)
	manifests, err := parent.Manifests(files)
	if err != nil {
		return nil, err
	}
	for i, m := range manifests {
		var entries []iceberg.ManifestEntry
		holds := false
		for entry, err := range m.Entries(files, true) {
			if err != nil {
				return nil, err
			}
			entries = append(entries, entry)
			holds = holds || slices.Contains(removed, entry.DataFile().FilePath())
		}
		if !holds {
			continue
		}
		spec := c.meta.PartitionSpecByID(int(m.PartitionSpecID()))
		manifests[i], err = c.manifest(ctx, *spec, m.ManifestContent(), func(out *iceberg.ManifestWriter) error {
			return c.split(out, entries, removed)
		})
		if err != nil {
			return nil, err
		}
	}
	return manifests, nil
}

// split writes entries, those of removed files as deleted.
func (c *foreignSnapshot) split(out *iceberg.ManifestWriter, entries []iceberg.ManifestEntry, removed []string) error {
	for _, entry := range entries {
		keep := out.Existing
		if slices.Contains(removed, entry.DataFile().FilePath()) {
			keep = out.Delete
			c.count(false, entry.DataFile())
		}
		if err := keep(entry); err != nil {
			return err
		}
	}
	return nil
}

func (c *foreignSnapshot) list(
	ctx context.Context, operation icetable.Operation, manifests []iceberg.ManifestFile,
) (*icetable.Snapshot, error) {
	var parent *int64
	at := c.meta.LastUpdatedMillis() + 1
	if s := c.meta.CurrentSnapshot(); s != nil {
		parent, at = &s.SnapshotID, max(at, s.TimestampMs+1)
	}
	sequence, firstRow := c.meta.LastSequenceNumber()+1, c.meta.NextRowID()
	var buf bytes.Buffer
	err := iceberg.WriteManifestList(c.meta.Version(), &buf, c.id, parent, &sequence, firstRow, manifests)
	if err != nil {
		return nil, err
	}
	location, err := c.put(ctx, buf.Bytes())
	if err != nil {
		return nil, err
	}
	properties := iceberg.Properties{}
	for name, n := range c.counts {
		properties[name] = strconv.FormatInt(n, 10)
	}
	schemaID := c.meta.CurrentSchema().ID
	snapshot := &icetable.Snapshot{SnapshotID: c.id, ParentSnapshotID: parent, SequenceNumber: sequence,
		TimestampMs: at, ManifestList: location, SchemaID: &schemaID,
		Summary: &icetable.Summary{Operation: operation, Properties: properties}}
	if c.meta.Version() == 3 {
		rows := int64(0)
		for _, m := range manifests {
			if m.FirstRowID() == nil && m.ManifestContent() == iceberg.ManifestContentData {
				rows += m.AddedRows() + m.ExistingRows()
			}
		}
		snapshot.FirstRowID, snapshot.AddedRows = &firstRow, &rows
	}
	return snapshot, nil
}
