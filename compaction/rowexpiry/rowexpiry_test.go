package rowexpiry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/commit/committest"
	"github.com/firthlake/firth/commit/verify"
	"github.com/firthlake/firth/compaction"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
	"github.com/firthlake/firth/table/vector"
)

var ident = table.Ident{"db", "events"}

const day = 24 * time.Hour

// begin is the time from which the clock goes on, later than that of the library, by which a table is made.
var begin = time.Unix(4_000_000_000, 0).UTC().Truncate(day)

// row is what the model knows of a row; a row of no age has at 0.
type row struct{ id, at int64 }

// world is a table of rows with a time, and a model of it.
type world struct {
	catalog *committest.Catalog
	store   *objstore.Memory
	opts    commit.Options
	by      *commit.Committer
	random  *rand.Rand
	kind    iceberg.Type
	clock   time.Time
	next    int64
	live    map[row]bool
	before  time.Time // the last cut-off of the model
	mixed   bool      // rows of a file are of all ages
}

func newWorld(t testing.TB, seed uint64, version int, kind iceberg.Type, partitioned bool) *world {
	t.Helper()
	w := &world{catalog: committest.NewCatalog(), random: rand.New(rand.NewPCG(seed, 3)), kind: kind,
		clock: begin.Add(100 * day), live: map[row]bool{}, opts: committest.Options(seed+1, "a")}
	w.store = objstore.NewMemory(func() time.Time { return w.clock })
	schema := iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64},
		iceberg.NestedField{ID: 2, Name: "at", Type: kind},
		iceberg.NestedField{ID: 3, Name: "_kafka_topic", Type: iceberg.PrimitiveTypes.String},
		iceberg.NestedField{ID: 4, Name: "_kafka_partition", Type: iceberg.PrimitiveTypes.Int32},
		iceberg.NestedField{ID: 5, Name: "_kafka_offset", Type: iceberg.PrimitiveTypes.Int64})
	spec := iceberg.UnpartitionedSpec
	if partitioned {
		s := iceberg.NewPartitionSpec(iceberg.PartitionField{SourceIDs: []int{2}, FieldID: 1000, Name: "at_day",
			Transform: iceberg.DayTransform{}})
		spec = &s
	}
	meta, err := icetable.NewMetadata(schema, spec, icetable.UnsortedSortOrder, "mem://lake/db/events",
		iceberg.Properties{"format-version": strconv.Itoa(version)})
	require.NoError(t, err)
	require.NoError(t, w.catalog.Create(ident, meta))
	w.opts.Now = func() time.Time { return w.clock }
	w.by, err = commit.Open(t.Context(), w.catalog, w.store, ident, w.opts)
	require.NoError(t, err)
	return w
}

// unit is how much of a second the column counts.
func (w *world) unit() time.Duration {
	switch w.kind.(type) {
	case iceberg.DateType:
		return day
	case iceberg.TimestampNsType, iceberg.TimestampTzNsType:
		return time.Nanosecond
	}
	return time.Microsecond
}

// rows makes rows of random times, a few days apart, some of no age.
func (w *world) rows(n int) []row {
	out := make([]row, n)
	around := w.clock.Add(-time.Duration(w.random.Int64N(int64(60 * day))))
	for i := range out {
		if w.mixed {
			around = w.clock.Add(-time.Duration(w.random.Int64N(int64(60 * day))))
		}
		at := around.Add(-time.Duration(w.random.Int64N(int64(4 * day))))
		out[i] = row{w.next + int64(i), at.UnixNano() / int64(w.unit())}
		if w.random.IntN(20) == 0 {
			out[i].at = 0
		}
	}
	return out
}

func appendTime(b array.Builder, at int64) {
	switch b := b.(type) {
	case *array.TimestampBuilder:
		b.Append(arrow.Timestamp(at))
	case *array.Date32Builder:
		b.Append(arrow.Date32(at))
	default:
		panic(fmt.Sprintf("BUG: no builder of times: %T", b))
	}
}

