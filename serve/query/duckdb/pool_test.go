//go:build duckdb_arrow

package duckdb

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/serve/query"
)

// opened is how many databases an engine has opened.
func (l *lake) opened(e query.Engine) int64 { return e.(*Engine).databases.opened }

func TestADatabaseServesOneStatementAfterAnother(t *testing.T) {
	l := twoTables(t)
	e := l.engine()
	for range 5 {
		got, err := ask(t.Context(), e, "SELECT count(*) FROM db.events")
		require.NoError(t, err)
		require.Equal(t, []string{"3"}, got)
	}
	require.EqualValues(t, 1, l.opened(e))
	first, err := e.Run(t.Context(), "SELECT id FROM db.events", nil)
	require.NoError(t, err)
	got, err := ask(t.Context(), e, "SELECT count(*) FROM db.kinds")
	require.NoError(t, err)
	require.Equal(t, []string{"2"}, got)
	require.EqualValues(t, 2, l.opened(e), "one at a time")
	first.Release() // nobody reads its rows
	_, err = ask(t.Context(), e, "SELECT count(*) FROM db.events")
	require.NoError(t, err)
	require.EqualValues(t, 2, l.opened(e))
}

func TestNothingOfAStatementStaysInItsDatabase(t *testing.T) {
	l := twoTables(t)
	e := l.engine()
	_, err := ask(t.Context(), e, "WITH c AS (FROM db.events) SELECT * FROM c, db.kinds")
	require.NoError(t, err)
	d, err := e.(*Engine).databases.take(nil)
	require.NoError(t, err)
	defer d.close()
	require.EqualValues(t, 1, l.opened(e), "the same database")
	for _, sql := range []string{"FROM db.events", "FROM db.kinds", "CREATE TABLE db.t (id INT)"} {
		require.ErrorContains(t, d.exec(sql), "does not exist", sql)
		require.NoError(t, d.exec("ROLLBACK", "BEGIN TRANSACTION"))
	}
}

func TestADatabaseThatWentWrongIsClosed(t *testing.T) {
	l := twoTables(t)
	e := l.engine()
	ctx, cancel := context.WithCancel(t.Context())
	reader, err := e.Run(ctx, "SELECT a.range FROM range(1000000) a, range(1000000) b", nil)
	require.NoError(t, err)
	cancel()
	for reader.Next() {
	}
	require.ErrorIs(t, reader.Err(), context.Canceled)
	reader.Release()
	require.Empty(t, e.(*Engine).databases.idle)
	_, err = ask(t.Context(), e, "SELECT CAST('x' AS INT) FROM db.events")
	require.ErrorIs(t, err, query.ErrInvalid)
	got, err := ask(t.Context(), e, "SELECT count(*) FROM db.events")
	require.NoError(t, err)
	require.Equal(t, []string{"3"}, got)
	left, err := filepath.Glob(filepath.Join(e.(*Engine).opts.Dir, "spill-*"))
	require.NoError(t, err)
	require.LessOrEqual(t, len(left), 1)
}

func TestADatabaseThatHasSeenManyFilesIsClosed(t *testing.T) {
	p := newPool(Options{Dir: t.TempDir(), Threads: 1, MemoryMax: 256 << 20, StatementsMax: 2, SpillBytesMax: 1 << 30})
	for round := range 3 {
		var paths []string
		for i := range seenMax/2 + 1 {
			paths = append(paths, strconv.Itoa(round*seenMax+i))
		}
		d, err := p.take(paths)
		require.NoError(t, err)
		p.give(d)
	}
	require.EqualValues(t, 2, p.opened)
	require.Len(t, p.idle, 1)
	p.close()
	d, err := p.take(nil)
	require.NoError(t, err)
	p.give(d)
	require.Empty(t, p.idle, "what comes back later is closed")
	left, err := os.ReadDir(p.opts.Dir)
	require.NoError(t, err)
	require.Empty(t, left)
}
