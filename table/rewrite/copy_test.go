package rewrite

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// filters are properties that ask for bloom filters.
var filters = iceberg.Properties{
	"write.parquet.bloom-filter-enabled.column.c0":  "true",
	"write.parquet.bloom-filter-enabled.column.c9":  "true",
	"write.parquet.bloom-filter-enabled.column.c12": "true",
}

func copied(t testing.TB, store objstore.Store, tasks []table.Task, opts Options) table.Task {
	t.Helper()
	opts.Schema, opts.Location, opts.ChangeID = tasks[0].Schema, lake, change(999)
	got, err := Copy(t.Context(), store, tasks, opts)
	require.NoError(t, err)
	return table.Task{File: got, Schema: tasks[0].Schema, SequenceNumber: 77}
}

// TestCopyHasTheRowsAndMetricsOfItsSources compares copies of random files with what they are copied from,
// and their metrics with those of one file that table.Writer makes of all rows.
func TestCopyHasTheRowsAndMetricsOfItsSources(t *testing.T) {
	schema := everyType()
	for seed := range uint64(8) {
		store, d := newStore(), newDice(seed)
		opts := table.WriterOptions{Schema: schema, Parquet: table.ParquetOptions{
			RowGroupRows: int64(30 + d.IntN(250))}}
		if seed%2 == 0 {
			opts.Properties = filters
		}
		var files []iceberg.DataFile
		var all []arrow.RecordBatch
		for n := range 1 + d.IntN(5) {
			d.nulls = nullShares[d.IntN(len(nullShares))]
			batch := d.batch(t, schema, 1+d.IntN(300))
			opts.ChangeID = change(n)
			files = append(files, written(t, store, opts, batch)...)
			all = append(all, batch)
		}
		tasks := tasksOf(schema, -1, files...)
		want := rowsOf(t, store, tasks...)
		got := copied(t, store, tasks, Options{})
		require.Equal(t, want, rowsOf(t, store, got), "seed %d", seed)

		opts.ChangeID = change(500)
		whole := written(t, store, opts, all...)
		require.Len(t, whole, 1)
		checkMetrics(t, whole[0], got.File)
		checkBytes(t, store, tasks, got.File)
		require.Equal(t, int64(len(bytesOf(t, store, got.File.FilePath()))), got.File.FileSizeBytes())
	}
}

func checkMetrics(t testing.TB, want, got iceberg.DataFile) {
	t.Helper()
	require.Equal(t, want.Count(), got.Count())
	require.Equal(t, want.ValueCounts(), got.ValueCounts())
	require.Equal(t, want.NullValueCounts(), got.NullValueCounts())
	require.Equal(t, want.NaNValueCounts(), got.NaNValueCounts())
	require.Equal(t, want.LowerBoundValues(), got.LowerBoundValues())
	require.Equal(t, want.UpperBoundValues(), got.UpperBoundValues())
	require.Equal(t, len(want.ColumnSizes()), len(got.ColumnSizes()))
}

// checkBytes compares chunks, filters and page indexes of a copy with those of its sources.
func checkBytes(t testing.TB, store objstore.Store, tasks []table.Task, got iceberg.DataFile) {
	t.Helper()
	copyRaw := bytesOf(t, store, got.FilePath())
	whole := opened(t, copyRaw)
	at := 0
	for _, task := range tasks {
		raw := bytesOf(t, store, task.File.FilePath())
		source := opened(t, raw)
		for g := range source.NumRowGroups() {
			begin, _ := chunkRange(whole.MetaData().RowGroups[at].Columns[0].MetaData)
			require.Equal(t, begin, got.SplitOffsets()[at])
			require.EqualValues(t, at, whole.MetaData().RowGroups[at].GetOrdinal())
			for i, old := range source.MetaData().RowGroups[g].Columns {
				now := whole.MetaData().RowGroups[at].Columns[i]
				a, b := chunkRange(old.MetaData)
				c, d := chunkRange(now.MetaData)
				require.Equal(t, raw[a:b], copyRaw[c:d])
				require.Equal(t, old.MetaData.Statistics, now.MetaData.Statistics)
				require.Equal(t, old.MetaData.IsSetBloomFilterOffset(), now.MetaData.IsSetBloomFilterOffset())
				if old.MetaData.IsSetBloomFilterOffset() {
					a, b := old.MetaData.GetBloomFilterOffset(), now.MetaData.GetBloomFilterOffset()
					length := int64(old.MetaData.GetBloomFilterLength())
					require.Equal(t, raw[a:a+length], copyRaw[b:b+length])
				}
			}
			checkIndexes(t, source, g, whole, at)
			at++
		}
	}
	require.Equal(t, at, whole.NumRowGroups())
	require.Len(t, got.SplitOffsets(), at)
}

