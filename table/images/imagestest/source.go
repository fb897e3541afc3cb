package imagestest

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
	"github.com/firthlake/firth/table/objstore"
	"github.com/firthlake/firth/table/vector"
)

// root is where the table lies.
const sourceRoot = "mem://lake/items"

// Item is a row of the source.
type Item struct {
	ID     int64
	Region string
	Value  int64
	Note   string
}

// File is a live data file of the source.
type File struct {
	file               iceberg.DataFile
	sequence, snapshot int64
	items              []Item
	dead               map[int]bool
	deletes            iceberg.DataFile // nil without
	deletesSequence    int64
}

// Location is where the file lies.
func (f *File) Location() string { return f.file.FilePath() }

// live are the positions of rows that are live.
func (f *File) live() (out []int) {
	for i := range f.items {
		if !f.dead[i] {
			out = append(out, i)
		}
	}
	return out
}

// Source is a keyed table whose snapshots are made by hand, by whomever: it stands for a committer.
type Source struct {
	// T fails with what cannot be made.
	T testing.TB
	// Store has the files.
	Store objstore.Store
	// Meta is the table as of now, Files its live data files.
	Meta  icetable.Metadata
	Files []*File
	// equality are equality deletes of others.
	equality []File
	made     uint64
	// Held is what the table holds at each snapshot, by sequence number.
	Held map[int64][]Item
	// Moved are snapshots that only move rows.
	Moved map[int64]bool
}

func sourceSchema(id iceberg.Type, more ...iceberg.NestedField) *iceberg.Schema {
	return iceberg.NewSchemaWithIdentifiers(0, []int{1}, append([]iceberg.NestedField{
		{ID: 1, Name: "id", Type: id, Required: true},
		{ID: 2, Name: "region", Type: iceberg.PrimitiveTypes.String},
		{ID: 3, Name: "value", Type: iceberg.PrimitiveTypes.Int64},
	}, more...)...)
}

// New returns a table without snapshots, of a format version.
func New(t testing.TB, version string, partitioned bool) *Source {
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
	return &Source{T: t, Meta: meta, Held: map[int64][]Item{}, Moved: map[int64]bool{},
		Store: objstore.NewMemory(func() time.Time { return time.Unix(0, 0) })}
}

func (s *Source) ctx() context.Context { return s.T.Context() }

// Table is the table as of now.
func (s *Source) Table() *table.Table {
	return table.New(table.Ident{"db", "items"}, s.Meta, fmt.Sprint(sourceRoot, "/metadata/", s.made, ".json"))
}

// Refresh does nothing: the table is always as of now.
func (s *Source) Refresh(context.Context) error { return nil }

// NewID makes ids, each once.
func (s *Source) NewID() (id uuid.UUID) {
	s.made++
	binary.BigEndian.PutUint64(id[:], s.made)
	return id
}

// Update changes the metadata.
func (s *Source) Update(updates ...icetable.Update) {
	s.T.Helper()
	meta, err := icetable.UpdateTableMetadata(s.Meta, updates, sourceRoot+"/metadata/old.json")
	require.NoError(s.T, err)
	s.Meta = meta
	s.made++
}

// Evolve widens the identifier, gives the value another name and adds a column.
func (s *Source) Evolve() {
	s.T.Helper()
	schema := iceberg.NewSchemaWithIdentifiers(0, []int{1},
		iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64, Required: true},
		iceberg.NestedField{ID: 2, Name: "region", Type: iceberg.PrimitiveTypes.String},
		iceberg.NestedField{ID: 3, Name: "amount", Type: iceberg.PrimitiveTypes.Int64},
		iceberg.NestedField{ID: 4, Name: "note", Type: iceberg.PrimitiveTypes.String})
	s.Update(icetable.NewAddSchemaUpdate(schema), icetable.NewSetCurrentSchemaUpdate(-1))
}

