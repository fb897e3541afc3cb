//go:build e2e

package e2e

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/e2e/components"
)

// sqlAnswer is what adbc_sql.py and JdbcSql.java print.
type sqlAnswer struct {
	Columns        map[string][]string // by catalog.namespace.table
	Rows, Prepared [][]string
	Whole          int
	Refused        map[string]string
}

// TestDriversAskInSQL has the drivers that BI tools are built on list a table, query it and be refused.
func TestDriversAskInSQL(t *testing.T) {
	t.Parallel()
	lab := newLab(t)
	dir, generated := demoFolder(t)
	l := newLake(t, lab, settings{store: dir + "/catalog.db", warehouse: dir + "/warehouse",
		tokens: "tokens: {read: may-read, write: may-write}\n"})
	reader := l.reader(t)
	flight := address(t)
	reader.Token, reader.Flight = "may-read", "grpc://"+flight
	_, err := lab.Start(t.Context(), components.Command{
		Name: "sql", Path: sqlBinary(t),
		Args:  []string{"run", "-c", l.config(), "--roles", "catalog", "--flight", flight},
		Ready: components.Accepts(flight),
	})
	require.NoError(t, err)

	var rows, counts [][]string
	for _, partition := range slices.Sorted(maps.Keys(generated["db.events"])) {
		have := generated["db.events"][partition]
		rows = append(rows, []string{partition, fmt.Sprint(have["rows"]), fmt.Sprint(have["user_id"])})
		counts = append(counts, []string{fmt.Sprint(have["rows"])})
	}
	for _, program := range []string{"adbc_sql", "jdbc_sql"} {
		var said sqlAnswer
		require.NoError(t, lab.Ask(t.Context(), reader, components.Question{
			Program: program, Tables: []string{"db.events"}}, &said), program)
		require.Len(t, said.Columns, 2, "%s: the table and its dead letters", program)
		require.Subset(t, said.Columns["firth.db.events"], []string{"event_id", "ts", "_kafka_offset"}, program)
		require.Equal(t, rows, said.Rows, program)
		require.Equal(t, counts[:2], said.Prepared, program)
		require.Equal(t, 3, said.Whole, program)
		require.Contains(t, said.Refused["drop"], "only queries", program)
		require.Contains(t, said.Refused["token"], "no token, or a wrong one", program)
	}
}

// sqlBinary builds the program with the engine.
func sqlBinary(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "firth-sql")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-tags", "duckdb_arrow", "-o", binary, "../cmd/firth")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return binary
}
