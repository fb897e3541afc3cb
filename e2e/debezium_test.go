//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/firthlake/firth/e2e/components"
)

// rowColumns are the columns that the tables of Postgres share, as a spec has them.
const rowColumns = `    - {name: id, type: long, required: true}
    - {name: name, type: string}
    - {name: amount, type: "decimal(12, 3)"}
    - {name: ts, type: timestamp, format: us}
    - {name: seen, type: timestamptz}
    - {name: flag, type: boolean}
    - {name: day, type: date}
`

// itemsSpec takes the place of a change in the write-ahead log for its sequence. Postgres locks a row
// until the transaction that changed it is over, so the places of a key's changes rise in the order in
// which transactions land. Times do not: many changes have the same, and clocks go back.
const itemsSpec = `name: db.items
identifier: [id]
sequence: [lsn]
schema:
  columns:
` + rowColumns + `    - {name: lsn, type: long, event: source.lsn}
sources:
  - {topics: [pg.public.items], envelope: debezium, options: {decimals: base64}}
evolution: {unknown_fields: evolve}
retention: {snapshots: 500}
freshness: {interval: `

// replica is a Postgres table, and the lake that follows it.
type replica struct {
	*lake
	load     *load
	kafka    *components.Kafka
	connect  *components.Connect
	postgres *components.Postgres
	random   *rand.Rand
	marks    int
	// spark and trino take statements from the first time that they are asked.
	spark, trino *components.Session
}

// settleMax bounds how long the lake may take to get what Postgres has; other work may have the machine.
func settleMax() time.Duration { return either(2*time.Minute, 10*time.Minute) }

// TestTableFollowsPostgres lets Debezium send the changes of a Postgres table under load: inserts,
// updates, deletes, changes of the key, several changes of a row in one transaction, transactions that are
// taken back, and a column that is added. firth is killed meanwhile, and Connect, which then sends changes
// twice. Whenever the load pauses, every row is compared with Postgres. Tables of other kinds, merged and
// partitioned ones, change a little meanwhile, and are compared at the end with their changelogs.
func TestTableFollowsPostgres(t *testing.T) {
	t.Parallel()
	r := newReplica(t)
	pauses := either(2, 10)
	service := r.run(t, "firth")
	for round := range pauses {
		r.changeKinds(t, round+1)
		ctx, stop := context.WithCancel(t.Context())
		var loading errgroup.Group
		loading.Go(func() error { return r.load.run(ctx, uint64(round)) })
		service = r.disturb(t, service, round)
		stop()
		require.NoError(t, loading.Wait())
		r.settle(t)
		want := r.rows(t)
		asked := []question{want}
		if round == pauses-1 {
			asked = append(asked, r.kindsRows(t)...)
			r.kindsSettle(t, asked)
		}
		for _, engine := range []string{"pyiceberg", "duckdb"} {
			r.asks(t, engine, asked)
		}
		if soak() || round == pauses-1 {
			r.asksSessions(t, asked)
		}
		require.False(t, t.Failed())
		t.Logf("pause %d: %d rows", round+1, len(want.rows))
	}
	r.isProven(t, int64(len(r.rows(t).rows)))
	r.kindsProven(t)
	service.Stop()
	require.Zero(t, service.ExitCode(), service.Tail())
}

// newReplica starts everything but the service. The connector has begun to send its snapshot.
func newReplica(t *testing.T) *replica {
	t.Helper()
	lab := newLab(t)
	r := &replica{load: &load{rate: 100}, random: rand.New(rand.NewPCG(5, 5))}
	var minio *components.MinIO
	var registry *components.Registry
	var starts errgroup.Group
	starts.Go(func() (err error) {
		registry, err = lab.Registry(t.Context())
		return err
	})
	starts.Go(func() (err error) {
		if r.kafka, err = lab.Kafka(t.Context()); err == nil {
			r.connect, err = lab.Connect(t.Context(), r.kafka.Brokers)
		}
		return err
	})
	starts.Go(func() (err error) {
		r.postgres, err = lab.Postgres(t.Context(), "wal_level=logical")
		return err
	})
	starts.Go(func() (err error) {
		minio, err = lab.MinIO(t.Context(), "warehouse")
		return err
	})
	require.NoError(t, starts.Wait())
	r.load.dsn = r.postgres.DSN
	r.load.create(t, r.random)
	r.lake = newLake(t, lab, settings{brokers: r.kafka.Brokers, s3: minio.Endpoint, registry: registry.URL})
	r.createKinds(t)
	require.NoError(t, r.connect.Capture(t.Context(), r.postgres, components.Capture{Name: "pg",
		Tables: []string{"public.items", "public.drafts", "public.marks"}, Partitions: partitions}))
	r.captureKinds(t, registry)
	topics := admin(t, r.kafka.Brokers)
	eventually(t, time.Minute, func() bool {
		for _, topic := range []string{"pg.public.items", "pg.public.drafts", "avro.public.papers"} {
			ends, err := topics.ListEndOffsets(t.Context(), topic)
			if err != nil {
				return false
			}
			if _, there := ends.Lookup(topic, 0); !there {
				return false
			}
		}
		return true
	}, func() string { return "no snapshot:\n" + r.connect.Tail() })
	// No snapshot expires, so that verify knows the schema of each, and can compare all keys.
	r.spec(t, "items", itemsSpec+either("1s", "8s")+"}\n")
	r.apply(t)
	return r
}

