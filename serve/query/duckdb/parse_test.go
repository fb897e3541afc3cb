//go:build duckdb_arrow

package duckdb

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/serve/query"
)

// TestStatementsReachNothingButTables tries to read and write files, settings and addresses.
func TestStatementsReachNothingButTables(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret.csv")
	require.NoError(t, os.WriteFile(secret, []byte("a\nhunter2\n"), 0o600))
	target := filepath.Join(t.TempDir(), "written")
	l := twoTables(t)
	e := l.engine()
	_, err := ask(t.Context(), e, "SELECT * FROM db.events") // its files are in the cache now
	require.NoError(t, err)
	cached := filesBelow(t, e.(*Engine).opts.Dir)
	require.NotEmpty(t, cached)
	attempts := []string{
		"SELECT * FROM read_csv('FILE')", "SELECT * FROM read_csv_auto('FILE')", "SELECT * FROM read_text('FILE')",
		"SELECT * FROM read_blob('FILE')", "SELECT * FROM read_json('FILE')", "SELECT * FROM read_parquet('CACHED')",
		"SELECT * FROM parquet_scan('CACHED')", "SELECT * FROM parquet_metadata('CACHED')",
		"FROM 'FILE'", "FROM \"FILE\"",
		"FROM 'CACHED'", "SELECT * FROM glob('/*')", "SELECT * FROM sniff_csv('FILE')",
		"SELECT (SELECT content FROM read_text('FILE'))", "SELECT 1 WHERE EXISTS (FROM read_csv('FILE'))",
		"SELECT * FROM db.events WHERE id IN (SELECT a FROM read_csv('FILE'))",
		"WITH c AS (FROM read_csv('FILE')) FROM c", "SELECT 1 UNION ALL FROM read_text('FILE')",
		"SELECT * FROM db.events LIMIT (SELECT count(*) FROM read_text('FILE'))",
		"SELECT * FROM db.events, LATERAL (SELECT * FROM read_text('FILE'))",
		"WITH \"CACHED\" AS (SELECT 1) SELECT * FROM (SELECT * FROM \"CACHED\"), \"CACHED\"",
		"SELECT * FROM query('SELECT * FROM read_text(''FILE'')')", "SELECT * FROM query_table('FILE')",
		"SELECT * FROM query_table(['FILE'])", "SELECT * FROM \"db\".\"FILE\"",
		"COPY (SELECT 1) TO 'TARGET'", "COPY db.events TO 'CACHED'", "COPY db.events FROM 'FILE'",
		"EXPORT DATABASE 'TARGET'",
		"IMPORT DATABASE 'TARGET'", "ATTACH 'TARGET' AS x", "ATTACH ':memory:' AS x", "DETACH firth", "USE memory",
		"INSTALL httpfs", "LOAD httpfs", "LOAD 'TARGET'", "FORCE INSTALL httpfs FROM 'http://127.0.0.1:1/'",
		"SELECT * FROM 'http://127.0.0.1:1/x.parquet'", "SELECT * FROM 's3://bucket/x.parquet'",
		"PRAGMA database_list", "PRAGMA memory_limit='1TB'", "PRAGMA enable_external_access=true",
		"CALL pragma_version()",
		"SET enable_external_access = true", "SET GLOBAL allowed_paths = ['FILE']",
		"RESET memory_limit", "SET VARIABLE x = 1",
		"CREATE TABLE db.x (i INT)", "CREATE TABLE x AS SELECT 1", "CREATE VIEW v AS SELECT 1", "CREATE MACRO m() AS 1",
		"CREATE SECRET s (TYPE S3)", "INSERT INTO db.events VALUES (1, 'x')", "UPDATE db.events SET id = 1",
		"DELETE FROM db.events", "DROP VIEW db.events", "ALTER TABLE db.events ADD COLUMN x INT", "TRUNCATE db.events",
		"MERGE INTO db.events USING db.kinds ON true WHEN MATCHED THEN DELETE", "CHECKPOINT", "VACUUM", "BEGIN",
		"PREPARE p AS SELECT 1", "EXECUTE p", "EXPLAIN ANALYZE COPY (SELECT 1) TO 'TARGET'",
		"SELECT 1; COPY (SELECT 1) TO 'TARGET'", "SELECT getenv('HOME')", "SELECT * FROM duckdb_settings()",
		"SELECT * FROM duckdb_secrets()", "SELECT * FROM duckdb_views()", "SELECT * FROM duckdb_views",
		"SELECT * FROM pg_catalog.pg_views",
		"SELECT * FROM sqlite_master", "SELECT * FROM duckdb_functions()", "SELECT * FROM pragma_database_list",
		"SELECT * FROM duckdb_logs()", "SELECT * FROM system.information_schema.tables", "SELECT * FROM memory.main.x",
		"SELECT * FROM test_all_types()", "CALL dbgen(sf = 1)", "SELECT current_setting('temp_directory')",
	}
	for _, attempt := range attempts {
		sql := strings.NewReplacer("FILE", secret, "TARGET", target, "CACHED", cached[0]).Replace(attempt)
		rows, err := ask(t.Context(), e, sql)
		require.Error(t, err, "%s: %s", attempt, rows)
		require.NotContains(t, err.Error(), "hunter2", attempt)
		require.NoFileExists(t, target, attempt)
		_, described := e.Describe(t.Context(), sql)
		require.Error(t, described, attempt)
	}
	require.ElementsMatch(t, cached, filesBelow(t, e.(*Engine).opts.Dir))
	got, err := ask(t.Context(), e, "SELECT count(*) FROM db.events")
	require.NoError(t, err)
	require.Equal(t, []string{"3"}, got)
}

