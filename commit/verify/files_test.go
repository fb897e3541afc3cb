package verify

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/commit/committest"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
	"github.com/firthlake/firth/table/vector"
)

var events = table.Ident{"db", "events"}

// world is a small table with real files, made by a committer, and others who change it.
type world struct {
	t         *testing.T
	catalog   *committest.Catalog
	store     *objstore.Memory
	committer *commit.Committer
	ids       func() uuid.UUID
	next      map[int32]commit.Offset
	changes   []commit.Change
	log       Log
}

func fields(placed bool) []iceberg.NestedField {
	out := []iceberg.NestedField{
		{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64},
		{ID: 2, Name: "name", Type: iceberg.PrimitiveTypes.String},
	}
	if placed {
		out = append(out, iceberg.NestedField{ID: 3, Name: "_kafka_topic", Type: iceberg.PrimitiveTypes.String},
			iceberg.NestedField{ID: 4, Name: "_kafka_partition", Type: iceberg.PrimitiveTypes.Int32},
			iceberg.NestedField{ID: 5, Name: "_kafka_offset", Type: iceberg.PrimitiveTypes.Int64})
	}
	return out
}

func letterFields() []iceberg.NestedField {
	return []iceberg.NestedField{
		{ID: 1, Name: "topic", Type: iceberg.PrimitiveTypes.String},
		{ID: 2, Name: "partition", Type: iceberg.PrimitiveTypes.Int32},
		{ID: 3, Name: "offset", Type: iceberg.PrimitiveTypes.Int64},
		{ID: 4, Name: "error_class", Type: iceberg.PrimitiveTypes.String},
	}
}

func emptyWorld(t *testing.T, placed bool) *world {
	w := &world{t: t, catalog: committest.NewCatalog(), store: objstore.NewMemory(time.Now),
		ids: committest.Options(99, "test").NewID, next: map[int32]commit.Offset{}}
	w.create(events, fields(placed))
	w.create(commit.DeadLettersIdent(events), letterFields())
	opts := committest.Options(1, "a")
	opts.SnapshotsKeep = 10
	var err error
	w.committer, err = commit.Open(t.Context(), w.catalog, w.store, events, opts)
	require.NoError(t, err)
	return w
}

// newWorld is a table of two partitions after four commits, 60 rows and 4 dead letters.
func newWorld(t *testing.T) *world {
	w := emptyWorld(t, true)
	for range 2 {
		w.commit(0, 10, 2)
		w.commit(1, 20, 0)
	}
	return w
}

func (w *world) create(ident table.Ident, columns []iceberg.NestedField) {
	meta, err := icetable.NewMetadata(iceberg.NewSchema(0, columns...), iceberg.UnpartitionedSpec,
		icetable.UnsortedSortOrder, "mem://lake/"+table.FormatIdent(ident),
		iceberg.Properties{"format-version": "2", "write.delete.mode": "merge-on-read"})
	require.NoError(w.t, err)
	require.NoError(w.t, w.catalog.Create(ident, meta))
}

func tp(partition int32) commit.TopicPartition {
	return commit.TopicPartition{Cluster: "c", Topic: "events", TopicID: uuid.UUID{1}, Partition: partition}
}

// rows are rows of a partition from an offset on; name is the value of all names.
func (w *world) rows(ident table.Ident, partition int32, from commit.Offset, n int, name string) arrow.RecordBatch {
	schema, err := table.ArrowSchema(w.load(ident).Metadata().CurrentSchema())
	require.NoError(w.t, err)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	for i := range n {
		for c, f := range schema.Fields() {
			switch f.Name {
			case "id":
				b.Field(c).(*array.Int64Builder).Append(int64(from) + int64(i))
			case "name", "error_class":
				b.Field(c).(*array.StringBuilder).Append(name)
			case "_kafka_topic", "topic":
				b.Field(c).(*array.StringBuilder).Append("events")
			case "_kafka_partition", "partition":
				b.Field(c).(*array.Int32Builder).Append(partition)
			default:
				b.Field(c).(*array.Int64Builder).Append(int64(from) + int64(i))
			}
		}
	}
	return b.NewRecordBatch()
}

func (w *world) write(ident table.Ident, change uuid.UUID, batch arrow.RecordBatch) []iceberg.DataFile {
	meta := w.load(ident).Metadata()
	writer, err := table.NewWriter(w.store, table.WriterOptions{Schema: meta.CurrentSchema(),
		Location: meta.Location(), ChangeID: change, SpillDir: w.t.TempDir()})
	require.NoError(w.t, err)
	require.NoError(w.t, writer.Write(w.t.Context(), batch))
	files, err := writer.Close(w.t.Context())
	require.NoError(w.t, err)
	return files
}

