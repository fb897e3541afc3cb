package orphans

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/commit/committest"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
	"github.com/firthlake/firth/table/vector"
)

var fullSweep = flag.Bool("full-sweep", false, "fail every operation in every way, not one in six")

var events = table.Ident{"db", "events"}

const root = "mem://lake/db.events/"

// world is a table that is committed to, on a store whose clock the test moves.
type world struct {
	*testing.T
	catalog   *committest.Catalog
	store     *objstore.Memory
	now       time.Time
	committer *commit.Committer
	ids       func() uuid.UUID
	next      commit.Offset
}

func newWorld(t *testing.T, version int) *world {
	w := &world{T: t, catalog: committest.NewCatalog(), now: time.Unix(1_800_000_000, 0),
		ids: committest.Options(9, "").NewID}
	w.store = objstore.NewMemory(func() time.Time {
		w.now = w.now.Add(time.Millisecond)
		return w.now
	})
	for _, ident := range []table.Ident{events, commit.DeadLettersIdent(events)} {
		meta, err := committest.Metadata(version, "mem://lake/"+table.FormatIdent(ident), false)
		require.NoError(t, err)
		require.NoError(t, w.catalog.Create(ident, meta))
	}
	w.open()
	return w
}

func (w *world) open() {
	opts := committest.Options(uint64(w.ids().ID()), "a")
	var err error
	w.committer, err = commit.Open(w.Context(), w.catalog, w.store, events, opts)
	require.NoError(w, err)
}

// file writes a data file that nobody has committed yet.
func (w *world) file(id uuid.UUID) iceberg.DataFile {
	f, err := committest.DataFile(w.Context(), w.store, w.committer.Table().Metadata(),
		committest.File{Change: id, Rows: 4})
	require.NoError(w, err)
	return f
}

// change is one of a file of four rows, of which some replace rows of other files.
func (w *world) change(upserts int) commit.Change {
	c := commit.Change{ID: w.ids()}
	c.Files = []iceberg.DataFile{w.file(c.ID)}
	counts := commit.Counts{Inserted: 4}
	if t := w.committer.Table(); upserts > 0 && t.Metadata().CurrentSnapshot() != nil {
		c.Base = t.Metadata().CurrentSnapshot().SnapshotID
		var hit []committest.Deleted
		deleted := map[string]int64{}
		var data []iceberg.DataFile
		for e, err := range table.Entries(w.Context(), t, w.store, c.Base) {
			require.NoError(w, err)
			if e.File.ContentType() == iceberg.EntryContentData {
				data = append(data, e.File)
			} else {
				deleted[vector.DataFile(e.File)] = e.File.Count()
			}
		}
		for _, f := range data {
			if n := deleted[f.FilePath()]; n < f.Count() && len(hit) < upserts {
				hit = append(hit, committest.Deleted{File: f, Rows: n + 1})
			}
		}
		var err error
		c.Deletes, err = committest.Deletes(w.Context(), w.store, t.Metadata(), c.ID, hit)
		require.NoError(w, err)
		counts = commit.Counts{Inserted: 4 - int64(len(hit)), Updated: int64(len(hit))}
	}
	tp := commit.TopicPartition{Cluster: "c", Topic: "events", TopicID: uuid.UUID{1}}
	c.Ranges = map[commit.TopicPartition]commit.Range{tp: {From: w.next, Next: w.next + 4, Counts: counts}}
	return c
}

func (w *world) commit(c commit.Change) {
	w.Helper()
	_, err := w.committer.Commit(w.Context(), c)
	require.NoError(w, err)
	w.next += 4
}

func (w *world) options(grace time.Duration) Options {
	return Options{Grace: grace, Now: func() time.Time { return w.now }, Parallel: 2}
}

func (w *world) run(grace time.Duration) Report {
	w.Helper()
	report, err := Run(w.Context(), w.catalog, w.store, events, w.options(grace))
	require.NoError(w, err)
	return report
}

func (w *world) put(location string) string {
	_, err := w.store.Put(w.Context(), location, strings.NewReader("x"), 1, objstore.PutOptions{})
	require.NoError(w, err)
	return location
}

func (w *world) objects() map[string]bool {
	out := map[string]bool{}
	for o, err := range w.store.List(w.Context(), root) {
		require.NoError(w, err)
		out[o.Location] = true
	}
	return out
}

