//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/firthlake/firth/ingest/gen"
)

// newContest is a lake on Postgres, Kafka and MinIO whose one table reads one topic.
func newContest(t *testing.T) (*lake, workload) {
	t.Helper()
	lab, ctx := newLab(t), t.Context()
	kafka, err := lab.Kafka(ctx)
	require.NoError(t, err)
	minio, err := lab.MinIO(ctx, "warehouse")
	require.NoError(t, err)
	postgres, err := lab.Postgres(ctx)
	require.NoError(t, err)
	l := newLake(t, lab, settings{brokers: kafka.Brokers, s3: minio.Endpoint, store: postgres.DSN})
	createTopic(t, kafka.Brokers, "events")
	l.spec(t, "events", "name: db.events\nschema: "+events10+
		"\nsources: [{topics: [events]}]\nfreshness: {interval: 500ms}\n")
	l.apply(t)
	return l, workload{topic: "events", format: gen.JSON, seed: 7}
}

// holdsOnce proves the table, and reads every row back with an engine.
func (l *lake) holdsOnce(t *testing.T, w workload) {
	t.Helper()
	report := l.proven(t, "db.events")
	require.Equal(t, w.rows, report.Files.Rows)
	l.agrees(t, "duckdb", map[string]figures{"db.events": w.figures(t, nil)})
}

func TestSecondGroupIsRefused(t *testing.T) {
	t.Parallel()
	first, w := newContest(t)
	second := first.twin(t, "intruders")
	span, rate := either(20*time.Second, 3*time.Minute), int64(4_000)
	w.rows, w.rate = int64(span.Seconds())*rate, rate
	holder := first.run(t, "holder")
	intruder := second.run(t, "intruder")
	_, err := w.produce(t.Context(), first.settings.brokers)
	require.NoError(t, err)
	first.reaches(t, "db.events", w.rows, time.Minute)

	// Whoever of the two came second says who holds the table.
	const words = "another process holds the table"
	loser := intruder
	if text, err := os.ReadFile(holder.Log); err == nil && strings.Contains(string(text), words) {
		loser = holder
	}
	winner := holder.PID() + intruder.PID() - loser.PID()
	says(t, loser, words, fmt.Sprintf("pid %d", winner))
	holder.Stop()
	intruder.Stop()
	require.Zero(t, holder.ExitCode(), holder.Tail())
	require.Zero(t, intruder.ExitCode(), intruder.Tail())
	first.run(t, "catalog", "--roles", "catalog")
	first.holdsOnce(t, w)
}

// TestStaleProcessIsFenced stops a process for longer than its session, so that another of its group
// takes over, and lets it go on with what it had read before.
func TestStaleProcessIsFenced(t *testing.T) {
	t.Parallel()
	first, w := newContest(t)
	second := first.twin(t, first.settings.group)
	asleep, rate := either(20*time.Second, time.Minute), int64(4_000)
	w.rows, w.rate = int64(asleep.Seconds()+20)*rate, rate
	stale := first.run(t, "stale")
	var producer errgroup.Group
	producer.Go(func() error {
		_, err := w.produce(t.Context(), first.settings.brokers)
		return err
	})
	eventually(t, time.Minute, func() bool { return first.describe(t, "db.events").Rows > 0 },
		func() string { return "nothing is committed" })
	fresh := second.run(t, "fresh")
	eventually(t, time.Minute, func() bool { return second.assigned(t.Context()) },
		func() string { return "the second process reads nothing" })

	require.NoError(t, stale.Signal(syscall.SIGSTOP))
	before := first.describe(t, "db.events")
	require.NoError(t, pause(t.Context(), asleep))
	after := first.describe(t, "db.events")
	for i, o := range after.Offsets {
		require.Greater(t, o.Next, before.Offsets[i].Next, "partition %d was not taken over", o.Partition)
	}
	log, err := os.ReadFile(stale.Log)
	require.NoError(t, err)
	require.NoError(t, stale.Signal(syscall.SIGCONT))
	var since string // what the process says from then on
	eventually(t, time.Minute, func() bool {
		text, err := os.ReadFile(stale.Log)
		require.NoError(t, err)
		since = string(text[len(log):])
		_, after, gave := strings.Cut(since, "topic partition given up")
		return gave && strings.Contains(after, "topic partition assigned")
	}, func() string { return "the stale process does not notice and rejoin:\n" + since })
	require.NoError(t, producer.Wait())
	first.reaches(t, "db.events", w.rows, time.Minute)
	fresh.Stop()
	require.Zero(t, fresh.ExitCode(), fresh.Tail())
	first.holdsOnce(t, w)
	stale.Stop()
	require.Zero(t, stale.ExitCode(), stale.Tail())
}
