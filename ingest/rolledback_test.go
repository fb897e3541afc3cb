package ingest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/source"
	"github.com/firthlake/firth/table"
)

// standing are the snapshots that a table can go back to, newest first, without the newest.
func (w *world) standing(ident table.Ident) (ids []int64) {
	t, err := w.catalog.LoadTable(w.t.Context(), ident)
	require.NoError(w.t, err)
	for s := range commit.Standing(t.Metadata()) {
		ids = append(ids, s.SnapshotID)
	}
	return ids[min(1, len(ids)):]
}

// rollBack rolls a table back as an operator does, in a process of its own.
func (w *world) rollBack(ident table.Ident, snapshotID int64) {
	w.t.Helper()
	operator := w.options(ident, "operator").Committer.(*commit.Committer)
	_, err := operator.Rollback(w.t.Context(), commit.Rollback{SnapshotID: snapshotID})
	require.NoError(w.t, err)
}

func TestARollbackIsNoticedWhileTopicsAreSilent(t *testing.T) {
	w := newWorld(t)
	w.log.Create("events", 1)
	ident := w.create("db.events", eventFields()...)
	g := w.ingester(w.log.Join("g", 50, "events"), w.options(ident, "g"))
	for i := range 4 {
		w.append(0, events(10*i, 10*i+10)...)
		w.steps(g, 13)
	}
	w.requireIDs(ident, 40)
	before := w.check(ident)
	ids := w.standing(ident)
	w.rollBack(ident, ids[len(ids)-1])
	require.Less(t, w.check(ident).Rows, before.Rows)
	w.steps(g, 30)
	w.requireIDs(ident, 40)
	require.Equal(t, before.Covered, w.check(ident).Covered)
	require.Empty(t, w.deepCheck(ident, w.options(ident, "g"), 0).Faults)
	require.Contains(t, w.logs.String(), "table was rolled back")
	require.Equal(t, StateActive, g.Progress().Tables[0].State)
	g.Close(t.Context())
}

func TestATopicPartitionFirstReadBehindARollbackBeginsWhereItBegan(t *testing.T) {
	w := newWorld(t)
	w.log.Create("events", 2)
	ident := w.create("db.events", eventFields()...)
	w.append(1, events(90, 95)...) // of before the table's time
	opts := w.options(ident, "g")
	opts.Start = source.Start{Kind: source.StartLatest}
	g := w.ingester(w.log.Join("g", 50, "events"), opts)
	w.steps(g, 2)
	w.append(0, events(0, 10)...)
	w.steps(g, 15)
	w.append(1, events(10, 20)...)
	w.steps(g, 15)
	w.requireIDs(ident, 20)
	ids := w.standing(ident)
	w.rollBack(ident, ids[len(ids)-1])
	w.requireIDs(ident, 10)
	w.steps(g, 40)
	w.requireIDs(ident, 20)
	g.Close(t.Context())
}

// TestRollbacksWhileAnIngesterRuns rolls an append table back at random moments, and restarts the ingester at some.
func TestRollbacksWhileAnIngesterRuns(t *testing.T) {
	for seed := range uint64(seedsOf(6, 2)) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 3))
			w := newWorld(t)
			w.log.Create("events", 2)
			ident := w.create("db.events", eventFields()...)
			reader := w.log.Join("g", 7, "events")
			g := w.ingester(reader, w.options(ident, "g"))
			made := 0
			for range 40 {
				for range random.IntN(12) {
					w.append(random.Int32N(2), event(made))
					made++
				}
				w.steps(g, 1+random.IntN(6))
				switch ids := w.standing(ident); {
				case random.IntN(6) == 0 && len(ids) > 0:
					w.rollBack(ident, ids[random.IntN(min(len(ids), 4))])
				case random.IntN(20) == 0:
					g.Close(t.Context()) // what is buffered is read again
					w.log.Crash(reader)
					reader = w.log.Join("g", 7, "events")
					g = w.ingester(reader, w.options(ident, "g"))
				}
				w.check(ident)
			}
			w.steps(g, 200)
			w.requireIDs(ident, made)
			g.Close(t.Context())
		})
	}
}

// TestRollbacksOfAKeyedTableWhileAnIngesterRuns holds the rows of a keyed table against those of the newest records.
func TestRollbacksOfAKeyedTableWhileAnIngesterRuns(t *testing.T) {
	for seed := range uint64(seedsOf(4, 1)) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 4))
			w := newWorld(t)
			w.log.Create("events", 2)
			k := keyedTable{version: 2 + int(seed%2), partitioned: seed > 1, sequence: seed%2 == 0}
			ident := w.createKeyed("db.users", k)
			opts := w.keyedOptions(ident, k)
			g := w.ingester(w.log.Join("g", 7, "events"), opts)
			want := map[int64]keyedRow{}
			var seq int64
			for range 50 {
				for range random.IntN(8) {
					seq++
					id := random.Int64N(20)
					if random.IntN(5) == 0 && !k.sequence {
						w.put(int32(id%2), id, "")
						delete(want, id)
						continue
					}
					row := keyedRow{id, seq, fmt.Sprint("name ", seq), fmt.Sprint("r", id%3)}
					w.put(int32(id%2), id, row.json())
					want[id] = row
				}
				w.steps(g, 1+random.IntN(6))
				switch ids := w.standing(ident); {
				case random.IntN(6) == 0 && len(ids) > 0:
					w.rollBack(ident, ids[random.IntN(min(len(ids), 4))])
				case random.IntN(12) == 0 && len(ids) > 3:
					w.rewrite(ident)
				}
				w.check(ident)
			}
			w.steps(g, 200)
			w.requireRows(ident, sortedRows(want)...)
			g.Close(t.Context())
			require.Empty(t, w.verifyKeyed(ident, rereader{w.log, 0}, opts).Faults)
		})
	}
}

// seedsOf is how many seeds are run, fewer in the short form.
func seedsOf(usual, short int) int {
	if testing.Short() {
		return short
	}
	return usual
}

func sortedRows(rows map[int64]keyedRow) (out []keyedRow) {
	for _, r := range rows {
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b keyedRow) int { return int(a.id - b.id) })
	return out
}
