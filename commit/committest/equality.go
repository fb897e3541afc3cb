package committest

import (
	"bytes"
	"context"
	"fmt"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/google/uuid"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// EqualityDelete says which rows are deleted: those whose first column, a long, is one of IDs, of one partition.
type EqualityDelete struct {
	Partition map[int]any // by partition field
	IDs       []int64
}

// DeleteEqual commits an equality delete file, as some writers do and firth and its libraries do not.
func DeleteEqual(ctx context.Context, catalog commit.Catalog, store objstore.Store, ident table.Ident,
	what EqualityDelete,
) error {
	t, err := catalog.LoadTable(ctx, ident)
	if err != nil {
		return err
	}
	meta := t.Metadata()
	file, err := what.write(ctx, store, meta)
	if err != nil {
		return err
	}
	head := meta.CurrentSnapshot()
	id, sequence := head.SnapshotID+1, meta.LastSequenceNumber()+1
	put := func(name string, body *bytes.Buffer) (string, error) {
		location := fmt.Sprintf("%s/metadata/foreign-%d-%s.avro", meta.Location(), id, name)
		_, err := store.Put(ctx, location, body, int64(body.Len()), objstore.PutOptions{})
		return location, err
	}
	var entries, list bytes.Buffer
	w, err := iceberg.NewManifestWriter(meta.Version(), &entries, meta.PartitionSpec(), meta.CurrentSchema(), id,
		iceberg.WithManifestWriterContent(iceberg.ManifestContentDeletes))
	if err != nil {
		return err
	}
	if err := w.Add(iceberg.NewManifestEntry(iceberg.EntryStatusADDED, &id, nil, nil, file)); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	size := int64(entries.Len())
	location, err := put("m", &entries)
	if err != nil {
		return err
	}
	made, err := w.ToManifestFile(location, size)
	if err != nil {
		return err
	}
	manifests, err := head.Manifests(table.FileIO(ctx, store))
	if err != nil {
		return err
	}
	next, none, schemaID := meta.NextRowID(), int64(0), meta.CurrentSchema().ID
	if err := iceberg.WriteManifestList(meta.Version(), &list, id, &head.SnapshotID, &sequence, next,
		append(manifests, made)); err != nil {
		return err
	}
	before, _ := strconv.ParseInt(head.Summary.Properties["total-equality-deletes"], 10, 64) // none is 0
	snapshot := &icetable.Snapshot{SnapshotID: id, ParentSnapshotID: &head.SnapshotID, SequenceNumber: sequence,
		TimestampMs: head.TimestampMs + 1, SchemaID: &schemaID,
		Summary: &icetable.Summary{Operation: icetable.OpDelete, Properties: iceberg.Properties{
			"added-delete-files": "1", "total-equality-deletes": strconv.FormatInt(file.Count()+before, 10)}}}
	if snapshot.ManifestList, err = put("list", &list); err != nil {
		return err
	}
	if meta.Version() >= 3 {
		snapshot.FirstRowID, snapshot.AddedRows = &next, &none
	}
	_, err = catalog.CommitTable(ctx, ident, nil, []icetable.Update{icetable.NewAddSnapshotUpdate(snapshot),
		icetable.NewSetSnapshotRefUpdate(icetable.MainBranch, id, icetable.BranchRef, 0, 0, 0)})
	return err
}

// write writes the file.
func (e EqualityDelete) write(ctx context.Context, store objstore.Store, meta icetable.Metadata) (iceberg.DataFile,
	error,
) {
	schema := iceberg.NewSchema(0, meta.CurrentSchema().Field(0))
	fields, err := table.ArrowSchema(schema)
	if err != nil {
		return nil, err
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, fields)
	defer b.Release()
	b.Field(0).(*array.Int64Builder).AppendValues(e.IDs, nil)
	batch := b.NewRecordBatch()
	defer batch.Release()
	w, err := table.NewWriter(store, table.WriterOptions{Schema: schema, Location: meta.Location(),
		ChangeID: uuid.New()})
	if err != nil {
		return nil, err
	}
	if err := w.Write(ctx, batch); err != nil {
		return nil, err
	}
	files, err := w.Close(ctx)
	if err != nil {
		return nil, err
	}
	out, err := iceberg.NewDataFileBuilder(meta.PartitionSpec(), iceberg.EntryContentEqDeletes,
		files[0].FilePath(), iceberg.ParquetFile, e.Partition, nil, nil, files[0].Count(), files[0].FileSizeBytes())
	if err != nil {
		return nil, err
	}
	return out.EqualityFieldIDs([]int{schema.Field(0).ID}).Build(), nil
}
