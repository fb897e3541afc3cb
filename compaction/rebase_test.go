package compaction

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
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

// updater replaces and deletes rows of a table, one commit a step, and knows what there should be.
type updater struct {
	*ground
	by     *commit.Committer
	random *rand.Rand
	model  map[string]bool // rows, as lines has them
	// history is the model at each snapshot that the updater made.
	history map[int64]map[string]bool
	files   map[string][]string
	steps   int
}

func newUpdater(g *ground, by *commit.Committer, seed uint64) *updater {
	return &updater{ground: g, by: by, random: rand.New(rand.NewPCG(seed, 1)), model: map[string]bool{},
		history: map[int64]map[string]bool{}, files: map[string][]string{}}
}

// spot is where a row is.
type spot struct {
	line string
	task table.Task
	pos  int64
}

// scan finds the rows of the newest version of the table.
func (u *updater) scan(t testing.TB, scan table.Scan) []spot {
	return u.spots(t, u.table(t), scan)
}

// spots finds all rows of a version of the table.
func (u *updater) spots(t testing.TB, tbl *table.Table, scan table.Scan) []spot {
	tasks, err := table.Plan(t.Context(), tbl, u.store, scan)
	require.NoError(t, err)
	var out []spot
	for _, task := range tasks {
		deleted, err := table.ReadDeletes(t.Context(), u.store, task.File.FilePath(), task.Deletes)
		require.NoError(t, err)
		for pos, line := range u.rows(t, task) {
			if !deleted.Contains(uint64(pos)) {
				out = append(out, spot{line, task, int64(pos)})
			}
		}
	}
	return out
}

// rows are those of a data file, deleted ones too. Files do not change, so each is read once.
func (u *updater) rows(t testing.TB, task table.Task) []string {
	path := task.File.FilePath()
	if _, known := u.files[path]; known {
		return u.files[path]
	}
	task.Deletes = nil
	for batch, err := range table.Read(t.Context(), u.store, task) {
		require.NoError(t, err)
		for i := range int(batch.NumRows()) {
			u.files[path] = append(u.files[path], batch.Column(0).ValueStr(i)+"|"+batch.Column(1).ValueStr(i)+"|")
		}
	}
	return u.files[path]
}

// step commits one change: rows go, and others, as many as were replaced, come.
func (u *updater) step(t testing.TB) {
	for {
		err := u.try(t)
		if errors.Is(err, commit.ErrStale) { // a rewrite came between
			require.NoError(t, u.by.Refresh(t.Context()))
			continue
		}
		require.NoError(t, err)
		u.steps++
		return
	}
}

func (u *updater) try(t testing.TB) error {
	tbl := u.by.Table()
	rows := u.spots(t, tbl, table.Scan{})
	require.Equal(t, len(u.model), len(rows), "rows before step %d", u.steps)
	u.random.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	gone := rows[:min(len(rows), 1+u.random.IntN(6))]
	updated := 0
	if u.random.IntN(3) == 0 {
		updated = u.random.IntN(len(gone) + 1)
	}
	model := maps.Clone(u.model)
	targets := map[string]*vector.Target{}
	for _, s := range gone {
		require.True(t, model[s.line], "row %s is revived or doubled at step %d", s.line, u.steps)
		delete(model, s.line)
		path := s.task.File.FilePath()
		if targets[path] == nil {
			targets[path] = &vector.Target{File: s.task.File, Before: s.task.Deletes}
		}
		targets[path].Positions = append(targets[path].Positions, s.pos)
	}
	change := commit.Change{ID: uuid.New(), Base: tbl.Metadata().CurrentSnapshot().SnapshotID}
	var list []vector.Target
	for _, path := range slices.Sorted(maps.Keys(targets)) {
		slices.Sort(targets[path].Positions)
		list = append(list, *targets[path])
	}
	var err error
	change.Deletes, err = vector.Write(t.Context(), u.store, vector.Options{Metadata: tbl.Metadata(),
		ChangeID: change.ID, Read: table.ReadDeletes}, list)
	require.NoError(t, err)
	come := 0
	if updated > 0 || u.random.IntN(4) == 0 {
		come = updated + u.random.IntN(3)
	}
	var sum uint64
	change.Files, sum = u.write(t, change.ID, come, model)
	total := commit.Offset(come + len(gone) - updated)
	change.Ranges = map[commit.TopicPartition]commit.Range{
		{Cluster: "c", Topic: "events", TopicID: uuid.Max}: {From: u.next, Next: u.next + total, Checksum: sum,
			Counts: commit.Counts{Inserted: int64(come - updated), Updated: int64(updated),
				Deleted: int64(len(gone) - updated)}}}
	landed, err := u.by.Commit(t.Context(), change)
	if err != nil {
		return err
	}
	u.next += total
	u.model, u.history[landed.SnapshotID] = model, model
	return nil
}