// write writes files of items.
func (s *Source) write(items []Item) []*File {
	s.T.Helper()
	if len(items) == 0 {
		return nil
	}
	schema := s.Meta.CurrentSchema()
	form, err := table.ArrowSchema(schema)
	require.NoError(s.T, err)
	files := map[string]*File{}
	w, err := table.NewWriter(s.Store, table.WriterOptions{Schema: schema, Spec: s.Meta.PartitionSpec(),
		Location: s.Meta.Location(), ChangeID: s.NewID(),
		Placed: func(file string, _ int64, tags []int64) error {
			if files[file] == nil {
				files[file] = &File{dead: map[int]bool{}}
			}
			for _, tag := range tags {
				files[file].items = append(files[file].items, items[tag])
			}
			return nil
		}})
	require.NoError(s.T, err)
	b := array.NewRecordBuilder(memory.DefaultAllocator, table.WithTags(form))
	defer b.Release()
	for i, it := range items {
		switch ids := b.Field(0).(type) {
		case *array.Int32Builder:
			ids.Append(int32(it.ID))
		case *array.Int64Builder:
			ids.Append(it.ID)
		}
		b.Field(1).(*array.StringBuilder).Append(it.Region)
		b.Field(2).(*array.Int64Builder).Append(it.Value)
		if form.NumFields() > 3 {
			if notes := b.Field(3).(*array.StringBuilder); it.Note == "" {
				notes.AppendNull()
			} else {
				notes.Append(it.Note)
			}
		}
		b.Field(form.NumFields()).(*array.Int64Builder).Append(int64(i))
	}
	batch := b.NewRecordBatch()
	defer batch.Release()
	require.NoError(s.T, w.Write(s.ctx(), batch))
	described, err := w.Close(s.ctx())
	require.NoError(s.T, err)
	var out []*File
	for _, d := range described {
		files[d.FilePath()].file = d
		out = append(out, files[d.FilePath()])
	}
	return out
}

// Step is what a snapshot does.
type Step struct {
	Operation icetable.Operation
	Add       []Item
	// Remove are positions to delete by file, Leave files that leave.
	Remove map[*File][]int
	Leave  []*File
}

// Commit makes a snapshot.
func (s *Source) Commit(st Step) {
	s.T.Helper()
	added := s.write(st.Add)
	s.made++
	id, sequence := int64(1000+s.made), s.Meta.LastSequenceNumber()+1
	var targets []vector.Target
	var of []*File
	for _, f := range s.Files {
		if len(st.Remove[f]) == 0 || slices.Contains(st.Leave, f) {
			continue
		}
		target := vector.Target{File: f.file}
		for _, at := range st.Remove[f] {
			target.Positions = append(target.Positions, int64(at))
			f.dead[at] = true
		}
		slices.Sort(target.Positions)
		if f.deletes != nil {
			target.Before = []iceberg.DataFile{f.deletes}
		}
		targets, of = append(targets, target), append(of, f)
	}
	deletes, err := vector.Write(s.ctx(), s.Store,
		vector.Options{Metadata: s.Meta, ChangeID: s.NewID(), Read: table.ReadDeletes}, targets)
	require.NoError(s.T, err)
	for i, f := range of {
		f.deletes, f.deletesSequence = deletes[i], sequence
	}
	s.Files = slices.DeleteFunc(s.Files, func(f *File) bool { return slices.Contains(st.Leave, f) })
	for _, f := range added {
		f.sequence, f.snapshot = sequence, id
		s.Files = append(s.Files, f)
	}
	if st.Operation == "" {
		st.Operation = icetable.OpOverwrite
	}
	s.snapshot(id, sequence, st.Operation)
}

