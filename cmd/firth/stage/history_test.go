package stage

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/catalog"
	"github.com/firthlake/firth/commit/verify"
	"github.com/firthlake/firth/ingest/spec"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

func TestHistoryIsProvenAndKeepsAsManySnapshotsAsAnyTable(t *testing.T) {
	dir := t.TempDir()
	store, err := catalog.OpenSQLite(t.Context(), filepath.Join(dir, "catalog.db"))
	require.NoError(t, err)
	defer func() { require.NoError(t, store.Close()) }()
	objects := objstore.NewMemory(time.Now)
	cat := catalog.New(store, objects, catalog.Options{Warehouse: "mem://lake/w", Now: time.Now, NewID: uuid.New,
		TableProperties: catalog.DefaultTableProperties()})
	require.NoError(t, cat.CreateNamespace(t.Context(), catalog.Namespace{"db"}, nil))
	feed := Feed{"nested", "protobuf"}
	g, err := feed.Generator()
	require.NoError(t, err)
	described := Spec("db.events", spec.Source{Topics: []string{"events"}, Format: feed.Format}, g)
	described.Metadata = spec.Default().Metadata
	schema, err := described.TableSchema()
	require.NoError(t, err)
	ident := table.Ident{"db", "events"}
	_, err = cat.CreateTable(t.Context(), ident, catalog.TableSpec{Schema: schema})
	require.NoError(t, err)

	const commits = 62
	rows, err := History(t.Context(), HistoryOptions{Feed: feed, Store: objects, Catalog: cat, Ident: ident,
		Commits: commits, Progress: func(int64) {}, Committer: committerOptions()})
	require.NoError(t, err)
	require.Equal(t, int64(commits*historyRows), rows)
	after, err := cat.LoadTable(t.Context(), ident)
	require.NoError(t, err)
	require.Less(t, len(after.Metadata().Snapshots()), 60)
	report, err := verify.Check(t.Context(), after, objects, verify.Options{Deep: true})
	require.NoError(t, err)
	require.True(t, report.Proven, report.Faults)
	require.Equal(t, rows, report.Files.Rows)
}
