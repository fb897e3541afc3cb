package keyed

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/keyindex"
	"github.com/firthlake/firth/table/objstore"
	"github.com/firthlake/firth/table/vector"
)

const lakeRoot = "mem://lake/items"

// row is a row of a lake's table.
type row struct {
	id     int64
	region string
	value  int64
}

// lakeEntry is a live file.
type lakeEntry struct {
	file               iceberg.DataFile
	sequence, snapshot int64
}

// lake is a table whose snapshots are made by hand: each has one manifest for each content and spec.
type lake struct {
	t     testing.TB
	store objstore.Store
	meta  icetable.Metadata
	live  []lakeEntry
	made  uint64
	chunk int // of catch-ups; 0 is the default
}

type lakeOptions struct {
	version     string
	partitioned bool
}

func lakeSchema(id iceberg.Type, more ...iceberg.NestedField) *iceberg.Schema {
	fields := append([]iceberg.NestedField{
		{ID: 1, Name: "id", Type: id, Required: true},
		{ID: 2, Name: "region", Type: iceberg.PrimitiveTypes.String},
		{ID: 3, Name: "value", Type: iceberg.PrimitiveTypes.Int64},
	}, more...)
	return iceberg.NewSchemaWithIdentifiers(0, []int{1}, fields...)
}

func newLake(t testing.TB, opts lakeOptions) *lake {
	t.Helper()
	spec := iceberg.UnpartitionedSpec
	if opts.partitioned {
		s := iceberg.NewPartitionSpec(iceberg.PartitionField{SourceIDs: []int{2}, FieldID: 1000,
			Name: "region", Transform: iceberg.IdentityTransform{}})
		spec = &s
	}
	meta, err := icetable.NewMetadata(lakeSchema(iceberg.PrimitiveTypes.Int32), spec,
		icetable.UnsortedSortOrder, lakeRoot, iceberg.Properties{"format-version": opts.version})
	require.NoError(t, err)
	return &lake{t: t, meta: meta,
		store: objstore.NewMemory(func() time.Time { return time.Unix(0, 0) })}
}

func (l *lake) ctx() context.Context { return l.t.Context() }

func (l *lake) table() *table.Table {
	return table.New(table.Ident{"db", "items"}, l.meta, lakeRoot+"/metadata/new.json")
}

// newID is an id for a change that no other has.
func (l *lake) newID() (id uuid.UUID) {
	l.made++
	binary.BigEndian.PutUint64(id[:], l.made)
	return id
}

func (l *lake) update(updates ...icetable.Update) {
	l.t.Helper()
	meta, err := icetable.UpdateTableMetadata(l.meta, updates, lakeRoot+"/metadata/old.json")
	require.NoError(l.t, err)
	l.meta = meta
}

// evolve makes the identifier a long and adds a column.
func (l *lake) evolve() {
	l.t.Helper()
	schema := lakeSchema(iceberg.PrimitiveTypes.Int64,
		iceberg.NestedField{ID: 4, Name: "note", Type: iceberg.PrimitiveTypes.String})
	l.update(icetable.NewAddSchemaUpdate(schema), icetable.NewSetCurrentSchemaUpdate(-1))
}

// write writes data files of rows, with the places that rows got in them by their order.
func (l *lake) write(change uuid.UUID, rows []row) ([]iceberg.DataFile, []string, []uint32) {
	l.t.Helper()
	paths, positions := make([]string, len(rows)), make([]uint32, len(rows))
	schema := l.meta.CurrentSchema()
	form, err := table.ArrowSchema(schema)
	require.NoError(l.t, err)
	w, err := table.NewWriter(l.store, table.WriterOptions{Schema: schema, Spec: l.meta.PartitionSpec(),
		Location: l.meta.Location(), ChangeID: change,
		Placed: func(file string, first int64, tags []int64) error {
			for i, tag := range tags {
				paths[tag], positions[tag] = file, uint32(first)+uint32(i)
			}
			return nil
		}})
	require.NoError(l.t, err)
	b := array.NewRecordBuilder(memory.DefaultAllocator, table.WithTags(form))
	defer b.Release()
	for i, r := range rows {
		switch ids := b.Field(0).(type) {
		case *array.Int32Builder:
			ids.Append(int32(r.id))
		case *array.Int64Builder:
			ids.Append(r.id)
		}
		b.Field(1).(*array.StringBuilder).Append(r.region)
		b.Field(2).(*array.Int64Builder).Append(r.value)
		for extra := 3; extra < form.NumFields(); extra++ {
			b.Field(extra).AppendNull()
		}
		b.Field(form.NumFields()).(*array.Int64Builder).Append(int64(i))
	}
	batch := b.NewRecordBatch()
	defer batch.Release()
	require.NoError(l.t, w.Write(l.ctx(), batch))
	files, err := w.Close(l.ctx())
	require.NoError(l.t, err)
	return files, paths, positions
}

// lakeChange is what a snapshot does.
type lakeChange struct {
	files, deletes []iceberg.DataFile
	removed        []string
	sequence       int64 // of files, when it is not that of the snapshot
}

