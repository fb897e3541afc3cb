package compaction

import (
	"context"
	"errors"
	"fmt"
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
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/filter"
	"github.com/firthlake/firth/table/objstore"
	"github.com/firthlake/firth/table/vector"
)

const lake = "mem://lake/db/events"

var ident = table.Ident{"db", "events"}

// ground is a table with a committer, to which rows of one topic partition are fed.
type ground struct {
	catalog   *committest.Catalog
	store     *objstore.Memory
	committer *commit.Committer
	next      commit.Offset
}

func newGround(t testing.TB, version int, partitioned bool) *ground {
	t.Helper()
	g := &ground{catalog: committest.NewCatalog(),
		store: objstore.NewMemory(func() time.Time { return time.Unix(0, 0) })}
	meta, err := committest.Metadata(version, lake, partitioned)
	require.NoError(t, err)
	require.NoError(t, g.catalog.Create(ident, meta))
	g.committer = g.open(t, 1)
	return g
}

func (g *ground) open(t testing.TB, seed uint64) *commit.Committer {
	t.Helper()
	c, err := commit.Open(t.Context(), g.catalog, g.store, ident, committest.Options(seed, fmt.Sprint("w", seed)))
	require.NoError(t, err)
	return c
}

// feed commits rows through one writer; regions share them out.
func (g *ground) feed(t testing.TB, rows int, regions ...string) []iceberg.DataFile {
	t.Helper()
	meta := g.committer.Table().Metadata()
	form, err := table.ArrowSchema(meta.CurrentSchema())
	require.NoError(t, err)
	b := array.NewRecordBuilder(memory.DefaultAllocator, form)
	defer b.Release()
	for i := range rows {
		b.Field(0).(*array.Int64Builder).Append(int64(g.next) + int64(i))
		b.Field(1).(*array.StringBuilder).Append(regions[i%len(regions)])
	}
	batch := b.NewRecordBatch()
	defer batch.Release()
	id := uuid.NewSHA1(uuid.NameSpaceOID, fmt.Append(nil, g.next))
	w, err := table.NewWriter(g.store, table.WriterOptions{Schema: meta.CurrentSchema(),
		Spec: meta.PartitionSpec(), Location: lake, ChangeID: id})
	require.NoError(t, err)
	require.NoError(t, w.Write(t.Context(), batch))
	files, err := w.Close(t.Context())
	require.NoError(t, err)
	g.commit(t, commit.Change{ID: id, Files: files}, rows, batch)
	return files
}

func (g *ground) commit(t testing.TB, change commit.Change, rows int, batch arrow.RecordBatch) {
	t.Helper()
	sum, err := table.Checksum(g.committer.Table().Metadata().CurrentSchema(), batch)
	require.NoError(t, err)
	change.Ranges = map[commit.TopicPartition]commit.Range{
		{Cluster: "c", Topic: "events", TopicID: uuid.Max}: {From: g.next, Next: g.next + commit.Offset(rows),
			Counts: commit.Counts{Inserted: int64(rows)}, Checksum: sum}}
	_, err = g.committer.Commit(t.Context(), change)
	require.NoError(t, err)
	g.next += commit.Offset(rows)
}

// table is the newest version.
func (g *ground) table(t testing.TB) *table.Table {
	t.Helper()
	found, err := g.catalog.LoadTable(t.Context(), ident)
	require.NoError(t, err)
	return found
}

func (g *ground) tasks(t testing.TB, columns ...string) []table.Task {
	t.Helper()
	tasks, err := table.Plan(t.Context(), g.table(t), g.store, table.Scan{Columns: columns})
	require.NoError(t, err)
	return tasks
}

// lines are the rows of columns, each once or a fault.
func (g *ground) lines(t testing.TB, columns ...string) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	for _, task := range g.tasks(t, columns...) {
		for batch, err := range table.Read(t.Context(), g.store, task) {
			require.NoError(t, err)
			for i := range int(batch.NumRows()) {
				line := ""
				for _, column := range batch.Columns() {
					line += column.ValueStr(i) + "|"
				}
				require.False(t, found[line], "row %s is there twice", line)
				found[line] = true
			}
		}
	}
	return found
}

// prove wants the table proven, files and all.
func (g *ground) prove(t testing.TB) {
	t.Helper()
	report, err := verify.Check(t.Context(), g.table(t), g.store, verify.Options{Deep: true})
	require.NoError(t, err)
	require.True(t, report.Proven, "%v", report.Faults)
}

func options() Options {
	policy := DefaultPolicy(nil)
	policy.TargetBytes = 4 << 20
	return Options{Policy: policy, NewID: uuid.New, Parallel: 2}
}

// compact runs a compactor with a committer of its own, as another process would.
func (g *ground) compact(t testing.TB, opts Options) Report {
	t.Helper()
	c, err := New(g.open(t, 99), g.store, opts)
	require.NoError(t, err)
	report, err := c.Run(t.Context())
	require.NoError(t, err)
	return report
}

