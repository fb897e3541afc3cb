package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/ingest/source"
)

// described is what describe --json says of the table.
func (f *lakeFolder) described(t *testing.T) (report tableReport) {
	t.Helper()
	out := f.firth(t, "describe", "db.events", "--json")
	require.NoError(t, json.Unmarshal([]byte(out.stdout), &report), out.stderr)
	return report
}

// rolled runs rollback with --json.
func (f *lakeFolder) rolled(t *testing.T, to string, flags ...string) (report rollbackReport) {
	t.Helper()
	out := f.firth(t, append([]string{"rollback", "db.events", "--to", to, "--json"}, flags...)...)
	require.Zero(t, out.code, out.stderr)
	require.NoError(t, json.Unmarshal([]byte(out.stdout), &report))
	return report
}

// TestRollbackBesideRunTakesEachRecordInOnce rolls a table back that a process feeds, and recounts files and topic.
func TestRollbackBesideRunTakesEachRecordInOnce(t *testing.T) {
	f := newLakeFolder(t)
	f.spec(t, "", "")
	require.Zero(t, f.firth(t, "apply", "--yes").code)
	r := f.run(t)
	for range 4 {
		f.produce(t, 300)
		f.committed(t, f.produced)
	}
	history := f.described(t).History
	target := fmt.Sprint(history[len(history)-1].ID)
	planned := f.rolled(t, target, "--dry-run")
	require.True(t, planned.DryRun)
	require.EqualValues(t, 1200, planned.RowsBefore)
	require.Equal(t, history, f.described(t).History, "nothing was changed")
	asked := f.firth(t, "rollback", "db.events", "--to", target)
	require.Equal(t, exitFallsShort, asked.code)
	require.Contains(t, asked.stderr, "read again:")
	done := f.rolled(t, target, "--yes")
	require.Equal(t, planned.ReadAgain, done.ReadAgain)
	require.Equal(t, planned.RowsAfter, done.RowsAfter)
	require.Less(t, done.RowsAfter, int64(1200))
	f.committed(t, 1200) // by itself, though nothing new comes
	f.produce(t, 300)
	f.committed(t, 1500)
	r.end(t)
	report := f.report(t)
	require.True(t, report.Proven, report.Faults)
	require.EqualValues(t, 1500, report.Files.Rows)
	shown := f.firth(t, "describe", "db.events").stdout
	require.Contains(t, shown, "rollback to "+target)
	require.Contains(t, shown, "append, rolled back")
}

// TestRollbacksAndIngestMayBeKilled kills rollbacks and the process that ingests, again and again, by SIGKILL.
func TestRollbacksAndIngestMayBeKilled(t *testing.T) {
	f := newLakeFolder(t)
	f.spec(t, "", "")
	require.Zero(t, f.firth(t, "apply", "--yes").code)
	k := &killing{lakeFolder: f, t: t, dice: rand.New(rand.NewPCG(5, 5))}
	k.start()
	const rounds = 5
	landed := 0
	for round := range rounds {
		f.produce(t, 300)
		f.committed(t, f.produced)
		before := f.described(t).History
		target := before[min(len(before)-1, 1+k.dice.IntN(4))]
		if target.RolledBack {
			target = before[1]
		}
		rollback := process(t.Context(), "rollback", "-c", f.config, "db.events", "--yes", "--to",
			fmt.Sprint(target.ID))
		require.NoError(t, rollback.Start())
		if round%3 == 2 {
			k.kill(k.ingest)
		}
		wait := time.NewTimer(time.Duration(k.dice.IntN(400)) * time.Millisecond)
		<-wait.C
		k.kill(rollback)
		if f.described(t).History[0].ID != before[0].ID {
			landed++
		}
		if round%3 == 2 {
			k.start()
		}
	}
	f.committed(t, f.produced)
	k.kill(k.ingest)
	report := f.report(t)
	require.True(t, report.Proven, report.Faults)
	require.EqualValues(t, f.produced, report.Files.Rows)
	t.Logf("%d of %d rollbacks were seen to land", landed, rounds)
}

func TestRollbackSaysWhatIsWrong(t *testing.T) {
	f := newIngestedFolder(t)
	r := f.run(t)
	f.produce(t, 500)
	f.committed(t, 1500)
	r.end(t)
	history := f.described(t).History
	oldest := fmt.Sprint(history[len(history)-1].ID)
	for want, args := range map[string][]string{
		"there is no table db.nothing":       {"rollback", "db.nothing", "--to", "1"},
		"TABLE is missing":                   {"rollback"},
		"--to is missing":                    {"rollback", "db.events"},
		"is no snapshot, no time and no tag": {"rollback", "db.events", "--to", "yesterday"},
		"no snapshot 77":                     {"rollback", "db.events", "--to", "77", "--yes"},
		"nothing lies behind it":             {"rollback", "db.events", "--to", fmt.Sprint(history[0].ID), "--yes"},
		"from 2001-01-31T12:00:00Z or before": {"rollback", "db.events", "--to", "2001-01-31T12:00:00Z",
			"--yes"},
	} {
		out := f.firth(t, args...)
		require.Equal(t, exitCouldNot, out.code, want)
		require.Contains(t, out.stderr, want)
	}
	admin, err := source.OpenAdmin(t.Context(), f.broker.Connection())
	require.NoError(t, err)
	defer admin.Close()
	end, err := admin.Resolve(t.Context(), source.Start{Kind: source.StartLatest}, "events")
	require.NoError(t, err)
	require.NoError(t, admin.Truncate(t.Context(), end))
	out := f.firth(t, "rollback", "db.events", "--to", oldest, "--yes")
	require.Equal(t, exitCouldNot, out.code)
	require.Contains(t, out.stderr, "is needed from offset")
	require.Equal(t, history, f.described(t).History)
}