// commit makes a snapshot; delete files of one data file take the place of those that it had.
func (l *lake) commit(c lakeChange) int64 {
	l.t.Helper()
	l.made++
	id, sequence := int64(1000+l.made), l.meta.LastSequenceNumber()+1
	replaced := map[string]bool{}
	for _, f := range c.deletes {
		if of := vector.DataFile(f); of != "" {
			replaced[of] = true
		}
	}
	live := slices.DeleteFunc(slices.Clone(l.live), func(e lakeEntry) bool {
		of := vector.DataFile(e.file)
		return replaced[of] || slices.Contains(c.removed, of) || slices.Contains(c.removed, e.file.FilePath())
	})
	for _, f := range c.files {
		e := lakeEntry{f, sequence, id}
		if c.sequence != 0 {
			e.sequence = c.sequence
		}
		live = append(live, e)
	}
	for _, f := range c.deletes {
		live = append(live, lakeEntry{f, sequence, id})
	}
	l.live = live
	l.snapshot(id, sequence)
	return id
}

// snapshot writes manifests of what is live.
func (l *lake) snapshot(id, sequence int64) {
	l.t.Helper()
	type kind struct {
		content iceberg.ManifestContent
		spec    int32
	}
	var kinds []kind
	entries := map[kind][]lakeEntry{}
	rows := int64(0)
	for _, e := range l.live {
		k := kind{iceberg.ManifestContentData, e.file.SpecID()}
		if e.file.ContentType() != iceberg.EntryContentData {
			k.content = iceberg.ManifestContentDeletes
		} else {
			rows += e.file.Count()
		}
		if entries[k] == nil {
			kinds = append(kinds, k)
		}
		entries[k] = append(entries[k], e)
	}
	var manifests []iceberg.ManifestFile
	for i, k := range kinds {
		manifests = append(manifests, l.manifest(fmt.Sprintf("m-%d-%d", id, i), id, k.content, entries[k]))
	}
	var list bytes.Buffer
	require.NoError(l.t, iceberg.WriteManifestList(l.meta.Version(), &list, id, nil, &sequence,
		l.meta.NextRowID(), manifests))
	location := fmt.Sprintf("%s/metadata/snap-%d.avro", lakeRoot, id)
	require.NoError(l.t, table.FileIO(l.ctx(), l.store).WriteFile(location, list.Bytes()))
	schema := l.meta.CurrentSchema().ID
	snapshot := icetable.Snapshot{
		SnapshotID: id, SequenceNumber: sequence, ManifestList: location, SchemaID: &schema,
		TimestampMs: l.meta.LastUpdatedMillis() + 1000,
		Summary:     &icetable.Summary{Operation: icetable.OpOverwrite},
	}
	if parent := l.meta.CurrentSnapshot(); parent != nil {
		snapshot.ParentSnapshotID = &parent.SnapshotID
	}
	if l.meta.Version() >= 3 {
		first, added := l.meta.NextRowID(), rows+1
		snapshot.FirstRowID, snapshot.AddedRows = &first, &added
	}
	l.update(icetable.NewAddSnapshotUpdate(&snapshot),
		icetable.NewSetSnapshotRefUpdate("main", id, icetable.BranchRef, 0, 0, 0))
}

func (l *lake) manifest(
	name string, snapshot int64, content iceberg.ManifestContent, entries []lakeEntry,
) iceberg.ManifestFile {
	l.t.Helper()
	var buf bytes.Buffer
	spec := l.meta.PartitionSpecByID(int(entries[0].file.SpecID()))
	writer, err := iceberg.NewManifestWriter(l.meta.Version(), &buf, *spec, l.meta.CurrentSchema(),
		snapshot, iceberg.WithManifestWriterContent(content))
	require.NoError(l.t, err)
	for _, e := range entries {
		require.NoError(l.t, writer.Existing(iceberg.NewManifestEntry(iceberg.EntryStatusEXISTING,
			&e.snapshot, &e.sequence, &e.sequence, e.file)))
	}
	require.NoError(l.t, writer.Close())
	location := lakeRoot + "/metadata/" + name + ".avro"
	require.NoError(l.t, table.FileIO(l.ctx(), l.store).WriteFile(location, buf.Bytes()))
	made, err := writer.ToManifestFile(location, int64(buf.Len()))
	require.NoError(l.t, err)
	return made
}

// expire forgets all snapshots but the newest.
func (l *lake) expire() {
	l.t.Helper()
	var old []int64
	for _, s := range l.meta.Snapshots() {
		if s.SnapshotID != l.meta.CurrentSnapshot().SnapshotID {
			old = append(old, s.SnapshotID)
		}
	}
	if len(old) > 0 {
		l.update(icetable.NewRemoveSnapshotsUpdate(old, false))
	}
}

// placedRow is a live row and where it is.
type placedRow struct {
	row
	path string
	pos  uint32
}

