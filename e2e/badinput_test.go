//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/firthlake/firth/e2e/components"
	"github.com/firthlake/firth/ingest/gen"
	"github.com/firthlake/firth/ingest/source"
)

// surroundings are the servers of the tests of bad input. Every case has a topic, a group and a
// catalog of its own.
type surroundings struct {
	lab   *components.Lab
	kafka *components.Kafka
	minio *components.MinIO
}

func newSurroundings(t *testing.T) *surroundings {
	t.Helper()
	s := &surroundings{lab: newLab(t)}
	var err error
	s.kafka, err = s.lab.Kafka(t.Context())
	require.NoError(t, err)
	s.minio, err = s.lab.MinIO(t.Context(), "warehouse")
	require.NoError(t, err)
	return s
}

// lake has the table db.<topic> on a topic of that name, which exists when rows is positive.
func (s *surroundings) lake(t *testing.T, topic string, rows int64) (*lake, workload) {
	t.Helper()
	l := newLake(t, s.lab, settings{brokers: s.kafka.Brokers, s3: s.minio.Endpoint, group: "reads-" + topic,
		warehouse: "s3://warehouse/" + topic})
	l.spec(t, topic, tableSpec(topic, events10, "json"))
	w := workload{topic: topic, format: gen.JSON, seed: 1, rows: rows}
	if rows > 0 {
		_, err := w.produce(t.Context(), s.kafka.Brokers)
		require.NoError(t, err)
	}
	return l, w
}

func tableSpec(topic, columns, format string) string {
	return fmt.Sprintf("name: db.%[1]s\nschema: %[2]s\nsources: [{topics: [%[1]s], format: %[3]s}]\n"+
		"freshness: {interval: 300ms}\n", topic, columns, format)
}

// refuses asserts that a command could not do its work, and what it says of that.
func (l *lake) refuses(t *testing.T, command string, code int, words ...string) {
	t.Helper()
	out := l.firth(t, command)
	require.Equal(t, code, out.code, out.stderr)
	for _, word := range words {
		require.Contains(t, out.stderr, word)
	}
}

// ingested runs the service until the table has taken the topic, and ends it.
func (l *lake) ingested(t *testing.T, w workload) {
	t.Helper()
	p := l.run(t, "first-"+w.topic)
	l.reaches(t, w.table(), w.rows, time.Minute)
	p.Stop()
	require.Zero(t, p.ExitCode(), p.Tail())
}

// notReady asserts that the readiness check says what is wrong.
func (l *lake) notReady(t *testing.T, words ...string) {
	t.Helper()
	body := l.readiness(t, http.StatusServiceUnavailable)
	for _, word := range words {
		require.Contains(t, body, word)
	}
}

// ready waits until the readiness check says that all is well.
func (l *lake) ready(t *testing.T) {
	t.Helper()
	l.readiness(t, http.StatusOK)
}

func (l *lake) readiness(t *testing.T, want int) string {
	t.Helper()
	var status int
	var body string
	eventually(t, time.Minute, func() bool {
		var err error
		status, body, err = get(t.Context(), "http://"+l.settings.admin+"/readyz")
		return err == nil && status == want
	}, func() string { return fmt.Sprintf("readyz: %d %s", status, body) })
	return body
}

func TestBadInputIsToldAndLosesNothing(t *testing.T) {
	t.Parallel()
	s := newSurroundings(t)
	for name, test := range map[string]func(*testing.T){
		"what cannot work is refused":            s.refusals,
		"another cluster is refused":             s.anotherCluster,
		"a topic of the same name is another":    s.topicOfTheSameName,
		"a removed topic is told":                s.removedTopic,
		"a loss is refused until it is accepted": s.acceptedLoss,
		"records wait for the registry":          s.registryAway,
		"a record of 50 MB is not lost":          s.hugeRecord,
	} {
		t.Run(name, test)
	}
}

