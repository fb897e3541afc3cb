//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/e2e/components"
	"github.com/firthlake/firth/table/objstore"
)

const (
	startTables = 100
	starts      = 7
	// startCPUMax bounds what a start takes of the cores, for a busy machine gives them late.
	startCPUMax = 1.0
)

// TestStartIsReadyAtOnce prints how long 'firth run' takes to answer that it is ready, with a hundred
// tables that are new and with a hundred that have a history.
func TestStartIsReadyAtOnce(t *testing.T) {
	lab := newLab(t)
	kafka, err := lab.Kafka(t.Context())
	require.NoError(t, err)
	minio, err := lab.MinIO(t.Context(), "warehouse")
	require.NoError(t, err)
	for i := range 10 {
		createTopic(t, kafka.Brokers, fmt.Sprintf("start%d", i))
	}
	near := map[string]settings{
		"folder": {brokers: kafka.Brokers, warehouse: "warehouse"},
		"minio":  {brokers: kafka.Brokers, s3: minio.Endpoint, warehouse: "s3://warehouse/start"},
	}
	for name, s := range near {
		t.Run(name+"-new", func(t *testing.T) { newTables(t, lab, s).starts(t, name+", new tables") })
		if name != "folder" && !soak() {
			continue // another history takes half a minute to make
		}
		t.Run(name+"-history", func(t *testing.T) {
			l := oldTables(t, lab, s, "history-"+name)
			l.starts(t, fmt.Sprintf("%s, tables of %d snapshots", name, snapshotsKept))
		})
	}
	t.Run("minio-far", func(t *testing.T) {
		toxiproxy, err := lab.Toxiproxy(t.Context())
		require.NoError(t, err)
		door, err := toxiproxy.Proxy(t.Context(), "s3", minio.Address)
		require.NoError(t, err)
		require.NoError(t, door.Add(t.Context(), components.Toxic{Name: "far", Type: "latency",
			Stream: "downstream", Toxicity: 1, Attributes: map[string]any{"latency": 20}}))
		s := near["minio"]
		s.s3, s.warehouse = "http://"+door.Address, "s3://warehouse/far"
		newTables(t, lab, s).starts(t, "minio 20 ms away, new tables")
	})
}

// newTables is a lake of tables on ten topics.
func newTables(t *testing.T, lab *components.Lab, s settings) *lake {
	t.Helper()
	l := newLake(t, lab, s)
	for i := range startTables {
		l.startSpec(t, fmt.Sprintf("t%d", i), fmt.Sprintf("start%d", i%10))
	}
	l.apply(t)
	return l
}

// oldTables is a lake of tables with a history, on one topic.
func oldTables(t *testing.T, lab *components.Lab, s settings, topic string) *lake {
	t.Helper()
	l := newLake(t, lab, s)
	createTopic(t, s.brokers, topic)
	l.startSpec(t, "t0", topic)
	l.apply(t)
	generator := l.produces(t, topic, 1)
	process := l.run(t, topic)
	committed(t, process, snapshotsKept)
	generator.Stop()
	for i := 1; i < startTables; i++ {
		l.copyTable(t, fmt.Sprintf("t%d", i))
		l.startSpec(t, fmt.Sprintf("t%d", i), topic)
	}
	process.Stop()
	require.Zero(t, process.ExitCode(), process.Tail())
	return l
}

func (l *lake) startSpec(t *testing.T, table, topic string) {
	t.Helper()
	l.spec(t, table, fmt.Sprintf("name: db.%s\nschema: %s\nsources: [{topics: [%s]}]\n"+
		"freshness: {interval: 100ms}\nretention: {snapshots: %d}\n", table, events10, topic, snapshotsKept))
}

// copyTable registers what the table t0 is now under another name and location. Its data stay where they
// are: nobody reads them here.
func (l *lake) copyTable(t *testing.T, name string) {
	t.Helper()
	tables := "http://" + l.settings.catalog + "/v1/main/namespaces/db/"
	status, body, err := get(t.Context(), tables+"tables/t0")
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, status, body)
	var loaded struct {
		Metadata map[string]json.RawMessage `json:"metadata"`
	}
	require.NoError(t, json.Unmarshal([]byte(body), &loaded))
	var location string
	require.NoError(t, json.Unmarshal(loaded.Metadata["location"], &location))
	location = strings.TrimSuffix(location, "/")
	location = location[:strings.LastIndex(location, "/")+1] + name
	loaded.Metadata["location"] = fmt.Appendf(nil, "%q", location)
	loaded.Metadata["table-uuid"] = fmt.Appendf(nil, "%q", uuid.New())
	text, err := json.Marshal(loaded.Metadata)
	require.NoError(t, err)
	location += "/metadata/00000-" + uuid.NewString() + ".metadata.json"
	_, err = l.objects(t).Put(t.Context(), location, bytes.NewReader(text), int64(len(text)),
		objstore.PutOptions{})
	require.NoError(t, err)
	asked, err := json.Marshal(map[string]string{"name": name, "metadata-location": location})
	require.NoError(t, err)
	resp, err := http.Post(tables+"register", "application/json", bytes.NewReader(asked)) //nolint:noctx // local
	require.NoError(t, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode, "%s", answer)
}

// objects is the store of the lake's warehouse.
func (l *lake) objects(t *testing.T) objstore.Store {
	t.Helper()
	s3 := objstore.DefaultS3Config()
	if l.settings.s3 != "" {
		s3.Endpoint, s3.AccessKey, s3.SecretKey = l.settings.s3, components.AccessKey, components.SecretKey
		s3.PathStyle = true
	}
	store, err := objstore.Open(objstore.Config{S3: s3})
	require.NoError(t, err)
	return store
}

// starts starts the service again and again and prints how long it takes to be ready. The first time
// is not counted: it makes the tables for dead letters.
func (l *lake) starts(t *testing.T, what string) {
	t.Helper()
	var took []time.Duration
	cpu := math.Inf(1)
	for range starts + 1 {
		begun := time.Now()
		p := l.spawn(t, "start")
		require.NoError(t, l.untilReady(t.Context(), p), p.Tail())
		took = append(took, time.Since(begun).Round(time.Millisecond))
		p.Stop()
		require.Zero(t, p.ExitCode(), p.Tail())
		cpu = min(cpu, p.CPUSeconds())
	}
	first := took[0]
	took = took[1:]
	slices.Sort(took)
	t.Logf("%s: ready after %v at the median of %d starts, least %v, longest %v; "+
		"the first %v; %.2f CPU-s", what, quantile(took, 50), starts, took[0], took[starts-1], first, cpu)
	require.Less(t, cpu, startCPUMax)
}

// untilReady waits until the process answers that it is ready.
func (l *lake) untilReady(ctx context.Context, p *components.Process) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	ready := components.Answers("http://" + l.settings.admin + "/readyz")
	for {
		err := ready(ctx)
		if err == nil || pause(ctx, 2*time.Millisecond) != nil {
			return err
		}
		select {
		case <-p.Done():
			return fmt.Errorf("ended before it was ready: %w", err)
		default:
		}
	}
}