func (w *world) batch(t testing.TB, rows []row) arrow.RecordBatch {
	form, err := table.ArrowSchema(w.by.Table().Metadata().CurrentSchema())
	require.NoError(t, err)
	b := array.NewRecordBuilder(memory.DefaultAllocator, form)
	defer b.Release()
	for _, r := range rows {
		b.Field(0).(*array.Int64Builder).Append(r.id)
		if r.at == 0 {
			b.Field(1).AppendNull()
		} else {
			appendTime(b.Field(1), r.at)
		}
		b.Field(2).(*array.StringBuilder).Append("events")
		b.Field(3).(*array.Int32Builder).Append(0)
		b.Field(4).(*array.Int64Builder).Append(r.id)
	}
	return b.NewRecordBatch()
}

// upsert commits new rows, some of them in place of old ones, as a keyed ingest does.
func (w *world) upsert(t testing.TB, n, updates int) {
	for {
		err := w.tryUpsert(t, n, updates)
		if !errors.Is(err, commit.ErrStale) {
			require.NoError(t, err)
			return
		}
		require.NoError(t, w.by.Refresh(t.Context()))
	}
}

func (w *world) tryUpsert(t testing.TB, n, updates int) error {
	tbl := w.by.Table()
	meta := tbl.Metadata()
	rows := w.rows(n)
	batch := w.batch(t, rows)
	defer batch.Release()
	change := commit.Change{ID: w.opts.NewID()}
	writer, err := table.NewWriter(w.store, table.WriterOptions{Schema: meta.CurrentSchema(),
		Spec: meta.PartitionSpec(), Location: meta.Location(), ChangeID: change.ID})
	require.NoError(t, err)
	require.NoError(t, writer.Write(t.Context(), batch))
	change.Files, err = writer.Close(t.Context())
	require.NoError(t, err)
	sum, err := table.Checksum(meta.CurrentSchema(), batch)
	require.NoError(t, err)
	gone, targets := w.pick(t, tbl, min(n, updates))
	if len(targets) > 0 {
		change.Base = meta.CurrentSnapshot().SnapshotID
		change.Deletes, err = vector.Write(t.Context(), w.store, vector.Options{Metadata: meta, ChangeID: change.ID,
			Read: table.ReadDeletes}, targets)
		require.NoError(t, err)
	}
	from := commit.Offset(w.next)
	change.Ranges = map[commit.TopicPartition]commit.Range{{Cluster: "c", Topic: "events", TopicID: uuid.Max}: {
		From: from, Next: from + commit.Offset(n), Checksum: sum,
		Counts: commit.Counts{Inserted: int64(n - len(gone)), Updated: int64(len(gone))}}}
	if _, err := w.by.Commit(t.Context(), change); err != nil {
		return err
	}
	for _, r := range gone {
		require.True(t, w.live[r] || w.old(r), "row %v was there and is not in the model", r)
		delete(w.live, r)
	}
	for _, r := range rows {
		w.live[r] = true
	}
	w.next += int64(n)
	return nil
}

// pick chooses live rows that go.
func (w *world) pick(t testing.TB, tbl *table.Table, n int) (gone []row, targets []vector.Target) {
	if n == 0 || tbl.Metadata().CurrentSnapshot() == nil {
		return nil, nil
	}
	tasks, err := table.Plan(t.Context(), tbl, w.store, table.Scan{Columns: []string{"id", "at", table.ColumnPos}})
	require.NoError(t, err)
	w.random.Shuffle(len(tasks), func(i, j int) { tasks[i], tasks[j] = tasks[j], tasks[i] })
	for _, task := range tasks[:min(2, len(tasks))] {
		target := vector.Target{File: task.File, Before: task.Deletes}
		for batch, err := range table.Read(t.Context(), w.store, task) {
			require.NoError(t, err)
			for i := range int(batch.NumRows()) {
				if len(gone) < n && w.random.IntN(3) == 0 {
					gone = append(gone, rowOf(batch, i))
					target.Positions = append(target.Positions, batch.Column(2).(*array.Int64).Value(i))
				}
			}
		}
		if len(target.Positions) > 0 {
			targets = append(targets, target)
		}
	}
	return gone, targets
}

