package ingest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/commit/committest"
	"github.com/firthlake/firth/commit/verify"
	"github.com/firthlake/firth/ingest/decode"
	"github.com/firthlake/firth/ingest/letters"
	"github.com/firthlake/firth/ingest/mapping"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/filter"
	"github.com/firthlake/firth/table/objstore"
)

// lettersWorld is a table with rows and 2 × 5 dead letters: ids that are objects, of which one holds no number.
type lettersWorld struct {
	*world
	ident table.Ident
	opts  TableOptions
}

func newLettersWorld(t *testing.T) *lettersWorld {
	w := newWorld(t)
	w.log.Create("events", 2)
	for p := range int32(2) {
		for i := range 20 {
			switch {
			case i%4 != 1:
				w.append(p, event(100*int(p)+i))
			case i == 17:
				w.append(p, `{"id":{"text":"many"}}`)
			default:
				w.append(p, fmt.Sprintf(`{"id":{"text":"%d"}}`, 100*int(p)+i))
			}
		}
	}
	ident := w.create("db.events", placedFields(t)...)
	out := &lettersWorld{world: w, ident: ident, opts: w.options(ident, "g")}
	reader := w.log.Join("g", 50, "events")
	g := w.ingester(reader, out.opts)
	w.steps(g, 15)
	g.Close(t.Context())
	w.log.Crash(reader)
	return out
}

// replayOn replays on a catalog and a store that may fail.
func (w *lettersWorld) replayOn(p *committest.Process, adjust func(*ReplayOptions), maps ...string) (Replay, error) {
	w.seed++
	o := committest.Options(w.seed, fmt.Sprintf("replayer-%d", w.seed))
	o.Now = w.now
	committer, err := commit.Open(w.t.Context(), p.Catalog, p.Store, w.ident, o)
	if err != nil {
		return Replay{}, err
	}
	source := w.opts
	source.Committer = nil
	random := rand.New(rand.NewPCG(w.seed, 7))
	opts := ReplayOptions{Store: p.Store, Committer: committer, Sources: []TableOptions{source}, Now: w.now,
		BatchLetters: 6, Allocator: w.mem, Memory: table.NewBudget(1 << 30),
		NewID: func() (id uuid.UUID) {
			for i := range id {
				id[i] = byte(random.Uint32())
			}
			return id
		},
		LoadLetters: func(ctx context.Context) (*table.Table, error) {
			return p.Catalog.LoadTable(ctx, commit.DeadLettersIdent(w.ident))
		}}
	m, err := mapping.Parse(maps)
	require.NoError(w.t, err)
	if len(maps) > 0 {
		opts.Map = m.Apply
	}
	if adjust != nil {
		adjust(&opts)
	}
	r, err := NewReplayer(opts)
	require.NoError(w.t, err)
	return r.Run(w.t.Context())
}

func (w *lettersWorld) process() *committest.Process {
	return committest.NewProcess(w.catalog, w.objects, nil, nil)
}

func (w *lettersWorld) replay(maps ...string) Replay {
	w.t.Helper()
	out, err := w.replayOn(w.process(), nil, maps...)
	require.NoError(w.t, err)
	return out
}

// proven checks the table against the log and returns the report.
func (w *lettersWorld) proven() *verify.Report {
	w.t.Helper()
	report := w.deepCheck(w.ident, w.opts, 0)
	require.Empty(w.t, report.Faults)
	require.Empty(w.t, report.Notes)
	w.check(w.ident)
	return report
}

const castID = "id = cast(id.text as long)"

