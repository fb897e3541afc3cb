//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/e2e/components"
)

// TestStreamsAreFollowedByFlight has pyarrow follow a table that grows and a keyed one by the code that docs/stream.md
// shows. It breaks off after a few batches, anywhere, and goes on by its token: each offset must have come once, and
// the changes must make the newest row of each key at some cut.
func TestStreamsAreFollowedByFlight(t *testing.T) {
	t.Parallel()
	lab, brokers := newLab(t), embeddedBroker(t, "events", changesTopic)
	l := newLake(t, lab, settings{brokers: brokers, warehouse: "warehouse"})
	grows, keyed := tableKinds()[0], tableKinds()[6]
	grows.name = "events" // as in the document
	l.spec(t, grows.name, grows.spec())
	l.spec(t, keyed.name, strings.Replace(keyed.spec(), "interval: 10s", "interval: 1s", 1))
	l.apply(t)
	reader, flight := l.reader(t), address(t)
	reader.Flight = "grpc://" + flight
	service := l.run(t, "followed", "--flight", flight)
	_, stop := l.produceBoth(t)
	l.shows(t, "db."+grows.name)
	session, err := lab.Open(t.Context(), reader, "flight")
	require.NoError(t, err)
	defer session.Stop()

	before, changes := 0, cuts{}
	end := time.Now().Add(either(10*time.Second, 10*time.Minute))
	for round := 1; round < 6 || time.Now().Before(end); round++ {
		ask := func(name, kind string) components.Answer {
			answer, err := session.Run(t.Context(), fmt.Sprintf("db.%s %s %d", name, kind, 1+round%2))
			require.NoError(t, err)
			require.Empty(t, answer.Fault)
			return answer
		}
		before = exact(t, grows.name, before, ask(grows.name, "log"))
		changes.check(t, keyed.name, ask(keyed.name, "copy"))
	}
	stop()
	require.Positive(t, before)
	require.Greater(t, changes.different, 3)
	t.Logf("%d rows, and %d cuts of a keyed table, %d of them different", before, changes.answers, changes.different)
	service.Stop()
	require.Zero(t, service.ExitCode(), service.Tail())
}

// shows waits until a table has a snapshot, so that its process ingests it.
func (l *lake) shows(t *testing.T, name string) {
	t.Helper()
	eventually(t, time.Minute, func() bool { return l.describe(t, name).Rows > 0 },
		func() string { return name + " has no rows" })
}
