package catalog_test

import (
	"context"
	"database/sql"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/catalog"
	"github.com/firthlake/firth/catalog/catalogtest"
)

func TestMemoryStoreConforms(t *testing.T) {
	catalogtest.TestStore(t, func(*testing.T) catalog.Store { return catalog.NewMemoryStore() })
}

func openSQLite(t *testing.T) *catalog.SQLStore {
	t.Helper()
	store, err := catalog.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "cat?alog %.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return store
}

func TestSQLiteStoreConforms(t *testing.T) {
	catalogtest.TestStore(t, func(t *testing.T) catalog.Store { return openSQLite(t) })
}

// openPostgres opens a store in a schema of its own. FIRTH_TEST_POSTGRES is the DSN, as a URL, of a
// database in which the test may make schemas.
func openPostgres(t *testing.T) *catalog.SQLStore {
	t.Helper()
	dsn := os.Getenv("FIRTH_TEST_POSTGRES")
	if dsn == "" {
		t.Skip("FIRTH_TEST_POSTGRES is not set")
	}
	db, err := sql.Open("pgx", dsn)
	require.NoError(t, err)
	schema := "test_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	_, err = db.ExecContext(t.Context(), "CREATE SCHEMA "+schema)
	require.NoError(t, err)
	at, err := url.Parse(dsn)
	require.NoError(t, err)
	query := at.Query()
	query.Set("search_path", schema)
	at.RawQuery = query.Encode()
	store, err := catalog.OpenPostgres(t.Context(), at.String())
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, store.Close())
		_, err := db.ExecContext(context.WithoutCancel(t.Context()), "DROP SCHEMA "+schema+" CASCADE")
		require.NoError(t, err)
		require.NoError(t, db.Close())
	})
	return store
}

func TestPostgresStoreConforms(t *testing.T) {
	catalogtest.TestStore(t, func(t *testing.T) catalog.Store { return openPostgres(t) })
}

func TestSQLiteStoreIsOpenedTwice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.db")
	first, err := catalog.OpenSQLite(t.Context(), path)
	require.NoError(t, err)
	defer first.Close()
	second, err := catalog.OpenSQLite(t.Context(), path)
	require.NoError(t, err)
	defer second.Close()
	require.NoError(t, first.Apply(t.Context(), catalog.CreateNamespace{Name: catalog.Namespace{"db"}}))
	_, err = second.Namespace(t.Context(), catalog.Namespace{"db"})
	require.NoError(t, err)
	for range 50 {
		for _, store := range []catalog.Store{first, second} {
			read, err := store.Namespace(t.Context(), catalog.Namespace{"db"})
			require.NoError(t, err)
			require.NoError(t, store.Apply(t.Context(), catalog.SetProperties{
				Name: read.Name, Revision: read.Revision, Properties: read.Properties}))
		}
	}
}