func TestCompactorMakesFewFilesOfMany(t *testing.T) {
	for _, version := range []int{2, 3} {
		for _, partitioned := range []bool{false, true} {
			g := newGround(t, version, partitioned)
			for range 8 {
				g.feed(t, 3000, "eu", "us")
			}
			columns := []string{"id", "region"}
			if version == 3 {
				columns = append(columns, table.ColumnRowID, table.ColumnLastUpdated)
			}
			before := g.lines(t, columns...)
			report := g.compact(t, options())
			want := 1
			if partitioned {
				want = 2
			}
			require.Equal(t, want, report.Groups)
			require.Equal(t, 8*want, report.FilesRemoved)
			require.EqualValues(t, 24000, report.Rows)
			require.Len(t, g.tasks(t), want)
			require.Equal(t, before, g.lines(t, columns...))
			g.prove(t)
			require.Equal(t, icetable.OpReplace, g.table(t).Metadata().CurrentSnapshot().Summary.Operation)

			// Nothing is left to do, and ingest goes on where it stood.
			require.Zero(t, g.compact(t, options()).Groups)
			g.feed(t, 10, "eu")
			g.prove(t)
		}
	}
}

// TestCompactorCopiesWhatThePlanWantsCopied has rows too small for row groups that a plan has copied.
func TestCompactorCopiesWhatThePlanWantsCopied(t *testing.T) {
	for _, version := range []int{2, 3} {
		for _, partitioned := range []bool{false, true} {
			g := newGround(t, version, partitioned)
			for range 3 {
				g.feed(t, 6000, "eu", "us")
			}
			columns := []string{"id", "region"}
			if version == 3 {
				columns = append(columns, table.ColumnRowID, table.ColumnLastUpdated)
			}
			before := g.lines(t, columns...)
			c, err := New(g.committer, g.store, options())
			require.NoError(t, err)
			r := run{Compactor: c}
			base, groups, err := c.Plan(t.Context())
			require.NoError(t, err)
			for i := range groups {
				require.False(t, groups[i].Copied)
				groups[i].Copied = true
				require.NoError(t, r.compact(t.Context(), base, &groups[i]))
			}
			require.Equal(t, len(groups), r.report.Copied)
			require.Len(t, g.tasks(t), len(groups))
			require.Equal(t, before, g.lines(t, columns...))
			g.prove(t)
		}
	}
}

// TestCompactorTakesOutDeletedRows deletes rows of three files, by vectors and by position deletes.
func TestCompactorTakesOutDeletedRows(t *testing.T) {
	for _, version := range []int{2, 3} {
		g := newGround(t, version, true)
		for range 4 {
			g.feed(t, 1000, "eu")
		}
		g.remove(t, 0, 2, 3)
		before := g.lines(t, "id", "region")
		require.Len(t, before, 4000-6)
		c, err := New(g.open(t, 4), g.store, options())
		require.NoError(t, err)
		base, groups, err := c.Plan(t.Context())
		require.NoError(t, err)
		require.Len(t, groups, 1)
		require.False(t, groups[0].Copied)
		require.EqualValues(t, 6, groups[0].Deleted)
		groups[0].Copied = true // what cannot be copied is decoded
		r := run{Compactor: c}
		require.NoError(t, r.compact(t.Context(), base, &groups[0]))
		require.Equal(t, Report{Groups: 1, FilesRemoved: 4, FilesAdded: 1, Rows: 3994,
			BytesRemoved: groups[0].Bytes, BytesAdded: r.report.BytesAdded}, r.report)
		tasks := g.tasks(t)
		require.Len(t, tasks, 1)
		require.Empty(t, tasks[0].Deletes)
		require.Equal(t, before, g.lines(t, "id", "region"))
	}
}

// remove deletes the first two rows of some of the files, as an upsert would.
func (g *ground) remove(t testing.TB, files ...int) {
	t.Helper()
	tasks := g.tasks(t)
	meta := g.table(t).Metadata()
	id := uuid.New()
	var targets []vector.Target
	for _, i := range files {
		targets = append(targets, vector.Target{File: tasks[i].File, Positions: []int64{0, 1},
			Before: tasks[i].Deletes})
	}
	deletes, err := vector.Write(t.Context(), g.store, vector.Options{Metadata: meta, ChangeID: id,
		Read: table.ReadDeletes}, targets)
	require.NoError(t, err)
	change := commit.Change{ID: id, Deletes: deletes, Base: meta.CurrentSnapshot().SnapshotID}
	n := int64(2 * len(files))
	change.Ranges = map[commit.TopicPartition]commit.Range{
		{Cluster: "c", Topic: "events", TopicID: uuid.Max}: {From: g.next, Next: g.next + commit.Offset(n),
			Counts: commit.Counts{Deleted: n}}}
	_, err = g.committer.Commit(t.Context(), change)
	require.NoError(t, err)
	g.next += commit.Offset(n)
}

