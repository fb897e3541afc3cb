package commit_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/commit/committest"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// objects are the locations of all objects of events.
func (w *world) objects(t testing.TB) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	for object, err := range w.store.List(t.Context(), "mem://lake/db.events/") {
		require.NoError(t, err)
		out[object.Location] = true
	}
	return out
}

// reachable are the objects that a snapshot of events needs.
func (w *world) reachable(t testing.TB) map[string]bool {
	t.Helper()
	needed, err := committest.MetadataFiles(t.Context(), w.store, mustLoad(t, w).Metadata())
	require.NoError(t, err)
	maps.Copy(needed, w.files(t))
	return needed
}

func (w *world) update(t testing.TB, updates ...icetable.Update) {
	t.Helper()
	_, err := w.catalog.CommitTable(t.Context(), events, nil, updates)
	require.NoError(t, err)
}

// beside adds a snapshot of one more file on top of a snapshot, on a branch, or on none when it has no name.
func (w *world) beside(t testing.TB, id int64, on *icetable.Snapshot, branch string) {
	t.Helper()
	meta := mustLoad(t, w).Metadata()
	manifests, err := iceberg.ReadManifestList(bytes.NewReader(w.object(t, on.ManifestList)))
	require.NoError(t, err)
	file, err := committest.DataFile(t.Context(), w.store, meta,
		committest.File{Change: w.ids(), Rows: 3, Region: "b"})
	require.NoError(t, err)
	s := w.foreign(t, foreign{meta, on, id}, manifests, func(mw *iceberg.ManifestWriter) int64 {
		require.NoError(t, mw.Add(iceberg.NewManifestEntry(iceberg.EntryStatusADDED, &id, nil, nil, file)))
		return file.Count()
	})
	s.Summary = &icetable.Summary{Operation: icetable.OpAppend, Properties: iceberg.Properties{}}
	updates := []icetable.Update{icetable.NewAddSnapshotUpdate(s)}
	if branch != "" {
		updates = append(updates, icetable.NewSetSnapshotRefUpdate(branch, id, icetable.BranchRef, 0, 0, 0))
	}
	w.update(t, updates...)
}

// history lets random things happen to a table: upserts, rewrites, commits of others, tags and branches that
// come and go, new processes.
type history struct {
	*world
	t      testing.TB
	random *rand.Rand
	c      *commit.Committer
	opts   commit.Options
	next   commit.Offset
	id     int64
}

func newHistory(t testing.TB, s shape, seed uint64) *history {
	h := &history{world: newWorld(t, s), t: t, random: rand.New(rand.NewPCG(seed, 1)), id: 1000}
	h.opts = committest.Options(seed, "a")
	if h.opts.SnapshotsKeep = 500; h.random.IntN(2) == 0 {
		h.opts.SnapshotsKeep = 4
	}
	h.c = h.open(t, h.opts)
	for range 3 {
		h.upsert(0)
	}
	return h
}

func (h *history) upsert(files int) {
	h.mustUpsert(h.t, h.c, step{from: h.next, rows: 4}, files)
	h.next += 4
}

func (h *history) anySnapshot() *icetable.Snapshot {
	snapshots := mustLoad(h.t, h.world).Metadata().Snapshots()
	return &snapshots[h.random.IntN(len(snapshots))]
}

