package table_test

import (
	"testing"

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
