package ingest

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/source/sourcetest"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/filter"
	"github.com/firthlake/firth/table/objstore"
	"github.com/firthlake/firth/table/tail"
)

// followed are the options of a table whose tail somebody reads.
func (w *world) followed(ident table.Ident, group string) (TableOptions, *tail.Index) {
	opts := w.options(ident, group)
	opts.Tail = tail.NewIndex("mem://lake/db.events")
	return opts, opts.Tail
}

// idsIn are the values of column id in a data file.
func (w *world) idsIn(f iceberg.DataFile) []int64 {
	w.t.Helper()
	body, err := w.objects.Get(w.t.Context(), f.FilePath(), 0, -1)
	require.NoError(w.t, err)
	content, err := io.ReadAll(body)
	require.NoError(w.t, err)
	require.NoError(w.t, body.Close())
	reader, err := file.NewParquetReader(bytes.NewReader(content))
	require.NoError(w.t, err)
	arrowReader, err := pqarrow.NewFileReader(reader, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	require.NoError(w.t, err)
	read, err := arrowReader.ReadTable(w.t.Context())
	require.NoError(w.t, err)
	defer read.Release()
	var ids []int64
	for _, chunk := range read.Column(read.Schema().FieldIndices("id")[0]).Data().Chunks() {
		ids = append(ids, chunk.(*array.Int64).Int64Values()...)
	}
	require.Len(w.t, ids, int(f.Count()))
	return ids
}

// stands is the table and where it stands in its topics.
func (w *world) stands(ident table.Ident) (*table.Table, table.Position) {
	w.t.Helper()
	loaded, err := w.catalog.LoadTable(w.t.Context(), ident)
	require.NoError(w.t, err)
	ledger, err := commit.ReadLedger(loaded.Metadata())
	require.NoError(w.t, err)
	return loaded, ledger.Position
}

// view is the tail behind the table as it stands, and the ids in it.
func (w *world) view(ident table.Ident, x *tail.Index) (tail.View, []int64) {
	w.t.Helper()
	loaded, position := w.stands(ident)
	view := x.At(position)
	require.Empty(w.t, view.Pieces)
	return view, w.idsOf(view, loaded)
}

// newest is the tail behind the table as it stands, with what is in memory alone, and the ids in it.
func (w *world) newest(ident table.Ident, x *tail.Index) (tail.View, []int64) {
	w.t.Helper()
	loaded, position := w.stands(ident)
	view := x.Newest(position, func(id int) bool { return id == loaded.Metadata().CurrentSchema().ID })
	w.keepShown(view)
	return view, w.idsOf(view, loaded)
}

// keepShown releases rows of a view at the end that are left to the garbage collector, which does not count for w.mem.
func (w *world) keepShown(view tail.View) {
	for _, p := range view.Pieces {
		if p.Rows != nil && !w.shown[p.Rows] {
			w.shown[p.Rows] = true
			w.t.Cleanup(p.Rows.Release)
		}
	}
}

func (w *world) idsOf(view tail.View, of *table.Table) (ids []int64) {
	w.t.Helper()
	for _, c := range view.Chunks {
		for _, f := range c.Files {
			require.True(w.t, strings.HasPrefix(f.FilePath(), of.Metadata().Location()+"/"+tail.Folder+"/"))
			ids = append(ids, w.idsIn(f)...)
		}
	}
	for _, p := range view.Pieces {
		if p.Rows != nil {
			column := p.Rows.Column(p.Rows.Schema().FieldIndices("id")[0])
			ids = append(ids, column.(*array.Int64).Int64Values()...)
		}
	}
	return ids
}

func TestWhatIsNotCommittedIsHandedOverOnceSomebodyFollows(t *testing.T) {
	w := newWorld(t)
	w.log.Create("events", 1)
	ident := w.create("db.events", eventFields()...)
	opts, x := w.followed(ident, "g")
	g := w.ingester(w.log.Join("g", 50, "events"), opts)
	w.append(0, events(0, 10)...)
	w.steps(g, 3)
	_, ids := w.view(ident, x)
	require.Empty(t, ids, "nobody reads")
	ready := x.Follow(w.clock.Add(time.Minute))
	select {
	case <-ready:
		t.Fatal("what is buffered already is in no chunk")
	default:
	}
	w.steps(g, 1)
	require.Equal(t, int64(10), g.Progress().Tables[0].Committed.Inserted, "what nobody has is committed at once")
	<-ready
	w.append(0, events(10, 20)...)
	w.steps(g, 2)
	w.append(0, events(20, 25)...)
	w.steps(g, 2)
	require.Equal(t, int64(10), g.Progress().Tables[0].Committed.Inserted)
	view, ids := w.view(ident, x)
	require.Len(t, view.Chunks, 2)
	require.Equal(t, commit.Offset(25), view.Cut[w.log.TopicPartition("events", 0)])
	require.ElementsMatch(t, []int64{10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24}, ids)
	w.steps(g, 20)
	view, _ = w.view(ident, x)
	require.Empty(t, view.Chunks, "all is committed")
	w.requireIDs(ident, 25)
	require.Len(t, x.Forget(w.clock, w.clock), 2)
	w.clock = w.clock.Add(time.Minute) // nobody has asked for a while
	w.append(0, events(25, 30)...)
	w.steps(g, 3)
	view, _ = w.view(ident, x)
	require.Empty(t, view.Chunks)
	g.Close(t.Context())
	require.False(t, x.Fed())
}

func TestRecordsWithoutARowMoveTheCut(t *testing.T) {
	w := newWorld(t)
	w.log.Create("events", 1)
	ident := w.create("db.events", eventFields()...)
	opts, x := w.followed(ident, "g")
	var err error
	opts.Filter, err = filter.Parse("id < 5")
	require.NoError(t, err)
	x.Follow(w.clock.Add(time.Minute))
	g := w.ingester(w.log.Join("g", 50, "events"), opts)
	w.append(0, events(5, 10)...)
	w.steps(g, 3)
	w.append(0, events(0, 7)...)
	w.steps(g, 2)
	view, ids := w.view(ident, x)
	require.Equal(t, commit.Offset(12), view.Cut[w.log.TopicPartition("events", 0)])
	require.ElementsMatch(t, []int64{0, 1, 2, 3, 4}, ids)
	g.Close(t.Context())
}

func TestATailThatCannotBeWrittenHoldsNobodyUp(t *testing.T) {
	w := newWorld(t)
	w.log.Create("events", 1)
	ident := w.create("db.events", eventFields()...)
	opts, x := w.followed(ident, "g")
	x.Follow(w.clock.Add(time.Minute))
	g := w.ingester(w.log.Join("g", 50, "events"), opts)
	broken := true
	g.opts.Store = objstore.NewFaulty(w.objects, func(op objstore.Op) objstore.Fault {
		if broken && strings.Contains(op.Location, "/"+tail.Folder+"/") {
			return objstore.Fault{Kind: objstore.ErrorBefore}
		}
		return objstore.Fault{}
	})
	w.append(0, events(0, 10)...)
	w.steps(g, 2)
	w.steps(g, 3)
	view, _ := w.view(ident, x)
	require.Empty(t, view.Chunks)
	require.Contains(t, w.logs.String(), "a chunk of the tail cannot be written")
	w.steps(g, 20)
	w.requireIDs(ident, 10)
	broken = false
	w.append(0, events(10, 20)...)
	w.steps(g, 3)
	_, ids := w.view(ident, x)
	require.Len(t, ids, 10, "the next checkpoint is handed over again")
	g.Close(t.Context())
}

// TestCommittedRowsAndTheTailAreAllRowsOnce kills processes, lets others take over and fences them, and reads
// after every step.
func TestCommittedRowsAndTheTailAreAllRowsOnce(t *testing.T) {
	for seed := range uint64(6) {
		rng := rand.New(rand.NewPCG(seed, 9))
		w := newWorld(t)
		w.log.Create("events", 3)
		ident := w.create("db.events", eventFields()...)
		type process struct {
			*Ingester
			reader *sourcetest.Reader
			index  *tail.Index
		}
		start := func() *process {
			opts, x := w.followed(ident, "g")
			x.Follow(w.clock.Add(time.Hour))
			reader := w.log.Join("g", 7, "events")
			return &process{w.ingester(reader, opts), reader, x}
		}
		processes := []*process{start(), start()}
		made, shown, inMemory := 0, 0, 0
		for range 150 {
			for range rng.IntN(8) {
				w.append(rng.Int32N(3), event(made))
				made++
			}
			at := rng.IntN(len(processes))
			p := processes[at]
			switch rng.IntN(30) {
			case 0: // killed
				w.log.Crash(p.reader)
				p.Close(t.Context())
				processes[at] = start()
			case 1: // it sleeps through its session
				w.log.Expire(p.reader)
			default:
				w.steps(p.Ingester, 1)
			}
			var committed []int64
			if rng.IntN(4) == 0 {
				committed = rows(w, ident, "id", longAt)
			}
			for _, p := range processes {
				view, ids := w.view(ident, p.index)
				shown += len(ids)
				require.Equal(t, view.Rows, int64(len(ids)))
				if committed == nil {
					continue
				}
				requireOnce(t, view, ids, committed)
				view, ids = w.newest(ident, p.index)
				requireOnce(t, view, ids, committed)
				require.Equal(t, view.Rows, int64(len(ids)))
				inMemory += len(view.Pieces)
			}
		}
		require.Greater(t, shown, 500, "there is hardly any tail")
		require.Greater(t, inMemory, 20, "there is hardly anything in memory")
		for _, p := range processes {
			p.Close(t.Context())
		}
	}
}

// requireOnce checks that a view and what is committed are all rows up to the cut.
func requireOnce(t *testing.T, view tail.View, ids, committed []int64) {
	t.Helper()
	seen := map[int64]bool{}
	for _, id := range slices.Concat(ids, committed) {
		require.False(t, seen[id], "row %d twice", id)
		seen[id] = true
	}
	var offsets int64
	for _, next := range view.Cut {
		offsets += int64(next)
	}
	require.Len(t, seen, int(offsets), "rows up to the cut")
}

// TestReadersInTheProcessSeeAllThatWasReadAtOnce has chunks fail at random, and looks after every step. Memory that
// was given back shows garbage.
func TestReadersInTheProcessSeeAllThatWasReadAtOnce(t *testing.T) {
	for seed := range uint64(4) {
		rng := rand.New(rand.NewPCG(seed, 11))
		w := newWorld(t)
		w.log.Create("events", 3)
		ident := w.create("db.events", eventFields()...)
		opts, x := w.followed(ident, "g")
		x.Follow(w.clock.Add(time.Hour))
		g := w.ingester(w.log.Join("g", 7, "events"), opts)
		g.opts.Store = objstore.NewFaulty(w.objects, func(op objstore.Op) objstore.Fault {
			if rng.IntN(8) == 0 && strings.Contains(op.Location, "/"+tail.Folder+"/") {
				return objstore.Fault{Kind: objstore.ErrorBefore}
			}
			return objstore.Fault{}
		})
		made, inMemory := 0, 0
		type heldRows struct {
			rows arrow.RecordBatch
			text string
		}
		var held []heldRows
		for range 200 {
			for range rng.IntN(8) {
				w.append(rng.Int32N(3), event(made))
				made++
			}
			w.steps(g, 1)
			if b := g.tables[0].filling; b != nil && b.unfollowable {
				continue // until it is committed
			}
			view, ids := w.newest(ident, x)
			for id, next := range g.tables[0].next {
				require.Equal(t, next, view.Cut[id], "%s", id)
			}
			requireOnce(t, view, ids, rows(w, ident, "id", longAt))
			for _, p := range view.Pieces {
				held = append(held, heldRows{p.Rows, fmt.Sprint(p.Rows)})
			}
			inMemory += len(view.Pieces)
		}
		require.Greater(t, inMemory, 50, "there is hardly anything in memory")
		for _, each := range held {
			require.Equal(t, each.text, fmt.Sprint(each.rows))
		}
		g.Close(t.Context())
		view, _ := w.newest(ident, x)
		require.Empty(t, view.Pieces)
		require.Zero(t, g.opts.Budget.Used(), "memory that nobody has given back")
	}
}
