package ingest

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/commit/verify"
	"github.com/firthlake/firth/ingest/source"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/keyindex"
)

// edited is a log some of whose records say something else than what was ingested, so that the table is wrong
// by them.
type edited struct {
	rereader
	values map[commit.Offset]string // "" is a tombstone
}

func (e edited) Read(ctx context.Context, tp commit.TopicPartition, from, next commit.Offset,
) iter.Seq2[source.Chunk, error] {
	return func(yield func(source.Chunk, error) bool) {
		for chunk, err := range e.rereader.Read(ctx, tp, from, next) {
			for i := range chunk.Records {
				r := &chunk.Records[i]
				if value, is := e.values[r.Offset]; is {
					if r.Value = []byte(value); value == "" {
						r.Value = nil
					}
				}
			}
			if !yield(chunk, err) {
				return
			}
		}
	}
}

// verifyKeyed verifies a keyed table against a log.
func (w *world) verifyKeyed(ident table.Ident, log RangeReader, opts TableOptions) *verify.Report {
	w.t.Helper()
	t, err := w.catalog.LoadTable(w.t.Context(), ident)
	require.NoError(w.t, err)
	letters, err := w.catalog.LoadTable(w.t.Context(), commit.DeadLettersIdent(ident))
	require.NoError(w.t, err)
	opts.Committer, opts.Evolver, opts.Keyed.Keys = nil, nil, nil
	r := NewRecounter(t, w.mem)
	require.NoError(w.t, r.Add(log, opts))
	report, err := verify.Check(w.t.Context(), t, w.objects, verify.Options{Deep: true, Log: r,
		LogRequired: true, DeadLetters: letters, Parallel: 2})
	require.NoError(w.t, err)
	return report
}

// users is a keyed table of one partition in three checkpoints: 0 to 9, updates of 0 to 4, deletes of 8 and 9.
func (w *world) users(k keyedTable) (table.Ident, TableOptions) {
	w.log.Create("events", 1)
	ident := w.createKeyed("db.users", k)
	opts := w.keyedOptions(ident, k)
	g := w.ingester(w.log.Join("g", 100, "events"), opts)
	for id := range int64(10) {
		w.put(0, id, keyedRow{id, 1, "a", "x"}.json())
	}
	w.steps(g, 15)
	for id := range int64(5) {
		w.put(0, id, keyedRow{id, 2, "b", "x"}.json())
	}
	w.steps(g, 15)
	w.put(0, 8, "")
	w.put(0, 9, "")
	w.steps(g, 15)
	g.Close(w.t.Context())
	return ident, opts
}

func TestVerifyFindsWhatAKeyedTableLacks(t *testing.T) {
	plants := map[string]struct {
		values map[commit.Offset]string
		kind   verify.Kind
		text   string
	}{
		"nothing": {},
		"a lost update": {values: map[commit.Offset]string{12: keyedRow{2, 2, "c", "x"}.json()},
			kind: verify.FaultStaleRow, text: "an update was lost"},
		"a revived row": {values: map[commit.Offset]string{12: ""},
			kind: verify.FaultRevivedRow, text: "deletes it"},
		"a lost row": {values: map[commit.Offset]string{15: keyedRow{8, 3, "c", "x"}.json()},
			kind: verify.FaultMissingRow, text: "not in the table"},
		"a row of no key": {values: map[commit.Offset]string{7: keyedRow{6, 1, "a", "x"}.json()},
			kind: verify.FaultRevivedRow, text: "no record of the topics"},
	}
	for name, plant := range plants {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			ident, opts := w.users(keyedTable{version: 3})
			log := edited{rereader{w.log, 0}, plant.values}
			report := w.verifyKeyed(ident, log, opts)
			if plant.kind == "" {
				require.Empty(t, report.Faults)
				require.EqualValues(t, 10, report.Keys)
				require.EqualValues(t, 17, report.Partitions[0].Retained)
				return
			}
			require.False(t, report.Proven)
			require.Equal(t, plant.kind, report.Faults[0].Kind)
			require.Contains(t, report.Faults[0].Text, plant.text)
		})
	}
}

// TestVerifyFindsADoubledRow takes an old row's deletes out of the table.
func TestVerifyFindsADoubledRow(t *testing.T) {
	w := newWorld(t)
	w.log.Create("events", 1)
	k := keyedTable{version: 3}
	ident := w.createKeyed("db.users", k)
	opts := w.keyedOptions(ident, k)
	opts.Committer = forgetful{opts.Committer}
	g := w.ingester(w.log.Join("g", 100, "events"), opts)
	w.put(0, 1, keyedRow{1, 1, "a", "x"}.json())
	w.put(0, 2, keyedRow{2, 1, "a", "x"}.json())
	w.steps(g, 15)
	w.put(0, 1, keyedRow{1, 2, "b", "x"}.json())
	w.steps(g, 15)
	g.Close(t.Context())
	report := w.verifyKeyed(ident, rereader{w.log, 0}, opts)
	var kinds []verify.Kind
	for _, f := range report.Faults {
		kinds = append(kinds, f.Kind)
	}
	require.Contains(t, kinds, verify.FaultDoubledRow, fmt.Sprint(report.Faults))
	require.Contains(t, kinds, verify.FaultStaleRow)
}