// commit publishes rows and then dead letters of a partition.
func (w *world) commit(partition int32, rows, letters int) {
	w.t.Helper()
	from := w.next[partition]
	change := commit.Change{ID: w.ids()}
	r := commit.Range{From: from, Next: from + commit.Offset(rows+letters),
		Counts: commit.Counts{Inserted: int64(rows), DeadLetters: int64(letters)}}
	if rows > 0 {
		batch := w.rows(events, partition, from, rows, "x")
		sum, err := table.Checksum(w.load(events).Metadata().CurrentSchema(), batch)
		require.NoError(w.t, err)
		r.Checksum = sum
		change.Files = w.write(events, change.ID, batch)
	}
	if letters > 0 {
		dead := commit.DeadLettersIdent(events)
		change.DeadLetters = w.write(dead, w.ids(), w.rows(dead, partition, from+commit.Offset(rows), letters, ""))
	}
	change.Ranges = map[commit.TopicPartition]commit.Range{tp(partition): r}
	_, err := w.committer.Commit(w.t.Context(), change)
	require.NoError(w.t, err)
	w.next[partition] = r.Next
	w.changes = append(w.changes, change)
}

func (w *world) load(ident table.Ident) *table.Table {
	t, err := w.catalog.LoadTable(w.t.Context(), ident)
	require.NoError(w.t, err)
	return t
}

// update changes the table's metadata as anybody may.
func (w *world) update(ident table.Ident, updates ...icetable.Update) {
	_, err := w.catalog.CommitTable(w.t.Context(), ident, nil, updates)
	require.NoError(w.t, err)
}

// others are another engine with its own library.
type others struct{ w *world }

func (o others) LoadTable(ctx context.Context, ident icetable.Identifier) (*icetable.Table, error) {
	t, err := o.w.catalog.LoadTable(ctx, ident)
	if err != nil {
		return nil, err
	}
	open := func(ctx context.Context) (iceio.IO, error) { return table.FileIO(ctx, o.w.store), nil }
	return icetable.New(ident, t.Metadata(), t.MetadataLocation(), open, o), nil
}

func (o others) CommitTable(ctx context.Context, ident icetable.Identifier, r []icetable.Requirement,
	u []icetable.Update,
) (icetable.Metadata, string, error) {
	t, err := o.w.catalog.CommitTable(ctx, ident, r, u)
	if err != nil {
		return nil, "", err
	}
	return t.Metadata(), t.MetadataLocation(), nil
}

// foreign lets another engine change a table.
func (w *world) foreign(ident table.Ident, change func(tx *icetable.Transaction) error) {
	w.t.Helper()
	t, err := others{w}.LoadTable(w.t.Context(), ident)
	require.NoError(w.t, err)
	tx := t.NewTransaction()
	require.NoError(w.t, change(tx))
	_, err = tx.Commit(w.t.Context())
	require.NoError(w.t, err)
}

func (w *world) foreignAppend(files ...iceberg.DataFile) {
	w.t.Helper()
	w.foreign(events, func(tx *icetable.Transaction) error {
		return tx.AddDataFiles(w.t.Context(), files, nil, icetable.WithoutDuplicateCheck(),
			icetable.WithoutAutoNameMapping())
	})
}

// file is the first data file of the n-th commit.
func (w *world) file(n int) string { return w.changes[n].Files[0].FilePath() }

// live are the data files of the head.
func (w *world) live() []iceberg.DataFile {
	t := w.load(events)
	var files []iceberg.DataFile
	for e, err := range table.Entries(w.t.Context(), t, w.store, t.Metadata().CurrentSnapshot().SnapshotID) {
		require.NoError(w.t, err)
		files = append(files, e.File)
	}
	return files
}

func (w *world) get(location string) []byte {
	body, err := w.store.Get(w.t.Context(), location, 0, -1)
	require.NoError(w.t, err)
	defer body.Close()
	content, err := io.ReadAll(body)
	require.NoError(w.t, err)
	return content
}

func (w *world) put(location string, content []byte) {
	_, err := w.store.Put(w.t.Context(), location, bytes.NewReader(content), int64(len(content)), objstore.PutOptions{})
	require.NoError(w.t, err)
}

func (w *world) remove(location string) {
	require.NoError(w.t, w.store.Remove(w.t.Context(), location))
}

func (w *world) check(deep bool) *Report {
	w.t.Helper()
	letters, err := w.catalog.LoadTable(w.t.Context(), commit.DeadLettersIdent(events))
	if err != nil {
		letters = nil
	}
	report, err := Check(w.t.Context(), w.load(events), w.store, Options{Deep: deep, DeadLetters: letters, Log: w.log})
	require.NoError(w.t, err)
	require.Equal(w.t, len(report.Faults) == 0, report.Proven)
	return report
}

