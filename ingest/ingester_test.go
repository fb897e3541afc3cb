package ingest

import (
	"testing"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/commit/committest"
	"github.com/firthlake/firth/ingest/decode"
	"github.com/firthlake/firth/ingest/source"
	"github.com/firthlake/firth/ingest/spec"
	"github.com/firthlake/firth/table/filter"
)

func TestRecordsBecomeCommittedRows(t *testing.T) {
	w := newWorld(t)
	w.log.Create("events", 2)
	w.append(0, events(0, 50)...)
	w.append(1, events(50, 80)...)
	ident := w.create("db.events", eventFields()...)
	g := w.ingester(w.log.Join("g", 20, "events"), w.options(ident, "g"))
	w.steps(g, 30)
	w.requireIDs(ident, 80)
	report := w.check(ident)
	require.Equal(t, commit.Offset(50), report.Ledger.Position[w.log.TopicPartition("events", 0)])
	progress := g.Progress().Tables[0]
	require.Equal(t, int64(80), progress.Committed.Inserted)
	require.Equal(t, StateActive, progress.State)
	require.Empty(t, progress.Trouble)
	g.Close(t.Context())
}

func TestEveryOffsetIsAccountedFor(t *testing.T) {
	w := newWorld(t)
	w.log.Create("events", 1)
	w.log.Skip("events", 0, 5)
	w.append(0, event(0), "", "not json", `{"id":"x"}`, event(1))
	w.log.Skip("events", 0, 3)
	w.append(0, event(900), event(2), `{"id":3,"name":7}`)
	ident := w.create("db.events", eventFields()...)
	opts := w.options(ident, "g")
	var err error
	opts.Filter, err = filter.Parse("id < 100")
	require.NoError(t, err)
	opts.DeadLetters.Classes = map[decode.Class]spec.Policy{decode.ClassSyntax: spec.Skip}
	g := w.ingester(w.log.Join("g", 4, "events"), opts)
	w.steps(g, 30)
	covered := w.check(ident).Covered[w.log.TopicPartition("events", 0)]
	require.Equal(t, commit.Counts{
		Inserted: 3, Tombstones: 1, Skipped: 1, DeadLetters: 2, Filtered: 1, Absent: 5 + 3,
	}, covered.Counts)
	require.Zero(t, covered.From)
	w.requireIDs(ident, 3)
	letters := commit.DeadLettersIdent(ident)
	require.ElementsMatch(t, []string{"type", "type"}, rows(w, letters, "error_class", textAt))
	require.ElementsMatch(t, []string{"id", "name"}, rows(w, letters, "error_column", textAt))
	g.Close(t.Context())
}

func TestTablesOfOneTopicShareOneDecode(t *testing.T) {
	w := newWorld(t)
	w.log.Create("events", 1)
	w.append(0, `{"id":1,"name":"a","extra":"x"}`, `{"id":2,"name":"b","extra":5}`)
	first := w.create("db.first", eventFields()...)
	second := w.create("db.second",
		iceberg.NestedField{ID: 1, Name: "extra", Type: iceberg.PrimitiveTypes.String},
		iceberg.NestedField{ID: 2, Name: "id", Type: iceberg.PrimitiveTypes.Int64})
	third := w.create("db.third", iceberg.NestedField{ID: 7, Name: "id", Type: iceberg.PrimitiveTypes.String})
	g := w.ingester(w.log.Join("g", 4, "events"), w.options(first, "g"), w.options(second, "g"), w.options(third, "g"))
	require.Same(t, g.router.member(g.tables[0], 0).group, g.router.member(g.tables[1], 0).group)
	require.NotSame(t, g.router.member(g.tables[0], 0).group, g.router.member(g.tables[2], 0).group)
	w.steps(g, 20)
	require.ElementsMatch(t, []int64{1, 2}, rows(w, first, "id", longAt))
	require.ElementsMatch(t, []string{"x"}, rows(w, second, "extra", textAt), "only its own column fails a row")
	g.Close(t.Context())
}

func TestAStoppedProcessGoesOnWhereTheTableStands(t *testing.T) {
	w := newWorld(t)
	w.log.Create("events", 3)
	ident := w.create("db.events", eventFields()...)
	made := 0
	for round := range 12 {
		reader := w.log.Join("g", 7, "events")
		g := w.ingester(reader, w.options(ident, "g"))
		for range 5 + round%4 {
			for p := range int32(3) {
				w.append(p, event(made))
				made++
			}
			w.steps(g, 2)
		}
		w.log.Crash(reader) // nothing is flushed
		g.Close(t.Context())
	}
	g := w.ingester(w.log.Join("g", 50, "events"), w.options(ident, "g"))
	w.steps(g, 40)
	w.requireIDs(ident, made)
	g.Close(t.Context())
}