func TestCopyWritesTheLineageThatRowsInherit(t *testing.T) {
	schema := everyType()
	withLineage := iceberg.NewSchema(0, append(schema.Fields(), iceberg.RowID(),
		iceberg.LastUpdatedSequenceNumber())...)
	for _, profile := range []table.Profile{"", table.ProfileSafe} {
		store, d := newStore(), newDice(5)
		opts := table.WriterOptions{Schema: schema, Properties: filters,
			Parquet: table.ParquetOptions{RowGroupRows: 100}}
		var files []iceberg.DataFile
		for n := range 3 {
			opts.ChangeID = change(n)
			files = append(files, written(t, store, opts, d.batch(t, schema, 250))...)
		}
		tasks := tasksOf(schema, 1000, files...)
		for i := range tasks {
			tasks[i].Schema = withLineage
		}
		want := rowsOf(t, store, tasks...)
		got := copied(t, store, tasks, Options{Profile: profile})
		require.Equal(t, want, rowsOf(t, store, got))
		checkBytes(t, store, tasks, got.File)
		require.Equal(t, int64(750), got.File.ValueCounts()[iceberg.RowIDFieldID])
		require.Positive(t, got.File.ColumnSizes()[iceberg.LastUpdatedSequenceNumberFieldID])

		// What it inherits later does not change the ids of its rows, and a copy of the copy keeps them.
		again := tasksOf(withLineage, 5000, got.File)
		require.Equal(t, want, rowsOf(t, store, again...))
		require.NoError(t, store.Remove(t.Context(), files[0].FilePath()))
		twice, err := Copy(t.Context(), store, again, Options{Schema: schema, Location: lake, ChangeID: change(3)})
		require.NoError(t, err)
		require.Equal(t, want, rowsOf(t, store, tasksOf(withLineage, 9000, twice)...))
	}
}

func TestCopyTakesFilesOfOtherPrograms(t *testing.T) {
	schema := everyType()
	store, d := newStore(), newDice(1)
	d.nulls = 0.2
	for n, options := range [][]parquet.WriterProperty{
		{parquet.WithDictionaryDefault(true), parquet.WithBloomFilterEnabled(true)},
		{parquet.WithDictionaryDefault(false), parquet.WithDataPageVersion(parquet.DataPageV2)},
		{parquet.WithMaxRowGroupLength(100), parquet.WithPageIndexEnabled(false)},
	} {
		var files []iceberg.DataFile
		for i := range 3 {
			files = append(files, foreign(t, store, 10*n+i, d.batch(t, schema, 300), options...))
		}
		tasks := tasksOf(schema, -1, files...)
		want := rowsOf(t, store, tasks...)
		got := copied(t, store, tasks, Options{})
		require.Equal(t, want, rowsOf(t, store, got))
		checkBytes(t, store, tasks, got.File)
		pairs := opened(t, bytesOf(t, store, got.File.FilePath())).MetaData().KeyValueMetadata()
		require.NotNil(t, pairs.FindValue("ARROW:schema"), "what all sources say alike is kept")
		require.Empty(t, got.File.LowerBoundValues(), "sources had none")
	}
}

