package changelog

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

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/commit/committest"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/changes"
	"github.com/firthlake/firth/table/objstore"
	"github.com/firthlake/firth/table/vector"
)

const sourceRoot = "mem://lake/items"

// item is a row of the source.
type item struct {
	id     int64
	region string
	value  int64
	note   string
}

// storedFile is a live data file of the source.
type storedFile struct {
	file               iceberg.DataFile
	sequence, snapshot int64
	items              []item
	dead               map[int]bool
	deletes            iceberg.DataFile // nil without
	deletesSequence    int64
}

// live are the positions of rows that are live.
func (f *storedFile) live() (out []int) {
	for i := range f.items {
		if !f.dead[i] {
			out = append(out, i)
		}
	}
	return out
}

// source is a keyed table whose snapshots are made by hand, by whomever: it stands for a committer.
type source struct {
	t     testing.TB
	store objstore.Store
	meta  icetable.Metadata
	files []*storedFile
	// equality are equality deletes of others.
	equality []storedFile
	made     uint64
	// held is what the table holds at each snapshot, by sequence number.
	held map[int64][]item
	// moved are snapshots that only move rows.
	moved map[int64]bool
}

func sourceSchema(id iceberg.Type, more ...iceberg.NestedField) *iceberg.Schema {
	return iceberg.NewSchemaWithIdentifiers(0, []int{1}, append([]iceberg.NestedField{
		{ID: 1, Name: "id", Type: id, Required: true},
		{ID: 2, Name: "region", Type: iceberg.PrimitiveTypes.String},
		{ID: 3, Name: "value", Type: iceberg.PrimitiveTypes.Int64},
	}, more...)...)
}

func newSource(t testing.TB, version string, partitioned bool) *source {
	t.Helper()
	spec := iceberg.UnpartitionedSpec
	if partitioned {
		s := iceberg.NewPartitionSpec(iceberg.PartitionField{SourceIDs: []int{2}, FieldID: 1000,
			Name: "region", Transform: iceberg.IdentityTransform{}})
		spec = &s
	}
	meta, err := icetable.NewMetadata(sourceSchema(iceberg.PrimitiveTypes.Int32), spec,
		icetable.UnsortedSortOrder, sourceRoot, iceberg.Properties{"format-version": version})
	require.NoError(t, err)
	return &source{t: t, meta: meta, held: map[int64][]item{}, moved: map[int64]bool{},
		store: objstore.NewMemory(func() time.Time { return time.Unix(0, 0) })}
}

func (s *source) ctx() context.Context { return s.t.Context() }

// Table implements Source.
func (s *source) Table() *table.Table {
	return table.New(table.Ident{"db", "items"}, s.meta, fmt.Sprint(sourceRoot, "/metadata/", s.made, ".json"))
}

// Refresh implements Source.
func (s *source) Refresh(context.Context) error { return nil }

func (s *source) newID() (id uuid.UUID) {
	s.made++
	binary.BigEndian.PutUint64(id[:], s.made)
	return id
}

func (s *source) update(updates ...icetable.Update) {
	s.t.Helper()
	meta, err := icetable.UpdateTableMetadata(s.meta, updates, sourceRoot+"/metadata/old.json")
	require.NoError(s.t, err)
	s.meta = meta
	s.made++
}

// evolve widens the identifier, gives the value another name and adds a column.
func (s *source) evolve() {
	s.t.Helper()
	schema := iceberg.NewSchemaWithIdentifiers(0, []int{1},
		iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64, Required: true},
		iceberg.NestedField{ID: 2, Name: "region", Type: iceberg.PrimitiveTypes.String},
		iceberg.NestedField{ID: 3, Name: "amount", Type: iceberg.PrimitiveTypes.Int64},
		iceberg.NestedField{ID: 4, Name: "note", Type: iceberg.PrimitiveTypes.String})
	s.update(icetable.NewAddSchemaUpdate(schema), icetable.NewSetCurrentSchemaUpdate(-1))
}

