package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/catalog"
	"github.com/firthlake/firth/ingest/source"
	"github.com/firthlake/firth/serve/live"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// tasksIn are the files of db.events in a warehouse, to be read for some columns or all.
func tasksIn(t *testing.T, url, warehouse string, columns ...string) (*table.Table, objstore.Store, []table.Task) {
	t.Helper()
	return tasksOf(t, table.Ident{"db", "events"}, url, warehouse, columns...)
}

// tasksOf are the files of a table.
func tasksOf(t *testing.T, ident table.Ident, url, warehouse string, columns ...string,
) (*table.Table, objstore.Store, []table.Task) {
	t.Helper()
	remote, err := catalog.DialRemote(t.Context(), catalog.RemoteConfig{URI: url, Warehouse: warehouse},
		http.DefaultClient)
	require.NoError(t, err)
	loaded, err := remote.LoadTable(t.Context(), ident)
	require.NoError(t, err)
	store, err := objstore.Open(objstore.Config{})
	require.NoError(t, err)
	tasks, err := table.Plan(t.Context(), loaded, store, table.Scan{Columns: columns})
	require.NoError(t, err)
	return loaded, store, tasks
}

// rowsIn counts the rows of db.events in a warehouse, by reading them.
func rowsIn(t *testing.T, url, warehouse string) (rows int64) {
	t.Helper()
	_, store, tasks := tasksIn(t, url, warehouse)
	for _, task := range tasks {
		for batch, err := range table.Read(t.Context(), store, task) {
			require.NoError(t, err)
			rows += batch.NumRows()
		}
	}
	return rows
}

// newHourlyFolder has a topic of so many partitions, and a table that is committed once an hour.
func newHourlyFolder(t *testing.T, partitions int32, table string) *lakeFolder {
	t.Helper()
	broker, err := source.StartEmbedded(source.EmbeddedOptions{Topics: map[string]int32{"events": partitions}})
	require.NoError(t, err)
	t.Cleanup(broker.Close)
	f := &lakeFolder{dir: t.TempDir(), broker: broker}
	f.listen(t, "127.0.0.1:0")
	write(t, f.dir, "tables/events.yaml",
		"name: db.events\nsources: [{topics: [events]}]\nfreshness: {interval: 1h}\n"+table)
	require.Zero(t, f.firth(t, "apply", "--yes").code)
	return f
}

// byCountry is a table of rows.
const byCountry = `
schema: {columns: [{name: user_id, type: long}, {name: country, type: string}]}
partition: [country]
`

func TestRowsAreReadBeforeTheyAreCommitted(t *testing.T) {
	f := newHourlyFolder(t, 4, byCountry)
	f.produce(t, 500)
	r := f.run(t)
	url := r.url(t, "catalog")
	shown := func(warehouse string, rows int64) {
		t.Helper()
		require.Eventually(t, func() bool { return rowsIn(t, url, warehouse) == rows }, patience,
			50*time.Millisecond, warehouse)
	}
	shown("live", 500)
	committed := rowsIn(t, url, "main")
	for range 3 {
		f.produce(t, 100)
		shown("live", f.produced)
	}
	require.Equal(t, committed, rowsIn(t, url, "main"), "nothing is committed within the hour")
	files, err := filepath.Glob(filepath.Join(f.dir, "warehouse/db/events/_live/*.parquet"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	r.end(t)
	_, err = os.Stat(filepath.Join(f.dir, "warehouse/db/events/data"))
	require.NoError(t, err)
	report := f.report(t)
	require.True(t, report.Proven, "%+v", report.Faults)
	require.Equal(t, f.produced, report.Files.Rows)
}

// usersIn are the rows of db.events in a warehouse by their key, each once, and where the table as of now ends.
func usersIn(t *testing.T, url, warehouse string) (users map[int32]int64, cut string) {
	t.Helper()
	loaded, store, tasks := tasksIn(t, url, warehouse, "quantity", "user_id")
	users = map[int32]int64{}
	for _, task := range tasks {
		for batch, err := range table.Read(t.Context(), store, task) {
			require.NoError(t, err)
			for i, key := range batch.Column(0).(*array.Int32).Int32Values() {
				_, twice := users[key]
				require.False(t, twice, "key %d has two rows", key)
				users[key] = batch.Column(1).(*array.Int64).Value(i)
			}
		}
	}
	if head := loaded.Metadata().CurrentSnapshot(); head != nil && head.Summary != nil {
		cut = head.Summary.Properties[live.SummaryOffsets]
	}
	return users, cut
}

func TestTheNewestRowOfAKeyIsReadBeforeItIsCommitted(t *testing.T) {
	f := newHourlyFolder(t, 1, `
schema: {columns: [{name: quantity, type: int, required: true}, {name: user_id, type: long}]}
identifier: [quantity]
`)
	f.produce(t, 500)
	r := f.run(t)
	url := r.url(t, "catalog")
	var shown map[int32]int64
	for range 4 {
		f.produce(t, 100)
		require.Eventually(t, func() bool {
			var cut string
			shown, cut = usersIn(t, url, "live")
			return cut == fmt.Sprintf(`{"events":{"0":%d}}`, f.produced)
		}, patience, 50*time.Millisecond)
	}
	committed, _ := usersIn(t, url, "main")
	require.NotEqual(t, committed, shown, "nothing is committed within the hour")
	r.end(t)
	r = f.run(t)
	committed, _ = usersIn(t, r.url(t, "catalog"), "main")
	require.Equal(t, shown, committed, "what was committed at the end is what was shown")
	r.end(t)
}