func (s *surroundings) refusals(t *testing.T) {
	good, _ := s.lake(t, "good", 100)
	good.apply(t)
	for name, c := range map[string]struct {
		change  func(*lake)
		command string
		code    int
		words   []string
	}{
		"unreachable broker": {
			change:  func(l *lake) { l.settings.brokers = "127.0.0.1:1" },
			command: "run", code: 2, words: []string{"broker unreachable", "127.0.0.1:1", "clusters.*.brokers"},
		},
		"missing topic": {
			change: func(l *lake) {
				l.spec(t, "good", strings.Replace(tableSpec("good", events10, "json"), "[good]", "[nothing]", 1))
			},
			command: "run", code: 2, words: []string{"no topic nothing", "create it", "firth topics"},
		},
		"no bucket": {
			change:  func(l *lake) { l.settings.warehouse, l.settings.store = "s3://nowhere/lake", "other.db" },
			command: "apply", code: 2, words: []string{"nowhere", "create the bucket", "warehouse.location"},
		},
		"wrong keys of the store": {
			change:  func(l *lake) { l.settings.secret = "forgotten" },
			command: "run", code: 2, words: []string{"warehouse.s3.access_key and secret_key"},
		},
		"unreadable spec": {
			change:  func(l *lake) { l.spec(t, "good", "name: [") },
			command: "run", code: 2, words: []string{"good.yaml:1"},
		},
		"spec that contradicts the table": {
			change: func(l *lake) {
				l.spec(t, "good", strings.Replace(tableSpec("good", events10, "json"), "user_id, type: long",
					"user_id, type: string", 1))
			},
			command: "run", code: 2, words: []string{"contradicts table db.good", "user_id"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := good.twin(t, "reads-good")
			l.settings.store = good.dir + "/catalog.db"
			c.change(l)
			l.configure(t)
			if c.command == "apply" {
				out := l.firth(t, "apply", "--yes")
				require.Equal(t, c.code, out.code, out.stderr)
				for _, word := range c.words {
					require.Contains(t, out.stderr, word)
				}
				return
			}
			l.refuses(t, c.command, c.code, c.words...)
		})
	}
}

func (s *surroundings) anotherCluster(t *testing.T) {
	l, w := s.lake(t, "moved", 1000)
	l.apply(t)
	l.ingested(t, w)
	other, err := source.StartEmbedded(source.EmbeddedOptions{Topics: map[string]int32{"moved": partitions}})
	require.NoError(t, err)
	t.Cleanup(other.Close)
	l.settings.brokers = other.Connection().Brokers[0]
	l.configure(t)
	p := l.run(t, "elsewhere")
	l.notReady(t, "db.moved is stopped", "cluster changed", "feed a new table")
	p.Stop()
	l.settings.brokers = s.kafka.Brokers
	l.configure(t)
	require.Equal(t, w.rows, l.proven(t, w.table()).Files.Rows)
}

func (s *surroundings) topicOfTheSameName(t *testing.T) {
	l, w := s.lake(t, "again", 1000)
	l.apply(t)
	l.ingested(t, w)
	_, err := admin(t, s.kafka.Brokers).DeleteTopic(t.Context(), w.topic)
	require.NoError(t, err)
	createTopic(t, s.kafka.Brokers, w.topic)
	_, err = w.produce(t.Context(), s.kafka.Brokers)
	require.NoError(t, err)
	l.run(t, "again")
	l.notReady(t, "db.again is stopped", "topic was re-created", "under id")
	require.Equal(t, w.rows, l.proven(t, w.table()).Files.Rows)
}

// removedTopic removes a topic while it is read, and makes another of its name.
func (s *surroundings) removedTopic(t *testing.T) {
	l, w := s.lake(t, "gone", 1000)
	l.apply(t)
	p := l.run(t, "gone")
	l.reaches(t, w.table(), w.rows, time.Minute)
	l.ready(t)
	_, err := admin(t, s.kafka.Brokers).DeleteTopic(t.Context(), w.topic)
	require.NoError(t, err)
	l.notReady(t, "topic gone was removed", "what was read of it is kept")
	says(t, p, "topic gone was removed")
	createTopic(t, s.kafka.Brokers, w.topic)
	_, err = w.produce(t.Context(), s.kafka.Brokers)
	require.NoError(t, err)
	says(t, p, "topic was re-created", "table stopped", "trouble of the source is over")
	eventually(t, time.Minute, func() bool {
		body := l.readiness(t, http.StatusServiceUnavailable)
		return strings.Contains(body, "table db.gone is stopped: topic was re-created") &&
			!strings.Contains(body, "was removed")
	}, func() string { return l.readiness(t, http.StatusServiceUnavailable) })
	p.Stop()
	require.Zero(t, p.ExitCode(), p.Tail())
	require.Equal(t, w.rows, l.proven(t, w.table()).Files.Rows)
}