// write writes new rows into the model and a file.
func (u *updater) write(t testing.TB, id uuid.UUID, rows int, model map[string]bool) ([]iceberg.DataFile, uint64) {
	if rows == 0 {
		return nil, 0
	}
	meta := u.by.Table().Metadata()
	form, err := table.ArrowSchema(meta.CurrentSchema())
	require.NoError(t, err)
	b := array.NewRecordBuilder(memory.DefaultAllocator, form)
	defer b.Release()
	for i := range rows {
		key, region := int64(u.next)*100+int64(i), []string{"eu", "us"}[i%2]
		b.Field(0).(*array.Int64Builder).Append(key)
		b.Field(1).(*array.StringBuilder).Append(region)
		model[fmt.Sprintf("%d|%s|", key, region)] = true
	}
	batch := b.NewRecordBatch()
	defer batch.Release()
	w, err := table.NewWriter(u.store, table.WriterOptions{Schema: meta.CurrentSchema(),
		Spec: meta.PartitionSpec(), Location: lake, ChangeID: id})
	require.NoError(t, err)
	require.NoError(t, w.Write(t.Context(), batch))
	files, err := w.Close(t.Context())
	require.NoError(t, err)
	sum, err := table.Checksum(meta.CurrentSchema(), batch)
	require.NoError(t, err)
	return files, sum
}

// stepShare is the share of operations before which the updater commits. Which ones they are differs by run, so
// that over the runs it is every one of them.
const stepShare = 0.12

// restless lets steps of the updater happen before operations of others, one at a time.
type restless struct {
	objstore.Store
	commit.Catalog
	mu     sync.Mutex
	step   func()
	random *rand.Rand
	held   int // above 0 no step may come: the updater's committer is at work for others
	swaps  int // how many more tries of others to commit lose
	losses int
}

func (r *restless) before() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.held == 0 && r.random.Float64() < stepShare {
		r.step()
	}
}

func (r *restless) Get(ctx context.Context, location string, offset, length int64) (io.ReadCloser, error) {
	r.before()
	return r.Store.Get(ctx, location, offset, length)
}

func (r *restless) Put(ctx context.Context, location string, body io.Reader, size int64, opts objstore.PutOptions,
) (objstore.Object, error) {
	r.before()
	return r.Store.Put(ctx, location, body, size, opts)
}

func (r *restless) CommitTable(ctx context.Context, ident table.Ident, requirements []icetable.Requirement,
	updates []icetable.Update,
) (*table.Table, error) {
	r.mu.Lock()
	if r.swaps--; r.swaps >= 0 {
		r.step()
	} else if r.swaps == -1 {
		r.held++ // the tries are bounded, and nothing wins against a writer that is quicker than every one
	}
	r.mu.Unlock()
	t, err := r.Catalog.CommitTable(ctx, ident, requirements, updates)
	if errors.Is(err, table.ErrConflict) {
		r.losses++
	}
	return t, err
}

