package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/firthlake/firth/cmd/firth/stage"
	"github.com/firthlake/firth/ingest/source"
	"github.com/firthlake/firth/ingest/spec"
)

// ordeal is a topic that is hard on memory, and the columns of the table that is fed from it.
type ordeal struct {
	limit      spec.Size
	partitions int32
	columns    string
	codec      kgo.CompressionCodec
	batchBytes int32
	// rows sends what is in the topic.
	rows func(send func(partition int, format string, values ...any))
}

// ingest lets a process of its own ingest the topic. It checks that every record is in the table and
// returns what the process says of itself.
func (o ordeal) ingest(t *testing.T) ingestBenchResult {
	t.Helper()
	dir := t.TempDir()
	topics := map[string]int32{"ordeal": o.partitions}
	broker, err := source.StartEmbedded(source.EmbeddedOptions{Topics: topics})
	require.NoError(t, err)
	defer broker.Close()
	job := benchJob{Feed: stage.Feed{Format: "json"}, Stage: "ingest", Dir: dir,
		Brokers: broker.Connection().Brokers, Topic: "ordeal", Workers: 2,
		Tables: []string{"db.ordeal"}, Rows: o.produce(t, broker),
		Config: write(t, dir, "firth.yaml", fmt.Sprintf("clusters: {default: {brokers: [%s]}}\n"+
			"limits: {memory: %v}\nwarehouse: {location: warehouse}\n", broker.Connection().Brokers[0],
			o.limit))}
	write(t, dir, filepath.Join("tables", "ordeal.yaml"), "name: db.ordeal\nschema: {columns: ["+o.columns+
		"]}\nsources: [{topics: [ordeal], format: json}]\n")
	text, err := json.Marshal(job)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	child := process(ctx, "bench", "process", "--json")
	var out, log bytes.Buffer
	child.Stdin, child.Stdout, child.Stderr = bytes.NewReader(text), &out, &log
	require.NoError(t, child.Run(), "%s%s", log.String(), out.String())
	var result ingestBenchResult
	require.NoError(t, json.Unmarshal(out.Bytes(), &result), out.String())
	require.Equal(t, job.Rows, result.Rows)
	require.True(t, result.Proven)
	return result
}

// raceShare is how much less is done under the race detector: its memory says nothing of the program's.
const raceShare = 10

// produce fills the topic and returns the number of records.
func (o ordeal) produce(t *testing.T, broker *source.Embedded) int64 {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(broker.Connection().Brokers...),
		kgo.DefaultProduceTopic("ordeal"), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(o.codec), kgo.ProducerBatchMaxBytes(o.batchBytes),
		kgo.MaxBufferedBytes(256<<20), kgo.MaxBufferedRecords(1<<20))
	require.NoError(t, err)
	defer client.Close()
	rows, offered := int64(0), 0
	o.rows(func(partition int, format string, values ...any) {
		if offered++; raceDetector && offered%raceShare > 0 {
			return
		}
		rows++
		record := &kgo.Record{Partition: int32(partition), Value: fmt.Appendf(nil, format, values...)}
		client.Produce(t.Context(), record, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Error(err)
			}
		})
	})
	require.NoError(t, client.Flush(t.Context()))
	return rows
}

// noise is text that does not compress, always the same for one random.
func noise(random *rand.Rand, n int) string {
	const letters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+-"
	text := make([]byte, n)
	for i := range text {
		text[i] = letters[random.IntN(len(letters))]
	}
	return string(text)
}

// wideColumns are the columns of a table of n, as a spec writes them.
func wideColumns(n int) string {
	types := []string{"long", "string", "double", "timestamptz"}
	columns := make([]string, n)
	for i := range columns {
		columns[i] = fmt.Sprintf("{name: c%d, type: %s}", i, types[i%len(types)])
	}
	return strings.Join(columns, ", ")
}

// TestOddTopicsAreIngestedWithinTheMemoryLimit measures the resident memory of a process for each kind
// of topic that is known to be hard on it.
func TestOddTopicsAreIngestedWithinTheMemoryLimit(t *testing.T) {
	t.Setenv("FIRTH_TEST_RUN_MAIN", "1") // the measured process is this test binary
	const texts, wide = "{name: id, type: long}, {name: text, type: string}", 2000
	type sender = func(partition int, format string, values ...any)
	// Records of megabytes are held several times over on their way, so they need the default limit.
	const least, usual = spec.Size(256 << 20), spec.Size(memoryDefault)
	for name, o := range map[string]ordeal{
		"records a thousand and four thousand times the average": {least, 4, texts,
			kgo.Lz4Compression(), 2 << 20, func(send sender) {
				random := rand.New(rand.NewPCG(1, 1))
				for i := range 20_000 {
					n := 200
					if i%1000 == 0 {
						n = 240_000 << (i / 1000 % 3)
					}
					send(i%4, `{"id":%d,"text":"%s"}`, i, noise(random, n))
				}
			}},
		"records of 20 MB among small ones": {usual, 2, texts, kgo.NoCompression(), 32 << 20,
			func(send sender) {
				random := rand.New(rand.NewPCG(2, 2))
				for i := range 8_000 {
					n := 200
					if i%2000 == 1000 {
						n = 20 << 20
					}
					send(i%2, `{"id":%d,"text":"%s"}`, i, noise(random, n))
				}
			}},
		"all keys in one partition": {least, 8, texts, kgo.Lz4Compression(), 1 << 20, func(send sender) {
			random := rand.New(rand.NewPCG(3, 3))
			for i := range 100_000 {
				send(5, `{"id":%d,"text":"%s"}`, i, noise(random, 200))
			}
		}},
		"cardinality that explodes": {least, 4, texts, kgo.Lz4Compression(), 1 << 20, func(send sender) {
			random := rand.New(rand.NewPCG(4, 4))
			for i := range 200_000 {
				text := [...]string{"new", "open", "paid"}[i%3]
				if i > 100_000 {
					text = noise(random, 36)
				}
				send(i%4, `{"id":%d,"text":"%s"}`, i, text)
			}
		}},
		"2,000 columns, of which records have two": {least, 4, wideColumns(wide), kgo.Lz4Compression(),
			1 << 20, func(send sender) {
				for i := range 10_000 {
					at := i * 4 % wide
					send(i%4, `{"c%d":%d,"c%d":"%d"}`, at, i, at+1, i)
				}
			}},
		"1,000 partitions of one record": {least, 1000, texts, kgo.Lz4Compression(), 1 << 20,
			func(send sender) {
				for i := range 1000 {
					send(i, `{"id":%d,"text":"one"}`, i)
				}
			}},
		"batches that unpack to sixty times their size": {least, 1, texts, kgo.ZstdCompression(), 24 << 20,
			func(send sender) {
				for i := range 400_000 {
					send(0, `{"id":%d,"text":"%s"}`, i, strings.Repeat("x", 200))
				}
			}},
	} {
		t.Run(name, func(t *testing.T) {
			result := o.ingest(t)
			most := int64(o.limit) + int64(o.limit)*15/100
			if raceDetector {
				return
			}
			require.LessOrEqual(t, result.RSSBytesMax, most, "%d MiB", result.RSSBytesMax>>20)
			t.Logf("%d MiB of %v", result.RSSBytesMax>>20, o.limit)
		})
	}
}