func TestRevokedPartitionsAreCommittedBeforeTheyAreReleased(t *testing.T) {
	w := newWorld(t)
	w.log.Create("events", 2)
	w.append(0, events(0, 10)...)
	w.append(1, events(10, 20)...)
	ident := w.create("db.events", eventFields()...)
	one := w.ingester(w.log.Join("g", 5, "events"), w.options(ident, "g"))
	w.steps(one, 3)
	require.Zero(t, one.Progress().Tables[0].Committed.Inserted)
	two := w.ingester(w.log.Join("g", 5, "events"), w.options(ident, "g"))
	w.steps(one, 1)
	require.Equal(t, int64(20), one.Progress().Tables[0].Committed.Inserted)
	w.append(0, events(20, 30)...)
	w.append(1, events(30, 40)...)
	for range 20 {
		w.steps(one, 1)
		w.steps(two, 1)
	}
	w.requireIDs(ident, 40)
	require.Zero(t, one.tables[0].tries+two.tables[0].tries, "nobody was fenced")
	one.Close(t.Context())
	two.Close(t.Context())
}

func TestAMemberThatSleptIsFencedAndGoesOn(t *testing.T) {
	w := newWorld(t)
	w.log.Create("events", 2)
	w.append(0, events(0, 10)...)
	w.append(1, events(10, 20)...)
	ident := w.create("db.events", eventFields()...)
	sleeper := w.log.Join("g", 5, "events")
	one := w.ingester(sleeper, w.options(ident, "g"))
	w.steps(one, 3) // buffered, not committed
	two := w.ingester(w.log.Join("g", 5, "events"), w.options(ident, "g"))
	w.log.Expire(sleeper)
	w.steps(two, 25)
	w.append(0, events(20, 30)...)
	w.append(1, events(30, 40)...)
	for range 40 {
		w.steps(one, 1)
		w.steps(two, 1)
	}
	w.requireIDs(ident, 40)
	one.Close(t.Context())
	two.Close(t.Context())
}

func TestTwoDeploymentsOnOneTableDoubleNothing(t *testing.T) {
	w := newWorld(t)
	w.log.Create("events", 2)
	ident := w.create("db.events", eventFields()...)
	blue := w.ingester(w.log.Join("blue", 5, "events"), w.options(ident, "blue"))
	green := w.ingester(w.log.Join("green", 5, "events"), w.options(ident, "green"))
	made := 0
	for range 60 {
		for p := range int32(2) {
			w.append(p, event(made))
			made++
		}
		w.steps(blue, 1)
		w.steps(green, 1)
	}
	states := []State{blue.Progress().Tables[0].State, green.Progress().Tables[0].State}
	require.ElementsMatch(t, []State{StateActive, StateStandby}, states)
	require.Contains(t, w.logs.String(), "another process holds the table")
	loser := green
	if states[0] == StateStandby {
		loser = blue
	}
	require.Contains(t, loser.Progress().Tables[0].Trouble, "held by process-")
	w.steps(loser, 80) // the holder is silent: the other takes over
	require.Equal(t, StateActive, loser.Progress().Tables[0].State)
	w.requireIDs(ident, made)
	blue.Close(t.Context())
	green.Close(t.Context())
}

func TestLostOffsetsStopTheTableAndNoOther(t *testing.T) {
	w := newWorld(t)
	w.log.Create("events", 1)
	w.append(0, events(0, 10)...)
	behind := w.create("db.behind", eventFields()...)
	reader := w.log.Join("g", 50, "events")
	g := w.ingester(reader, w.options(behind, "g"))
	w.steps(g, 15)
	w.log.Crash(reader)
	g.Close(t.Context())
	w.append(0, events(10, 30)...)
	w.log.Truncate("events", 0, 20)
	fresh := w.create("db.fresh", eventFields()...)
	g = w.ingester(w.log.Join("g", 50, "events"), w.options(behind, "g"), w.options(fresh, "g"))
	w.steps(g, 20)
	tables := g.Progress().Tables
	require.Equal(t, StateStopped, tables[0].State)
	require.Contains(t, tables[0].Trouble, "offsets 10 to 19 are out of retention")
	require.Contains(t, tables[0].Trouble, "firth accept-loss db.behind --topic events --partition 0 --to 20")
	require.Equal(t, int64(10), tables[1].Committed.Inserted)
	w.requireIDs(behind, 10)

	operator := w.options(behind, "g").Committer.(*commit.Committer)
	_, err := operator.AcceptLoss(t.Context(), w.log.TopicPartition("events", 0), 10, 20)
	require.NoError(t, err)
	w.steps(g, 40)
	require.Equal(t, StateActive, g.Progress().Tables[0].State)
	covered := w.check(behind).Covered[w.log.TopicPartition("events", 0)]
	require.Equal(t, commit.Counts{Inserted: 20, Lost: 10}, covered.Counts)
	g.Close(t.Context())
}