func TestCopyRefusesWhatIsNotOfOneKind(t *testing.T) {
	schema := everyType()
	store, d := newStore(), newDice(2)
	opts := table.WriterOptions{Schema: schema, ChangeID: change(1)}
	own := written(t, store, opts, d.batch(t, schema, 20))[0]
	fewer := iceberg.NewSchema(1, schema.Fields()[:5]...)
	opts.Schema, opts.ChangeID = fewer, change(2)
	older := written(t, store, opts, d.batch(t, fewer, 20))[0]
	promoted := schema.Fields()
	promoted[2].Type = iceberg.PrimitiveTypes.Int64
	opts.Schema, opts.ChangeID = iceberg.NewSchema(2, promoted...), change(3)
	wider := written(t, store, opts, d.batch(t, opts.Schema, 20))[0]
	other := foreign(t, store, 0, d.batch(t, schema, 20))
	vanished := foreign(t, store, 1, d.batch(t, schema, 20))
	require.NoError(t, store.Remove(t.Context(), vanished.FilePath()))
	before := objects(t, store)

	refused := func(tasks ...table.Task) string {
		_, err := Copy(t.Context(), store, tasks, Options{Schema: schema, Location: lake, ChangeID: change(4)})
		require.Error(t, err)
		require.NotContains(t, err.Error(), "BUG")
		require.Equal(t, before, objects(t, store))
		if len(tasks) == 0 || tasks[len(tasks)-1].File == vanished {
			require.NotErrorIs(t, err, ErrNotCopyable)
		} else {
			require.ErrorIs(t, err, ErrNotCopyable)
		}
		return err.Error()
	}
	both := func(files ...iceberg.DataFile) []table.Task { return tasksOf(schema, -1, files...) }
	require.Contains(t, refused(both(own, older)...), "differ in columns")
	require.Contains(t, refused(both(own, wider)...), "column c2")
	require.Contains(t, refused(both(own, other)...), "is written by")
	require.Contains(t, refused(both(own, vanished)...), "not found")
	require.Contains(t, refused(), "no files")
	deleted := both(own)
	deleted[0].Deletes = []iceberg.DataFile{own}
	require.Contains(t, refused(deleted...), "deleted rows")
	mixed := append(tasksOf(schema, 10, own), tasksOf(schema, -1, own)...)
	require.Contains(t, refused(mixed...), "lineage")
}

func objects(t testing.TB, store objstore.Store) []string {
	t.Helper()
	var names []string
	for object, err := range store.List(t.Context(), "mem://lake/") {
		require.NoError(t, err)
		names = append(names, object.Location)
	}
	return names
}

// TestCopyKeepsPartitions copies files of each partition of a table and reads their entries back out of a
// manifest.
func TestCopyKeepsPartitions(t *testing.T) {
	schema := everyType()
	spec := iceberg.NewPartitionSpecID(3,
		iceberg.PartitionField{SourceIDs: []int{6}, FieldID: 1000, Name: "day",
			Transform: iceberg.BucketTransform{NumBuckets: 2}},
		iceberg.PartitionField{SourceIDs: []int{2}, FieldID: 1001, Name: "flag",
			Transform: iceberg.IdentityTransform{}},
		iceberg.PartitionField{SourceIDs: []int{8}, FieldID: 1002, Name: "month",
			Transform: iceberg.YearTransform{}})
	store, d := newStore(), newDice(4)
	d.nulls = 0.1
	partitions := map[string][]table.Task{}
	for n := range 2 {
		opts := table.WriterOptions{Schema: schema, Spec: spec, ChangeID: change(n)}
		for _, task := range tasksOf(schema, -1, written(t, store, opts, d.batch(t, schema, 15))...) {
			task.Spec = spec
			key := fmt.Sprint(task.File.Partition())
			partitions[key] = append(partitions[key], task)
		}
	}
	require.Greater(t, len(partitions), 4)
	for key, tasks := range partitions {
		want := rowsOf(t, store, tasks...)
		got := copied(t, store, tasks, Options{})
		require.Equal(t, want, rowsOf(t, store, got))
		require.EqualValues(t, 3, got.File.SpecID())
		back := throughManifest(t, schema, spec, got.File)
		require.Equal(t, key, fmt.Sprint(back.Partition()))
		require.NoError(t, store.Remove(t.Context(), got.File.FilePath()))

		// What comes out of a manifest can be copied as well.
		for i := range tasks {
			tasks[i].File = throughManifest(t, schema, spec, tasks[i].File)
		}
		got = copied(t, store, tasks, Options{})
		require.Equal(t, key, fmt.Sprint(throughManifest(t, schema, spec, got.File).Partition()))
	}
}