func TestReplayedLettersAreRowsOnce(t *testing.T) {
	w := newLettersWorld(t)
	require.EqualValues(t, 10, w.proven().DeadLetters.Rows)
	require.Equal(t, Replay{Letters: 10, Failed: 10, Reasons: []ReplayReason{{Class: "type", Column: "id",
		Letters: 10, Place: letters.Place{Topic: "events"}, Offset: 1,
		Message: w.replay().Reasons[0].Message}}}, w.replay(), "nothing was changed, so nothing changes")

	done := w.replay(castID)
	require.EqualValues(t, 8, done.Rows)
	require.EqualValues(t, 2, done.Failed)
	require.Equal(t, 2, done.Commits)
	require.Equal(t, reasonMap, done.Reasons[0].Class)
	require.Contains(t, done.Reasons[0].Message, `"many" is no whole number`)
	report := w.proven()
	require.Equal(t, verify.DeadLetters{Table: "db.events__dead_letters", Counted: 10, Resolved: 8, Rows: 18},
		report.DeadLetters)
	require.Len(t, rows(w.world, w.ident, "id", longAt), 38)

	again := w.replay(castID)
	require.Zero(t, again.Rows)
	require.EqualValues(t, 2, again.Letters)
	require.EqualValues(t, 2, w.replay("id = 7").Rows)
	require.Zero(t, w.replay("id = 7").Letters)
	require.EqualValues(t, 10, w.proven().DeadLetters.Resolved)
	require.ElementsMatch(t, []commit.TopicPartition{w.log.TopicPartition("events", 0),
		w.log.TopicPartition("events", 1)}, placesOf(w.options(w.ident, "h").Committer.Position()))
}

func placesOf(position commit.Position) (out []commit.TopicPartition) {
	for tp := range position {
		out = append(out, tp)
	}
	return out
}

func TestReplayTakesTheLettersThatAreAskedFor(t *testing.T) {
	w := newLettersWorld(t)
	where := func(text string) func(*ReplayOptions) {
		return func(o *ReplayOptions) {
			var err error
			o.Query.Where, err = filter.Parse(text)
			require.NoError(t, err)
		}
	}
	done, err := w.replayOn(w.process(), where("partition = 1 and offset < 6"), castID)
	require.NoError(t, err)
	require.EqualValues(t, 2, done.Rows)
	done, err = w.replayOn(w.process(), where("partition = 7"), castID)
	require.NoError(t, err)
	require.Zero(t, done.Letters)
	done, err = w.replayOn(w.process(), func(o *ReplayOptions) { o.DryRun = true }, castID)
	require.NoError(t, err)
	require.EqualValues(t, 6, done.Rows)
	require.EqualValues(t, 2, w.proven().DeadLetters.Resolved, "a dry run writes nothing")
	done, err = w.replayOn(w.process(), func(o *ReplayOptions) { o.Sources[0].Topics = []string{"others"} }, castID)
	require.NoError(t, err)
	require.EqualValues(t, 8, done.Failed)
	require.Equal(t, reasonSource, done.Reasons[0].Class)
	done, err = w.replayOn(w.process(), func(o *ReplayOptions) {
		o.Sources[0].Filter, err = filter.Parse("id >= 100")
		require.NoError(t, err)
	}, castID)
	require.NoError(t, err)
	require.EqualValues(t, 2, done.Rows)
	require.EqualValues(t, 4, done.Filtered)
	require.EqualValues(t, 8, w.proven().DeadLetters.Resolved)
	_, err = NewReplayer(ReplayOptions{Sources: []TableOptions{{Keyed: &KeyedOptions{}}}})
	require.ErrorIs(t, err, ErrReplayKeyed)
}

