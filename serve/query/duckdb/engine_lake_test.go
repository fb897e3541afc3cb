//go:build duckdb_arrow

package duckdb

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/serve/query"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/filter"
	"github.com/firthlake/firth/table/objstore"
	"github.com/firthlake/firth/table/vector"
)

// lake is tables that are built by hand, in a store in memory: files by pqarrow, manifests and metadata by iceberg-go.
type lake struct {
	t      testing.TB
	store  *objstore.Memory
	tables map[string]*lakeTable
	// held are rows of data files that are read from memory.
	held map[string][]arrow.RecordBatch
	// unseen are rows of data files that are hidden with no file that says so.
	unseen map[string]*roaring.Bitmap
}

// lakeTable is one of them.
type lakeTable struct {
	lake      *lake
	ident     table.Ident
	meta      icetable.Metadata
	manifests []iceberg.ManifestFile
	files     int
}

func newLake(t testing.TB) *lake {
	return &lake{t: t, store: objstore.NewMemory(func() time.Time { return time.Unix(0, 0) }),
		tables: map[string]*lakeTable{}, held: map[string][]arrow.RecordBatch{}, unseen: map[string]*roaring.Bitmap{}}
}

// engine is an engine over the lake, with plenty of everything but what change takes.
func (l *lake) engine(change ...func(*Options)) query.Engine {
	l.t.Helper()
	opts := Options{Dir: l.t.TempDir(), Objects: l.store, FileBytesMax: 1 << 30, SpillBytesMax: 1 << 30,
		MemoryMax: 512 << 20, StatementsMax: 2, Threads: 2, TimeMax: time.Minute}
	for _, each := range change {
		each(&opts)
	}
	e, err := Open(opts, l)
	require.NoError(l.t, err)
	l.t.Cleanup(func() { require.NoError(l.t, e.Close()) })
	return e
}

func (l *lake) Tables(context.Context) ([]table.Ident, error) {
	var out []table.Ident
	for _, each := range l.tables {
		out = append(out, each.ident)
	}
	return out, nil
}

func (l *lake) Open(ctx context.Context, ident table.Ident, at query.At) (query.View, error) {
	found := l.tables[table.FormatIdent(ident)]
	if found == nil {
		return nil, fmt.Errorf("table %s: %w", table.FormatIdent(ident), table.ErrNotFound)
	}
	scan := table.Scan{Ref: at.Ref, SnapshotID: at.SnapshotID, AsOf: at.Time}
	_, schema, err := scan.Snapshot(found.table())
	return &lakeView{found, scan, schema}, err
}

type lakeView struct {
	*lakeTable
	scan   table.Scan
	schema *iceberg.Schema
}

func (v *lakeView) Schema() *iceberg.Schema { return v.schema }
func (v *lakeView) Close()                  {}
func (v *lakeView) Tasks(ctx context.Context, where *filter.Expr) ([]table.Task, error) {
	scan := v.scan
	scan.Filter = where
	tasks, err := table.Plan(ctx, v.table(), v.lake.store, scan)
	for i, task := range tasks {
		tasks[i].Unseen = v.lake.unseen[task.File.FilePath()]
		if rows := v.lake.held[task.File.FilePath()]; rows != nil && len(task.Deletes) == 0 && tasks[i].Unseen == nil &&
			err == nil {
			tasks[i], err = table.PlanBatches(v.table(), v.scan, rows)
		}
	}
	return tasks, err
}

// hold keeps the rows of a data file in memory, as its table has them now.
func (l *lakeTable) hold(file iceberg.DataFile) {
	t := l.lake.t
	tasks, err := table.PlanFiles(l.table(), table.Scan{}, []iceberg.DataFile{file})
	require.NoError(t, err)
	for batch, err := range table.Read(t.Context(), l.lake.store, tasks[0]) {
		require.NoError(t, err)
		batch.Retain()
		l.lake.held[file.FilePath()] = append(l.lake.held[file.FilePath()], batch)
	}
}

func (l *lake) create(name string, version string, fields ...iceberg.NestedField) *lakeTable {
	l.t.Helper()
	ident, err := table.ParseIdent(name)
	require.NoError(l.t, err)
	meta, err := icetable.NewMetadata(iceberg.NewSchema(0, fields...), iceberg.UnpartitionedSpec,
		icetable.UnsortedSortOrder, "mem://lake/"+name, iceberg.Properties{"format-version": version})
	require.NoError(l.t, err)
	l.tables[name] = &lakeTable{lake: l, ident: ident, meta: meta}
	return l.tables[name]
}

func (l *lakeTable) table() *table.Table {
	return table.New(l.ident, l.meta, l.meta.Location()+"/metadata/new.json")
}