// shared is the updater's committer in the hands of others.
type shared struct {
	*commit.Committer
	restless *restless
}

func (s *shared) Commit(ctx context.Context, change commit.Change) (commit.Committed, error) {
	s.restless.before()
	s.restless.hold(1)
	defer s.restless.hold(-1)
	return s.Committer.Commit(ctx, change)
}

func (s *shared) Refresh(ctx context.Context) error {
	s.restless.hold(1)
	defer s.restless.hold(-1)
	return s.Committer.Refresh(ctx)
}

func (r *restless) hold(by int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held += by
}

// TestCompactionAndUpdatesLoseNothingToEachOther has an updater commit before every operation of compaction, in the
// same process and in another one, and holds every snapshot against a model.
func TestCompactionAndUpdatesLoseNothingToEachOther(t *testing.T) {
	runs := 50
	if testing.Short() {
		runs = 8
	}
	completed, rebased, copied, losses := 0, 0, 0, 0
	for n := range runs {
		version, partitioned := 2+n%2, n/2%2 == 0
		elsewhere := n/4%2 == 0
		g := newGround(t, version, partitioned)
		opts := committest.Options(uint64(n)+1, "updater")
		if n%3 == 0 && !elsewhere {
			opts.SnapshotsKeep = 3 // the base of a rewrite expires meanwhile
		}
		by, err := commit.Open(t.Context(), g.catalog, g.store, ident, opts)
		require.NoError(t, err)
		u := newUpdater(g, by, uint64(n))
		g.committer = by
		for range 3 {
			g.feed(t, 30, "eu", "us")
		}
		for line := range g.lines(t, "id", "region") {
			u.model[line] = true
		}
		for range n % 3 {
			u.step(t)
		}
		r := &restless{Store: g.store, Catalog: g.catalog, step: func() { u.step(t) }, swaps: 3,
			random: rand.New(rand.NewPCG(uint64(n), 2)),
			held:   1} // until it is planned: the snapshot would expire while its manifests are read
		var committer Committer = &shared{by, r}
		if elsewhere {
			committer, err = commit.Open(t.Context(), r, r, ident, committest.Options(uint64(n)+100, "elsewhere"))
			require.NoError(t, err)
		}
		how := options()
		c, err := New(committer, r, how)
		require.NoError(t, err)
		done := run{Compactor: c}
		base, groups, err := c.Plan(t.Context())
		require.NoError(t, err)
		r.hold(-1)
		for i := range groups {
			groups[i].Copied = n%5 < 2 // where there are no deletes
			require.NoError(t, done.compact(t.Context(), base, &groups[i]), "run %d", n)
		}
		require.NotEmpty(t, groups)
		completed++
		rebased += done.report.Rebased
		copied += done.report.Copied
		losses += r.losses
		require.Equal(t, u.model, g.lines(t, "id", "region"), "run %d", n)
		u.checkHistory(t)
		for range 2 { // the writer goes on from the new files
			require.NoError(t, by.Refresh(t.Context()))
			u.step(t)
		}
		g.prove(t)
	}
	require.Equal(t, runs, completed)
	require.Greater(t, rebased, runs/2)
	require.Positive(t, copied)
	require.Positive(t, losses)
}

// checkHistory holds each snapshot against the model of the newest one of the updater.
func (u *updater) checkHistory(t testing.TB) {
	t.Helper()
	meta := u.table(t).Metadata()
	var want map[string]bool
	for _, s := range slices.Backward(slices.Collect(commit.Ancestry(meta))) {
		if model, own := u.history[s.SnapshotID]; own {
			want = model
		}
		if want == nil {
			continue
		}
		found := map[string]bool{}
		for _, spot := range u.scan(t, table.Scan{SnapshotID: s.SnapshotID}) {
			require.False(t, found[spot.line])
			found[spot.line] = true
		}
		require.Equal(t, want, found, "snapshot %d, %s", s.SnapshotID, s.Summary.Operation)
	}
}