// read reads all live rows with table.Read, the one read path.
func (l *lake) read() []placedRow {
	l.t.Helper()
	tasks, err := table.Plan(l.ctx(), l.table(), l.store,
		table.Scan{Columns: []string{"id", "region", "value", table.ColumnPos}})
	require.NoError(l.t, err)
	var rows []placedRow
	for _, task := range tasks {
		for batch, err := range table.Read(l.ctx(), l.store, task) {
			require.NoError(l.t, err)
			for i := range int(batch.NumRows()) {
				r := placedRow{path: task.File.FilePath()}
				switch ids := batch.Column(0).(type) {
				case *array.Int32:
					r.id = int64(ids.Value(i))
				case *array.Int64:
					r.id = ids.Value(i)
				}
				r.region = batch.Column(1).(*array.String).Value(i)
				r.value = batch.Column(2).(*array.Int64).Value(i)
				r.pos = uint32(batch.Column(3).(*array.Int64).Value(i))
				rows = append(rows, r)
			}
		}
	}
	return rows
}

// keysOf are the keys of ids.
func (l *lake) keysOf(k *Keeper, ids []int64) []keyindex.Key {
	l.t.Helper()
	schema := lakeSchema(iceberg.PrimitiveTypes.Int64)
	form, err := table.ArrowSchema(schema)
	require.NoError(l.t, err)
	hasher, err := k.Index().Hasher(schema)
	require.NoError(l.t, err)
	b := array.NewRecordBuilder(memory.DefaultAllocator, form)
	defer b.Release()
	for _, id := range ids {
		b.Field(0).(*array.Int64Builder).Append(id)
		b.Field(1).AppendNull()
		b.Field(2).AppendNull()
	}
	batch := b.NewRecordBatch()
	defer batch.Release()
	keys, nulls, err := hasher.Keys(nil, batch)
	require.NoError(l.t, err)
	require.Empty(l.t, nulls)
	return keys
}

// checkIndex wants the index to have each live row of the table, or the keeper to have it as a double, and
// no row for keys that have none.
func (l *lake) checkIndex(k *Keeper, idsMax int64) {
	l.t.Helper()
	ids := make([]int64, idsMax)
	for i := range ids {
		ids[i] = int64(i)
	}
	places := make([]keyindex.Place, len(ids))
	require.NoError(l.t, k.Resolve(l.ctx(), l.keysOf(k, ids), places))
	doubles := map[string]int{}
	for _, e := range k.doubles {
		doubles[k.placeText(e.Place)]++
	}
	want := map[int64]bool{}
	for _, r := range l.read() {
		at := fmt.Sprintf("%s row %d", r.path, r.pos)
		if doubles[at] > 0 {
			require.Equal(l.t, 1, doubles[at])
			delete(doubles, at)
			require.NotEqual(l.t, at, k.placeText(places[r.id]))
			continue
		}
		require.Equal(l.t, at, k.placeText(places[r.id]), "id %d", r.id)
		want[r.id] = true
	}
	require.Empty(l.t, doubles, "doubles that are not live")
	for id, place := range places {
		require.Equal(l.t, want[int64(id)], place != keyindex.Place{}, "id %d", id)
	}
}

func testOptions(dir string, seed uint64) Options {
	random := rand.New(rand.NewPCG(seed, 3))
	return Options{Dir: dir, MemoryBytes: 1 << 20, Parallel: 2, Salt: random.Uint64}
}

func (l *lake) open(opts Options) *Keeper {
	l.t.Helper()
	k, err := Open(l.ctx(), l.store, l.table(), opts)
	require.NoError(l.t, err)
	k.chunk = cmp.Or(l.chunk, k.chunk)
	return k
}

// checkpoint is what ingest does: rows replace those of their ids, ids that are deleted lose theirs. between
// runs before the commit.
type checkpoint struct {
	rows    []row
	deleted []int64
	between func()
}

// run returns what Landed has to be told, without telling it.
func (l *lake) run(k *Keeper, c checkpoint) Landing {
	l.t.Helper()
	require.NoError(l.t, k.Follow(l.ctx(), l.table()))
	change := l.newID()
	files, paths, positions := l.write(change, c.rows)
	ids := slices.Clone(c.deleted)
	for _, r := range c.rows {
		ids = append(ids, r.id)
	}
	keys := l.keysOf(k, ids)
	places := make([]keyindex.Place, len(keys))
	require.NoError(l.t, k.Resolve(l.ctx(), keys, places))
	old := slices.DeleteFunc(places, func(p keyindex.Place) bool { return p == keyindex.Place{} })
	deletes, err := k.Deletes(l.ctx(), change, old)
	require.NoError(l.t, err)
	if c.between != nil {
		c.between()
	}
	landing := Landing{ChangeID: change, SnapshotID: l.commit(lakeChange{files: files, deletes: deletes})}
	landing.Deleted = keys[:len(c.deleted)]
	for i, key := range keys[len(c.deleted):] {
		place := keyindex.Place{File: k.Index().Number(paths[i]), Row: positions[i]}
		landing.Entries = append(landing.Entries, keyindex.Entry{Key: key, Place: place})
	}
	return landing
}