// write writes files of items.
func (s *source) write(items []item) []*storedFile {
	s.t.Helper()
	if len(items) == 0 {
		return nil
	}
	schema := s.meta.CurrentSchema()
	form, err := table.ArrowSchema(schema)
	require.NoError(s.t, err)
	files := map[string]*storedFile{}
	w, err := table.NewWriter(s.store, table.WriterOptions{Schema: schema, Spec: s.meta.PartitionSpec(),
		Location: s.meta.Location(), ChangeID: s.newID(),
		Placed: func(file string, _ int64, tags []int64) error {
			if files[file] == nil {
				files[file] = &storedFile{dead: map[int]bool{}}
			}
			for _, tag := range tags {
				files[file].items = append(files[file].items, items[tag])
			}
			return nil
		}})
	require.NoError(s.t, err)
	b := array.NewRecordBuilder(memory.DefaultAllocator, table.WithTags(form))
	defer b.Release()
	for i, it := range items {
		switch ids := b.Field(0).(type) {
		case *array.Int32Builder:
			ids.Append(int32(it.id))
		case *array.Int64Builder:
			ids.Append(it.id)
		}
		b.Field(1).(*array.StringBuilder).Append(it.region)
		b.Field(2).(*array.Int64Builder).Append(it.value)
		if form.NumFields() > 3 {
			if notes := b.Field(3).(*array.StringBuilder); it.note == "" {
				notes.AppendNull()
			} else {
				notes.Append(it.note)
			}
		}
		b.Field(form.NumFields()).(*array.Int64Builder).Append(int64(i))
	}
	batch := b.NewRecordBatch()
	defer batch.Release()
	require.NoError(s.t, w.Write(s.ctx(), batch))
	described, err := w.Close(s.ctx())
	require.NoError(s.t, err)
	var out []*storedFile
	for _, d := range described {
		files[d.FilePath()].file = d
		out = append(out, files[d.FilePath()])
	}
	return out
}

// step is what a snapshot does.
type step struct {
	operation icetable.Operation
	add       []item
	// remove are positions to delete by file, leave files that leave.
	remove map[*storedFile][]int
	leave  []*storedFile
}

// commit makes a snapshot.
func (s *source) commit(st step) {
	s.t.Helper()
	added := s.write(st.add)
	s.made++
	id, sequence := int64(1000+s.made), s.meta.LastSequenceNumber()+1
	var targets []vector.Target
	var of []*storedFile
	for _, f := range s.files {
		if len(st.remove[f]) == 0 || slices.Contains(st.leave, f) {
			continue
		}
		target := vector.Target{File: f.file}
		for _, at := range st.remove[f] {
			target.Positions = append(target.Positions, int64(at))
			f.dead[at] = true
		}
		slices.Sort(target.Positions)
		if f.deletes != nil {
			target.Before = []iceberg.DataFile{f.deletes}
		}
		targets, of = append(targets, target), append(of, f)
	}
	deletes, err := vector.Write(s.ctx(), s.store,
		vector.Options{Metadata: s.meta, ChangeID: s.newID(), Read: table.ReadDeletes}, targets)
	require.NoError(s.t, err)
	for i, f := range of {
		f.deletes, f.deletesSequence = deletes[i], sequence
	}
	s.files = slices.DeleteFunc(s.files, func(f *storedFile) bool { return slices.Contains(st.leave, f) })
	for _, f := range added {
		f.sequence, f.snapshot = sequence, id
		s.files = append(s.files, f)
	}
	if st.operation == "" {
		st.operation = icetable.OpOverwrite
	}
	s.snapshot(id, sequence, st.operation)
}

