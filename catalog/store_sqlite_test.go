package catalog

import (
	"database/sql"
	"errors"
	"io/fs"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCatalogOfAnotherUserIsToldAsPermission(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.db")
	store, err := OpenSQLite(t.Context(), path)
	require.NoError(t, err)
	require.NoError(t, store.Close())

	db, err := sql.Open("sqlite", "file:"+path+"?mode=ro")
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), "CREATE TABLE more (id INT)")
	require.Error(t, err)
	require.ErrorIs(t, sqliteOpening(err), fs.ErrPermission)
	require.NoError(t, db.Close())
	require.NotErrorIs(t, sqliteOpening(errors.New("another")), fs.ErrPermission)
}