// disturb lets the load of a round go on for a while and kills the service meanwhile. In the round of
// the middle the table gets a column, and Connect is killed.
func (r *replica) disturb(t *testing.T, service *components.Process, round int) *components.Process {
	t.Helper()
	kills, whole := either(2, 1), either(8*time.Second, 3*time.Minute)
	for kill := range kills {
		part := whole / time.Duration(kills)
		before := time.Duration(r.random.Int64N(int64(part)))
		require.NoError(t, pause(t.Context(), before))
		service.Kill()
		service = r.lake.run(t, fmt.Sprintf("firth-%d-%d", round+1, kill+1))
		if round == either(2, 10)/2 && kill == 0 {
			r.load.addColumn(t)
			require.NoError(t, r.connect.Restart(t.Context()))
		}
		require.NoError(t, pause(t.Context(), part-before))
	}
	return service
}

// settle waits until the table has everything that Postgres has. Connect confirms a place in the
// write-ahead log when the broker has all events before it; it looks at that when more events come, so
// marks are set meanwhile in another table.
func (r *replica) settle(t *testing.T) {
	t.Helper()
	conn := r.load.connect(t)
	var end string
	ask := conn.QueryRow(t.Context(), "select pg_current_wal_insert_lsn()::text")
	require.NoError(t, ask.Scan(&end))
	eventually(t, settleMax(), func() bool {
		r.marks++
		_, err := conn.Exec(t.Context(), "insert into marks values ($1, now())", r.marks)
		require.NoError(t, err)
		var sent bool
		ask := conn.QueryRow(t.Context(), `select bool_and(confirmed_flush_lsn >= $1::text::pg_lsn)
			from pg_replication_slots`, end)
		require.NoError(t, ask.Scan(&sent))
		return sent
	}, func() string { return "Connect has not sent all:\n" + r.connect.Tail() })
	r.hasAll(t, "db.items")
}

// hasAll waits until a table has no lag.
func (r *replica) hasAll(t *testing.T, table string) {
	t.Helper()
	var last description
	eventually(t, settleMax(), func() bool {
		last = r.describe(t, table)
		for _, o := range last.Offsets {
			if o.Lag == nil || *o.Lag != 0 {
				return false
			}
		}
		return len(last.Offsets) == partitions
	}, func() string { return fmt.Sprintf("%s: lag: %+v", table, last.Offsets) })
}

// asksSessions asks Spark and Trino, which take their time to start.
func (r *replica) asksSessions(t *testing.T, asked []question) {
	t.Helper()
	if r.spark == nil {
		var starts errgroup.Group
		starts.Go(func() (err error) {
			r.spark, err = r.lab.Spark(t.Context(), r.reader(t))
			return err
		})
		trino, err := r.lab.Trino(t.Context(), r.reader(t))
		require.NoError(t, err)
		reader := r.reader(t)
		reader.Trino = trino.Port
		r.trino, err = r.lab.TrinoClient(t.Context(), reader)
		require.NoError(t, err)
		require.NoError(t, starts.Wait())
	}
	begun := time.Now()
	for name, engine := range map[string]*components.Session{"lake.": r.spark, "": r.trino} {
		for _, q := range asked {
			var columns []string
			for _, c := range q.Columns {
				columns = append(columns, c[0])
			}
			answer, err := engine.Run(t.Context(), "select "+strings.Join(columns, ", ")+" from "+name+q.Table)
			require.NoError(t, err)
			require.Empty(t, answer.Fault)
			require.Empty(t, q.judgeRows(answer.Rows, 1), "%s%s", name, q.Table)
		}
	}
	t.Logf("Spark and Trino answered %d questions each after %.0f s", len(asked), time.Since(begun).Seconds())
}

// items are the columns with their types, and the query for them in the texts that readers print.
func (r *replica) items() (columns [][2]string, sql string) {
	const second = `'YYYY-MM-DD"T"HH24:MI:SS.US'`
	texts := []string{"id::text", "'''' || name", "amount::text", "to_char(ts, " + second + ")",
		"to_char(seen at time zone 'UTC', " + second + ")", "flag::text", "day::text"}
	columns = [][2]string{{"id", "long"}, {"name", "string"}, {"amount", "decimal(12, 3)"},
		{"ts", "timestamp"}, {"seen", "timestamptz"}, {"flag", "boolean"}, {"day", "date"}}
	if r.load.noted.Load() {
		columns, texts = append(columns, [2]string{"note", "string"}), append(texts, "'''' || note")
	}
	for i := range texts {
		texts[i] = "coalesce(" + texts[i] + ", 'null')"
	}
	return columns, "select array[" + strings.Join(texts, ", ") + "] from items"
}

// rows asks for all rows of the table, which must be those that Postgres has now.
func (r *replica) rows(t *testing.T) question {
	t.Helper()
	q := question{part: "replica"}
	q.Table = "db.items"
	var sql string
	q.Columns, sql = r.items()
	q.rows = r.texts(t, sql)
	return q
}

// texts are the rows of a query, by their first text.
func (r *replica) texts(t *testing.T, sql string) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	rows, err := r.load.connect(t).Query(t.Context(), sql)
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var row []string
		require.NoError(t, rows.Scan(&row))
		out[row[0]] = row[1:]
	}
	require.NoError(t, rows.Err())
	require.NotEmpty(t, out)
	return out
}

// isProven verifies the table, and that the load was one.
func (r *replica) isProven(t *testing.T, rows int64) {
	t.Helper()
	report := r.proven(t, "db.items")
	require.Equal(t, rows, r.describe(t, "db.items").Rows)
	t.Logf("Postgres: %v; keys proven: %d, ledger: %v", r.load.total(), report.Keys, report.Counts)
	for name, n := range r.load.total() {
		require.Positive(t, n, name)
	}
	require.Positive(t, report.Keys)
	require.Zero(t, report.Counts.DeadLetters)
}
