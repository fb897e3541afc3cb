//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/e2e/components"
	"github.com/firthlake/firth/ingest/gen"
)

// snapshotsKept is the history of the table that processes die on.
const snapshotsKept = 200

// sessionMin is the shortest session of a consumer group that brokers allow by default.
const sessionMin = 6 * time.Second

// TestAKilledProcessTakesItsPlaceAtOnce kills process after process, on a table with a history, and
// starts another right after each: on the same configuration, as after a crash; on another one with the
// same instance, as on another host; and on another one that has only the group in common. It prints how
// long it takes from the kill to the first snapshot with rows.
func TestAKilledProcessTakesItsPlaceAtOnce(t *testing.T) {
	t.Parallel()
	lab := newLab(t)
	kafka, err := lab.Kafka(t.Context(), "group.initial.rebalance.delay.ms=3000") // the default
	require.NoError(t, err)
	store := t.TempDir()
	l := newLake(t, lab, settings{brokers: kafka.Brokers, group: "recovers",
		store: filepath.Join(store, "catalog.db"), warehouse: filepath.Join(store, "warehouse")})
	createTopic(t, kafka.Brokers, "events")
	l.freshness(t, "100ms")
	generator := l.produces(t, "events", 11)
	process := l.run(t, "history")
	committed(t, process, snapshotsKept)
	process.Stop()
	require.Zero(t, process.ExitCode(), process.Tail())
	l.freshness(t, "1s")

	for _, c := range []struct {
		name   string
		places []*lake
		kills  int
	}{
		{"restarted", []*lake{l}, either(5, 50)},
		{"elsewhere-named", []*lake{l.elsewhere(t, "ingest-0"), l.elsewhere(t, "ingest-0")}, either(3, 50)},
		{"elsewhere", []*lake{l.elsewhere(t, ""), l.elsewhere(t, "")}, either(3, 50)},
	} {
		took := killAgainAndAgain(t, c.name, c.places, c.kills)
		t.Logf("%s: from the kill to the next rows, %d kills: median %v, 95 %% %v, 99 %% %v, longest %v",
			c.name, len(took), quantile(took, 50), quantile(took, 95), quantile(took, 99), took[len(took)-1])
		require.Less(t, quantile(took, 50), sessionMin, "the group waited for the end of the session")
	}
	generator.Stop()
	w := workload{topic: "events", format: gen.JSON, seed: 11, rows: written(t, generator)}
	require.GreaterOrEqual(t, len(l.describe(t, w.table()).History), snapshotsKept)
	process = l.run(t, "rest")
	l.reaches(t, w.table(), w.rows, time.Minute)
	l.holdsOnce(t, w)
	process.Stop()
	require.Zero(t, process.ExitCode(), process.Tail())
}

// killAgainAndAgain starts a process at one place after the other, kills each at some moment between
// its checkpoints, and returns how long the next one took to commit rows, in order. It ends the last.
func killAgainAndAgain(t *testing.T, name string, places []*lake, kills int) []time.Duration {
	t.Helper()
	process := places[0].spawn(t, name+"-0")
	var took []time.Duration
	for i := range kills {
		committed(t, process, 2)
		require.NoError(t, pause(t.Context(), time.Duration(rand.Int64N(1000))*time.Millisecond))
		process.Kill()
		killed := time.Now()
		process = places[(i+1)%len(places)].spawn(t, fmt.Sprintf("%s-%d", name, i+1))
		took = append(took, committed(t, process, 1).Sub(killed).Round(time.Millisecond))
	}
	process.Stop()
	require.Zero(t, process.ExitCode(), process.Tail())
	slices.Sort(took)
	return took
}

// quantile is the value that so many percent of the sorted values do not exceed.
func quantile(sorted []time.Duration, percent int) time.Duration {
	return sorted[(len(sorted)*percent+99)/100-1]
}

// produces writes 1,000 rows a second to a topic until it is stopped.
func (l *lake) produces(t *testing.T, topic string, seed uint64) *components.Process {
	t.Helper()
	p, err := l.lab.Start(t.Context(), components.Command{Name: "gen-" + topic, Path: os.Getenv(binaryVariable),
		Args: []string{"gen", "--json", "--brokers", l.settings.brokers, "--topic", topic,
			"--seed", strconv.FormatUint(seed, 10), "--rows", "100000000", "--rate", "1000"}})
	require.NoError(t, err)
	return p
}

// written is how many rows a stopped generator says that it wrote.
func written(t *testing.T, generator *components.Process) int64 {
	t.Helper()
	log, err := os.Open(generator.Log)
	require.NoError(t, err)
	defer log.Close()
	var totals gen.Totals
	require.NoError(t, json.NewDecoder(log).Decode(&totals), generator.Tail())
	require.Positive(t, totals.Rows, generator.Tail())
	return totals.Rows
}

// elsewhere is the same lake as another host sees it: a process there has a place of its own in the
// group, unless it is named.
func (l *lake) elsewhere(t *testing.T, instance string) *lake {
	t.Helper()
	other := l.twin(t, l.settings.group)
	other.settings.instance = instance
	other.configure(t)
	return other
}

// freshness applies the spec of the topic events with a commit interval.
func (l *lake) freshness(t *testing.T, interval string) {
	t.Helper()
	l.spec(t, "events", "name: db.events\nschema: "+events10+"\nsources: [{topics: [events]}]\n"+
		"freshness: {interval: "+interval+"}\nretention: {snapshots: "+strconv.Itoa(snapshotsKept)+"}\n")
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
	eventually(t, 3*time.Minute, func() bool {
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
