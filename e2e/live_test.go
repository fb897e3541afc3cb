//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/firthlake/firth/e2e/components"
	"github.com/firthlake/firth/ingest/gen"
	"github.com/firthlake/firth/ingest/source"
)

// TestEnginesReadTablesAsOfNow asks each engine, in one open session, for the offsets of tables while chunks and
// checkpoints land: every answer must have each offset up to its cut once, and none be behind the one before. Of keyed
// tables it asks for all rows, which must be the newest of each key at some cut.
func TestEnginesReadTablesAsOfNow(t *testing.T) {
	t.Parallel()
	lab, brokers := newLab(t), embeddedBroker(t, "events", changesTopic)
	minio, err := lab.MinIO(t.Context(), "warehouse")
	require.NoError(t, err)
	l := newLake(t, lab, settings{brokers: brokers, s3: minio.Endpoint})
	kinds := map[string]string{
		"plain":  "",
		"listed": "partition: [country]\n",
		"third":  "format_version: 3\npartition: [\"bucket(4, user_id)\", day(ts)]\n",
	}
	for name, more := range kinds {
		l.spec(t, name, "name: db."+name+"\nschema: "+events10+"\n"+more+
			"sources: [{topics: [events]}]\nfreshness: {interval: 4s}\n")
	}
	keyed := map[string]string{
		"newest": "format_version: 3\npartition: [\"bucket(3, id)\"]\n",
		"wide":   "format_version: 2\n",
	}
	for name, more := range keyed {
		l.spec(t, name, "name: db."+name+"\nidentifier: [id]\ndelete: {column: gone}\n"+more+
			"schema: {columns: [{name: id, type: long, required: true}, {name: gone, type: boolean}]}\n"+
			"sources: [{topics: ["+changesTopic+"]}]\nfreshness: {interval: 15s}\n")
	}
	l.apply(t)
	service := l.run(t, "live")
	for _, engine := range []string{"duckdb", "pyiceberg", "trino", "spark"} {
		l.readsAsOfNow(t, engine, kinds, keyed)
	}
	service.Stop()
	require.Zero(t, service.ExitCode(), service.Tail())
	for _, tables := range []map[string]string{kinds, keyed} {
		for name := range tables {
			l.proven(t, "db."+name)
		}
	}
}

// produceBoth has records come to both topics until what it returns is called.
func (l *lake) produceBoth(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var producer errgroup.Group
	producer.Go(func() error { return produceChanges(ctx, l.settings.brokers) })
	producer.Go(func() error {
		g, err := gen.New(gen.Options{Workload: "events10", Format: gen.JSON, Seed: 11})
		if err != nil {
			return err
		}
		_, err = gen.Produce(ctx, source.Connection{Brokers: []string{l.settings.brokers}}, "events", g,
			gen.Run{Rate: 500})
		return err
	})
	return func() {
		cancel()
		require.NoError(t, producer.Wait())
	}
}

// readsAsOfNow asks one engine again and again.
func (l *lake) readsAsOfNow(t *testing.T, engine string, kinds, keyed map[string]string) {
	t.Helper()
	reader := l.reader(t)
	reader.Warehouse, reader.Committed, reader.Vended = "live", "main", true
	if engine == "pyiceberg" { // which has the library's planner in other tests
		reader.Planning = "server"
	}
	if engine == "trino" {
		trino, err := l.lab.Trino(t.Context(), reader)
		require.NoError(t, err)
		defer trino.Stop()
		reader.Trino = trino.Port
	}
	session, err := l.lab.Open(t.Context(), reader, engine)
	require.NoError(t, err)
	defer session.Stop()
	// Records come only now: an engine takes up to a minute to start, and files that pile up meanwhile are more than it
	// reads within the time for which they stay.
	defer l.produceBoth(t)()
	answers, rows, seen := 0, map[string]int{}, map[string]*cuts{}
	for name := range keyed {
		seen[name] = &cuts{}
	}
	for end := time.Now().Add(either(20*time.Second, 10*time.Minute)); time.Now().Before(end) || answers < 6; {
		for name := range kinds {
			answer, err := session.Run(t.Context(), seamQuestion(engine, "db."+name))
			require.NoError(t, err)
			require.Empty(t, answer.Fault, "%s, %s", engine, name)
			rows[name] = exact(t, engine+" "+name, rows[name], answer)
			answers++
		}
		for name := range keyed {
			answer, err := session.Run(t.Context(), newestQuestion(engine, "db."+name))
			require.NoError(t, err)
			require.Empty(t, answer.Fault, "%s, %s", engine, name)
			seen[name].check(t, engine+" "+name, answer)
		}
	}
	for name, c := range seen {
		t.Logf("%s, %s: %d answers at %d cuts", engine, name, c.answers, c.different)
		require.Greater(t, 2*c.different, c.answers, "%s, %s: a cut is as old as a checkpoint", engine, name)
	}
	t.Logf("%s: %d answers, all exact, %v rows", engine, answers, rows)
}

// seamQuestion asks for the offsets of a table by partition: rows, different ones, the first, the last.
func seamQuestion(engine, table string) string {
	const ask = "select _kafka_partition, count(*), count(distinct _kafka_offset), " +
		"min(_kafka_offset), max(_kafka_offset) from %s group by 1"
	switch engine {
	case "pyiceberg":
		return "lake." + table
	case "trino":
		return fmt.Sprintf(ask, table)
	}
	return fmt.Sprintf(ask, "lake."+table)
}

// exact wants each offset from 0 on once, and no fewer rows than before.
func exact(t *testing.T, of string, before int, answer components.Answer) (rows int) {
	t.Helper()
	for _, row := range answer.Rows {
		var n [5]int
		for i, text := range row {
			var err error
			n[i], err = strconv.Atoi(text)
			require.NoError(t, err)
		}
		require.Equal(t, []int{n[1], 0, n[1] - 1}, n[2:], "%s: partition %d has %d rows", of, n[0], n[1])
		rows += n[1]
	}
	require.GreaterOrEqual(t, rows, before, of)
	return rows
}
