package compaction

import (
	"bytes"
	"fmt"
	"strconv"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// deleteEqual deletes rows by their ids, as others do: by an equality delete file for all partitions.
func (g *ground) deleteEqual(t testing.TB, ids ...int64) {
	t.Helper()
	meta := g.table(t).Metadata()
	schema := iceberg.NewSchema(0, meta.CurrentSchema().Field(0))
	form, err := table.ArrowSchema(schema)
	require.NoError(t, err)
	b := array.NewRecordBuilder(memory.DefaultAllocator, form)
	defer b.Release()
	b.Field(0).(*array.Int64Builder).AppendValues(ids, nil)
	batch := b.NewRecordBatch()
	defer batch.Release()
	w, err := table.NewWriter(g.store, table.WriterOptions{Schema: schema, Location: lake, ChangeID: uuid.New()})
	require.NoError(t, err)
	require.NoError(t, w.Write(t.Context(), batch))
	files, err := w.Close(t.Context())
	require.NoError(t, err)
	file, err := iceberg.NewDataFileBuilder(*iceberg.UnpartitionedSpec, iceberg.EntryContentEqDeletes,
		files[0].FilePath(), iceberg.ParquetFile, nil, nil, nil, files[0].Count(), files[0].FileSizeBytes())
	require.NoError(t, err)
	g.foreign(t, file.EqualityFieldIDs([]int{1}).Build())
}

// foreign commits a delete file as others would.
func (g *ground) foreign(t testing.TB, file iceberg.DataFile) {
	t.Helper()
	tbl := g.table(t)
	meta := tbl.Metadata()
	head := meta.CurrentSnapshot()
	id, sequence := head.SnapshotID+1, meta.LastSequenceNumber()+1
	put := func(name string, body *bytes.Buffer) string {
		location := fmt.Sprintf("%s/metadata/foreign-%d-%s.avro", lake, id, name)
		_, err := g.store.Put(t.Context(), location, body, int64(body.Len()), objstore.PutOptions{})
		require.NoError(t, err)
		return location
	}
	var buf bytes.Buffer
	mw, err := iceberg.NewManifestWriter(meta.Version(), &buf, meta.PartitionSpec(), meta.CurrentSchema(), id,
		iceberg.WithManifestWriterContent(iceberg.ManifestContentDeletes))
	require.NoError(t, err)
	require.NoError(t, mw.Add(iceberg.NewManifestEntry(iceberg.EntryStatusADDED, &id, nil, nil, file)))
	require.NoError(t, mw.Close())
	size := int64(buf.Len())
	made, err := mw.ToManifestFile(put("m", &buf), size)
	require.NoError(t, err)
	files := table.FileIO(t.Context(), g.store)
	opened, err := files.Open(head.ManifestList)
	require.NoError(t, err)
	manifests, err := iceberg.ReadManifestList(opened)
	require.NoError(t, err)
	require.NoError(t, opened.Close())
	var list bytes.Buffer
	next := meta.NextRowID()
	require.NoError(t, iceberg.WriteManifestList(meta.Version(), &list, id, &head.SnapshotID, &sequence, next,
		append(manifests, made)))
	equal, _ := strconv.ParseInt(head.Summary.Properties["total-equality-deletes"], 10, 64)
	schemaID, added := meta.CurrentSchema().ID, int64(0)
	snapshot := &icetable.Snapshot{SnapshotID: id, ParentSnapshotID: &head.SnapshotID, SequenceNumber: sequence,
		TimestampMs: head.TimestampMs + 1, ManifestList: put("list", &list), SchemaID: &schemaID,
		Summary: &icetable.Summary{Operation: icetable.OpDelete, Properties: iceberg.Properties{
			"added-delete-files": "1", "total-equality-deletes": fmt.Sprint(file.Count() + equal)}}}
	if meta.Version() >= 3 {
		snapshot.FirstRowID, snapshot.AddedRows = &next, &added
	}
	_, err = g.catalog.CommitTable(t.Context(), ident, nil, []icetable.Update{
		icetable.NewAddSnapshotUpdate(snapshot),
		icetable.NewSetSnapshotRefUpdate(icetable.MainBranch, id, icetable.BranchRef, 0, 0, 0)})
	require.NoError(t, err)
	require.NoError(t, g.committer.Refresh(t.Context()))
}

// TestCompactorAppliesEqualityDeletesOfOthers has some before, some while and some after files are rewritten.
func TestCompactorAppliesEqualityDeletesOfOthers(t *testing.T) {
	for _, version := range []int{2, 3} {
		g := newGround(t, version, false)
		for range 3 {
			g.feed(t, 100, "eu")
		}
		g.deleteEqual(t, 5, 150, 1000)
		g.remove(t, 2)
		g.feed(t, 100, "us")
		g.deleteEqual(t, 6, 7)
		want := g.lines(t, "id")
		require.Len(t, want, 400-2-2-2)
		late := &interrupted{Committer: g.open(t, 7), before: func() {
			g.deleteEqual(t, 8, 9, 350)
			g.remove(t, 1)
		}}
		c, err := New(late, g.store, options())
		require.NoError(t, err)
		report, err := c.Run(t.Context())
		require.NoError(t, err)
		require.Equal(t, 1, report.Groups)
		require.Equal(t, 1, report.Rebased)
		require.Zero(t, report.Stale)
		want = g.lines(t, "id")
		require.Len(t, want, 394-3-2)
		tasks := g.tasks(t)
		require.Len(t, tasks, 1)
		require.Len(t, tasks[0].EqualityDeletes, 1, "the one that came while files were rewritten")

		require.Equal(t, 2, report.DeletesRemoved)
		report = g.compact(t, options())
		require.Equal(t, 1, report.Groups)
		require.Equal(t, 1, report.DeletesRemoved)
		summary := g.table(t).Metadata().CurrentSnapshot().Summary
		require.Equal(t, icetable.OpReplace, summary.Operation)
		require.Equal(t, "0", summary.Properties["total-equality-deletes"])
		require.Equal(t, "0", summary.Properties["total-delete-files"])
		tasks = g.tasks(t)
		require.Len(t, tasks, 1)
		require.Empty(t, tasks[0].EqualityDeletes)
		require.Equal(t, want, g.lines(t, "id"))
	}
}
