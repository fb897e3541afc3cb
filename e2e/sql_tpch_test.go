//go:build e2e

package e2e

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/e2e/components"
	"github.com/firthlake/firth/e2e/tpch"
)

// tpchScale is the size of the tables: at 0.02 there are 120,000 lines of orders.
const tpchScale = 0.02

// TestQueriesOfTPCHAnswerAsDuckDBOverTheFiles loads the tables through Kafka, and asks the queries by Flight SQL and
// of a DuckDB that reads the same data files.
func TestQueriesOfTPCHAnswerAsDuckDBOverTheFiles(t *testing.T) {
	t.Parallel()
	lab := newLab(t)
	kafka, err := lab.Kafka(t.Context())
	require.NoError(t, err)
	l := newLake(t, lab, settings{brokers: kafka.Brokers, warehouse: filepath.Join(t.TempDir(), "warehouse")})
	require.NoError(t, tpch.Produce(t.Context(), kafka.Brokers, tpchScale))
	for _, each := range tpch.Tables() {
		l.spec(t, each.Topic(), each.Spec())
	}
	l.apply(t)
	// Files that compaction replaces stay for a while: DuckDB would read them too.
	writer := l.run(t, "writer", "--roles", "catalog,ingest")
	for _, each := range tpch.Tables() {
		rows := int64(0)
		for range each.Lines(tpchScale) {
			rows++
		}
		l.reaches(t, each.Topic(), rows, 3*time.Minute)
	}
	writer.Stop()

	reader, flight := l.reader(t), address(t)
	reader.Flight = "grpc://" + flight
	_, err = lab.Start(t.Context(), components.Command{
		Name: "sql", Path: sqlBinary(t),
		Args:  []string{"run", "-c", l.config(), "--roles", "catalog", "--flight", flight},
		Ready: components.Accepts(flight),
	})
	require.NoError(t, err)
	firth, err := lab.Open(t.Context(), reader, "adbc")
	require.NoError(t, err)
	duckdb, err := lab.Open(t.Context(), reader, "duckdb_files")
	require.NoError(t, err)
	rows := func(session *components.Session, statement string) [][]string {
		answer, err := session.Run(t.Context(), statement)
		require.NoError(t, err)
		require.Empty(t, answer.Fault, statement)
		return answer.Rows
	}
	rows(duckdb, "create schema "+tpch.Namespace)
	for _, each := range tpch.Tables() {
		rows(duckdb, fmt.Sprintf("create view %s as select * from read_parquet('%s')", each.Topic(),
			filepath.Join(l.settings.warehouse, tpch.Namespace, each.Name, "data", "**", "*.parquet")))
	}
	queries, err := tpch.Queries()
	require.NoError(t, err)
	for i, query := range queries {
		require.Equal(t, rows(duckdb, query), rows(firth, query), "query %d", i+1)
	}
}
