package table_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table"
)

// equality writes an equality delete file of rows of JSON over some columns of a schema.
func (l *lake) equality(schema *iceberg.Schema, partition map[int]any, ids []int, rows string) iceberg.DataFile {
	l.t.Helper()
	var fields []iceberg.NestedField
	for _, id := range ids {
		field, ok := schema.FindFieldByID(id)
		require.True(l.t, ok)
		fields = append(fields, field)
	}
	own := iceberg.NewSchema(0, fields...)
	form, err := table.ArrowSchema(own)
	require.NoError(l.t, err)
	written := l.parquetOf(own, form, partition, rows)
	builder, err := iceberg.NewDataFileBuilder(l.meta.PartitionSpec(), iceberg.EntryContentEqDeletes,
		written.FilePath(), iceberg.ParquetFile, partition, nil, nil, written.Count(), written.FileSizeBytes())
	require.NoError(l.t, err)
	return builder.EqualityFieldIDs(ids).Build()
}

func TestEqualityDeletesTakeOutOlderRows(t *testing.T) {
	for _, version := range []string{"2", "3"} {
		l := newLake(t, version, eventsSchema(), *iceberg.UnpartitionedSpec)
		schema := l.meta.CurrentSchema()
		l.commit(l.parquet(schema, idRows(0, 5), idRows(5, 5)))
		ids := table.Scan{Columns: []string{"id"}}
		// An upsert: rows of its own commit stay, those before go.
		l.commit(l.parquet(schema, `[{"id": 2, "name": "new"}, {"id": 11, "name": "x"}]`),
			l.equality(schema, nil, []int{1}, `[{"id": 2}, {"id": 7}, {"id": 11}, {"id": 99}]`))
		require.Equal(t, []string{"id=0", "id=1", "id=3", "id=4", "id=5", "id=6", "id=8", "id=9", "id=2", "id=11"},
			l.read(ids))
		require.Equal(t, []string{"name=new", "name=x"}, l.read(table.Scan{Columns: []string{"name"},
			Filter: where(t, "name is not null")}), "the column compared is not asked for")
		// By two columns, by null, and twice.
		l.commit(l.equality(schema, nil, []int{2, 1}, `[{"name": "x", "id": 2}, {"name": "new", "id": 2}, {"id": 3}]`))
		l.commit(l.equality(schema, nil, []int{1}, `[{"id": 0}, {"id": 2}]`), l.parquet(schema, idRows(2, 1)))
		require.Equal(t, []string{"id=1", "id=4", "id=5", "id=6", "id=8", "id=9", "id=11", "id=2"}, l.read(ids))
	}
}

func TestEqualityDeletesStandBesidePositionDeletes(t *testing.T) {
	l := newLake(t, "2", eventsSchema(), *iceberg.UnpartitionedSpec)
	schema := l.meta.CurrentSchema()
	f := l.parquet(schema, idRows(0, 6), idRows(6, 6))
	l.commit(f)
	l.commit(l.equality(schema, nil, []int{1}, `[{"id": 3}, {"id": 8}]`),
		l.deletes(fmt.Sprintf(`[{"file_path": %q, "pos": 3}, {"file_path": %[1]q, "pos": 10}]`, f.FilePath())))
	want := []string{"_pos=0", "_pos=1", "_pos=2", "_pos=4", "_pos=5", "_pos=6", "_pos=7", "_pos=9", "_pos=11"}
	require.Equal(t, want, l.read(table.Scan{Columns: []string{table.ColumnPos}}))
}

func TestEqualityDeletesFollowEvolution(t *testing.T) {
	l := newLake(t, "2", eventsSchema(), *iceberg.UnpartitionedSpec)
	old := l.meta.CurrentSchema()
	l.commit(l.parquet(old, `[{"id": 1, "price": 1.5, "name": "a"}, {"id": 2, "price": 2.5, "name": "b"},
		{"id": 3, "price": 3.5, "name": "c"}, {"id": 4, "name": "d"}]`))
	l.commit(l.equality(old, nil, []int{1}, `[{"id": 1}]`), l.equality(old, nil, []int{2}, `[{"name": "d"}]`))
	l.evolve(evolvedSchema()) // widens, renames, drops the name, adds a column
	now := l.meta.CurrentSchema()
	l.commit(l.equality(now, nil, []int{1}, `[{"number": 2}]`))
	numbers := table.Scan{Columns: []string{"number"}}
	require.Equal(t, []string{"number=3"}, l.read(numbers))
	// A column that the file does not have is null in it.
	l.commit(l.parquet(now, `[{"number": 5, "id": "x"}]`))
	l.commit(l.equality(now, nil, []int{14}, `[{"id": null}]`))
	require.Equal(t, []string{"number=5"}, l.read(numbers))
}

func TestEqualityDeletesKeepToTheirPartition(t *testing.T) {
	l := newLake(t, "2", eventsSchema(), iceberg.NewPartitionSpec(iceberg.PartitionField{
		SourceIDs: []int{1}, FieldID: 1000, Name: "p", Transform: iceberg.TruncateTransform{Width: 10}}))
	schema := l.meta.CurrentSchema()
	form, err := table.ArrowSchema(schema)
	require.NoError(t, err)
	rows := `[{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]`
	l.commit(l.parquetOf(schema, form, map[int]any{1000: int32(0)}, rows),
		l.parquetOf(schema, form, map[int]any{1000: int32(10)}, rows))
	l.commit(l.equality(schema, map[int]any{1000: int32(10)}, []int{2}, `[{"name": "a"}]`))
	require.Equal(t, []string{"id=1", "id=2", "id=2"}, l.read(table.Scan{Columns: []string{"id"}}))
}

// TestEqualityDeletesAreReadOnce shares what has been read among tasks, the newest or the oldest first.
func TestEqualityDeletesAreReadOnce(t *testing.T) {
	l := newLake(t, "2", eventsSchema(), *iceberg.UnpartitionedSpec)
	schema := l.meta.CurrentSchema()
	for i := range 6 {
		l.commit(l.parquet(schema, idRows(0, 4)), l.equality(schema, nil, []int{1}, fmt.Sprintf(`[{"id": %d}]`, i%4)))
	}
	tasks, err := table.Plan(t.Context(), l.table(), l.store, table.Scan{Columns: []string{"id"}})
	require.NoError(t, err)
	for range 2 {
		slices.Reverse(tasks)
		var shared table.EqualityDeletes
		for _, task := range tasks {
			want, err := l.readTasks([]table.Task{task})
			require.NoError(t, err)
			got := []string{}
			for batch, err := range table.ReadWith(t.Context(), l.store, task, table.ReadOptions{Equality: &shared}) {
				require.NoError(t, err)
				for row := range int(batch.NumRows()) {
					got = append(got, rowText(batch, row))
				}
			}
			require.Equal(t, want, got)
			require.Len(t, got, max(0, 4-6+int(task.SequenceNumber)))
		}
	}
}
