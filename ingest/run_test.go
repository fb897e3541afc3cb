package ingest

import (
	"context"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/decode"
	"github.com/firthlake/firth/ingest/gen"
	"github.com/firthlake/firth/ingest/source"
	"github.com/firthlake/firth/ingest/spec"
	"github.com/firthlake/firth/table"
)

// broker starts an embedded broker with topic "events" of partitions partitions and rows rows of
// events10 in it.
func broker(t testing.TB, partitions int32, rows int64) (*source.Embedded, *gen.Totals) {
	t.Helper()
	b, err := source.StartEmbedded(source.EmbeddedOptions{Topics: map[string]int32{"events": partitions}})
	require.NoError(t, err)
	t.Cleanup(b.Close)
	g, err := gen.New(gen.Options{Workload: "events10", Format: gen.JSON, Seed: 1})
	require.NoError(t, err)
	totals, err := gen.Produce(t.Context(), b.Connection(), "events", g, gen.Run{Rows: rows})
	require.NoError(t, err)
	return b, totals
}

// genFields are the columns of a workload and where its records stand.
func genFields(t testing.TB, workload string) []iceberg.NestedField {
	g, err := gen.New(gen.Options{Workload: workload, Format: gen.JSON})
	require.NoError(t, err)
	fields := g.Schema().Fields()
	next := g.Schema().HighestFieldID()
	for _, name := range decode.DefaultMetadataColumns() {
		f, err := decode.MetadataField(name, func() int { next++; return next })
		require.NoError(t, err)
		fields = append(fields, f)
	}
	return fields
}

// running is an ingester that runs beside the test.
type running struct {
	ingester *Ingester
	cancel   context.CancelFunc
	done     chan error
}

// run starts an ingester on the broker. A negative stop time out makes its end a crash: nothing that
// is buffered is committed.
func (w *world) run(b *source.Embedded, ident table.Ident, group string, stop time.Duration) *running {
	w.t.Helper()
	kafka, err := source.OpenKafka(w.t.Context(), source.KafkaOptions{
		Connection: b.Connection(), Topics: []string{"events"}, Group: group,
	})
	require.NoError(w.t, err)
	opts := w.options(ident, group)
	opts.Freshness = spec.Freshness{Interval: spec.Duration(w.interval)}
	if w.adjust != nil {
		w.adjust(&opts)
	}
	var mem memory.Allocator = w.mem
	if _, benchmark := w.t.(*testing.B); stop < 0 || benchmark {
		mem = memory.DefaultAllocator // who crashes frees nothing, and checking costs time
	}
	g, err := New(w.t.Context(), Options{
		Source: kafka, Store: w.objects, Tables: []TableOptions{opts}, Workers: runtime.NumCPU(),
		NewID: uuid.New, Allocator: mem, StopTimeout: stop,
	})
	require.NoError(w.t, err)
	ctx, cancel := context.WithCancel(w.t.Context())
	r := &running{ingester: g, cancel: cancel, done: make(chan error, 1)}
	go func() { r.done <- g.Run(ctx) }()
	return r
}

func (r *running) stop() error {
	r.cancel()
	return <-r.done
}

// patience is how long tests wait for what takes a second, unless the machine is busy.
const patience = 2 * time.Minute

// await waits until the table holds rows.
func (w *world) await(r *running, ident table.Ident, rows int64) {
	w.t.Helper()
	require.Eventually(w.t, func() bool {
		tbl, err := w.catalog.LoadTable(w.t.Context(), ident)
		require.NoError(w.t, err)
		ledger, err := commit.ReadLedger(tbl.Metadata())
		require.NoError(w.t, err)
		var n int64
		for _, next := range ledger.Position {
			n += int64(next)
		}
		return n >= rows
	}, patience, 20*time.Millisecond, "%+v", r.ingester.Progress())
}

// requireTotals compares the table with what was generated.
func (w *world) requireTotals(ident table.Ident, totals *gen.Totals) {
	w.t.Helper()
	report := w.check(ident)
	require.Equal(w.t, totals.Rows, report.Rows)
	var sum int64
	for _, user := range rows(w, ident, "user_id", longAt) {
		sum += user
	}
	require.Equal(w.t, totals.Columns["user_id"].Sum, sum)
}

func TestRunCommitsATopicAndEndsCleanly(t *testing.T) {
	w := newWorld(t)
	b, totals := broker(t, 4, 100_000)
	ident := w.create("db.events", genFields(t, "events10")...)
	r := w.run(b, ident, "g", patience)
	w.await(r, ident, totals.Rows)
	require.NoError(t, r.stop())
	w.requireTotals(ident, totals)
	require.Equal(t, totals.Rows, r.ingester.Progress().Tables[0].Committed.Inserted)
}