// reachable are the objects that snapshots need.
func (w *world) reachable() map[string]bool {
	tbl, err := w.catalog.LoadTable(w.Context(), events)
	require.NoError(w, err)
	out, err := committest.MetadataFiles(w.Context(), w.store, tbl.Metadata())
	require.NoError(w, err)
	for _, s := range tbl.Metadata().Snapshots() {
		for e, err := range table.Entries(w.Context(), tbl, w.store, s.SnapshotID) {
			require.NoError(w, err)
			out[e.File.FilePath()] = true
		}
	}
	return out
}

// whole says that no snapshot lacks an object.
func (w *world) whole() {
	w.Helper()
	objects := w.objects()
	for location := range w.reachable() {
		require.True(w, objects[location], location)
	}
}

func TestOrphansGoInTwoPhases(t *testing.T) {
	w := newWorld(t, 2)
	w.commit(w.change(0))
	lost := w.file(w.ids()).FilePath()
	w.put(root + "metadata/old.metadata.json")
	strange := w.put(root + "checkpoints/0/state")
	odd := w.put(root + "data//x.parquet")
	report := w.run(time.Hour)
	require.EqualValues(t, 2, report.Found)
	require.EqualValues(t, 2, report.Waiting)
	require.EqualValues(t, 2, report.Strange)
	require.Zero(t, report.Removed)
	w.now = w.now.Add(59 * time.Minute)
	late := w.file(w.ids()).FilePath()
	require.Zero(t, w.run(time.Hour).Removed)
	w.now = w.now.Add(2 * time.Minute)
	dry := w.options(time.Hour)
	dry.DryRun = true
	before := w.objects()
	planned, err := Run(t.Context(), w.catalog, w.store, events, dry)
	require.NoError(t, err)
	require.Equal(t, before, w.objects())
	report = w.run(time.Hour)
	require.Equal(t, planned.Removed, report.Removed)
	require.Equal(t, planned.Waiting, report.Waiting)
	require.EqualValues(t, 2, report.Removed)
	require.EqualValues(t, 1, report.Waiting)
	objects := w.objects()
	require.NotContains(t, objects, lost)
	for _, stays := range []string{late, strange, odd} {
		require.Contains(t, objects, stays)
	}
	w.whole()
}

// TestAnObjectWrittenAnewWaitsAnew lets an orphan be replaced under its name.
func TestAnObjectWrittenAnewWaitsAnew(t *testing.T) {
	w := newWorld(t, 2)
	w.commit(w.change(0))
	at := w.put(root + "data/x.parquet")
	w.run(time.Hour)
	w.now = w.now.Add(2 * time.Hour)
	w.put(at)
	report := w.run(time.Hour)
	require.EqualValues(t, 1, report.Found)
	require.Zero(t, report.Removed)
}

// TestChangesInFlightStay leaves all orphans of a change alone that has a young one.
func TestChangesInFlightStay(t *testing.T) {
	w := newWorld(t, 3)
	w.commit(w.change(0))
	id := w.ids()
	old := w.file(id).FilePath()
	w.run(time.Hour)
	w.now = w.now.Add(2 * time.Hour)
	young := w.put(root + "metadata/firth-" + id.String() + "-0000000000000001-m0.avro")
	report := w.run(time.Hour)
	require.EqualValues(t, 1, report.InFlight)
	require.Zero(t, report.Removed)
	require.Contains(t, w.objects(), old)
	require.Contains(t, w.objects(), young)
	w.now = w.now.Add(2 * time.Hour)
	require.EqualValues(t, 2, w.run(time.Hour).Removed)
}

// hooked is a catalog that lets something happen before a table is loaded for the n-th time.
type hooked struct {
	Catalog
	n    int
	hook map[int]func()
}

func (h *hooked) LoadTable(ctx context.Context, ident table.Ident) (*table.Table, error) {
	h.n++
	if hook := h.hook[h.n]; hook != nil {
		hook()
	}
	return h.Catalog.LoadTable(ctx, ident)
}

// TestOrphansThatAreCommittedMeanwhileStay commits files after they were listed and before they are removed.
func TestOrphansThatAreCommittedMeanwhileStay(t *testing.T) {
	w := newWorld(t, 3)
	w.commit(w.change(0))
	late := w.change(1)
	w.run(time.Hour)
	w.now = w.now.Add(2 * time.Hour)
	h := &hooked{Catalog: w.catalog, hook: map[int]func(){2: func() { w.commit(late) }}}
	report, err := Run(t.Context(), h, w.store, events, w.options(time.Hour))
	require.NoError(t, err)
	require.EqualValues(t, 2, report.Spared)
	require.Zero(t, report.Removed)
	w.whole()
}

