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

// TestEnginesReadTablesAsOfNow asks each engine, in one open session and without keys of the store, for the offsets
// of all kinds of tables while chunks and checkpoints land, as of now and as committed: every answer must have each
// offset up to its cut once, none be behind the one before, and none as of now be stale. Of keyed tables it asks for
// all rows, which must be the newest of each key at some cut. What it finds must stand in docs/engines.md. The long
// form has all engines ask beside each other for ten minutes: it wants -parallel 10.
func TestEnginesReadTablesAsOfNow(t *testing.T) {
	t.Parallel()
	lab, brokers := newLab(t), embeddedBroker(t, "events", changesTopic)
	minio, err := lab.MinIO(t.Context(), "warehouse")
	require.NoError(t, err)
	l := newLake(t, lab, settings{brokers: brokers, s3: minio.Endpoint})
	for _, k := range tableKinds() {
		l.spec(t, k.name, k.spec())
	}
	l.apply(t)
	service := l.run(t, "live")
	if soak() {
		l.readTogether(t)
	} else {
		for _, c := range clients() {
			t.Run(c.name, func(t *testing.T) {
				ask := l.open(t, c)
				// Records come only now: an engine takes up to a minute to start, and files that pile up meanwhile
				// are more than it reads within the time for which they stay.
				seen, stop := l.produceBoth(t)
				defer stop()
				l.readsAsOfNow(t, c, ask, seen)
			})
		}
	}
	service.Stop()
	require.Zero(t, service.ExitCode(), service.Tail())
	for _, k := range tableKinds() {
		l.proven(t, "db."+k.name)
	}
}

// produceBoth has records come to both topics, and observes what becomes of them, until what it returns is called.
func (l *lake) produceBoth(t *testing.T) (seen *observer, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	seen = &observer{}
	var group errgroup.Group
	group.Go(func() error { return seen.run(ctx, l, "events", changesTopic) })
	group.Go(func() error { return produceChanges(ctx, l.settings.brokers) })
	group.Go(func() error {
		g, err := gen.New(gen.Options{Workload: "events10", Format: gen.JSON, Seed: 11})
		if err != nil {
			return err
		}
		_, err = gen.Produce(ctx, source.Connection{Brokers: []string{l.settings.brokers}}, "events", g,
			gen.Run{Rate: 500})
		return err
	})
	return seen, func() {
		cancel()
		require.NoError(t, group.Wait())
	}
}

// asker asks one engine for the offsets of a table in a warehouse, or for the rows of a keyed one.
type asker func(ctx context.Context, catalog string, k tableKind) (components.Answer, error)

// open starts the session of an engine, without keys.
func (l *lake) open(t *testing.T, c client) asker {
	t.Helper()
	reader := l.reader(t)
	reader.Warehouse, reader.Committed, reader.Vended = "live", "main", true
	switch c.name {
	case "iceberg-go":
		return func(ctx context.Context, catalog string, k tableKind) (components.Answer, error) {
			return icebergGo(ctx, reader, catalog, k), nil
		}
	case "pyiceberg": // which has the library's planner in other tests
		reader.Planning = "server"
	case "trino":
		trino, err := l.lab.Trino(t.Context(), reader)
		require.NoError(t, err)
		t.Cleanup(trino.Stop)
		reader.Trino = trino.Port
	}
	session, err := l.lab.Open(t.Context(), reader, c.name)
	require.NoError(t, err)
	t.Cleanup(session.Stop)
	return func(ctx context.Context, catalog string, k tableKind) (components.Answer, error) {
		if k.keyed {
			return session.Run(ctx, newestQuestion(c.name, catalog, k.name))
		}
		return session.Run(ctx, seamQuestion(c.name, catalog, k.name))
	}
}

// The catalogs of a session: lake is the warehouse live, committed is main.
const (
	catalogLive      = "lake"
	catalogCommitted = "committed"
)