// deleteEqual writes an equality delete of an id, as others do.
func (s *source) deleteEqual(id int64) {
	s.t.Helper()
	field := s.meta.CurrentSchema().Fields()[0]
	schema := iceberg.NewSchema(0, field)
	form, err := table.ArrowSchema(schema)
	require.NoError(s.t, err)
	w, err := table.NewWriter(s.store, table.WriterOptions{Schema: schema, Location: s.meta.Location(),
		ChangeID: s.newID()})
	require.NoError(s.t, err)
	b := array.NewRecordBuilder(memory.DefaultAllocator, form)
	defer b.Release()
	switch ids := b.Field(0).(type) {
	case *array.Int32Builder:
		ids.Append(int32(id))
	case *array.Int64Builder:
		ids.Append(id)
	}
	batch := b.NewRecordBatch()
	defer batch.Release()
	require.NoError(s.t, w.Write(s.ctx(), batch))
	described, err := w.Close(s.ctx())
	require.NoError(s.t, err)
	eq, err := iceberg.NewDataFileBuilder(*iceberg.UnpartitionedSpec, iceberg.EntryContentEqDeletes,
		described[0].FilePath(), iceberg.ParquetFile, nil, nil, nil, 1, described[0].FileSizeBytes())
	require.NoError(s.t, err)
	for _, f := range s.files {
		for i, it := range f.items {
			if it.id == id {
				f.dead[i] = true
			}
		}
	}
	s.made++
	at, sequence := int64(1000+s.made), s.meta.LastSequenceNumber()+1
	s.equality = append(s.equality, storedFile{file: eq.EqualityFieldIDs([]int{1}).Build(), sequence: sequence,
		snapshot: at})
	s.snapshot(at, sequence, icetable.OpDelete)
}

// snapshot writes manifests of what is live and notes what the table holds.
func (s *source) snapshot(id, sequence int64, operation icetable.Operation) {
	s.t.Helper()
	var data, deletes []storedFile
	rows := int64(0)
	for _, f := range s.files {
		data = append(data, *f)
		rows += f.file.Count()
		if f.deletes != nil {
			deletes = append(deletes, storedFile{file: f.deletes, sequence: f.deletesSequence, snapshot: id})
		}
	}
	deletes = append(deletes, s.equality...)
	var manifests []iceberg.ManifestFile
	for _, spec := range s.meta.PartitionSpecs() {
		for _, kind := range []struct {
			content iceberg.ManifestContent
			entries []storedFile
		}{{iceberg.ManifestContentData, data}, {iceberg.ManifestContentDeletes, deletes}} {
			of := slices.DeleteFunc(slices.Clone(kind.entries),
				func(f storedFile) bool { return int(f.file.SpecID()) != spec.ID() })
			if len(of) > 0 {
				manifests = append(manifests, s.manifest(id, kind.content, spec, of))
			}
		}
	}
	var list bytes.Buffer
	require.NoError(s.t, iceberg.WriteManifestList(s.meta.Version(), &list, id, nil, &sequence,
		s.meta.NextRowID(), manifests))
	location := fmt.Sprintf("%s/metadata/snap-%d.avro", sourceRoot, id)
	require.NoError(s.t, table.FileIO(s.ctx(), s.store).WriteFile(location, list.Bytes()))
	schema := s.meta.CurrentSchema().ID
	snapshot := icetable.Snapshot{SnapshotID: id, SequenceNumber: sequence, ManifestList: location,
		SchemaID: &schema, TimestampMs: s.meta.LastUpdatedMillis() + 1000,
		Summary: &icetable.Summary{Operation: operation}}
	if parent := s.meta.CurrentSnapshot(); parent != nil {
		snapshot.ParentSnapshotID = &parent.SnapshotID
	}
	if s.meta.Version() >= 3 {
		first, added := s.meta.NextRowID(), rows+1
		snapshot.FirstRowID, snapshot.AddedRows = &first, &added
	}
	s.update(icetable.NewAddSnapshotUpdate(&snapshot),
		icetable.NewSetSnapshotRefUpdate("main", id, icetable.BranchRef, 0, 0, 0))
	var held []item
	for _, f := range s.files {
		for _, at := range f.live() {
			held = append(held, f.items[at])
		}
	}
	slices.SortFunc(held, compareItems)
	s.held[sequence], s.moved[sequence] = held, operation == icetable.OpReplace
}