func TestTablesMadeAgainAreLeftAlone(t *testing.T) {
	w := newWorld(t, 2)
	w.commit(w.change(0))
	again, err := icetable.NewMetadata(w.committer.Table().Metadata().CurrentSchema(), iceberg.UnpartitionedSpec,
		icetable.UnsortedSortOrder, strings.TrimSuffix(root, "/"), nil)
	require.NoError(t, err)
	orphan := w.put(root + "data/x.parquet")
	w.run(time.Hour)
	w.now = w.now.Add(2 * time.Hour)
	create := func() { require.NoError(t, w.catalog.Create(events, again)) }
	h := &hooked{Catalog: w.catalog, hook: map[int]func(){2: create}}
	_, err = Run(t.Context(), h, w.store, events, w.options(time.Hour))
	require.ErrorIs(t, err, errMoved)
	require.Contains(t, w.objects(), orphan)
	require.Zero(t, w.run(time.Hour).Removed) // the list is of the table before
}

func TestOrphansAreRefusedWhereTheyCannotBeTold(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(w *world, o *Options)
		want  error
	}{
		"shared": {func(_ *world, o *Options) {
			o.Others = []Place{{"db.other", "mem://lake/db.eventsx"}, {"db.x", "mem://lake/db.events/data/x/"}}
		}, ErrShared},
		"inside": {func(_ *world, o *Options) { o.Others = []Place{{"db.all", "mem://lake/"}} }, ErrShared},
		"missing": {func(w *world, _ *Options) {
			for location := range w.reachable() {
				require.NoError(w, w.store.Remove(w.Context(), location))
				break
			}
		}, nil},
		"no collection": {func(w *world, _ *Options) {
			_, err := w.committer.SetProperties(w.Context(), map[string]string{"gc.enabled": "false"}, nil)
			require.NoError(w, err)
		}, table.ErrRefused},
		"damaged list": {func(w *world, _ *Options) { w.put(root + quarantineName) }, nil},
		"negative":     {func(_ *world, o *Options) { o.Grace = -1 }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 2)
			w.commit(w.change(0))
			orphan := w.put(root + "data/x.parquet")
			w.run(time.Hour)
			w.now = w.now.Add(2 * time.Hour)
			o := w.options(time.Hour)
			c.spoil(w, &o)
			_, err := Run(t.Context(), w.catalog, w.store, events, o)
			require.Error(t, err)
			if c.want != nil {
				require.ErrorIs(t, err, c.want)
			}
			require.Contains(t, w.objects(), orphan)
		})
	}
}

// TestDeadLettersThatWaitAreNeeded keeps the dead-letter table from being written.
func TestDeadLettersThatWaitAreNeeded(t *testing.T) {
	w := newWorld(t, 2)
	letters := commit.DeadLettersIdent(events)
	c := commit.Change{ID: w.ids()}
	tbl, err := w.catalog.LoadTable(t.Context(), letters)
	require.NoError(t, err)
	f, err := committest.DataFile(t.Context(), w.store, tbl.Metadata(), committest.File{Change: c.ID, Rows: 2})
	require.NoError(t, err)
	c.DeadLetters = []iceberg.DataFile{f}
	c.Ranges = map[commit.TopicPartition]commit.Range{{Cluster: "c", Topic: "events", TopicID: uuid.UUID{1}}: {
		Next: 2, Counts: commit.Counts{DeadLetters: 2}}}
	dark := committest.NewFaulty(w.catalog, func(op int) committest.Fault {
		if op >= 3 { // the table, its dead letters', the commit
			return committest.ErrorBefore
		}
		return committest.NoFault
	})
	committer, err := commit.Open(t.Context(), dark, w.store, events, committest.Options(3, "d"))
	require.NoError(t, err)
	_, err = committer.Commit(t.Context(), c)
	require.NoError(t, err)
	lost := w.put(tbl.Metadata().Location() + "/data/x.parquet")
	for range 2 {
		_, err := Run(t.Context(), w.catalog, w.store, letters, w.options(time.Hour))
		require.NoError(t, err)
		w.now = w.now.Add(2 * time.Hour)
	}
	_, err = w.store.Stat(t.Context(), lost)
	require.ErrorIs(t, err, objstore.ErrNotFound)
	_, err = w.store.Stat(t.Context(), f.FilePath())
	require.NoError(t, err)
	w.open() // publishes them
	report, err := committest.Check(t.Context(), w.catalog, w.store, letters)
	require.NoError(t, err)
	require.EqualValues(t, 2, report.Rows)
}

