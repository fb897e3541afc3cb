//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/firthlake/firth/e2e/components"
	"github.com/firthlake/firth/ingest/source"
)

// sharedSpec is a table that Spark writes to as well, with position deletes. Spark tries a commit five
// times within two seconds by default; firth commits five times meanwhile, and on a busy machine Spark
// takes longer to look at the table anew.
const sharedSpec = `name: db.shared
sources: [{topics: [shared], format: json}]
freshness: {interval: 400ms}
partition: [kind]
properties: {write.delete.mode: merge-on-read, write.delete.isolation-level: snapshot,
  commit.retry.num-retries: '20'}
schema:
  columns:
  - {name: id, type: long, required: true}
  - {name: kind, type: string}
  - {name: amount, type: "decimal(9, 2)"}
`

// sharedExpiry takes all snapshots but the newest out of the table, with their files.
const sharedExpiry = `call lake.system.expire_snapshots(table => 'db.shared',
  older_than => timestamp '2100-01-01 00:00:00', retain_last => 1)`

// sharedWrites are what Spark does meanwhile: it adds rows, deletes firth's and its own, rewrites all
// files, and expires firth's snapshots and its own.
const sharedWrites = `insert into lake.db.shared values (-1, 'spark', 1.5, null, null, null, null),
  (-2, '', 2, null, null, null, null), (-3, null, null, null, null, null, null);
` + sharedExpiry + `;
delete from lake.db.shared where id >= 0 and id < 60 and id % 10 = 3;
call lake.system.rewrite_data_files(table => 'db.shared', options => map('rewrite-all', 'true'));
` + sharedExpiry + `;
insert into lake.db.shared values (-4, 'spark', 4, null, null, null, null);
delete from lake.db.shared where id in (-2, 5);
` + sharedExpiry

// TestSparkWritesWhileFirthIngests changes a table by Spark, through firth's catalog, while firth fills it.
func TestSparkWritesWhileFirthIngests(t *testing.T) {
	t.Parallel()
	const before = 100
	broker, err := source.StartEmbedded(source.EmbeddedOptions{Topics: map[string]int32{"shared": 2}})
	require.NoError(t, err)
	t.Cleanup(broker.Close)
	brokers := broker.Connection().Brokers
	l := newLake(t, newLab(t), settings{brokers: brokers[0], warehouse: "warehouse"})
	l.spec(t, "shared", sharedSpec)
	l.apply(t)
	// Compaction takes files away that a statement of Spark's has read, which fails: the test of keyed tables has that.
	service := l.run(t, "firth", "--roles", "catalog,ingest")
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.DefaultProduceTopic("shared"))
	require.NoError(t, err)
	t.Cleanup(client.Close)
	require.NoError(t, produceShared(t.Context(), client, 0, before))
	l.reaches(t, "db.shared", before, time.Minute)

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	rows := before
	var producer errgroup.Group
	producer.Go(func() error {
		for pause(ctx, 100*time.Millisecond) == nil {
			if err := produceShared(t.Context(), client, rows, 20); err != nil {
				return err
			}
			rows += 20
		}
		return nil
	})
	begun := time.Now()
	var answers []json.RawMessage
	err = l.lab.Ask(t.Context(), l.reader(t), components.Question{Program: "spark_values", Before: sharedWrites,
		Queries: []components.Query{{Table: "db.shared"}}}, &answers)
	stop()
	require.NoError(t, producer.Wait())
	require.NoError(t, err)
	t.Logf("spark wrote for %.0f s while firth took %d rows", time.Since(begun).Seconds(), rows-before)
	require.Greater(t, rows, before+100)

	l.reaches(t, "db.shared", int64(rows), time.Minute)
	service.Stop()
	require.Zero(t, service.ExitCode(), service.Tail())
	want := sharedRows(rows)
	report := l.proven(t, "db.shared")
	t.Logf("foreign %+v, removed by others %d, notes %v", report.Foreign, report.RemovedByOthers, report.Notes)
	require.EqualValues(t, rows, report.Counts.Inserted)
	require.EqualValues(t, 7, report.RemovedByOthers)
	require.EqualValues(t, 5, report.Foreign.Snapshots+report.Foreign.Unseen)

	out := l.firth(t, "read", "db.shared", "--columns", "id,kind,amount", "--output", "ndjson")
	require.Zero(t, out.code, out.stderr)
	found := map[string][]string{}
	for line := range strings.Lines(out.stdout) {
		var row struct {
			ID     int64
			Kind   *string
			Amount any
		}
		require.NoError(t, json.Unmarshal([]byte(line), &row), line)
		kind := "null"
		if row.Kind != nil {
			kind = "'" + *row.Kind
		}
		found[strconv.FormatInt(row.ID, 10)] = []string{kind, fmt.Sprint(row.Amount)}
	}
	require.Len(t, found, len(want))
	for id := range want {
		require.Contains(t, found, id)
		require.Equal(t, want[id][0], found[id][0])
	}
	l.run(t, "catalog", "--roles", "catalog")
	q := question{part: "shared", rows: want}
	q.Table, q.Columns = "db.shared", [][2]string{{"id", "long"}, {"kind", "string"}, {"amount", "decimal(9, 2)"}}
	for _, engine := range []string{"duckdb", "pyiceberg"} {
		l.asks(t, engine, []question{q})
	}
}

func sharedKind(id int) string { return []string{"", "a/b", "spark"}[id%3] }

func produceShared(ctx context.Context, client *kgo.Client, from, count int) error {
	var records []*kgo.Record
	for id := from; id < from+count; id++ {
		value := fmt.Sprintf(`{"id":%d,"kind":%q,"amount":%d.25}`, id, sharedKind(id), id)
		records = append(records, &kgo.Record{Value: []byte(value)})
	}
	return client.ProduceSync(ctx, records...).FirstErr()
}

// sharedRows are the rows that must be there at the end.
func sharedRows(count int) map[string][]string {
	rows := map[string][]string{"-1": {"'spark", "1.50"}, "-3": {"null", "null"}, "-4": {"'spark", "4.00"}}
	for id := range count {
		if id < 60 && id%10 == 3 || id == 5 {
			continue
		}
		rows[strconv.Itoa(id)] = []string{"'" + sharedKind(id), fmt.Sprintf("%d.25", id)}
	}
	return rows
}