func TestARecreatedTopicIsRefused(t *testing.T) {
	w := newWorld(t)
	w.log.Create("events", 1)
	w.append(0, events(0, 10)...)
	ident := w.create("db.events", eventFields()...)
	g := w.ingester(w.log.Join("g", 50, "events"), w.options(ident, "g"))
	w.steps(g, 15)
	w.log.Create("events", 1)
	w.append(0, events(10, 20)...)
	w.steps(g, 15)
	require.Equal(t, StateStopped, g.Progress().Tables[0].State)
	require.Contains(t, g.Progress().Tables[0].Trouble, "re-created")
	w.requireIDs(ident, 10)
	g.Close(t.Context())
}

func TestNewPartitionsBeginAtTheirFirstOffset(t *testing.T) {
	w := newWorld(t)
	w.log.Create("events", 1)
	w.append(0, events(0, 10)...)
	ident := w.create("db.events", eventFields()...)
	opts := w.options(ident, "g")
	opts.Start = source.Start{Kind: source.StartLatest}
	g := w.ingester(w.log.Join("g", 50, "events"), opts)
	w.steps(g, 2)
	w.append(0, events(10, 15)...)
	w.steps(g, 15)
	w.log.Grow("events", 1)
	w.append(1, events(15, 25)...)
	w.steps(g, 15)
	require.Len(t, rows(w, ident, "id", longAt), 15, "start is for what the topic held before")
	g.Close(t.Context())
}

func TestSuspendStopsBeforeTheRecord(t *testing.T) {
	w := newWorld(t)
	w.log.Create("events", 1)
	w.append(0, events(0, 10)...)
	ident := w.create("db.events", eventFields()...)
	opts := w.options(ident, "g")
	opts.DeadLetters.Default = spec.Suspend
	g := w.ingester(w.log.Join("g", 50, "events"), opts)
	w.steps(g, 2)
	w.append(0, "broken")
	w.steps(g, 3)
	require.Equal(t, StateStopped, g.Progress().Tables[0].State)
	require.Contains(t, g.Progress().Tables[0].Trouble, "suspended before events-0 offset 10 (syntax")
	w.requireIDs(ident, 10)
	g.Close(t.Context())
}

func TestTooManyDeadLettersSuspend(t *testing.T) {
	w := newWorld(t)
	w.log.Create("events", 1)
	w.append(0, events(0, 1990)...)
	for range 20 {
		w.append(0, "broken")
	}
	ident := w.create("db.events", eventFields()...)
	opts := w.options(ident, "g")
	opts.DeadLetters.Budget = spec.Budget{Ratio: 0.005, Window: spec.Duration(time.Minute)}
	g := w.ingester(w.log.Join("g", 500, "events"), opts)
	w.steps(g, 10)
	require.Equal(t, StateStopped, g.Progress().Tables[0].State)
	require.Contains(t, g.Progress().Tables[0].Trouble, "above the budget of 0.005")
	require.Equal(t, int64(20), w.check(ident).Covered[w.log.TopicPartition("events", 0)].Counts.DeadLetters)
	g.Close(t.Context())
}

func TestFailuresOfTheCatalogLoseNothing(t *testing.T) {
	for op := 1; op < 60; op += 7 {
		for _, fault := range []committest.Fault{
			committest.ErrorBefore, committest.AnswerLost, committest.LandsLate, committest.LandsLater,
			committest.Conflict,
		} {
			w := newWorld(t)
			w.log.Create("events", 1)
			ident := w.create("db.events", eventFields()...)
			opts := w.options(ident, "g")
			o := committest.Options(99, WriterName("faulty", "g"))
			o.Now = w.now
			faulty := committest.NewFaulty(w.catalog, committest.FailAt(op+1, fault))
			committer, err := commit.Open(t.Context(), faulty, w.objects, ident, o)
			require.NoError(t, err)
			opts.Committer = committer
			g := w.ingester(w.log.Join("g", 50, "events"), opts)
			for i := range 4 {
				w.append(0, events(i*10, i*10+10)...)
				w.steps(g, 12)
			}
			w.steps(g, 40)
			w.requireIDs(ident, 40)
			g.Close(t.Context())
			if faulty.Ops() <= op {
				return
			}
		}
	}
}

func TestTwoSourcesOfATableMayNotShareATopic(t *testing.T) {
	w := newWorld(t)
	w.log.Create("events", 1)
	ident := w.create("db.events", eventFields()...)
	first, second := w.options(ident, "g"), w.options(ident, "g")
	second.Topics, second.Patterns = nil, []string{"ev.*"}
	_, err := New(t.Context(), Options{
		Source: w.log.Join("g", 1, "events"), Store: w.objects, Tables: []TableOptions{first, second},
	})
	require.ErrorContains(t, err, "two sources of table db.events read topic events")
}