// kinds are the kinds of fault in a report, each once, in order of name.
func kinds(r *Report) []string {
	var out []string
	for _, f := range r.Faults {
		out = append(out, string(f.Kind))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// of returns the first fault of a kind.
func (r *Report) of(kind Kind) Fault {
	for _, f := range r.Faults {
		if f.Kind == kind {
			return f
		}
	}
	return Fault{Text: fmt.Sprintf("no fault of kind %s", kind)}
}

func (w *world) snapshots() []icetable.Snapshot { return w.load(events).Metadata().Snapshots() }

// delete commits the removal of the rows at positions of a data file, of records of a partition.
func (w *world) delete(partition int32, of iceberg.DataFile, positions ...int64) {
	w.t.Helper()
	t := w.load(events)
	change := commit.Change{ID: w.ids(), Base: t.Metadata().CurrentSnapshot().SnapshotID}
	tasks, err := table.Plan(w.t.Context(), t, w.store, table.Scan{})
	require.NoError(w.t, err)
	target := vector.Target{File: of, Positions: positions}
	for _, task := range tasks {
		if task.File.FilePath() == of.FilePath() {
			target.Before = task.Deletes
		}
	}
	change.Deletes, err = vector.Write(w.t.Context(), w.store, vector.Options{Metadata: t.Metadata(),
		ChangeID: change.ID, Read: table.ReadDeletes}, []vector.Target{target})
	require.NoError(w.t, err)
	from := w.next[partition]
	w.next[partition] += commit.Offset(len(positions))
	change.Ranges = map[commit.TopicPartition]commit.Range{tp(partition): {From: from, Next: w.next[partition],
		Counts: commit.Counts{Deleted: int64(len(positions))}}}
	_, err = w.committer.Commit(w.t.Context(), change)
	require.NoError(w.t, err)
}

func TestRowsThatRecordsDeletedAreProvenGone(t *testing.T) {
	w := newWorld(t)
	files := w.live()
	w.delete(0, files[0], 1, 2)
	w.delete(0, files[0], 5)
	w.delete(0, files[1], 0)
	r := w.check(true)
	require.Empty(t, r.Faults)
	require.EqualValues(t, 4, r.Files.DeletedRows)
	require.EqualValues(t, 60, r.Files.Rows)
	require.Zero(t, r.RemovedByOthers)
	require.Contains(t, strings.Join(r.Notes, "\n"), "4 rows were updated or deleted by later records")

	// A rewrite leaves them out; then the other rows are held against the ledger as before.
	rewritten := w.rewrite(files[0])
	for _, deep := range []bool{false, true} {
		r = w.check(deep)
		require.Empty(t, r.Faults)
		require.EqualValues(t, 1, r.Files.DeletedRows)
		require.EqualValues(t, 57, r.Files.Rows)
		require.EqualValues(t, 3, r.Foreign.Compacted)
	}

	require.NoError(t, w.store.Remove(t.Context(), rewritten[0].FilePath()))
	require.Contains(t, kinds(w.check(true)), "missing_row")
}

// rewrite makes new files of some, as compaction does.
func (w *world) rewrite(files ...iceberg.DataFile) []iceberg.DataFile {
	w.t.Helper()
	meta := w.load(events).Metadata()
	change := commit.Change{ID: w.ids(), Removed: files, Base: meta.CurrentSnapshot().SnapshotID}
	tasks, err := table.Plan(w.t.Context(), w.load(events), w.store, table.Scan{})
	require.NoError(w.t, err)
	writer, err := table.NewWriter(w.store, table.WriterOptions{Schema: meta.CurrentSchema(),
		Location: meta.Location(), ChangeID: change.ID})
	require.NoError(w.t, err)
	for _, task := range tasks {
		if !slices.ContainsFunc(files, func(f iceberg.DataFile) bool {
			return f.FilePath() == task.File.FilePath()
		}) {
			continue
		}
		for batch, err := range table.Read(w.t.Context(), w.store, task) {
			require.NoError(w.t, err)
			require.NoError(w.t, writer.Write(w.t.Context(), batch))
		}
	}
	change.Files, err = writer.Close(w.t.Context())
	require.NoError(w.t, err)
	_, err = w.committer.Commit(w.t.Context(), change)
	require.NoError(w.t, err)
	return change.Files
}

func TestRowsOfOthersStayTheirsInOurRewrites(t *testing.T) {
	w := newWorld(t)
	w.theirs(7)
	w.commit(0, 2, 0) // which sees that
	files := w.live()
	w.delete(0, files[0], 0, 1)
	w.rewrite(files...)
	for _, deep := range []bool{false, true} {
		r := w.check(deep)
		require.Empty(t, r.Faults)
		require.Zero(t, r.Files.ForeignRows)
		require.EqualValues(t, 7, r.Foreign.AddedRecords)
	}

	// Records of ours that are not where they belong are no rows of others.
	from := w.next[0]
	change := commit.Change{ID: w.ids(), Ranges: map[commit.TopicPartition]commit.Range{
		tp(0): {From: from, Next: from + 1, Counts: commit.Counts{Inserted: 1}}}}
	change.Files = w.write(events, change.ID, w.rows(events, 0, from+1, 1, "x"))
	_, err := w.committer.Commit(t.Context(), change)
	require.NoError(t, err)
	require.Contains(t, kinds(w.check(true)), "rows")
}