func rowOf(batch arrow.RecordBatch, i int) row {
	r := row{id: batch.Column(0).(*array.Int64).Value(i)}
	if at := batch.Column(1); at.IsValid(i) {
		switch at := at.(type) {
		case *array.Timestamp:
			r.at = int64(at.Value(i))
		case *array.Date32:
			r.at = int64(at.Value(i))
		}
	}
	return r
}

// found are the rows of the table.
func (w *world) found(t testing.TB) map[row]bool {
	tbl, err := w.catalog.LoadTable(t.Context(), ident)
	require.NoError(t, err)
	tasks, err := table.Plan(t.Context(), tbl, w.store, table.Scan{Columns: []string{"id", "at"}})
	require.NoError(t, err)
	out := map[row]bool{}
	for _, task := range tasks {
		for batch, err := range table.Read(t.Context(), w.store, task) {
			require.NoError(t, err)
			for i := range int(batch.NumRows()) {
				require.False(t, out[rowOf(batch, i)], "row %v is there twice", rowOf(batch, i))
				out[rowOf(batch, i)] = true
			}
		}
	}
	return out
}

// old says whether a row is too old for the model.
func (w *world) old(r row) bool {
	before := w.before
	if _, is := w.kind.(iceberg.DateType); is {
		before = before.Truncate(day)
	}
	return r.at != 0 && time.Unix(0, 0).Add(time.Duration(r.at)*w.unit()).Before(before)
}

// expire makes the model forget what is too old at a cut-off and says how many rows that are.
func (w *world) expire(before time.Time) (n int64) {
	w.before = before
	for r := range w.live {
		if w.old(r) {
			delete(w.live, r)
			n++
		}
	}
	return n
}

func (w *world) prove(t testing.TB) {
	tbl, err := w.catalog.LoadTable(t.Context(), ident)
	require.NoError(t, err)
	report, err := verify.Check(t.Context(), tbl, w.store, verify.Options{Deep: true})
	require.NoError(t, err)
	require.True(t, report.Proven, "%v", report.Faults)
	require.EqualValues(t, len(w.live), report.Files.Rows-report.Files.DeletedRows)
	require.EqualValues(t, len(w.live), report.Counts.Inserted-report.Foreign.Expired)
	_, err = committest.Check(t.Context(), w.catalog, w.store, ident)
	require.NoError(t, err)
}

func (w *world) options() Options {
	return Options{Now: func() time.Time { return w.clock }, NewID: uuid.New}
}

func kinds() []iceberg.Type {
	return []iceberg.Type{iceberg.PrimitiveTypes.TimestampTz, iceberg.PrimitiveTypes.Timestamp,
		iceberg.PrimitiveTypes.Date, iceberg.TimestampNsType{}, iceberg.TimestampTzNsType{}}
}

// busy commits before each commit of an expiry, so that it always finds another head than it planned on.
type busy struct {
	Committer
	step func()
}

func (b *busy) Commit(ctx context.Context, change commit.Change) (commit.Committed, error) {
	b.step()
	return b.Committer.Commit(ctx, change)
}