func (h *history) step() {
	refs := mustLoad(h.t, h.world).Metadata().Refs()
	h.id++
	switch n := h.random.IntN(20); {
	case n < 10:
		h.upsert(h.random.IntN(4))
	case n < 13:
		if live := mustAlive(h.t, h.world, h.c); len(live) > 3 {
			change, err := h.rewrite(h.t.Context(), h.store, h.c.Table(), 2+h.random.IntN(2))
			require.NoError(h.t, err)
			_, err = h.c.Commit(h.t.Context(), change)
			require.NoError(h.t, err)
		}
	case n == 13: // others remove a file that has no deletes
		for _, d := range mustAlive(h.t, h.world, h.c) {
			if d.Rows == 0 {
				h.stranger(h.t, h.id, 2, map[string]bool{d.File.FilePath(): true})
				break
			}
		}
	case n < 16:
		kind := icetable.TagRef
		if n == 15 {
			kind = icetable.BranchRef
		}
		h.update(h.t, icetable.NewSetSnapshotRefUpdate(fmt.Sprintf("r%d", h.id), h.anySnapshot().SnapshotID,
			kind, 0, 0, 0))
	case n == 16:
		h.beside(h.t, h.id, h.anySnapshot(), []string{"", fmt.Sprintf("r%d", h.id)}[h.random.IntN(2)])
	case n < 19:
		for name := range refs {
			if name != icetable.MainBranch {
				h.update(h.t, icetable.NewRemoveSnapshotRefUpdate(name))
				break
			}
		}
	default:
		h.c = h.open(h.t, h.opts)
	}
	require.NoError(h.t, h.c.Refresh(h.t.Context())) // the clock of the test is not that of the catalog
}

// TestExpiryRemovesExactlyWhatNoSnapshotNeeds looks, again and again in random histories, whether the table's
// objects are those that its snapshots need: none is missing, none stays behind.
func TestExpiryRemovesExactlyWhatNoSnapshotNeeds(t *testing.T) {
	shapes(t, func(t *testing.T, s shape) {
		seeds := uint64(1)
		if *fullSweep {
			seeds = 100
		}
		for seed := range seeds {
			h := newHistory(t, s, seed)
			for range 60 {
				if h.step(); h.random.IntN(5) > 0 {
					continue
				}
				h.expire(commit.Expiry{Keep: 1 + h.random.IntN(3),
					AgeMin: time.Duration(h.random.IntN(20)) * time.Second})
				require.Equal(t, h.reachable(t), h.objects(t), "seed %d", seed)
			}
			h.expire(commit.Expiry{Keep: 1})
			require.Equal(t, h.reachable(t), h.objects(t), "seed %d", seed)
			h.check(t)
		}
	})
}

// expire asks what would happen, lets it happen and holds both against the store.
func (h *history) expire(e commit.Expiry) {
	h.t.Helper()
	before := h.objects(h.t)
	planned, err := h.c.PlanExpiry(h.t.Context(), e)
	require.NoError(h.t, err)
	require.Equal(h.t, before, h.objects(h.t))
	done, err := h.c.Expire(h.t.Context(), e)
	require.NoError(h.t, err)
	require.Equal(h.t, planned, done)
	require.Equal(h.t, len(before), len(h.objects(h.t))+done.Files+done.Manifests+done.Statistics)
	require.Len(h.t, mustLoad(h.t, h.world).Metadata().Snapshots(), done.Kept)
	again, err := h.c.Expire(h.t.Context(), e)
	require.NoError(h.t, err)
	require.Zero(h.t, again.Files+again.Manifests)
}