func (l *lakeTable) update(updates ...icetable.Update) {
	meta, err := icetable.UpdateTableMetadata(l.meta, updates, l.meta.Location()+"/metadata/old.json")
	require.NoError(l.lake.t, err)
	l.meta = meta
}

func (l *lakeTable) evolve(fields ...iceberg.NestedField) {
	l.update(icetable.NewAddSchemaUpdate(iceberg.NewSchema(0, fields...)), icetable.NewSetCurrentSchemaUpdate(-1))
}

// parquet writes rows of JSON as a file of the present schema.
func (l *lakeTable) parquet(rows string) iceberg.DataFile {
	form, err := table.ArrowSchema(l.meta.CurrentSchema())
	require.NoError(l.lake.t, err)
	return l.parquetOf(l.meta.CurrentSchema(), annotated(form, l.meta.CurrentSchema()), rows)
}

// annotated is form with uuid columns at the top as Parquet annotates them.
func annotated(form *arrow.Schema, schema *iceberg.Schema) *arrow.Schema {
	fields := slices.Clone(form.Fields())
	for i, field := range schema.Fields() {
		if field.Type.Equals(iceberg.PrimitiveTypes.UUID) {
			fields[i].Type = extensions.NewUUIDType()
		}
	}
	return arrow.NewSchema(fields, nil)
}

func (l *lakeTable) parquetOf(schema *iceberg.Schema, form *arrow.Schema, rows string) iceberg.DataFile {
	t := l.lake.t
	content := iceberg.EntryContentData
	if schema == iceberg.PositionalDeleteSchema {
		content = iceberg.EntryContentPosDeletes
	}
	location := fmt.Sprintf("%s/data/%d.parquet", l.meta.Location(), l.files)
	l.files++
	var buf bytes.Buffer
	writer, err := pqarrow.NewFileWriter(form, &buf, parquet.NewWriterProperties(parquet.WithMaxRowGroupLength(50)),
		pqarrow.NewArrowWriterProperties(pqarrow.WithStoreSchema()))
	require.NoError(t, err)
	batch, _, err := array.RecordFromJSON(memory.DefaultAllocator, form, strings.NewReader(rows))
	require.NoError(t, err, rows)
	require.NoError(t, writer.Write(batch))
	batch.Release()
	require.NoError(t, writer.Close())
	require.NoError(t, table.FileIO(t.Context(), l.lake.store).WriteFile(location, buf.Bytes()))
	reader, err := file.NewParquetReader(bytes.NewReader(buf.Bytes()))
	require.NoError(t, err)
	made, err := iceberg.NewDataFileBuilder(l.meta.PartitionSpec(), content, location, iceberg.ParquetFile, nil,
		nil, nil, reader.NumRows(), int64(buf.Len()))
	require.NoError(t, err)
	return made.Build()
}

// equality writes an equality delete file over one column of the present schema.
func (l *lakeTable) equality(column string, rows string) iceberg.DataFile {
	t := l.lake.t
	field, ok := l.meta.CurrentSchema().FindFieldByName(column)
	require.True(t, ok)
	schema := iceberg.NewSchema(0, field)
	form, err := table.ArrowSchema(schema)
	require.NoError(t, err)
	written := l.parquetOf(schema, form, rows)
	builder, err := iceberg.NewDataFileBuilder(l.meta.PartitionSpec(), iceberg.EntryContentEqDeletes,
		written.FilePath(), iceberg.ParquetFile, nil, nil, nil, written.Count(), written.FileSizeBytes())
	require.NoError(t, err)
	return builder.EqualityFieldIDs([]int{field.ID}).Build()
}

// deletes writes delete files of the table's format version for rows of data files.
func (l *lakeTable) deletes(targets ...vector.Target) []iceberg.DataFile {
	files, err := vector.Write(l.lake.t.Context(), l.lake.store, vector.Options{Metadata: l.meta, ChangeID: uuid.New(),
		Read: table.ReadDeletes}, targets)
	require.NoError(l.lake.t, err)
	return files
}