// TestOldRowsLeaveAndNoOthers holds tables of random histories of updates, rewrites and expiries, beside each other,
// against a model.
func TestOldRowsLeaveAndNoOthers(t *testing.T) {
	runs := 10
	if testing.Short() {
		runs = 4
	}
	if os.Getenv("FIRTH_SOAK") != "" {
		runs = 300
	}
	files, touched, rows := 0, 0, int64(0)
	for n := range runs {
		kind := kinds()[n%len(kinds())]
		version := 2 + n/len(kinds())%2
		if n%len(kinds()) > 2 {
			version = 3
		}
		w := newWorld(t, uint64(n), version, kind, n%3 == 0)
		var committer Committer = w.by
		if n%2 == 0 {
			committer = &busy{w.by, func() { w.upsert(t, 5, 4) }}
		}
		e, err := New(committer, w.store, w.options())
		require.NoError(t, err)
		for range 3 {
			for range 3 {
				w.upsert(t, 1+w.random.IntN(30), w.random.IntN(10))
			}
			if w.random.IntN(3) == 0 {
				c, err := compaction.New(w.by, w.store, compaction.Options{NewID: uuid.New})
				require.NoError(t, err)
				_, err = c.Run(t.Context())
				require.NoError(t, err)
			}
			report, err := e.Run(t.Context(), commit.RowAge{Column: "at", After: 30 * day})
			require.NoError(t, err)
			w.expire(report.Before)
			files, touched, rows = files+report.Files, touched+report.Touched, rows+report.Rows
			if n%2 == 1 {
				require.Equal(t, w.live, w.found(t), "run %d", n)
			}
			w.clock = w.clock.Add(time.Duration(w.random.Int64N(int64(9 * day))))
		}
		require.NoError(t, w.by.Refresh(t.Context()))
		quiet, err := New(w.by, w.store, w.options())
		require.NoError(t, err)
		_, err = quiet.Run(t.Context(), commit.RowAge{Column: "at", After: 30 * day})
		require.NoError(t, err)
		w.expire(w.clock.Add(-30 * day))
		require.Equal(t, w.live, w.found(t), "run %d", n)
		w.prove(t)
		w.upsert(t, 3, 2) // the writer goes on
		require.Equal(t, w.live, w.found(t), "run %d", n)
	}
	require.Positive(t, files)
	require.Positive(t, touched)
	require.Positive(t, rows)
}

// losing is a store in which every third vector that is read has just left, with the last snapshot that held it.
type losing struct {
	objstore.Store
	reads   int
	landing bool // whoever commits reads vectors of the head
}

func (l *losing) Get(ctx context.Context, location string, offset, length int64) (io.ReadCloser, error) {
	if !l.landing && strings.Contains(location, "-deletes") {
		if l.reads++; l.reads%3 == 0 {
			return nil, fmt.Errorf("get %s: %w", location, objstore.ErrNotFound)
		}
	}
	return l.Store.Get(ctx, location, offset, length)
}

// lands tells a losing store when its committer lands.
type lands struct {
	Committer
	store *losing
}

func (l lands) Commit(ctx context.Context, change commit.Change) (commit.Committed, error) {
	l.store.landing = true
	defer func() { l.store.landing = false }()
	return l.Committer.Commit(ctx, change)
}

// TestOldRowsLeaveThoughVectorsDoMeanwhile has a writer replace vectors faster than files are read, so that a round
// takes out the rows of two files at the most, of more files than there are rounds without any.
func TestOldRowsLeaveThoughVectorsDoMeanwhile(t *testing.T) {
	w := newWorld(t, 4, 3, iceberg.PrimitiveTypes.TimestampTz, false)
	w.mixed = true
	for range 3 * roundsMax {
		w.upsert(t, 12, 6)
	}
	store := &losing{Store: w.store}
	e, err := New(lands{w.by, store}, store, w.options())
	require.NoError(t, err)
	report, err := e.Run(t.Context(), commit.RowAge{Column: "at", After: 30 * day})
	require.NoError(t, err)
	require.Greater(t, store.reads, 3*roundsMax)
	require.Greater(t, report.Commits, 1)
	require.EqualValues(t, w.expire(report.Before), report.Rows)
	require.Equal(t, w.live, w.found(t))
	w.prove(t)
}

func TestWhatIsCountedIsWhatLeaves(t *testing.T) {
	w := newWorld(t, 1, 3, iceberg.PrimitiveTypes.TimestampTz, false)
	for range 4 {
		w.upsert(t, 50, 5)
	}
	dry := w.options()
	dry.DryRun = true
	planned, err := New(w.by, w.store, dry)
	require.NoError(t, err)
	age := commit.RowAge{Column: "at", After: 20 * day}
	told, err := planned.Run(t.Context(), age)
	require.NoError(t, err)
	require.Equal(t, w.live, w.found(t))
	e, err := New(w.by, w.store, w.options())
	require.NoError(t, err)
	report, err := e.Run(t.Context(), age)
	require.NoError(t, err)
	require.EqualValues(t, w.expire(report.Before), report.Rows)
	require.Positive(t, report.Rows)
	require.Equal(t, 1, report.Commits)
	report.Commits = 0
	require.Equal(t, told, report)
	require.EqualValues(t, report.Rows, mustLedger(t, w).Foreign.Expired)
	s := w.by.Table().Metadata().CurrentSnapshot()
	require.Equal(t, icetable.OpDelete, s.Summary.Operation)
	require.Equal(t, "at", s.Summary.Properties[commit.SummaryExpiredColumn])
	again, err := e.Run(t.Context(), age)
	require.NoError(t, err)
	require.Equal(t, Report{Before: report.Before}, again)
	w.prove(t)
}

