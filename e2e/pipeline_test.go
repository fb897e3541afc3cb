//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/firthlake/firth/e2e/components"
	"github.com/firthlake/firth/ingest/gen"
)

// pipeline is the whole way from topics to tables: three formats, one process, servers that fail.
type pipeline struct {
	*lake
	kafka    *components.Kafka
	registry *components.Registry
	minio    *components.MinIO
	door     *components.Proxy // between firth and MinIO
	random   *rand.Rand
	feeds    []workload
}

// table is the name of the table that a feed fills.
func (w workload) table() string { return "db." + w.topic }

func newPipeline(t *testing.T) *pipeline {
	t.Helper()
	lab, ctx := newLab(t), t.Context()
	p := &pipeline{}
	var err error
	p.kafka, err = lab.Kafka(ctx)
	require.NoError(t, err)
	p.minio, err = lab.MinIO(ctx, "warehouse")
	require.NoError(t, err)
	toxiproxy, err := lab.Toxiproxy(ctx)
	require.NoError(t, err)
	p.door, err = toxiproxy.Proxy(ctx, "s3", p.minio.Address)
	require.NoError(t, err)
	p.registry, err = lab.Registry(ctx)
	require.NoError(t, err)
	p.lake = newLake(t, lab, settings{brokers: p.kafka.Brokers, registry: p.registry.URL,
		s3: "http://" + p.door.Address})
	rows, rate := either[int64](150_000, 3_000_000), either[int64](3_000, 12_000)
	for i, format := range []gen.Format{gen.JSON, gen.Avro, gen.Protobuf} {
		w := workload{topic: string(format), format: format, seed: uint64(i + 1), rows: rows, rate: rate}
		columns := events10
		if format != gen.JSON {
			w.schemaID = register(t, p.registry.URL, w.topic+"-value", format)
		}
		if format == gen.Avro {
			columns = "{subject: avro-value}"
		}
		createTopic(t, p.kafka.Brokers, w.topic)
		p.spec(t, w.topic, fmt.Sprintf(
			"name: %s\nschema: %s\nsources: [{topics: [%s], format: %s}]\nfreshness: {interval: 700ms}\n",
			w.table(), columns, w.topic, format))
		p.feeds = append(p.feeds, w)
	}
	p.apply(t)
	return p
}

// bad returns records of a feed that cannot be rows.
func (w workload) bad() [][]byte {
	id := []byte{0, 0, 0, byte(w.schemaID >> 8), byte(w.schemaID)}
	switch w.format {
	case gen.Avro:
		return [][]byte{slices.Concat(id, []byte{10, 'a'}), {0, 0, 9, 9, 9, 2, 2}, {},
			[]byte("no schema id")}
	case gen.Protobuf:
		return [][]byte{slices.Concat(id, []byte{0, 0xff, 0xff}), {0, 0, 9, 9, 9, 0, 8},
			[]byte("nothing")}
	}
	return [][]byte{[]byte("{"), []byte(`{"user_id": "a word"}`), []byte(`{"quantity": 3000000000}`),
		[]byte("{\"country\": \"\xff\"}"), []byte(strings.Repeat("[", 2000))}
}

// faults are what happens between firth and its store, by the stream that it concerns. A timeout lets
// requests through and loses the answers.
func faults() []components.Toxic {
	toxic := func(kind string, toxicity float64, attributes map[string]any) components.Toxic {
		return components.Toxic{Name: kind, Type: kind, Stream: "downstream",
			Toxicity: toxicity, Attributes: attributes}
	}
	return []components.Toxic{
		toxic("latency", 0.7, map[string]any{"latency": 300, "jitter": 200}),
		toxic("reset_peer", 0.4, map[string]any{"timeout": 20}),
		toxic("timeout", 0.4, map[string]any{"timeout": 700}),
		toxic("limit_data", 0.4, map[string]any{"bytes": 90}),
	}
}

// disturb turns faults on and off until ctx ends, and leaves none.
func (p *pipeline) disturb(ctx context.Context, random *rand.Rand) error {
	for turn := 0; ; turn++ {
		toxic := faults()[turn%len(faults())]
		if pause(ctx, time.Duration(500+random.IntN(1500))*time.Millisecond) != nil {
			return nil //nolint:nilerr // the end of ctx is the end of the faults
		}
		if err := p.door.Add(ctx, toxic); err != nil {
			return ignoreEnd(ctx, err)
		}
		// The toxic goes in any case, so the end of ctx is no matter.
		_ = pause(ctx, time.Duration(500+random.IntN(2000))*time.Millisecond)
		if err := p.door.Remove(context.WithoutCancel(ctx), toxic.Name); err != nil {
			return err
		}
	}
}

func ignoreEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil //nolint:nilerr // what fails at the end is no fault
	}
	return err
}

// kill starts the service again and again and kills it at random moments, most of them while it
// reads, some while it starts. The broker restarts now and then while it reads.
func (p *pipeline) kill(ctx context.Context, kills, restarts int) error {
	for i := range kills {
		service, err := p.lab.Start(ctx, p.service())
		if err != nil {
			return err
		}
		if i%5 != 4 {
			if service, err = p.untilAssigned(ctx, service); err != nil {
				return err
			}
		}
		if (i+1)%(kills/restarts) == 0 {
			if err := p.kafka.Restart(ctx); err != nil {
				return err
			}
		}
		if err := pause(ctx, time.Duration(p.random.IntN(3000))*time.Millisecond); err != nil {
			return err
		}
		service.Kill()
	}
	return nil
}

