package rewrite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// deleting is a task of which a position delete file takes out rows.
func deleting(t testing.TB, store objstore.Store, task table.Task, positions ...int64) table.Task {
	t.Helper()
	form, err := table.ArrowSchema(iceberg.PositionalDeleteSchema)
	require.NoError(t, err)
	b := array.NewRecordBuilder(memory.DefaultAllocator, form)
	defer b.Release()
	for _, pos := range positions {
		b.Field(0).(*array.StringBuilder).Append(task.File.FilePath())
		b.Field(1).(*array.Int64Builder).Append(pos)
	}
	batch := b.NewRecordBatch()
	defer batch.Release()
	w, err := table.NewWriter(store, table.WriterOptions{Schema: iceberg.PositionalDeleteSchema,
		Location: lake, ChangeID: change(700 + len(positions))})
	require.NoError(t, err)
	require.NoError(t, w.Write(t.Context(), batch))
	files, err := w.Close(t.Context())
	require.NoError(t, err)
	task.Deletes = files
	return task
}

// TestDecodeKeepsRowsThatAreNotDeleted rewrites files of two schemas, one of them with deletes, with and
// without lineage.
func TestDecodeKeepsRowsThatAreNotDeleted(t *testing.T) {
	schema := everyType()
	older := iceberg.NewSchema(0, schema.Fields()[:9]...)
	for _, firstRowID := range []int64{-1, 700} {
		store, d := newStore(), newDice(9)
		opts := table.WriterOptions{Schema: older, ChangeID: change(1)}
		files := written(t, store, opts, d.batch(t, older, 300))
		opts.Schema, opts.ChangeID = schema, change(2)
		files = append(files, written(t, store, opts, d.batch(t, schema, 200))...)
		tasks := tasksOf(schema, firstRowID, files...)
		tasks[0] = deleting(t, store, tasks[0], 0, 7, 8, 299)
		if firstRowID >= 0 {
			for i := range tasks {
				tasks[i].Schema = withLineage(schema)
			}
		}
		want := rowsOf(t, store, tasks...)
		require.Len(t, want, 496)

		done := int64(0)
		opts.ChangeID, opts.Location = change(3), lake
		got, err := Decode(t.Context(), store, tasks, opts, Decoding{Progress: func(bytes int64) { done += bytes }})
		require.NoError(t, err)
		require.Len(t, got, 1)
		require.Equal(t, files[0].FileSizeBytes()+files[1].FileSizeBytes(), done)
		again := tasksOf(tasks[0].Schema, 90000*(firstRowID/700), got...)
		if firstRowID < 0 {
			again = tasksOf(schema, -1, got...)
		}
		require.Equal(t, want, rowsOf(t, store, again...))
	}
}

// TestDecodeSortsRows has rows that compare equal, which keep their order.
func TestDecodeSortsRows(t *testing.T) {
	schema := iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "k", Type: iceberg.PrimitiveTypes.Int64},
		iceberg.NestedField{ID: 2, Name: "n", Type: iceberg.PrimitiveTypes.Int64})
	order, err := icetable.NewSortOrder(1, []icetable.SortField{{SourceIDs: []int{1},
		Transform: iceberg.IdentityTransform{}, Direction: icetable.SortASC, NullOrder: icetable.NullsFirst}})
	require.NoError(t, err)
	form, err := table.ArrowSchema(schema)
	require.NoError(t, err)
	store, d := newStore(), newDice(1)
	var files []iceberg.DataFile
	type row struct{ k, n int64 }
	var want []row
	for f := range 4 {
		b := array.NewRecordBuilder(memory.DefaultAllocator, form)
		for range 100 {
			r := row{d.Int64N(20), int64(len(want))}
			want = append(want, r)
			b.Field(0).(*array.Int64Builder).Append(r.k)
			b.Field(1).(*array.Int64Builder).Append(r.n)
		}
		files = append(files, written(t, store, table.WriterOptions{Schema: schema, ChangeID: change(f)},
			b.NewRecordBatch())...)
	}
	slices.SortStableFunc(want, func(a, b row) int { return int(a.k - b.k) })
	got, err := Decode(t.Context(), store, tasksOf(schema, -1, files...), table.WriterOptions{Schema: schema,
		Sort: order, Location: lake, ChangeID: change(9)}, Decoding{})
	require.NoError(t, err)
	require.Len(t, got, 1)
	require.Equal(t, 1, *got[0].SortOrderID())
	var found []row
	for batch, err := range table.Read(t.Context(), store, tasksOf(schema, -1, got...)[0]) {
		require.NoError(t, err)
		for i := range int(batch.NumRows()) {
			found = append(found, row{batch.Column(0).(*array.Int64).Value(i),
				batch.Column(1).(*array.Int64).Value(i)})
		}
	}
	require.Equal(t, want, found)
}

func TestDecodeLeavesNothingBehindAfterAnError(t *testing.T) {
	schema := everyType()
	store, d := newStore(), newDice(2)
	opts := table.WriterOptions{Schema: schema, ChangeID: change(1),
		Parquet: table.ParquetOptions{FileBytesTarget: 1}}
	files := written(t, store, opts, d.batch(t, schema, 50))
	opts.ChangeID, opts.Location = change(2), lake
	files = append(files, written(t, store, opts, d.batch(t, schema, 50))...)
	tasks := tasksOf(schema, -1, files...)
	raw := bytesOf(t, store, files[1].FilePath())
	_, err := store.Put(t.Context(), files[1].FilePath(), bytes.NewReader(raw[:len(raw)/2]), -1,
		objstore.PutOptions{})
	require.NoError(t, err)
	before := objects(t, store)
	opts.ChangeID = change(3)
	_, err = Decode(t.Context(), store, tasks, opts, Decoding{})
	require.ErrorContains(t, err, files[1].FilePath())
	require.Equal(t, before, objects(t, store))

	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	_, err = Decode(ctx, store, tasks[:1], opts, Decoding{})
	require.Error(t, err, fmt.Sprint(before))
	require.Equal(t, before, objects(t, store))
}

func TestDecodeOfDeletedRowsAloneMakesNoFile(t *testing.T) {
	schema := everyType()
	store, d := newStore(), newDice(3)
	files := written(t, store, table.WriterOptions{Schema: schema, ChangeID: change(1)}, d.batch(t, schema, 3))
	task := deleting(t, store, tasksOf(schema, -1, files...)[0], 0, 1, 2)
	got, err := Decode(t.Context(), store, []table.Task{task}, table.WriterOptions{Schema: schema,
		Location: lake, ChangeID: change(2)}, Decoding{})
	require.NoError(t, err)
	require.Empty(t, got)
}

func TestDecodeRefusesTasksOfAFilter(t *testing.T) {
	schema := everyType()
	store, d := newStore(), newDice(3)
	d.nulls = 0
	files := written(t, store, table.WriterOptions{Schema: schema, ChangeID: change(1)}, d.batch(t, schema, 30))
	builder, err := iceberg.NewDataFileBuilder(iceberg.NewPartitionSpec(), iceberg.EntryContentData,
		files[0].FilePath(), iceberg.ParquetFile, nil, nil, nil, 31, files[0].FileSizeBytes())
	require.NoError(t, err)
	before := objects(t, store)
	_, err = Decode(t.Context(), store, tasksOf(schema, -1, builder.Build()), table.WriterOptions{Schema: schema,
		Location: lake, ChangeID: change(2)}, Decoding{})
	require.ErrorContains(t, err, "30 of its 31 rows")
	require.Equal(t, before, objects(t, store))
}
