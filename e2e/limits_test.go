//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// memoryMax is the most that a process with the default limit of 400 MiB may take.
const memoryMax = (400 << 20) * 115 / 100

// TestOddTopicsFitIntoMemory reads topics that are hard on memory: records of 20 MB among small ones, and
// a thousand partitions of one record.
func TestOddTopicsFitIntoMemory(t *testing.T) {
	lab := newLab(t)
	kafka, err := lab.Kafka(t.Context())
	require.NoError(t, err)
	for name, topic := range map[string]struct {
		partitions, records, large int
	}{
		"giants":   {partitions: 2, records: 8000, large: 2000},
		"thousand": {partitions: 1000, records: 1000, large: 1 << 30},
	} {
		t.Run(name, func(t *testing.T) {
			store := t.TempDir()
			l := newLake(t, lab, settings{brokers: kafka.Brokers, group: name,
				store: filepath.Join(store, "catalog.db"), warehouse: filepath.Join(store, "warehouse")})
			l.spec(t, name, fmt.Sprintf("name: db.%s\nsources: [{topics: [%s]}]\nfreshness: {interval: 1s}\n"+
				"schema: {columns: [{name: id, type: long}, {name: text, type: string}]}\n", name, name))
			_, err := admin(t, kafka.Brokers).CreateTopic(t.Context(), int32(topic.partitions), 1, nil, name)
			require.NoError(t, err)
			l.apply(t)
			produceLarge(t, kafka.Brokers, name, topic.partitions, topic.records, topic.large)
			process := l.run(t, name)
			l.reaches(t, "db."+name, int64(topic.records), time.Minute)
			process.Stop()
			require.Zero(t, process.ExitCode(), process.Tail())
			require.Less(t, process.RSSBytesMax(), int64(memoryMax))
			require.EqualValues(t, topic.records, l.describe(t, "db."+name).Rows)
			l.proven(t, "db."+name)
			t.Logf("%d partitions, %d records: %d MiB", topic.partitions, topic.records,
				process.RSSBytesMax()>>20)
		})
	}
}

// produceLarge sends records of 200 bytes to the partitions in turn, every large-th of 20 MB.
func produceLarge(t *testing.T, brokers, topic string, partitions, records, large int) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers), kgo.DefaultProduceTopic(topic),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchMaxBytes(32<<20),
		kgo.ProducerBatchCompression(kgo.NoCompression()))
	require.NoError(t, err)
	defer client.Close()
	for i := range records {
		size := 200
		if i%large == large/2 {
			size = 20 << 20
		}
		client.Produce(t.Context(), &kgo.Record{Partition: int32(i % partitions), Value: fmt.Appendf(nil,
			`{"id":%d,"text":"%s"}`, i, bytes.Repeat([]byte("x"), size))}, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	require.NoError(t, client.Flush(t.Context()))
}