// TestRandomHistoriesKeepWhatIsNeeded runs beside commits, expiry, tags, branches and writers that die.
func TestRandomHistoriesKeepWhatIsNeeded(t *testing.T) {
	for _, version := range []int{2, 3} {
		seeds := uint64(1)
		if *fullSweep {
			seeds = 50
		}
		for seed := range seeds {
			w := newWorld(t, version)
			random := rand.New(rand.NewPCG(seed, uint64(version)))
			var removed int64
			for i := range 40 {
				w.act(random, i)
				if random.IntN(4) == 0 {
					w.now = w.now.Add(time.Duration(random.IntN(90)) * time.Minute)
					removed += w.run(time.Hour).Removed
					w.whole()
				}
			}
			w.run(time.Hour)
			w.now = w.now.Add(2 * time.Hour)
			removed += w.run(time.Hour).Removed
			require.Positive(t, removed)
			want := w.reachable()
			want[root+quarantineName] = true
			require.Equal(t, want, w.objects(), "v%d seed %d", version, seed)
		}
	}
}

func (w *world) act(random *rand.Rand, i int) {
	w.Helper()
	update := func(u icetable.Update) {
		_, err := w.catalog.CommitTable(w.Context(), events, nil, []icetable.Update{u})
		require.NoError(w, err)
	}
	switch random.IntN(8) {
	case 0, 1, 2:
		w.commit(w.change(random.IntN(3)))
	case 3: // a writer that dies
		w.change(1)
		w.open()
	case 4:
		if head := w.committer.Table().Metadata().CurrentSnapshot(); head != nil {
			kind := []icetable.RefType{icetable.TagRef, icetable.BranchRef}[random.IntN(2)]
			update(icetable.NewSetSnapshotRefUpdate(fmt.Sprint("r", i), head.SnapshotID, kind, 0, 0, 0))
		}
	case 5:
		for name := range w.committer.Table().Metadata().Refs() {
			if name != icetable.MainBranch {
				update(icetable.NewRemoveSnapshotRefUpdate(name))
				break
			}
		}
	case 6:
		_, err := w.committer.Expire(w.Context(), commit.Expiry{Keep: 1 + random.IntN(2)})
		require.NoError(w, err)
	case 7: // others take snapshots out and leave their objects
		meta := w.committer.Table().Metadata()
		held := map[int64]bool{}
		for _, ref := range meta.Refs() {
			held[ref.SnapshotID] = true
		}
		for _, s := range meta.Snapshots() {
			if !held[s.SnapshotID] {
				update(icetable.NewRemoveSnapshotsUpdate([]int64{s.SnapshotID}, false))
				break
			}
		}
	}
	require.NoError(w, w.committer.Refresh(w.Context()))
}

// TestEveryOperationOfARunMayFail lets each operation of the store and the catalog fail in each way.
func TestEveryOperationOfARunMayFail(t *testing.T) {
	made := func() *world {
		w := newWorld(t, 3)
		for i := range 4 {
			w.commit(w.change(i))
			w.change(i) // of a writer that dies
		}
		w.run(time.Hour)
		w.now = w.now.Add(2 * time.Hour)
		w.change(1)
		return w
	}
	w := made()
	counted, loads := objstore.NewFaulty(w.store, nil), committest.NewFaulty(w.catalog, noFault)
	report, err := Run(t.Context(), loads, counted, events, w.options(time.Hour))
	require.NoError(t, err)
	require.Positive(t, report.Removed)
	try := func(name string, catalogPlan func(int) committest.Fault, plan objstore.Plan) {
		w := made()
		_, err := Run(t.Context(), committest.NewFaulty(w.catalog, catalogPlan), objstore.NewFaulty(w.store, plan),
			events, w.options(time.Hour))
		require.False(t, errors.Is(err, ErrIncomplete), name)
		w.whole()
		w.run(time.Hour)
		w.whole()
		w.now = w.now.Add(2 * time.Hour)
		w.run(time.Hour)
		want := w.reachable()
		want[root+quarantineName] = true
		got := w.objects()
		delete(got, root+clockName) // a crash leaves it, and the next run removes it
		require.True(t, maps.Equal(want, got), name)
	}
	for n := range counted.Ops() {
		for fault := objstore.ErrorBefore; fault <= objstore.TornRead; fault++ {
			if !*fullSweep && (n+int64(fault))%6 > 0 {
				continue
			}
			try(fmt.Sprintf("store operation %d fault %d", n, fault), noFault,
				objstore.FailAt(n, objstore.Fault{Kind: fault, Bytes: 7}))
		}
	}
	for n := range loads.Ops() {
		try(fmt.Sprintf("catalog operation %d", n), committest.FailAt(n, committest.ErrorBefore), nil)
	}
}

func noFault(int) committest.Fault { return committest.NoFault }