func (p *pipeline) service() components.Command {
	return components.Command{Name: "firth", Path: os.Getenv(binaryVariable),
		Args: []string{"run", "-c", p.config()}}
}

// untilAssigned waits until the service reads. One that could not start, for a fault of its store, is
// started again, as a supervisor would.
func (p *pipeline) untilAssigned(ctx context.Context, service *components.Process) (*components.Process,
	error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for !p.assigned(ctx) {
		select {
		case <-service.Done():
			if service.ExitCode() != 2 {
				return nil, fmt.Errorf("firth ended with %d:\n%s", service.ExitCode(), service.Tail())
			}
			var err error
			if service, err = p.lab.Start(ctx, p.service()); err != nil {
				return nil, err
			}
		default:
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return nil, fmt.Errorf("nothing was assigned: %w\n%s", err, service.Tail())
		}
	}
	return service, nil
}

// feed produces everything while the service is killed and its servers fail. It returns where the bad
// records stand, by topic.
func (p *pipeline) feed(t *testing.T) map[string][]place {
	t.Helper()
	kills, restarts := either(4, 22), either(1, 2)
	begun := time.Now()
	ctx, calm := context.WithCancel(t.Context())
	defer calm()
	var disturbance, producers errgroup.Group
	random := rand.New(rand.NewPCG(p.random.Uint64(), 1))
	disturbance.Go(func() error { return p.disturb(ctx, random) })
	bad := make([][]place, len(p.feeds))
	for i, w := range p.feeds {
		producers.Go(func() error {
			totals, err := w.produce(t.Context(), p.kafka.Brokers)
			if err == nil && totals.Rows != w.rows {
				err = fmt.Errorf("gen %s: %d rows", w.topic, totals.Rows)
			}
			return err
		})
		producers.Go(func() error {
			var err error
			bad[i], err = produceValues(t.Context(), p.kafka.Brokers, w.topic, w.bad()...)
			return err
		})
	}
	err := p.kill(t.Context(), kills, restarts)
	t.Logf("%d kills and %d broker restarts in %.0f s", kills, restarts, time.Since(begun).Seconds())
	var service *components.Process
	if err == nil {
		if service, err = p.lab.Start(t.Context(), p.service()); err == nil {
			service, err = p.untilAssigned(t.Context(), service)
		}
	}
	err = errors.Join(err, producers.Wait())
	t.Logf("all produced after %.0f s", time.Since(begun).Seconds())
	calm()
	require.NoError(t, errors.Join(err, disturbance.Wait()))
	out := map[string][]place{}
	for i, w := range p.feeds {
		out[w.topic] = bad[i]
		p.reaches(t, w.table(), w.rows+int64(len(bad[i])), either(3*time.Minute, 20*time.Minute))
	}
	t.Logf("no lag after %.0f s", time.Since(begun).Seconds())
	service.Stop()
	require.Zero(t, service.ExitCode(), service.Tail())
	return out
}

func TestRecordsSurviveKillsAndFaults(t *testing.T) {
	t.Parallel()
	p := newPipeline(t)
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("FIRTH_SEED"); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("FIRTH_SEED=%d", seed)
	p.random = rand.New(rand.NewPCG(seed, 0))
	bad := p.feed(t)

	want, letters := map[string]figures{}, []string{}
	for _, w := range p.feeds {
		report := p.proven(t, w.table())
		t.Logf("%s proven: %d rows, %d files, %d dead letters", w.table(), report.Files.Rows,
			report.Files.Data, report.DeadLetters.Rows)
		require.Equal(t, w.rows, report.Files.Rows)
		require.EqualValues(t, len(bad[w.topic]), report.DeadLetters.Rows)
		for _, partition := range report.Partitions {
			require.Positive(t, partition.Retained, "not compared with the topic")
		}
		want[w.table()] = w.figures(t, bad[w.topic])
		letters = append(letters, w.table()+"__dead_letters")
	}
	p.kafka.Stop()
	p.registry.Stop()
	p.settings.s3 = p.minio.Endpoint
	p.configure(t)
	p.run(t, "catalog", "--roles", "catalog")
	p.lettersAre(t, letters, bad)
	p.agrees(t, "pyiceberg", want)
	p.agrees(t, "duckdb", want)
	p.agrees(t, "spark", want)
	p.agrees(t, "trino", want)
}

// lettersAre reads the dead letters with an engine.
func (p *pipeline) lettersAre(t *testing.T, tables []string, bad map[string][]place) {
	t.Helper()
	var found map[string]map[string][][]string
	require.NoError(t, p.lab.Ask(t.Context(), p.reader(t), components.Question{
		Program: "duckdb_rows", Tables: tables, Select: `"partition", "offset", error_class`,
	}, &found))
	for _, name := range tables {
		topic := strings.TrimSuffix(strings.TrimPrefix(name, "db."), "__dead_letters")
		var want, have []string
		for _, b := range bad[topic] {
			want = append(want, fmt.Sprintf("%d %d", b.partition, b.offset))
		}
		for _, row := range found[name]["true"] {
			have = append(have, row[0]+" "+row[1])
			require.NotEmpty(t, row[2])
		}
		require.ElementsMatch(t, want, have, name)
	}
}