// TestCompactorCarriesDeletesOver deletes rows while a rewrite of their files is on its way.
func TestCompactorCarriesDeletesOver(t *testing.T) {
	for _, version := range []int{2, 3} {
		g := newGround(t, version, false)
		for range 3 {
			g.feed(t, 500, "eu")
		}
		g.remove(t, 0)
		before := len(g.lines(t, "id"))
		late := &interrupted{Committer: g.open(t, 7), before: func() { g.remove(t, 1); g.feed(t, 100, "us") }}
		c, err := New(late, g.store, options())
		require.NoError(t, err)
		report, err := c.Run(t.Context())
		require.NoError(t, err)
		require.Zero(t, report.Stale)
		require.Equal(t, 1, report.Groups)
		require.Equal(t, 1, report.Rebased)
		require.EqualValues(t, 2, report.RowsMoved)
		require.Len(t, g.lines(t, "id"), before-2+100)
		require.Len(t, g.tasks(t), 2)
		g.prove(t)
	}
}

// TestCompactorBeginsAgainWhenFilesHaveLeft rewrites the same files twice at once.
func TestCompactorBeginsAgainWhenFilesHaveLeft(t *testing.T) {
	g := newGround(t, 3, false)
	for range 3 {
		g.feed(t, 500, "eu")
	}
	late := &interrupted{Committer: g.open(t, 7), before: func() { g.compact(t, options()); g.feed(t, 100, "us") }}
	c, err := New(late, g.store, options())
	require.NoError(t, err)
	files := len(g.objects(t))
	report, err := c.Run(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, report.Stale)
	require.Equal(t, 1, report.Groups)
	require.Len(t, g.lines(t, "id"), 1600)
	require.Len(t, g.tasks(t), 1)
	require.Equal(t, files+3, len(g.objects(t)), "two rewrites, ingest: what came too late is removed")
	g.prove(t)
}

// TestCompactorRemovesWhatDidNotLand fails and leaves the outcome unknown.
func TestCompactorRemovesWhatDidNotLand(t *testing.T) {
	g := newGround(t, 2, false)
	g.feed(t, 50, "eu")
	g.feed(t, 50, "eu")
	files := len(g.objects(t))
	for _, cause := range []error{commit.ErrInvalid, commit.ErrStateUnknown} {
		c, err := New(&interrupted{Committer: g.open(t, 3), err: cause}, g.store, options())
		require.NoError(t, err)
		_, err = c.Run(t.Context())
		require.ErrorIs(t, err, cause)
		if errors.Is(cause, commit.ErrStateUnknown) {
			files++
		}
		require.Len(t, g.objects(t), files)
	}
	g.prove(t)
}

func TestCompactorKeepsToWhere(t *testing.T) {
	g := newGround(t, 2, true)
	for range 3 {
		g.feed(t, 100, "eu", "us")
	}
	before := g.lines(t, "id", "region")
	opts := options()
	var err error
	opts.Where, err = filter.Parse("region = 'us' and id > 0")
	require.NoError(t, err)
	require.Equal(t, 3, g.compact(t, opts).FilesRemoved)
	require.Len(t, g.tasks(t), 4)
	require.Equal(t, before, g.lines(t, "id", "region"))
	g.prove(t)
}

// TestCompactorRunsBesideIngest commits rows just ahead of every second attempt to publish a rewrite.
func TestCompactorRunsBesideIngest(t *testing.T) {
	g := newGround(t, 3, true)
	g.feed(t, 100, "eu", "us")
	g.feed(t, 100, "eu", "us")
	busy := &busy{Catalog: g.catalog, between: func() { g.feed(t, 100, "eu", "us") }}
	other, err := commit.Open(t.Context(), busy, g.store, ident, committest.Options(5, "other"))
	require.NoError(t, err)
	opts := options()
	opts.Parallel = 1
	for range 6 {
		c, err := New(other, g.store, opts)
		require.NoError(t, err)
		report, err := c.Run(t.Context())
		require.NoError(t, err)
		require.Equal(t, 2, report.Groups)
		require.Zero(t, report.Stale, "appends make nothing stale")
	}
	require.Positive(t, busy.lost)
	require.Len(t, g.lines(t, "id"), int(g.next))
	g.prove(t)
}

// busy is a catalog in which others commit ahead of every second commit.
type busy struct {
	commit.Catalog
	between func()
	tries   int
	lost    int
}

func (b *busy) CommitTable(ctx context.Context, ident table.Ident, requirements []icetable.Requirement,
	updates []icetable.Update,
) (*table.Table, error) {
	if b.tries++; b.tries%2 == 1 {
		b.between()
	}
	t, err := b.Catalog.CommitTable(ctx, ident, requirements, updates)
	if errors.Is(err, table.ErrConflict) {
		b.lost++
	}
	return t, err
}

// interrupted is a committer to which something happens before its first commit.
type interrupted struct {
	*commit.Committer
	before func()
	err    error
}

func (i *interrupted) Commit(ctx context.Context, change commit.Change) (commit.Committed, error) {
	if i.err != nil {
		return commit.Committed{}, i.err
	}
	if i.before != nil {
		i.before()
		i.before = nil
	}
	return i.Committer.Commit(ctx, change)
}

func (g *ground) objects(t testing.TB) []string {
	t.Helper()
	var names []string
	for object, err := range g.store.List(t.Context(), lake+"/data/") {
		require.NoError(t, err)
		names = append(names, object.Location)
	}
	return names
}
