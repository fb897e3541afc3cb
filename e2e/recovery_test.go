//go:build e2e

package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/firthlake/firth/e2e/components"
	"github.com/firthlake/firth/ingest/gen"
)

// TestAKilledProcessTakesItsPlaceAtOnce kills a process again and again and starts it anew, on a table
// with a history. It prints how long it takes from the kill to the first snapshot with rows.
func TestAKilledProcessTakesItsPlaceAtOnce(t *testing.T) {
	lab, kills := newLab(t), either(10, 50)
	kafka, err := lab.Kafka(t.Context())
	require.NoError(t, err)
	l := newLake(t, lab, settings{brokers: kafka.Brokers, warehouse: "warehouse", group: "recovers"})
	w := workload{topic: "events", format: gen.JSON, seed: 11, rate: 1_000}
	w.rows = int64(kills+10) * 4 * w.rate
	createTopic(t, kafka.Brokers, w.topic)
	l.freshness(t, "100ms")
	var producer errgroup.Group
	producer.Go(func() error {
		_, err := w.produce(t.Context(), kafka.Brokers)
		return err
	})
	process := l.run(t, "history")
	committed(t, process, 200)
	process.Stop()
	require.Zero(t, process.ExitCode(), process.Tail())

	l.freshness(t, "1s")
	process = l.run(t, "restart-0")
	var took []time.Duration
	for i := range kills {
		committed(t, process, 2)
		require.NoError(t, pause(t.Context(), time.Duration(rand.Int64N(1000))*time.Millisecond))
		process.Kill()
		killed := time.Now()
		process = l.spawn(t, fmt.Sprintf("restart-%d", i+1))
		took = append(took, committed(t, process, 1).Sub(killed))
	}
	require.NoError(t, producer.Wait())
	l.reaches(t, w.table(), w.rows, time.Minute)
	process.Stop()
	require.Zero(t, process.ExitCode(), process.Tail())
	require.Equal(t, w.rows, l.proven(t, w.table()).Files.Rows)
	l.run(t, "catalog", "--roles", "catalog")
	l.agrees(t, "duckdb", map[string]figures{w.table(): w.figures(t, nil)})
	slices.Sort(took)
	t.Logf("from the kill to the next rows: median %v, longest %v, all %v",
		took[len(took)/2].Round(time.Millisecond), took[len(took)-1].Round(time.Millisecond), took)
}

// freshness applies the spec of the topic events with a commit interval.
func (l *lake) freshness(t *testing.T, interval string) {
	t.Helper()
	l.spec(t, "events", "name: db.events\nschema: "+events10+"\nsources: [{topics: [events]}]\n"+
		"freshness: {interval: "+interval+"}\nretention: {snapshots: 99}\n")
	l.apply(t)
}

// spawn starts the service without waiting for it.
func (l *lake) spawn(t *testing.T, name string) *components.Process {
	t.Helper()
	p, err := l.lab.Start(t.Context(), components.Command{Name: name, Path: os.Getenv(binaryVariable),
		Args: []string{"run", "-c", l.config()}})
	require.NoError(t, err)
	return p
}

// committed waits until the process has made so many snapshots with rows, and returns when it said so.
func committed(t *testing.T, p *components.Process, snapshots int) time.Time {
	t.Helper()
	var at time.Time
	eventually(t, time.Minute, func() bool {
		text, err := os.ReadFile(filepath.Clean(p.Log))
		require.NoError(t, err)
		have := 0
		for line := range strings.Lines(string(text)) {
			if !strings.Contains(line, "msg=committed") || strings.Contains(line, "rows=0 ") {
				continue
			}
			if have++; have < snapshots {
				continue
			}
			stamp, _, _ := strings.Cut(strings.TrimPrefix(line, "time="), " ")
			at, err = time.Parse(time.RFC3339Nano, stamp)
			require.NoError(t, err)
			return true
		}
		return false
	}, func() string { return fmt.Sprintf("%s made no %d snapshots:\n%s", p.Name, snapshots, p.Tail()) })
	return at
}