// TestLettersOfAnOldSpecAreReplayedAndProven changes the spec, so that letters are rows: their records are still what
// was counted.
func TestLettersOfAnOldSpecAreReplayedAndProven(t *testing.T) {
	w := newWorld(t)
	w.log.Create("events", 1)
	w.append(0, event(0), `{"id":1,"id":2,"name":"x"}`, event(3), "not json", `{"id":4,"id":5}`)
	l := &lettersWorld{world: w, ident: w.create("db.events", placedFields(t)...)}
	l.opts = w.options(l.ident, "g")
	g := w.ingester(w.log.Join("g", 50, "events"), l.opts)
	w.steps(g, 15)
	l.opts.Decode.DuplicateKeys = decode.DuplicateLast
	done := l.replay()
	require.EqualValues(t, 2, done.Rows)
	require.Equal(t, "syntax", done.Reasons[0].Class)
	require.EqualValues(t, 2, l.proven().DeadLetters.Resolved)
	require.ElementsMatch(t, []int64{0, 2, 3, 5}, rows(w, l.ident, "id", longAt))
	g.Close(t.Context())
}

// TestReplaysBesideEachOtherAndIngestDoubleNothing lets a second replay and new records come between the reading of
// the letters and the commit of the first replay.
func TestReplaysBesideEachOtherAndIngestDoubleNothing(t *testing.T) {
	w := newLettersWorld(t)
	g := w.ingester(w.log.Join("g", 50, "events"), w.options(w.ident, "g"))
	w.steps(g, 3)
	between := false
	done, err := w.replayOn(w.process(), func(o *ReplayOptions) {
		apply := o.Map
		o.Map = func(payload []byte) ([]byte, error) {
			if !between {
				between = true
				require.EqualValues(t, 8, w.replay(castID).Rows)
				w.append(0, event(50), `{"id":{"text":"51"}}`)
				w.steps(g, 15)
			}
			return apply(payload)
		}
	}, castID)
	require.NoError(t, err)
	require.Zero(t, done.Rows)
	require.EqualValues(t, 1, w.replay(castID).Rows, "the letter that came meanwhile")
	require.EqualValues(t, 9, w.proven().DeadLetters.Resolved)
	g.Close(t.Context())
}

// TestEveryOperationOfAReplayMayFail runs a replay again for each operation and each way to fail, then once more
// without, and finds every letter resolved once.
func TestEveryOperationOfAReplayMayFail(t *testing.T) {
	w := newLettersWorld(t)
	clean := w.process()
	_, err := w.replayOn(clean, nil, castID)
	require.NoError(t, err)
	require.EqualValues(t, 8, w.proven().DeadLetters.Resolved)
	stride := 1
	if testing.Short() {
		stride = 7
	}
	for n := 0; n < clean.Catalog.Ops(); n += stride {
		for fault := committest.ErrorBefore; fault <= committest.CrashLate; fault++ {
			w := newLettersWorld(t)
			w.sweepReplay(committest.NewProcess(w.catalog, w.objects, committest.FailAt(n, fault), nil),
				fmt.Sprintf("catalog operation %d fault %d", n, fault))
		}
	}
	for n := int64(0); n < clean.Store.Ops(); n += int64(stride) {
		for fault := objstore.ErrorBefore; fault <= objstore.CrashAfter; fault++ {
			w := newLettersWorld(t)
			w.sweepReplay(committest.NewProcess(w.catalog, w.objects, nil, objstore.FailAt(n,
				objstore.Fault{Kind: fault})), fmt.Sprintf("store operation %d fault %d", n, fault))
		}
	}
}

func (w *lettersWorld) sweepReplay(p *committest.Process, name string) {
	w.t.Helper()
	defer func() {
		if w.t.Failed() {
			w.t.Log("at " + name)
		}
	}()
	_, _ = w.replayOn(p, nil, castID) // it may fail in any way
	w.proven()                        // with letters that are decided and not yet marked, too
	// The next process starts while a request of the dead one may still be under way.
	next := committest.NewProcess(w.catalog, w.objects, func(op int) committest.Fault {
		if op == 3 {
			p.Catalog.Settle()
		}
		return committest.NoFault
	}, nil)
	_, err := w.replayOn(next, nil, castID)
	require.NoError(w.t, err, name)
	p.Catalog.Settle()
	require.EqualValues(w.t, 8, w.proven().DeadLetters.Resolved, name)
}
