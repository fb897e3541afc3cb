package table_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/filter"
	"github.com/firthlake/firth/table/objstore"
)

// lake is a table that tests build by hand: files by pqarrow, manifests and metadata by
// iceberg-go, so that what reads it meets files that firth's own writer did not make.
type lake struct {
	t         testing.TB
	store     objstore.Store
	meta      icetable.Metadata
	manifests []iceberg.ManifestFile
	files     int
}

const lakeRoot = "mem://lake/db/events"

func newLake(
	t testing.TB, version string, schema *iceberg.Schema, spec iceberg.PartitionSpec,
) *lake {
	t.Helper()
	meta, err := icetable.NewMetadata(schema, &spec, icetable.UnsortedSortOrder, lakeRoot,
		iceberg.Properties{"format-version": version})
	require.NoError(t, err)
	return &lake{
		t: t, store: objstore.NewMemory(func() time.Time { return time.Unix(0, 0) }), meta: meta,
	}
}

func (l *lake) update(updates ...icetable.Update) {
	l.t.Helper()
	meta, err := icetable.UpdateTableMetadata(l.meta, updates, lakeRoot+"/metadata/old.json")
	require.NoError(l.t, err)
	l.meta = meta
}

// evolve makes schema the current one.
func (l *lake) evolve(schema *iceberg.Schema) {
	l.t.Helper()
	l.update(icetable.NewAddSchemaUpdate(schema), icetable.NewSetCurrentSchemaUpdate(-1))
}

func (l *lake) table() *table.Table {
	return table.New(table.Ident{"db", "events"}, l.meta, lakeRoot+"/metadata/new.json")
}

// parquet writes rows of JSON, one row group for each.
func (l *lake) parquet(schema *iceberg.Schema, groups ...string) iceberg.DataFile {
	l.t.Helper()
	arrowSchema, err := table.ArrowSchema(schema)
	require.NoError(l.t, err)
	return l.parquetOf(schema, arrowSchema, nil, groups...)
}

func (l *lake) parquetOf(
	schema *iceberg.Schema, form *arrow.Schema, partition map[int]any, groups ...string,
) iceberg.DataFile {
	l.t.Helper()
	content := iceberg.EntryContentData
	if schema == iceberg.PositionalDeleteSchema {
		content = iceberg.EntryContentPosDeletes
	}
	location := fmt.Sprintf("%s/data/%d.parquet", lakeRoot, l.files)
	l.files++
	var buf bytes.Buffer
	writer, err := pqarrow.NewFileWriter(form, &buf, parquet.NewWriterProperties(),
		pqarrow.NewArrowWriterProperties(pqarrow.WithStoreSchema()))
	require.NoError(l.t, err)
	for _, rows := range groups {
		batch, _, err := array.RecordFromJSON(memory.DefaultAllocator, form, strings.NewReader(rows))
		require.NoError(l.t, err)
		require.NoError(l.t, writer.Write(batch))
		batch.Release()
	}
	require.NoError(l.t, writer.Close())
	require.NoError(l.t, table.FileIO(l.t.Context(), l.store).WriteFile(location, buf.Bytes()))

	reader, err := file.NewParquetReader(bytes.NewReader(buf.Bytes()))
	require.NoError(l.t, err)
	made, err := icetable.DataFileFromMetadata(icetable.DataFileArgs{
		Schema: schema, Spec: l.meta.PartitionSpec(), Format: iceberg.ParquetFile,
		Metadata: reader.MetaData(), FilePath: location, FileSize: int64(buf.Len()),
		Content: content, PartitionValues: partition, FormatVersion: l.meta.Version(),
	})
	require.NoError(l.t, err)
	return made
}

// commit adds files in a snapshot of their own, a manifest for data and one for deletes.
func (l *lake) commit(files ...iceberg.DataFile) int64 {
	l.t.Helper()
	id, sequence := int64(100+len(l.meta.Snapshots())), l.meta.LastSequenceNumber()+1
	byContent := map[iceberg.ManifestContent][]iceberg.DataFile{}
	for _, f := range files {
		content := iceberg.ManifestContentData
		if f.ContentType() != iceberg.EntryContentData {
			content = iceberg.ManifestContentDeletes
		}
		byContent[content] = append(byContent[content], f)
	}
	for content, some := range byContent {
		l.manifests = append(l.manifests, l.manifest(id, content, some))
	}
	var list bytes.Buffer
	firstRow := int64(0)
	require.NoError(l.t, iceberg.WriteManifestList(l.meta.Version(), &list, id, nil, &sequence,
		firstRow, l.manifests))
	location := fmt.Sprintf("%s/metadata/snap-%d.avro", lakeRoot, id)
	require.NoError(l.t, table.FileIO(l.t.Context(), l.store).WriteFile(location, list.Bytes()))
	// Read back, they carry the numbers that the list has given them.
	read, err := iceberg.ReadManifestList(bytes.NewReader(list.Bytes()))
	require.NoError(l.t, err)
	l.manifests = read
	schema := l.meta.CurrentSchema().ID
	snapshot := icetable.Snapshot{
		SnapshotID: id, SequenceNumber: sequence, ManifestList: location, SchemaID: &schema,
		TimestampMs: l.meta.LastUpdatedMillis() + 1000*(id-99),
		Summary:     &icetable.Summary{Operation: icetable.OpAppend},
	}
	if parent := l.meta.CurrentSnapshot(); parent != nil {
		snapshot.ParentSnapshotID = &parent.SnapshotID
		snapshot.TimestampMs = parent.TimestampMs + 1000
	}
	if l.meta.Version() >= 3 {
		added := int64(1000)
		first := added * (id - 100)
		snapshot.FirstRowID, snapshot.AddedRows = &first, &added
	}
	l.update(icetable.NewAddSnapshotUpdate(&snapshot),
		icetable.NewSetSnapshotRefUpdate("main", id, icetable.BranchRef, 0, 0, 0))
	return id
}