func mustLedger(t testing.TB, w *world) commit.Ledger {
	ledger, err := commit.ReadLedger(w.by.Table().Metadata())
	require.NoError(t, err)
	return ledger
}

func TestFilesAcrossTheCutOffAreReadOnceAStep(t *testing.T) {
	w := newWorld(t, 1, 2, iceberg.PrimitiveTypes.Timestamp, false)
	for range 8 {
		w.upsert(t, 50, 0)
	}
	opts := w.options()
	opts.Steps = 32
	counted := objstore.NewFaulty(w.store, func(objstore.Op) objstore.Fault { return objstore.Fault{} })
	e, err := New(w.by, counted, opts)
	require.NoError(t, err)
	age := commit.RowAge{Column: "at", After: 32 * day}
	w.clock = w.clock.Truncate(day).Add(time.Hour)
	first, err := e.Run(t.Context(), age)
	require.NoError(t, err)
	require.True(t, first.Before.Equal(first.Before.Truncate(day)))
	require.Positive(t, first.Touched)
	before := counted.Ops()
	w.clock = w.clock.Add(2 * time.Hour)
	again, err := e.Run(t.Context(), age)
	require.NoError(t, err)
	require.Equal(t, Report{Before: first.Before}, again)
	// The clock (3), manifest lists and manifests twice: no data file.
	manifests := int64(len(slices.Collect(commit.Ancestry(w.by.Table().Metadata()))))
	require.LessOrEqual(t, counted.Ops()-before, 3+2*(1+manifests))
}

// TestNoRowExpiresByAClockThatIsWrong lets one clock after the other be wrong.
func TestNoRowExpiresByAClockThatIsWrong(t *testing.T) {
	w := newWorld(t, 1, 3, iceberg.PrimitiveTypes.TimestampTz, false)
	w.upsert(t, 50, 0)
	right := w.clock
	age := commit.RowAge{Column: "at", After: 90 * day}
	for name, clocks := range map[string][2]time.Time{
		"that of the process is ahead": {right.Add(365 * day), right},
		"that of the store is ahead":   {right, right.Add(365 * day)},
		"both are behind the table":    {right.Add(-2 * day), right.Add(-2 * day)},
	} {
		t.Run(name, func(t *testing.T) {
			w.clock = clocks[1]
			opts := w.options()
			opts.Now = func() time.Time { return clocks[0] }
			e, err := New(w.by, w.store, opts)
			require.NoError(t, err)
			_, err = e.Run(t.Context(), age)
			require.ErrorIs(t, err, ErrClock)
			require.Equal(t, w.live, w.found(t))
		})
	}
}

func TestColumnsWithoutAgeAreRefused(t *testing.T) {
	w := newWorld(t, 1, 2, iceberg.PrimitiveTypes.TimestampTz, false)
	w.upsert(t, 5, 0)
	e, err := New(w.by, w.store, w.options())
	require.NoError(t, err)
	_, err = e.Run(t.Context(), commit.RowAge{Column: "id", After: day})
	require.ErrorContains(t, err, "of type long, which has no age")
	_, err = e.Run(t.Context(), commit.RowAge{Column: "when", After: day})
	require.ErrorContains(t, err, "no column when")
	_, err = e.Run(t.Context(), commit.RowAge{Column: "at"})
	require.ErrorContains(t, err, "at an age of 0s")
	_, err = New(w.by, w.store, Options{})
	require.ErrorContains(t, err, "must be set")
}