func compareItems(a, b item) int {
	return cmp.Or(cmp.Compare(a.id, b.id), cmp.Compare(a.region, b.region), cmp.Compare(a.value, b.value),
		cmp.Compare(a.note, b.note))
}

func (s *source) manifest(
	snapshot int64, content iceberg.ManifestContent, spec iceberg.PartitionSpec, entries []storedFile,
) iceberg.ManifestFile {
	s.t.Helper()
	var buf bytes.Buffer
	writer, err := iceberg.NewManifestWriter(s.meta.Version(), &buf, spec, s.meta.CurrentSchema(), snapshot,
		iceberg.WithManifestWriterContent(content))
	require.NoError(s.t, err)
	for _, e := range entries {
		require.NoError(s.t, writer.Existing(iceberg.NewManifestEntry(iceberg.EntryStatusEXISTING,
			&e.snapshot, &e.sequence, &e.sequence, e.file)))
	}
	require.NoError(s.t, writer.Close())
	s.made++
	location := fmt.Sprintf("%s/metadata/m-%d.avro", sourceRoot, s.made)
	require.NoError(s.t, table.FileIO(s.ctx(), s.store).WriteFile(location, buf.Bytes()))
	made, err := writer.ToManifestFile(location, int64(buf.Len()))
	require.NoError(s.t, err)
	return made
}

// expire forgets all snapshots but the newest few.
func (s *source) expire(keep int) {
	s.t.Helper()
	var old []int64
	all := s.meta.Snapshots()
	slices.SortFunc(all, func(a, b icetable.Snapshot) int { return cmp.Compare(a.SequenceNumber, b.SequenceNumber) })
	for _, snapshot := range all[:max(0, len(all)-keep)] {
		old = append(old, snapshot.SnapshotID)
	}
	if len(old) > 0 {
		s.update(icetable.NewRemoveSnapshotsUpdate(old, false))
	}
}

// random makes one snapshot of any kind.
func (s *source) random(dice *rand.Rand) {
	s.t.Helper()
	next := func(id int64) item {
		return item{id: id, region: fmt.Sprint("r", dice.IntN(3)), value: dice.Int64N(3), note: s.note(dice)}
	}
	switch kind := dice.IntN(10); {
	case kind < 5: // a checkpoint: new versions, deletes, and some that say nothing new
		st := step{remove: map[*storedFile][]int{}}
		for _, n := range dice.Perm(12)[:1+dice.IntN(6)] {
			id := int64(1 + n)
			had := s.takeOut(&st, id)
			if !had || dice.IntN(4) > 0 {
				st.add = append(st.add, next(id))
			}
		}
		s.commit(st)
	case kind < 6: // another engine inserts, keys that are there among them
		s.commit(step{operation: icetable.OpAppend,
			add: []item{next(1 + dice.Int64N(12)), next(1 + dice.Int64N(12))}})
	case kind < 8: // files are written anew, by compaction or by an update of others that copies the rest
		if len(s.files) == 0 {
			return
		}
		st := step{operation: icetable.OpReplace, leave: s.files[:1+dice.IntN(len(s.files))]}
		for _, f := range st.leave {
			for _, at := range f.live() {
				st.add = append(st.add, f.items[at])
			}
		}
		st.leave = slices.Clone(st.leave)
		if kind == 7 {
			st.operation = icetable.OpOverwrite
			for i := range st.add {
				if dice.IntN(5) == 0 {
					st.add[i].value++
				}
			}
		}
		s.commit(st)
	case kind < 9: // a whole file is deleted
		if len(s.files) > 0 {
			s.commit(step{operation: icetable.OpDelete, leave: []*storedFile{s.files[dice.IntN(len(s.files))]}})
		}
	default:
		if spec := s.meta.PartitionSpec(); spec.NumFields() == 0 {
			s.deleteEqual(1 + dice.Int64N(12))
		}
	}
}