// DeleteEqual writes an equality delete of an id, as others do.
func (s *Source) DeleteEqual(id int64) {
	s.T.Helper()
	field := s.Meta.CurrentSchema().Fields()[0]
	schema := iceberg.NewSchema(0, field)
	form, err := table.ArrowSchema(schema)
	require.NoError(s.T, err)
	w, err := table.NewWriter(s.Store, table.WriterOptions{Schema: schema, Location: s.Meta.Location(),
		ChangeID: s.NewID()})
	require.NoError(s.T, err)
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
	require.NoError(s.T, w.Write(s.ctx(), batch))
	described, err := w.Close(s.ctx())
	require.NoError(s.T, err)
	eq, err := iceberg.NewDataFileBuilder(*iceberg.UnpartitionedSpec, iceberg.EntryContentEqDeletes,
		described[0].FilePath(), iceberg.ParquetFile, nil, nil, nil, 1, described[0].FileSizeBytes())
	require.NoError(s.T, err)
	for _, f := range s.Files {
		for i, it := range f.items {
			if it.ID == id {
				f.dead[i] = true
			}
		}
	}
	s.made++
	at, sequence := int64(1000+s.made), s.Meta.LastSequenceNumber()+1
	s.equality = append(s.equality, File{file: eq.EqualityFieldIDs([]int{1}).Build(), sequence: sequence,
		snapshot: at})
	s.snapshot(at, sequence, icetable.OpDelete)
}

// snapshot writes manifests of what is live and notes what the table holds.
func (s *Source) snapshot(id, sequence int64, operation icetable.Operation) {
	s.T.Helper()
	var data, deletes []File
	rows := int64(0)
	for _, f := range s.Files {
		data = append(data, *f)
		rows += f.file.Count()
		if f.deletes != nil {
			deletes = append(deletes, File{file: f.deletes, sequence: f.deletesSequence, snapshot: id})
		}
	}
	deletes = append(deletes, s.equality...)
	var manifests []iceberg.ManifestFile
	for _, spec := range s.Meta.PartitionSpecs() {
		for _, kind := range []struct {
			content iceberg.ManifestContent
			entries []File
		}{{iceberg.ManifestContentData, data}, {iceberg.ManifestContentDeletes, deletes}} {
			of := slices.DeleteFunc(slices.Clone(kind.entries),
				func(f File) bool { return int(f.file.SpecID()) != spec.ID() })
			if len(of) > 0 {
				manifests = append(manifests, s.manifest(id, kind.content, spec, of))
			}
		}
	}
	var list bytes.Buffer
	require.NoError(s.T, iceberg.WriteManifestList(s.Meta.Version(), &list, id, nil, &sequence,
		s.Meta.NextRowID(), manifests))
	location := fmt.Sprintf("%s/metadata/snap-%d.avro", sourceRoot, id)
	require.NoError(s.T, table.FileIO(s.ctx(), s.Store).WriteFile(location, list.Bytes()))
	schema := s.Meta.CurrentSchema().ID
	snapshot := icetable.Snapshot{SnapshotID: id, SequenceNumber: sequence, ManifestList: location,
		SchemaID: &schema, TimestampMs: s.Meta.LastUpdatedMillis() + 10,
		Summary: &icetable.Summary{Operation: operation}}
	if parent := s.Meta.CurrentSnapshot(); parent != nil {
		snapshot.ParentSnapshotID = &parent.SnapshotID
	}
	if s.Meta.Version() >= 3 {
		first, added := s.Meta.NextRowID(), rows+1
		snapshot.FirstRowID, snapshot.AddedRows = &first, &added
	}
	s.Update(icetable.NewAddSnapshotUpdate(&snapshot),
		icetable.NewSetSnapshotRefUpdate("main", id, icetable.BranchRef, 0, 0, 0))
	var held []Item
	for _, f := range s.Files {
		for _, at := range f.live() {
			held = append(held, f.items[at])
		}
	}
	slices.SortFunc(held, CompareItems)
	s.Held[sequence], s.Moved[sequence] = held, operation == icetable.OpReplace
}

// CompareItems orders items.
func CompareItems(a, b Item) int {
	return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Region, b.Region), cmp.Compare(a.Value, b.Value),
		cmp.Compare(a.Note, b.Note))
}