// commit adds files in a snapshot of their own.
func (l *lakeTable) commit(files ...iceberg.DataFile) int64 {
	t := l.lake.t
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
	require.NoError(t, iceberg.WriteManifestList(l.meta.Version(), &list, id, nil, &sequence, 0, l.manifests))
	location := fmt.Sprintf("%s/metadata/snap-%d.avro", l.meta.Location(), id)
	require.NoError(t, table.FileIO(t.Context(), l.lake.store).WriteFile(location, list.Bytes()))
	read, err := iceberg.ReadManifestList(bytes.NewReader(list.Bytes()))
	require.NoError(t, err)
	l.manifests = read
	schema := l.meta.CurrentSchema().ID
	snapshot := icetable.Snapshot{SnapshotID: id, SequenceNumber: sequence, ManifestList: location, SchemaID: &schema,
		TimestampMs: l.meta.LastUpdatedMillis() + 1000*(id-99),
		Summary:     &icetable.Summary{Operation: icetable.OpAppend}}
	if parent := l.meta.CurrentSnapshot(); parent != nil {
		snapshot.ParentSnapshotID, snapshot.TimestampMs = &parent.SnapshotID, parent.TimestampMs+1000
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

func (l *lakeTable) manifest(snapshot int64, content iceberg.ManifestContent, files []iceberg.DataFile,
) iceberg.ManifestFile {
	t := l.lake.t
	var buf bytes.Buffer
	writer, err := iceberg.NewManifestWriter(l.meta.Version(), &buf, l.meta.PartitionSpec(), l.meta.CurrentSchema(),
		snapshot, iceberg.WithManifestWriterContent(content))
	require.NoError(t, err)
	for _, f := range files {
		require.NoError(t, writer.Add(iceberg.NewManifestEntry(iceberg.EntryStatusADDED, &snapshot, nil, nil, f)))
	}
	require.NoError(t, writer.Close())
	location := fmt.Sprintf("%s/metadata/m-%d-%d.avro", l.meta.Location(), snapshot, len(l.manifests))
	require.NoError(t, table.FileIO(t.Context(), l.lake.store).WriteFile(location, buf.Bytes()))
	made, err := writer.ToManifestFile(location, int64(buf.Len()))
	require.NoError(t, err)
	return made
}

// read are the rows that table.Read gives, as texts in order.
func (l *lakeTable) read(scan table.Scan) []string {
	t := l.lake.t
	tasks, err := table.Plan(t.Context(), l.table(), l.lake.store, scan)
	require.NoError(t, err)
	rows := []string{}
	for _, task := range tasks {
		task.Unseen = l.lake.unseen[task.File.FilePath()]
		for batch, err := range table.Read(t.Context(), l.lake.store, task) {
			require.NoError(t, err)
			rows = append(rows, rowTexts(batch, task.Schema)...)
		}
	}
	slices.Sort(rows)
	return rows
}

// ask are the rows of a query, as texts in order.
func ask(ctx context.Context, e query.Engine, sql string) ([]string, error) {
	reader, err := e.Run(ctx, sql, nil)
	if err != nil {
		return nil, err
	}
	defer reader.Release()
	rows := []string{}
	for reader.Next() {
		rows = append(rows, rowTexts(reader.RecordBatch(), nil)...)
	}
	slices.Sort(rows)
	return rows, reader.Err()
}

// rowTexts writes rows so that both readers give the same texts for the same values; schema tells which bytes are
// uuids.
func rowTexts(batch arrow.RecordBatch, schema *iceberg.Schema) []string {
	rows := make([]string, batch.NumRows())
	for i := range rows {
		cells := make([]string, batch.NumCols())
		for c, column := range batch.Columns() {
			cells[c] = strings.Clone(valueText(column, i)) // which may lie in the batch
			if schema != nil && schema.Field(c).Type.Equals(iceberg.PrimitiveTypes.UUID) && column.IsValid(i) {
				cells[c] = uuid.UUID(column.(*array.FixedSizeBinary).Value(i)).String()
			}
		}
		rows[i] = strings.Join(cells, " | ")
	}
	return rows
}

func valueText(column arrow.Array, i int) string {
	if column.IsNull(i) {
		return "-"
	}
	switch c := column.(type) {
	case *array.Binary:
		return hex.EncodeToString(c.Value(i))
	case *array.FixedSizeBinary:
		return hex.EncodeToString(c.Value(i))
	case *array.Timestamp:
		return c.Value(i).ToTime(c.DataType().(*arrow.TimestampType).Unit).UTC().Format(time.RFC3339Nano)
	case *array.Struct:
		parts := make([]string, c.NumField())
		for f := range parts {
			parts[f] = valueText(c.Field(f), i)
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case *array.Map:
		from, to := c.ValueOffsets(i)
		var parts []string
		for at := int(from); at < int(to); at++ {
			parts = append(parts, valueText(c.Keys(), at)+": "+valueText(c.Items(), at))
		}
		return "<" + strings.Join(parts, ", ") + ">"
	case array.ListLike:
		from, to := c.ValueOffsets(i)
		var parts []string
		for at := int(from); at < int(to); at++ {
			parts = append(parts, valueText(c.ListValues(), at))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	return column.ValueStr(i)
}