func (s *source) note(dice *rand.Rand) string {
	if s.meta.CurrentSchema().NumFields() < 4 {
		return ""
	}
	return []string{"", "x", "y"}[dice.IntN(3)]
}

// takeOut deletes all rows of an id and says whether there was one.
func (s *source) takeOut(st *step, id int64) (had bool) {
	for _, f := range s.files {
		for _, at := range f.live() {
			if f.items[at].id == id {
				st.remove[f] = append(st.remove[f], at)
				had = true
			}
		}
	}
	return had
}

// sink is a changelog that a Follower writes to, and the processes that do.
type sink struct {
	source  *source
	catalog *committest.Catalog
	ident   table.Ident
	seed    uint64
}

func newSink(s *source) *sink {
	s.t.Helper()
	spec := changes.Spec()
	meta, err := icetable.NewMetadata(changes.Begin(), &spec, icetable.UnsortedSortOrder, "mem://lake/items_changes",
		iceberg.Properties{"format-version": "2", commit.PropertyChangelogOf: "db.items"})
	require.NoError(s.t, err)
	out := &sink{source: s, catalog: committest.NewCatalog(), ident: table.Ident{"db", "items_changes"}}
	require.NoError(s.t, out.catalog.Create(out.ident, meta))
	return out
}

// follower begins a process over a catalog and a store, which may have faults.
func (k *sink) follower(ctx context.Context, catalog commit.Catalog, store objstore.Store) (*Follower, error) {
	k.seed++
	opts := committest.Options(k.seed, fmt.Sprint("process ", k.seed))
	opts.SnapshotsKeep, opts.Reads = 4, 1
	target, err := commit.Open(ctx, catalog, store, k.ident, opts)
	if err != nil {
		return nil, err
	}
	f, err := New(Options{Source: k.source, Target: target, Store: store, NewID: opts.NewID, Now: opts.Now,
		Sleep: opts.Sleep, Reads: 1, Memory: table.NewBudget(1 << 20)})
	require.NoError(k.source.t, err)
	f.most = 5
	return f, nil
}

// steps steps until all is read.
func steps(ctx context.Context, f *Follower) error {
	for {
		if more, err := f.Step(ctx); err != nil || !more {
			return err
		}
	}
}

// told is a row of the changelog.
type told struct {
	kind              string
	ordinal, snapshot int64
	item              item
}

// read reads the changelog in order.
func (k *sink) read() []told {
	t := k.source.t
	t.Helper()
	current, err := k.catalog.LoadTable(t.Context(), k.ident)
	require.NoError(t, err)
	tasks, err := table.Plan(t.Context(), current, k.source.store, table.Scan{})
	require.NoError(t, err)
	var out []told
	for _, task := range tasks {
		for batch, err := range table.Read(t.Context(), k.source.store, task) {
			require.NoError(t, err)
			for i := range int(batch.NumRows()) {
				r := told{kind: batch.Column(0).(*array.String).Value(i),
					ordinal:  batch.Column(1).(*array.Int64).Value(i),
					snapshot: batch.Column(2).(*array.Int64).Value(i)}
				switch ids := batch.Column(4).(type) {
				case *array.Int32:
					r.item.id = int64(ids.Value(i))
				case *array.Int64:
					r.item.id = ids.Value(i)
				}
				r.item.region = batch.Column(5).(*array.String).Value(i)
				r.item.value = batch.Column(6).(*array.Int64).Value(i)
				if batch.NumCols() > 7 {
					r.item.note = batch.Column(7).(*array.String).Value(i)
				}
				out = append(out, r)
			}
		}
	}
	slices.SortFunc(out, func(a, b told) int { return cmp.Compare(a.ordinal, b.ordinal) })
	return out
}
