package table_test

import (
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/filter"
)

func TestFilesThatNoSnapshotHoldsAreReadAsThoseOfATable(t *testing.T) {
	l := newLake(t, "2", eventsSchema(), *iceberg.UnpartitionedSpec)
	first, second := l.parquet(eventsSchema(), idRows(0, 10)), l.parquet(eventsSchema(), idRows(10, 10))
	where, err := filter.Parse("id >= 15")
	require.NoError(t, err)
	scan := table.Scan{Filter: where, Columns: []string{"id"}}
	tasks, err := table.PlanFiles(l.table(), scan, []iceberg.DataFile{first, second})
	require.NoError(t, err)
	require.Len(t, tasks, 1, "the first holds none of them")
	loose, err := l.readTasks(tasks)
	require.NoError(t, err)
	l.commit(first, second)
	tasks, err = table.Plan(t.Context(), l.table(), l.store, scan)
	require.NoError(t, err)
	committed, err := l.readTasks(tasks)
	require.NoError(t, err)
	require.Equal(t, committed, loose)
	schema, err := table.ScanSchema(l.table(), scan)
	require.NoError(t, err)
	require.Len(t, schema.Fields(), 1)
	_, err = table.ScanSchema(l.table(), table.Scan{Columns: []string{"none"}})
	require.ErrorContains(t, err, "unknown column none")
}

func TestRowsInMemoryAreReadAsThoseOfATable(t *testing.T) {
	l := newLake(t, "2", eventsSchema(), *iceberg.UnpartitionedSpec)
	files := []iceberg.DataFile{l.parquet(eventsSchema(), idRows(5, 10)),
		l.parquet(eventsSchema(), twoEvents)}
	tasks, err := table.PlanFiles(l.table(), table.Scan{}, files)
	require.NoError(t, err)
	var batches []arrow.RecordBatch
	for _, task := range tasks {
		for batch, err := range table.Read(t.Context(), l.store, task) {
			require.NoError(t, err)
			batch.Retain()
			defer batch.Release()
			batches = append(batches, batch)
		}
	}
	l.evolve(evolvedSchema())
	for _, scan := range []table.Scan{{}, {Columns: []string{"number"}},
		{Filter: where(t, "number >= 8 AND number < 12")},
		{Filter: where(t, "spot.why = 2"), Columns: []string{"number", "spot.z", "stock"}},
		{Filter: where(t, "number > 99")}} {
		tasks, err := table.PlanFiles(l.table(), scan, files)
		require.NoError(t, err)
		ofFiles, err := l.readTasks(tasks)
		require.NoError(t, err)
		task, err := table.PlanBatches(l.table(), scan, batches)
		require.NoError(t, err)
		inMemory, err := l.readTasks([]table.Task{task})
		require.NoError(t, err)
		require.Equal(t, ofFiles, inMemory)
	}
	_, err = table.PlanBatches(l.table(), table.Scan{Columns: []string{"none"}}, batches)
	require.ErrorContains(t, err, "unknown column none")
}