// TestEveryTableFunctionIsKnown holds the list of those that are allowed against all that DuckDB has.
func TestEveryTableFunctionIsKnown(t *testing.T) {
	e := twoTables(t).engine().(*Engine)
	looking, err := e.analyst(t.Context())
	require.NoError(t, err)
	defer func() { e.looks <- looking }()
	prepared, err := looking.instance.prepare(
		"SELECT string_agg(DISTINCT function_name, ' ') FROM duckdb_functions() " +
			"WHERE function_type IN ('table', 'table_macro')")
	require.NoError(t, err)
	text, err := looking.text(prepared)
	require.NoError(t, err)
	names := strings.Fields(text)
	require.Greater(t, len(names), 50)
	for _, name := range names {
		tree, err := looking.tree("SELECT * FROM " + quote(name) + "('x')")
		require.NoError(t, err)
		_, err = resolve(tree)
		allowed := false
		for _, each := range rowFunctions() {
			allowed = allowed || each == name
		}
		if !allowed {
			require.ErrorIs(t, err, query.ErrRefused, name)
		} else {
			require.NoError(t, err, name)
		}
	}
}

// TestTheDatabaseItselfIsClosed runs what the syntax tree would have refused in the database of a statement.
func TestTheDatabaseItselfIsClosed(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "secret.csv")
	require.NoError(t, os.WriteFile(file, []byte("a\nb\n"), 0o600))
	i, err := openInstance(closedSettings())
	require.NoError(t, err)
	defer i.close()
	require.NoError(t, i.exec(enclose(filepath.Join(dir, "allowed"))...))
	for _, sql := range []string{
		"SELECT * FROM read_text('" + file + "')", "SELECT * FROM '" + file + "'",
		"COPY (SELECT 1) TO '" + file + ".new'",
		"ATTACH '" + file + ".db' AS x", "INSTALL httpfs", "LOAD httpfs", "SET enable_external_access = true",
		"SET allowed_paths = ['" + file + "']", "SELECT * FROM glob('" + dir + "/*')", "RESET lock_configuration",
	} {
		require.Error(t, i.exec(sql), sql)
	}
}