func TestExpiryKeepsWhatBranchesAndTagsHold(t *testing.T) {
	w := newWorld(t, shape{version: 2})
	c := w.open(t, committest.Options(1, "a"))
	var done []commit.Committed
	for i := range commit.Offset(12) {
		each, err := w.commit(t, c, step{from: i, rows: 1})
		require.NoError(t, err)
		done = append(done, each)
	}
	day := 24 * time.Hour.Milliseconds()
	w.update(t, icetable.NewSetSnapshotRefUpdate("tag", done[1].SnapshotID, icetable.TagRef, 0, 0, 0),
		icetable.NewSetSnapshotRefUpdate("old", done[2].SnapshotID, icetable.TagRef, 1, 0, 0),
		icetable.NewSetSnapshotRefUpdate("branch", done[5].SnapshotID, icetable.BranchRef, 0, 0, 3),
		icetable.NewSetSnapshotRefUpdate("young", done[8].SnapshotID, icetable.BranchRef, 0, day, 0))
	w.beside(t, 77, mustLoad(t, w).Metadata().SnapshotByID(done[11].SnapshotID), "")
	out, err := c.Expire(t.Context(), commit.Expiry{Keep: 1})
	require.NoError(t, err)
	require.Equal(t, []string{"old"}, out.Refs)
	left := map[int64]bool{}
	for _, s := range mustLoad(t, w).Metadata().Snapshots() {
		left[s.SnapshotID] = true
	}
	for i, d := range done { // the branch "young" holds all before it
		require.Equal(t, i <= 8 || i == 11, left[d.SnapshotID], i)
	}
	require.False(t, left[77])
	w.update(t, icetable.NewRemoveSnapshotRefUpdate("young"))
	_, err = c.Expire(t.Context(), commit.Expiry{Keep: 1})
	require.NoError(t, err)
	var ids []int64
	for _, s := range mustLoad(t, w).Metadata().Snapshots() {
		ids = append(ids, s.SnapshotID)
	}
	require.Equal(t, []int64{done[1].SnapshotID, done[3].SnapshotID, done[4].SnapshotID, done[5].SnapshotID,
		done[11].SnapshotID}, ids)
	require.Equal(t, w.reachable(t), w.objects(t))
}

func TestExpiryIsRefused(t *testing.T) {
	w := newWorld(t, shape{version: 2})
	c := w.open(t, committest.Options(1, "a"))
	for _, e := range []commit.Expiry{{}, {Keep: 1, AgeMin: -1}} {
		_, err := c.Expire(t.Context(), e)
		require.ErrorIs(t, err, table.ErrRefused)
	}
	out, err := c.Expire(t.Context(), commit.Expiry{Keep: 1}) // a table without a snapshot
	require.NoError(t, err)
	require.Zero(t, out.Kept)
	w.setProperty(t, "gc.enabled", "false")
	require.NoError(t, c.Refresh(t.Context()))
	_, err = c.PlanExpiry(t.Context(), commit.Expiry{Keep: 1})
	require.ErrorIs(t, err, table.ErrRefused)
	require.ErrorContains(t, err, "gc.enabled")
}

func TestDefaultExpiryFollowsTheTable(t *testing.T) {
	usual := commit.Expiry{Keep: commit.SnapshotsKeepDefault, AgeMin: commit.ExpiryAgeDefault}
	require.Equal(t, usual, commit.DefaultExpiry(nil))
	require.Equal(t, usual, commit.DefaultExpiry(iceberg.Properties{
		"history.expire.min-snapshots-to-keep": "none", "history.expire.max-snapshot-age-ms": "-1"}))
	require.Equal(t, commit.Expiry{Keep: 3, AgeMin: 2 * time.Second}, commit.DefaultExpiry(iceberg.Properties{
		"history.expire.min-snapshots-to-keep": "3", "history.expire.max-snapshot-age-ms": "2000"}))
}

// TestExpiryOfAStagedSnapshotWaits leaves a snapshot alone that somebody is to publish.
func TestExpiryOfAStagedSnapshotWaits(t *testing.T) {
	w := newWorld(t, shape{version: 2})
	c := w.open(t, committest.Options(1, "a"))
	done, err := w.commit(t, c, step{rows: 1})
	require.NoError(t, err)
	s := *mustLoad(t, w).Metadata().SnapshotByID(done.SnapshotID)
	s.ParentSnapshotID, s.SnapshotID, s.SequenceNumber = &done.SnapshotID, 77, s.SequenceNumber+1
	s.Summary = &icetable.Summary{Operation: icetable.OpAppend, Properties: iceberg.Properties{"wap.id": "x"}}
	w.update(t, icetable.NewAddSnapshotUpdate(&s))
	out, err := c.Expire(t.Context(), commit.Expiry{Keep: 1})
	require.NoError(t, err)
	require.Equal(t, 2, out.Kept)
}