// throughManifest is the entry of a file as a manifest gives it back.
func throughManifest(
	t testing.TB, schema *iceberg.Schema, spec iceberg.PartitionSpec, file iceberg.DataFile,
) iceberg.DataFile {
	t.Helper()
	var out bytes.Buffer
	w, err := iceberg.NewManifestWriter(2, &out, spec, schema, 1)
	require.NoError(t, err)
	snapshot := int64(1)
	require.NoError(t, w.Add(iceberg.NewManifestEntry(iceberg.EntryStatusADDED, &snapshot, nil, nil, file)))
	require.NoError(t, w.Close())
	manifest, err := w.ToManifestFile("mem://lake/m.avro", int64(out.Len()))
	require.NoError(t, err)
	entries, err := iceberg.ReadManifest(manifest, bytes.NewReader(out.Bytes()), true)
	require.NoError(t, err)
	require.Len(t, entries, 1)
	return entries[0].DataFile()
}

// TestCopyRefusesDamagedFooters changes bytes of footers: what is left is refused or says the same as
// before of where chunks are.
func TestCopyRefusesDamagedFooters(t *testing.T) {
	schema := everyType()
	store, d := newStore(), newDice(6)
	file := written(t, store, table.WriterOptions{Schema: schema, ChangeID: change(1), Properties: filters},
		d.batch(t, schema, 40))[0]
	raw := bytesOf(t, store, file.FilePath())
	for range 200 {
		at := len(raw) - 1 - d.IntN(len(raw)/2)
		damaged := bytes.Clone(raw)
		damaged[at] ^= byte(1 << d.IntN(8))
		_, err := store.Put(t.Context(), file.FilePath(), bytes.NewReader(damaged), int64(len(raw)),
			objstore.PutOptions{})
		require.NoError(t, err)
		_, err = Copy(t.Context(), store, tasksOf(schema, -1, file, file), Options{Schema: schema, Location: lake,
			ChangeID: change(2)})
		if err != nil {
			require.ErrorIs(t, err, ErrNotCopyable, "byte %d", at)
		}
	}
}

func TestCopyBoundsOnlyWhatAllItsSourcesBound(t *testing.T) {
	schema := everyType()
	store, d := newStore(), newDice(8)
	d.nulls = 0.1
	opts := table.WriterOptions{Schema: schema, ChangeID: change(1)}
	bounded := written(t, store, opts, d.batch(t, schema, 20))[0]
	opts.ChangeID = change(2)
	other := written(t, store, opts, d.batch(t, schema, 20))[0]
	lower, nulls := other.LowerBoundValues(), other.NullValueCounts()
	delete(lower, 1)
	delete(nulls, 2)
	builder, err := iceberg.NewDataFileBuilder(iceberg.NewPartitionSpec(), iceberg.EntryContentData,
		other.FilePath(), iceberg.ParquetFile, nil, nil, nil, other.Count(), other.FileSizeBytes())
	require.NoError(t, err)
	loose := builder.ValueCounts(other.ValueCounts()).NullValueCounts(nulls).LowerBoundValues(lower).
		UpperBoundValues(other.UpperBoundValues()).Build()
	for _, files := range [][]iceberg.DataFile{{bounded, loose}, {loose, bounded}} {
		got := copied(t, store, tasksOf(schema, -1, files...), Options{}).File
		require.NotContains(t, got.LowerBoundValues(), 1)
		require.Contains(t, got.UpperBoundValues(), 1)
		require.NotContains(t, got.NullValueCounts(), 2)
		require.Contains(t, got.NullValueCounts(), 3)
		require.Empty(t, got.NaNValueCounts())
	}
}