// forgetful commits no deletes, as if each row were the first of its key.
type forgetful struct{ Committer }

func (f forgetful) Commit(ctx context.Context, change commit.Change) (commit.Committed, error) {
	change.Deletes = nil
	change.Uncounted = commit.Uncounted{}
	for tp, r := range change.Ranges {
		r.Counts.Inserted += r.Counts.Updated
		r.Counts.Updated = 0
		change.Ranges[tp] = r
	}
	return f.Committer.Commit(ctx, change)
}

func TestVerifyComparesWhatTheLogStillHas(t *testing.T) {
	w := newWorld(t)
	ident, opts := w.users(keyedTable{version: 3})
	report := w.verifyKeyed(ident, rereader{w.log, 12}, opts)
	require.Empty(t, report.Faults)
	require.Contains(t, strings.Join(report.Notes, "\n"), "of which the topics have no record any more")
	require.EqualValues(t, 2, report.Keys, "8 and 9; 2 to 4 are of a checkpoint that is cut")

	log := edited{rereader: rereader{w.log, 10}, values: map[commit.Offset]string{12: ""}}
	report = w.verifyKeyed(ident, log, opts)
	require.Equal(t, verify.FaultRevivedRow, report.Faults[0].Kind)
}

// TestVerifyProvesRandomHistoriesOfKeyedTables holds chaos against the log, snapshots expired or not.
func TestVerifyProvesRandomHistoriesOfKeyedTables(t *testing.T) {
	for _, seed := range seeds(8) {
		k := keyedTable{version: 2 + int(seed%2), sequence: seed/2%2 == 1, first: seed == 4}
		t.Run(fmt.Sprintf("%d %+v", seed, k), func(t *testing.T) {
			w := newWorld(t)
			c := newPlainChaos(w, rand.New(rand.NewPCG(seed, 11)), k)
			c.run(40)
			opts := w.keyedOptions(c.ident, k)
			report := w.verifyKeyed(c.ident, rereader{w.log, 0}, opts)
			require.Empty(t, report.Faults)
			require.Greater(t, report.Keys, int64(5))
		})
	}
}

// TestARowIsSureAgainOnceANewerOneComes folds three checkpoints of the first of which something is not known.
func TestARowIsSureAgainOnceANewerOneComes(t *testing.T) {
	type put struct{ id, seq int64 }
	plain, sequence := keyedTable{version: 3}, keyedTable{version: 3, sequence: true}
	for name, c := range map[string]struct {
		keyed         keyedTable
		first, second []put
		sure          bool
	}{
		"newer":                      {sequence, []put{{1, 5}, {1, 7}}, []put{{1, 8}}, true},
		"as new":                     {sequence, []put{{1, 5}, {1, 7}}, []put{{1, 7}}, true},
		"newer than one, not of all": {sequence, []put{{1, 7}, {1, 5}}, []put{{1, 6}}, false},
		"older than a deleted one":   {sequence, []put{{1, 7}, {1, 0}}, []put{{1, 6}}, false},
		"no sequences":               {plain, []put{{1, 7}}, []put{{1, 6}}, true},
		"the first counts":           {keyedTable{version: 3, first: true}, []put{{1, 7}}, []put{{1, 8}}, false},
		"of another key":             {sequence, []put{{1, 5}}, []put{{2, 6}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.log.Create("events", 1)
			ident := w.createKeyed("db.users", c.keyed)
			opts := w.keyedOptions(ident, c.keyed)
			g := w.ingester(w.log.Join("g", 100, "events"), opts)
			for _, puts := range [][]put{c.first, c.second} {
				for _, p := range puts {
					value := keyedRow{p.id, p.seq, "a", "x"}.json()
					if p.seq == 0 {
						value = "" // a tombstone
					}
					w.put(0, p.id, value)
				}
				w.steps(g, 15)
			}
			g.Close(t.Context())
			loaded, err := w.catalog.LoadTable(t.Context(), ident)
			require.NoError(t, err)
			tp := maps.Keys(opts.Committer.Position())
			opts.Committer, opts.Evolver, opts.Keyed.Keys = nil, nil, nil
			r := NewRecounter(loaded, w.mem)
			require.NoError(t, r.Add(rereader{w.log, 0}, opts))
			between := commit.Offset(len(c.first))
			steps := []verify.Step{{SchemaID: loaded.Metadata().CurrentSchema().ID, Unsure: true},
				{SchemaID: loaded.Metadata().CurrentSchema().ID}}
			for id := range tp {
				steps[0].Ranges = map[commit.TopicPartition]commit.Range{id: {Next: between}}
				steps[1].Ranges = map[commit.TopicPartition]commit.Range{
					id: {From: between, Next: between + commit.Offset(len(c.second))}}
			}
			versions, err := r.Refold(t.Context(), steps, keyindex.Seed{}, func(keyindex.Key) bool { return true })
			require.NoError(t, err)
			unsure := 0
			for _, v := range versions {
				if v.Unsure {
					unsure++
				}
			}
			require.Equal(t, c.sure, unsure == 0)
		})
	}
}