// TestEveryOperationOfExpiryMayFail lets each operation fail in each way: no snapshot ever lacks an object, and a
// process that comes later finishes.
func TestEveryOperationOfExpiryMayFail(t *testing.T) {
	expire := func(ctx context.Context, p *committest.Process) error {
		opts := committest.Options(7, "e")
		opts.Reads = 1
		c, err := commit.Open(ctx, p.Catalog, p.Store, events, opts)
		if err == nil {
			_, err = c.Expire(ctx, commit.Expiry{Keep: 2})
		}
		return err
	}
	turn := turns()
	for _, version := range []int{2, 3} {
		made := func() *history {
			h := newHistory(t, shape{version: version}, 1) // its commits expire nothing
			h.opts.SnapshotsKeep = 500
			h.c = h.open(t, h.opts)
			for range 12 {
				h.step()
			}
			return h
		}
		h := made()
		clean := h.process(nil, nil)
		require.NoError(t, expire(t.Context(), clean))
		require.Equal(t, h.reachable(t), h.objects(t))
		stride := strideOf(67, 301)
		try := func(name string, catalogPlan func(int) committest.Fault, storePlan objstore.Plan) {
			h := made()
			p := h.process(catalogPlan, storePlan)
			_ = expire(t.Context(), p) // whatever it says, the table is whole
			require.NoError(t, h.everyFileIsThere(t), name)
			p.Catalog.Settle()
			h.check(t)
			require.NoError(t, h.everyFileIsThere(t), name)
			require.NoError(t, expire(t.Context(), h.process(nil, nil)), name)
			require.NoError(t, h.everyFileIsThere(t), name)
			h.check(t)
			for location := range h.reachable(t) {
				require.Contains(t, h.objects(t), location, name)
			}
		}
		for n := range clean.Catalog.Ops() {
			for fault := committest.ErrorBefore; fault <= committest.CrashLate; fault++ {
				if (n+int(fault)+version)%strideOf(3, 23) > 0 {
					continue
				}
				try(fmt.Sprintf("v%d catalog operation %d fault %d", version, n, fault),
					committest.FailAt(n, fault), nil)
			}
		}
		for n := int64(version % stride); n < clean.Store.Ops(); n += int64(stride) {
			for fault := objstore.ErrorBefore; fault <= objstore.CrashAfter; fault++ {
				if turn() {
					try(fmt.Sprintf("v%d store operation %d fault %d", version, n, fault), nil,
						objstore.FailAt(n, objstore.Fault{Kind: fault}))
				}
			}
		}
	}
}

// TestExpiryReadsNoMoreThanLeaves counts what the expiry of a few snapshots reads in a table of many files.
func TestExpiryReadsNoMoreThanLeaves(t *testing.T) {
	reads := func(files int) int64 {
		w := newWorld(t, shape{version: 2})
		opts := committest.Options(1, "a")
		opts.SnapshotsKeep = 10
		c := w.open(t, opts)
		for i := range commit.Offset(files) {
			_, err := w.commit(t, c, step{from: i, rows: 1})
			require.NoError(t, err)
		}
		change, err := w.rewrite(t.Context(), w.store, c.Table(), 3)
		require.NoError(t, err)
		_, err = c.Commit(t.Context(), change)
		require.NoError(t, err)
		for i := range commit.Offset(4) {
			_, err := w.commit(t, c, step{from: commit.Offset(files) + i, rows: 1})
			require.NoError(t, err)
		}
		p := w.process(nil, nil)
		fresh, err := commit.Open(t.Context(), p.Catalog, p.Store, events, committest.Options(2, "b"))
		require.NoError(t, err)
		out, err := fresh.Expire(t.Context(), commit.Expiry{Keep: 3})
		require.NoError(t, err)
		require.Equal(t, 3, out.Files)
		require.Equal(t, w.reachable(t), w.objects(t))
		return p.Store.Ops()
	}
	files := 50
	if testing.Short() {
		files = 15
	}
	few, many := reads(files), reads(8*files)
	require.Less(t, many, few+20, "with an eighth of the files %d", few)
}
