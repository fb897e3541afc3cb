//go:build e2e

package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/firthlake/firth/ingest/gen"
)

// foundWithin bounds how long a new topic or partition waits: the brokers are asked every 30 s, and
// a busy machine needs a moment for the group.
const foundWithin = time.Minute

func TestTopicsThatGrowAndTransactionsAreProven(t *testing.T) {
	t.Parallel()
	lab := newLab(t)
	kafka, err := lab.Kafka(t.Context())
	require.NoError(t, err)
	open := func(t *testing.T, source string) *lake {
		t.Helper()
		l := newLake(t, lab, settings{brokers: kafka.Brokers, warehouse: "warehouse", group: "reads-" + slug(t)})
		l.spec(t, "events", fmt.Sprintf("name: db.events\nschema: %s\nsources: [{%s, format: json}]\n"+
			"freshness: {interval: 300ms}\n", events10, source))
		l.apply(t)
		return l
	}
	t.Run("new topics and partitions of a pattern are found", func(t *testing.T) {
		t.Parallel()
		findsWhatIsNew(t, kafka.Brokers, open(t, "pattern: 'shop[.].*'"))
	})
	t.Run("aborted transactions are absent", func(t *testing.T) {
		t.Parallel()
		createTopic(t, kafka.Brokers, "paid")
		readsCommitted(t, kafka.Brokers, open(t, "topics: [paid]"))
	})
}

func findsWhatIsNew(t *testing.T, brokers string, l *lake) {
	const rows = 1000
	fill := func(topic string) {
		w := workload{topic: topic, format: gen.JSON, seed: 1, rows: rows}
		_, err := w.produce(t.Context(), brokers)
		require.NoError(t, err)
	}
	fill("shop.first")
	p := l.run(t, "growing")
	l.reaches(t, "db.events", rows, time.Minute)

	begun := time.Now()
	_, err := admin(t, brokers).CreatePartitions(t.Context(), 2, "shop.first")
	require.NoError(t, err)
	fill("shop.second")
	fill("workshop") // the pattern is of whole names
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers), kgo.DefaultProduceTopic("shop.first"),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	defer client.Close()
	for i := range 2 {
		r := &kgo.Record{Partition: int32(partitions + i), Value: []byte(`{"user_id": 1}`)}
		require.NoError(t, client.ProduceSync(t.Context(), r).FirstErr())
	}
	l.reaches(t, "db.events", 2*rows+2, foundWithin)
	t.Logf("found after %.0f s", time.Since(begun).Seconds())
	p.Stop()
	require.Zero(t, p.ExitCode(), p.Tail())
	report := l.proven(t, "db.events")
	require.EqualValues(t, 2*rows+2, report.Files.Rows)
	require.Len(t, report.Partitions, 2*partitions+2)
}

// readsCommitted produces by transactions of which every third is aborted. Each leaves a marker in
// every partition that it wrote to.
func readsCommitted(t *testing.T, brokers string, l *lake) {
	const transactions, size = 12, 50
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers), kgo.TransactionalID("till"),
		kgo.DefaultProduceTopic("paid"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	defer client.Close()
	p := l.run(t, "transactions")
	var committed, absent int64
	for n := range transactions {
		require.NoError(t, client.BeginTransaction())
		written := map[int32]bool{}
		for i := range size {
			to := int32((n + i%2) % partitions)
			written[to] = true
			value := fmt.Appendf(nil, `{"user_id": %d, "quantity": %d}`, n*size+i, n%3)
			client.Produce(t.Context(), &kgo.Record{Partition: to, Value: value}, nil)
		}
		require.NoError(t, client.Flush(t.Context()))
		absent += int64(len(written))
		if n%3 == 2 {
			absent += size
			require.NoError(t, client.EndTransaction(t.Context(), kgo.TryAbort))
			continue
		}
		committed += size
		require.NoError(t, client.EndTransaction(t.Context(), kgo.TryCommit))
	}
	l.reaches(t, "db.events", committed+absent, time.Minute)
	p.Stop()
	require.Zero(t, p.ExitCode(), p.Tail())
	report := l.proven(t, "db.events")
	require.Equal(t, committed, report.Files.Rows)
	require.Equal(t, committed, report.Counts.Inserted)
	require.Equal(t, absent, report.Counts.Absent)
	require.Zero(t, report.Counts.DeadLetters)
	out := l.firth(t, "read", "db.events", "--where", "quantity = 2", "--json")
	require.Zero(t, out.code, out.stderr)
	require.NotContains(t, out.stdout, `"quantity"`, "rows of aborted transactions")
}