func TestRunStoppedEarlyCommitsWhatItRead(t *testing.T) {
	w := newWorld(t)
	b, totals := broker(t, 2, 20_000)
	ident := w.create("db.events", genFields(t, "events10")...)
	r := w.run(b, ident, "g", patience)
	require.Eventually(t, func() bool { return r.ingester.Progress().Tables[0].Read.Inserted > 0 },
		patience, time.Millisecond)
	require.NoError(t, r.stop())
	p := r.ingester.Progress().Tables[0]
	require.Equal(t, p.Read, p.Committed)
	r = w.run(b, ident, "g", patience)
	w.await(r, ident, totals.Rows)
	require.NoError(t, r.stop())
	w.requireTotals(ident, totals)
}

func TestCrashesLoseAndDoubleNothing(t *testing.T) {
	w := newWorld(t)
	b, totals := broker(t, 4, 100_000)
	ident := w.create("db.events", genFields(t, "events10")...)
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 8 {
		left := totals.Rows - w.check(ident).Rows
		if left == 0 {
			break
		}
		r := w.run(b, ident, "g", -1)
		wanted := 1 + random.Int64N(min(left, 20_000))
		require.Eventually(t, func() bool {
			p := r.ingester.Progress().Tables[0]
			if round%2 == 0 {
				return p.Read.Inserted >= wanted
			}
			return p.Commits > 0
		}, patience, time.Millisecond)
		_ = r.stop() // a crash has no good outcome
	}
	r := w.run(b, ident, "g", patience)
	w.await(r, ident, totals.Rows)
	require.NoError(t, r.stop())
	w.requireTotals(ident, totals)
}

func TestTwoDeploymentsRunningAtOnceDoubleNothing(t *testing.T) {
	w := newWorld(t)
	b, totals := broker(t, 4, 50_000)
	ident := w.create("db.events", genFields(t, "events10")...)
	blue := w.run(b, ident, "blue", patience)
	green := w.run(b, ident, "green", patience)
	w.await(blue, ident, totals.Rows)
	require.NoError(t, blue.stop())
	require.NoError(t, green.stop())
	w.requireTotals(ident, totals)
}

// stuckCommitter never answers when it is asked to look at the table.
type stuckCommitter struct {
	Committer
	asked chan struct{}
}

func (c *stuckCommitter) Refresh(ctx context.Context) error {
	close(c.asked)
	<-ctx.Done()
	return ctx.Err()
}

func TestStopTimeoutEndsWorkThatHangs(t *testing.T) {
	w := newWorld(t)
	b, _ := broker(t, 1, 10)
	ident := w.create("db.events", genFields(t, "events10")...)
	kafka, err := source.OpenKafka(t.Context(), source.KafkaOptions{
		Connection: b.Connection(), Topics: []string{"events"}, Group: "g",
	})
	require.NoError(t, err)
	opts := w.options(ident, "g")
	stuck := &stuckCommitter{Committer: opts.Committer, asked: make(chan struct{})}
	opts.Committer = stuck
	g, err := New(t.Context(), Options{
		Source: kafka, Store: w.objects, Tables: []TableOptions{opts}, Workers: 1,
		NewID: uuid.New, Allocator: w.mem, StopTimeout: 10 * time.Millisecond,
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	<-stuck.asked
	cancel()
	select {
	case err := <-done:
		require.NoError(t, err, "nothing was buffered")
	case <-time.After(20 * time.Second):
		t.Fatal("a look at the table that hangs keeps the process from stopping")
	}
}

// BenchmarkRun reads a million records of events10 from an embedded broker into a table in memory.
func BenchmarkRun(b *testing.B) {
	const rows = 1_000_000
	var took time.Duration
	runs := 0
	for b.Loop() {
		w := newWorld(b)
		embedded, totals := broker(b, 8, rows)
		ident := w.create("db.events", genFields(b, "events10")...)
		w.interval = 10 * time.Second
		began := time.Now()
		r := w.run(embedded, ident, "g", 30*time.Second)
		require.Eventually(b, func() bool {
			return r.ingester.Progress().Tables[0].Read.Inserted == totals.Rows
		}, time.Minute, 5*time.Millisecond)
		require.NoError(b, r.stop())
		took += time.Since(began)
		runs++
	}
	b.ReportMetric(float64(runs)*rows/took.Seconds(), "rows/s")
}