func (s *Source) manifest(
	snapshot int64, content iceberg.ManifestContent, spec iceberg.PartitionSpec, entries []File,
) iceberg.ManifestFile {
	s.T.Helper()
	var buf bytes.Buffer
	writer, err := iceberg.NewManifestWriter(s.Meta.Version(), &buf, spec, s.Meta.CurrentSchema(), snapshot,
		iceberg.WithManifestWriterContent(content))
	require.NoError(s.T, err)
	for _, e := range entries {
		require.NoError(s.T, writer.Existing(iceberg.NewManifestEntry(iceberg.EntryStatusEXISTING,
			&e.snapshot, &e.sequence, &e.sequence, e.file)))
	}
	require.NoError(s.T, writer.Close())
	s.made++
	location := fmt.Sprintf("%s/metadata/m-%d.avro", sourceRoot, s.made)
	require.NoError(s.T, table.FileIO(s.ctx(), s.Store).WriteFile(location, buf.Bytes()))
	made, err := writer.ToManifestFile(location, int64(buf.Len()))
	require.NoError(s.T, err)
	return made
}

// Expire forgets all snapshots but the newest few.
func (s *Source) Expire(keep int) {
	s.T.Helper()
	var old []int64
	all := s.Meta.Snapshots()
	slices.SortFunc(all, func(a, b icetable.Snapshot) int { return cmp.Compare(a.SequenceNumber, b.SequenceNumber) })
	for _, snapshot := range all[:max(0, len(all)-keep)] {
		old = append(old, snapshot.SnapshotID)
	}
	if len(old) > 0 {
		s.Update(icetable.NewRemoveSnapshotsUpdate(old, false))
	}
}

// Random makes one snapshot of any kind.
func (s *Source) Random(dice *rand.Rand) {
	s.T.Helper()
	next := func(id int64) Item {
		return Item{ID: id, Region: fmt.Sprint("r", dice.IntN(3)), Value: dice.Int64N(3), Note: s.note(dice)}
	}
	switch kind := dice.IntN(10); {
	case kind < 5: // a checkpoint: new versions, deletes, and some that say nothing new
		st := Step{Remove: map[*File][]int{}}
		for _, n := range dice.Perm(12)[:1+dice.IntN(6)] {
			id := int64(1 + n)
			had := s.takeOut(&st, id)
			if !had || dice.IntN(4) > 0 {
				st.Add = append(st.Add, next(id))
			}
		}
		s.Commit(st)
	case kind < 6: // another engine inserts, keys that are there among them
		s.Commit(Step{Operation: icetable.OpAppend,
			Add: []Item{next(1 + dice.Int64N(12)), next(1 + dice.Int64N(12))}})
	case kind < 8: // files are written anew, by compaction or by an update of others that copies the rest
		if len(s.Files) == 0 {
			return
		}
		st := Step{Operation: icetable.OpReplace, Leave: s.Files[:1+dice.IntN(len(s.Files))]}
		for _, f := range st.Leave {
			for _, at := range f.live() {
				st.Add = append(st.Add, f.items[at])
			}
		}
		st.Leave = slices.Clone(st.Leave)
		if kind == 7 {
			st.Operation = icetable.OpOverwrite
			for i := range st.Add {
				if dice.IntN(5) == 0 {
					st.Add[i].Value++
				}
			}
		}
		s.Commit(st)
	case kind < 9: // a whole file is deleted
		if len(s.Files) > 0 {
			s.Commit(Step{Operation: icetable.OpDelete, Leave: []*File{s.Files[dice.IntN(len(s.Files))]}})
		}
	default:
		if spec := s.Meta.PartitionSpec(); spec.NumFields() == 0 {
			s.DeleteEqual(1 + dice.Int64N(12))
		}
	}
}

func (s *Source) note(dice *rand.Rand) string {
	if s.Meta.CurrentSchema().NumFields() < 4 {
		return ""
	}
	return []string{"", "x", "y"}[dice.IntN(3)]
}

// takeOut deletes all rows of an id and says whether there was one.
func (s *Source) takeOut(st *Step, id int64) (had bool) {
	for _, f := range s.Files {
		for _, at := range f.live() {
			if f.items[at].ID == id {
				st.Remove[f] = append(st.Remove[f], at)
				had = true
			}
		}
	}
	return had
}