// readTogether has all engines ask beside each other, each in its session, while records come.
func (l *lake) readTogether(t *testing.T) {
	t.Helper()
	asks := map[string]asker{}
	for _, c := range clients() {
		asks[c.name] = l.open(t, c)
	}
	seen, stop := l.produceBoth(t)
	defer stop()
	t.Run("together", func(t *testing.T) {
		for _, c := range clients() {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				l.readsAsOfNow(t, c, asks[c.name], seen)
			})
		}
	})
}

// readsAsOfNow asks one engine again and again.
func (l *lake) readsAsOfNow(t *testing.T, c client, ask asker, seen *observer) {
	t.Helper()
	told := map[string]*record{}
	end := time.Now().Add(either(15*time.Second, 10*time.Minute))
	for round := 0; round < 2 || time.Now().Before(end); round++ {
		for _, k := range tableKinds() {
			for _, catalog := range []string{catalogLive, catalogCommitted} {
				if round > 0 && catalog == catalogCommitted && !soak() {
					continue
				}
				if round > 1 && time.Now().After(end) {
					continue
				}
				cell := catalog + " " + k.name
				if told[cell] == nil {
					told[cell] = &record{}
				}
				began := time.Now()
				answer, err := ask(t.Context(), catalog, k)
				require.NoError(t, err)
				told[cell].take(t, c, cell, k, answer)
				if catalog == catalogLive && told[cell].limit == "" {
					told[cell].fresh(t, c.name+" "+cell, k, seen, began, answer)
				}
			}
		}
	}
	c.inDocs(t, told)
	answers := 0
	var grown, keyed []*record
	for cell, r := range told {
		answers += r.answers
		if catalog, name, _ := cutCell(cell); catalog == catalogLive && r.limit == "" && isKeyed(name) {
			require.Greater(t, 2*r.cuts.different, r.answers, "%s, %s: a cut is as old as a checkpoint", c.name, cell)
		}
	}
	for cell, r := range told {
		if _, name, _ := cutCell(cell); isKeyed(name) {
			keyed = append(keyed, r)
		} else {
			grown = append(grown, r)
		}
	}
	t.Logf("%s: %d answers, all exact", c.name, answers)
	tellAges(t, c.name+", tables that grow", grown)
	tellAges(t, c.name+", keyed tables", keyed)
}

// record is what one engine has answered about one table in one warehouse.
type record struct {
	answers, rows int
	cuts          cuts
	ages          []time.Duration // of answers as of now
	held          int             // of them, against what was shown
	limit         string          // what the engine said that it cannot do
}

// take checks an answer.
func (r *record) take(t *testing.T, c client, cell string, k tableKind, answer components.Answer) {
	t.Helper()
	if limit := c.limit(k); limit != "" && answer.Fault != "" {
		require.Contains(t, answer.Fault, limit, "%s, %s", c.name, cell)
		r.limit = limit
		return
	}
	require.Empty(t, answer.Fault, "%s, %s", c.name, cell)
	r.answers++
	if k.keyed {
		r.cuts.check(t, c.name+" "+cell, answer)
		return
	}
	r.rows = exact(t, c.name+" "+cell, r.rows, answer)
}

// seamQuestion asks for the offsets of a table by partition: rows, different ones, the first, the last.
func seamQuestion(engine, catalog, name string) string {
	if namesTables(engine) {
		return catalog + ".db." + name
	}
	return "select _kafka_partition, count(*), count(distinct _kafka_offset), min(_kafka_offset), " +
		"max(_kafka_offset) from " + tableName(engine, catalog, name) + " group by 1"
}

// namesTables says whether statements of an engine are names of tables.
func namesTables(engine string) bool { return engine == "pyiceberg" || engine == "polars" }

// tableName is a table as an engine writes it.
func tableName(engine, catalog, name string) string {
	if engine == "clickhouse" {
		return fmt.Sprintf("%s.`db.%s`", catalog, name)
	}
	return catalog + ".db." + name
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