func (s *surroundings) acceptedLoss(t *testing.T) {
	l, w := s.lake(t, "short", 1000)
	l.apply(t)
	l.ingested(t, w)
	before := l.describe(t, w.table()).Offsets[3].Next
	w.rows = 2000 // the rows come a second time, which does not matter here
	_, err := w.produce(t.Context(), s.kafka.Brokers)
	require.NoError(t, err)
	gone := before + 50
	offsets := kadm.Offsets{}
	offsets.AddOffset(w.topic, 3, gone, -1)
	deleted, err := admin(t, s.kafka.Brokers).DeleteRecords(t.Context(), offsets)
	require.NoError(t, err)
	require.NoError(t, deleted.Error())

	p := l.run(t, "short")
	first, flags := strconv.FormatInt(before, 10), " --topic short --partition 3 --to "+strconv.FormatInt(gone, 10)
	l.notReady(t, "short-3: offsets "+first+" to", "are out of retention", "firth accept-loss db.short"+flags)
	out := l.firth(t, append([]string{"accept-loss", w.table(), "--yes"}, strings.Fields(flags)...)...)
	require.Zero(t, out.code, out.stderr)
	l.reaches(t, w.table(), 3000, time.Minute)
	report := l.proven(t, w.table())
	require.EqualValues(t, 50, report.Counts.Lost)
	require.EqualValues(t, 2950, report.Files.Rows)
	require.Contains(t, strings.Join(report.Notes, "\n"), "50 offsets were accepted as lost")
	p.Stop()
	require.Zero(t, p.ExitCode(), p.Tail())
}

func (s *surroundings) registryAway(t *testing.T) {
	registry, err := s.lab.Registry(t.Context())
	require.NoError(t, err)
	toxiproxy, err := s.lab.Toxiproxy(t.Context())
	require.NoError(t, err)
	address, path, _ := strings.Cut(strings.TrimPrefix(registry.URL, "http://"), "/")
	door, err := toxiproxy.Proxy(t.Context(), "registry", address)
	require.NoError(t, err)
	l, w := s.lake(t, "typed", 0)
	l.settings.registry = "http://" + door.Address + "/" + path
	l.configure(t)
	l.spec(t, w.topic, tableSpec(w.topic, events10, "avro"))
	w.format, w.schemaID, w.rows = gen.Avro, register(t, registry.URL, "typed-value", gen.Avro), 3000
	_, err = w.produce(t.Context(), s.kafka.Brokers)
	require.NoError(t, err)
	l.apply(t)
	require.NoError(t, door.Close(t.Context()))
	p := l.run(t, "typed")
	says(t, p, "registry")
	require.Zero(t, l.describe(t, w.table()).Rows)
	require.NoError(t, door.Open(t.Context()))
	l.reaches(t, w.table(), w.rows, 2*time.Minute)
	report := l.proven(t, w.table())
	require.Equal(t, w.rows, report.Files.Rows)
	require.Zero(t, report.Counts.DeadLetters)
}

func (s *surroundings) hugeRecord(t *testing.T) {
	const valueBytes = 50_000_000
	l, _ := s.lake(t, "huge", 100)
	l.apply(t)
	value := []byte(`{"user_id": 1, "url": "` + strings.Repeat("x", valueBytes) + `"}`)
	client, err := kgo.NewClient(kgo.SeedBrokers(s.kafka.Brokers), kgo.ProducerBatchMaxBytes(60<<20),
		kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.BrokerMaxWriteBytes(64<<20))
	require.NoError(t, err)
	defer client.Close()
	require.NoError(t, client.ProduceSync(t.Context(), &kgo.Record{Topic: "huge", Value: value}).FirstErr())
	p := l.run(t, "huge")
	l.reaches(t, "db.huge", 101, time.Minute)
	report := l.proven(t, "db.huge")
	require.EqualValues(t, 101, report.Counts.Inserted+report.Counts.DeadLetters)
	t.Logf("%d rows, %d dead letters", report.Counts.Inserted, report.Counts.DeadLetters)
	p.Stop()
	require.Zero(t, p.ExitCode(), p.Tail())
}