func (l *lake) manifest(
	snapshot int64, content iceberg.ManifestContent, files []iceberg.DataFile,
) iceberg.ManifestFile {
	l.t.Helper()
	var buf bytes.Buffer
	writer, err := iceberg.NewManifestWriter(l.meta.Version(), &buf, l.meta.PartitionSpec(),
		l.meta.CurrentSchema(), snapshot, iceberg.WithManifestWriterContent(content))
	require.NoError(l.t, err)
	for _, f := range files {
		require.NoError(l.t, writer.Add(
			iceberg.NewManifestEntry(iceberg.EntryStatusADDED, &snapshot, nil, nil, f)))
	}
	require.NoError(l.t, writer.Close())
	location := fmt.Sprintf("%s/metadata/m-%d-%d.avro", lakeRoot, snapshot, len(l.manifests))
	require.NoError(l.t, table.FileIO(l.t.Context(), l.store).WriteFile(location, buf.Bytes()))
	made, err := writer.ToManifestFile(location, int64(buf.Len()))
	require.NoError(l.t, err)
	return made
}

// deletes writes a position delete file.
func (l *lake) deletes(rows string) iceberg.DataFile {
	l.t.Helper()
	return l.parquetOf(iceberg.PositionalDeleteSchema, icetable.PositionalDeleteArrowSchema, nil,
		rows)
}

// read returns the rows of a scan as JSON objects, in order, without nulls at the top.
func (l *lake) read(scan table.Scan) []string {
	l.t.Helper()
	rows, err := l.tryRead(scan)
	require.NoError(l.t, err)
	return rows
}

func (l *lake) tryRead(scan table.Scan) ([]string, error) {
	l.t.Helper()
	tasks, err := table.Plan(l.t.Context(), l.table(), l.store, scan)
	if err != nil {
		return nil, err
	}
	return l.readTasks(tasks)
}

func (l *lake) readTasks(tasks []table.Task) ([]string, error) {
	l.t.Helper()
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(l.t, 0)
	rows := []string{}
	for _, task := range tasks {
		want, err := table.ArrowSchema(task.Schema)
		require.NoError(l.t, err)
		opts := table.ReadOptions{Allocator: mem, BatchRows: 4}
		for batch, err := range table.ReadWith(l.t.Context(), l.store, task, opts) {
			if err != nil {
				return nil, err
			}
			require.True(l.t, batch.Schema().Equal(want))
			require.LessOrEqual(l.t, batch.NumRows(), int64(4))
			for i := range int(batch.NumRows()) {
				rows = append(rows, rowText(batch, i))
			}
		}
	}
	return rows, nil
}

func rowText(batch arrow.RecordBatch, i int) string {
	var cells []string
	for c, column := range batch.Columns() {
		if column.IsValid(i) {
			cells = append(cells, batch.ColumnName(c)+"="+column.ValueStr(i))
		}
	}
	return strings.Join(cells, " ")
}

func where(t testing.TB, text string) *filter.Expr {
	t.Helper()
	expr, err := filter.Parse(text)
	require.NoError(t, err)
	return expr
}

func optionalField(id int, name string, typ iceberg.Type) iceberg.NestedField {
	return iceberg.NestedField{ID: id, Name: name, Type: typ}
}

func TestScanFindsSnapshots(t *testing.T) {
	l := newLake(t, "2", eventsSchema(), *iceberg.UnpartitionedSpec)
	var ids []int64
	for i := range 3 {
		ids = append(ids, l.commit(l.parquet(l.meta.CurrentSchema(), fmt.Sprintf(`[{"id": %d}]`, i))))
	}
	l.update(icetable.NewSetSnapshotRefUpdate("v1", ids[0], icetable.TagRef, 0, 0, 0),
		icetable.NewSetSnapshotRefUpdate("dev", ids[1], icetable.BranchRef, 0, 0, 0))
	middle := l.meta.SnapshotByID(ids[1]).TimestampMs
	at := func(ms int64) table.Scan { return table.Scan{AsOf: timeAt(ms)} }
	for want, scans := range map[int][]table.Scan{
		1: {{Ref: "v1"}, {SnapshotID: ids[0]}, at(middle - 1)},
		2: {{Ref: "dev"}, {SnapshotID: ids[1]}, at(middle), at(middle + 1)},
		3: {{}, {Ref: "main"}, at(middle + 1000)},
	} {
		for _, scan := range scans {
			require.Len(t, l.read(scan), want, "%+v", scan)
		}
	}
	for _, scan := range []table.Scan{{Ref: "none"}, {SnapshotID: 5}, at(1)} {
		_, err := l.tryRead(scan)
		require.ErrorIs(t, err, table.ErrNotFound)
	}
	_, err := l.tryRead(table.Scan{Ref: "v1", SnapshotID: ids[0]})
	require.ErrorContains(t, err, "give one of")
}
