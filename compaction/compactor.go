package compaction

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/filter"
	"github.com/firthlake/firth/table/objstore"
)

// Committer is what compaction needs of commit.Committer.
type Committer interface {
	// Refresh reads the table's newest version, Table is the newest one that was read.
	Refresh(ctx context.Context) error
	Table() *table.Table
	// Commit publishes a change.
	Commit(ctx context.Context, change commit.Change) (commit.Committed, error)
}

// Options are how a Compactor works. NewID is required.
type Options struct {
	// Policy says which files are rewritten; the zero value is the table's DefaultPolicy.
	Policy Policy
	// ZOrder are columns by which decoded rows are put in z-order, in place of the table's sort order; nil is
	// what the table's properties ask for.
	ZOrder []string
	// Where leaves out the files that can hold no row for which it is true; nil leaves out none.
	Where *filter.Expr
	// Parallel is how many groups are rewritten at once; 0 is 1.
	Parallel int
	// Memory is the budget for rows that are decoded, SpillDir where those go that have no room in it;
	// table.WriterOptions has the defaults.
	Memory   *table.Budget
	SpillDir string
	// Parquet are the choices about files that are decoded; sizes not given are the policy's.
	Parquet table.ParquetOptions
	// NewID makes the ids of changes.
	NewID func() uuid.UUID
	// Progress is told the bytes of the groups that are done with, of all that are planned so far. It is
	// called by one goroutine at a time.
	Progress func(done, total int64)
	// Pace bounds the share of time that rewriting takes; nil is all of it.
	Pace *Pace
	Log  *slog.Logger
}

// roundsMax is how often what went stale is planned again. Appends make nothing stale, and deletes come to the
// files of a group one at a time.
const roundsMax = 8

// Report says what compaction did.
type Report struct {
	// Groups landed, each by a snapshot of its own; Copied of them without decoding.
	Groups int `json:"groups"`
	Copied int `json:"copied"`
	// Stale is how many rewrites came to nothing, since others had rewritten one of their files.
	Stale int `json:"stale"`
	// Rebased landed behind deletes that came while they were made, of RowsMoved rows.
	Rebased      int   `json:"rebased"`
	RowsMoved    int64 `json:"rows_moved"`
	FilesRemoved int   `json:"files_removed"`
	// DeletesRemoved are equality delete files of others that had nothing left to delete.
	DeletesRemoved int   `json:"deletes_removed"`
	FilesAdded     int   `json:"files_added"`
	BytesRemoved   int64 `json:"bytes_removed"`
	BytesAdded     int64 `json:"bytes_added"`
	Rows           int64 `json:"rows"`
}

// Compactor rewrites the files of one table. It belongs to one goroutine.
type Compactor struct {
	committer Committer
	store     objstore.Store
	source    objstore.Store // the same, for what is rewritten
	opts      Options
}

// New returns a compactor of the committer's table, whose files are in store. It starts nothing.
func New(committer Committer, store objstore.Store, opts Options) (*Compactor, error) {
	if opts.NewID == nil {
		return nil, errors.New("new compactor: NewID must be set")
	}
	if opts.Policy == (Policy{}) {
		opts.Policy = DefaultPolicy(committer.Table().Metadata().Properties())
	}
	if err := opts.Policy.Validate(); err != nil {
		return nil, fmt.Errorf("new compactor: %w", err)
	}
	if opts.ZOrder == nil {
		opts.ZOrder = table.ZOrderOf(committer.Table().Metadata().Properties())
	}
	opts.Parallel = max(opts.Parallel, 1)
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	c := &Compactor{committer: committer, store: store, source: store, opts: opts}
	if opts.Pace != nil {
		c.source = &paced{store, opts.Pace}
	}
	return c, nil
}

// Plan finds the groups of the newest version of the table, which it returns too.
func (c *Compactor) Plan(ctx context.Context) (*table.Table, []Group, error) {
	t, tasks, err := c.tasks(ctx)
	if err != nil {
		return nil, nil, err
	}
	return t, Plan(tasks, c.opts.Policy, c.opts.sorted(t)), nil
}

// tasks are those of the newest version of the table, which it returns too.
func (c *Compactor) tasks(ctx context.Context) (*table.Table, []table.Task, error) {
	for try := 1; ; try++ {
		if err := c.committer.Refresh(ctx); err != nil {
			return nil, nil, err
		}
		t := c.committer.Table()
		tasks, err := tasksOf(ctx, c.store, t, c.opts)
		if !errors.Is(err, objstore.ErrNotFound) || try == readsMax { // else the snapshot expired meanwhile
			return t, tasks, err
		}
	}
}

// PlanTable finds the groups of one version of a table.
func PlanTable(ctx context.Context, store objstore.Store, t *table.Table, opts Options) ([]Group, error) {
	tasks, err := tasksOf(ctx, store, t, opts)
	if err != nil {
		return nil, err
	}
	return Plan(tasks, opts.Policy, opts.sorted(t)), nil
}

// tasksOf are the tasks of the files that may be rewritten.
func tasksOf(ctx context.Context, store objstore.Store, t *table.Table, opts Options) ([]table.Task, error) {
	// Tasks of a filter leave rows out, so the filter only chooses among the tasks of all rows.
	tasks, err := table.Plan(ctx, t, store, table.Scan{})
	if err == nil && opts.Where != nil {
		var chosen []table.Task
		chosen, err = table.Plan(ctx, t, store, table.Scan{Filter: opts.Where})
		tasks = among(tasks, chosen)
	}
	if err != nil {
		return nil, fmt.Errorf("plan compaction of %s: %w", t, err)
	}
	return tasks, nil
}

// sorted says whether rows of the table have an order, which copies would not keep.
func (o Options) sorted(t *table.Table) bool {
	order := t.Metadata().SortOrder()
	return !order.IsUnsorted() || len(o.ZOrder)+len(table.ZOrderOf(t.Metadata().Properties())) > 0
}

// among keeps the tasks whose files are in chosen.
func among(tasks, chosen []table.Task) []table.Task {
	files := make(map[string]bool, len(chosen))
	for _, t := range chosen {
		files[t.File.FilePath()] = true
	}
	var kept []table.Task
	for _, t := range tasks {
		if files[t.File.FilePath()] {
			kept = append(kept, t)
		}
	}
	return kept
}

// Run plans and rewrites until nothing is left to do that was planned in the beginning. On an error the
// report tells what landed before.
func (c *Compactor) Run(ctx context.Context) (Report, error) {
	r := run{Compactor: c}
	var again map[string]bool // partitions of stale groups; nil is all
	for range roundsMax {
		base, groups, err := c.Plan(ctx)
		if err != nil {
			return r.report, err
		}
		if again, err = r.round(ctx, base, groups, again); err != nil {
			return r.report, err
		}
		if len(again) == 0 {
			return r.report, r.bury(ctx)
		}
	}
	return r.report, fmt.Errorf("compact %s: others changed the same files in %d rounds: %w",
		c.committer.Table(), roundsMax, commit.ErrStale)
}

// run is one Run.
type run struct {
	*Compactor

	mu     sync.Mutex // guards what follows
	report Report
	done   int64 // bytes
	total  int64
}

// round rewrites groups, those of the partitions in only, several at once, and returns the partitions of
// those that were stale.
func (r *run) round(
	ctx context.Context, base *table.Table, groups []Group, only map[string]bool,
) (map[string]bool, error) {
	stale := map[string]bool{}
	running, ctx := errgroup.WithContext(ctx)
	running.SetLimit(r.opts.Parallel)
	for i := range groups {
		g := &groups[i]
		if only != nil && !only[g.key] {
			continue
		}
		r.mu.Lock()
		r.total += g.Bytes
		r.mu.Unlock()
	}
	for i := range groups {
		g := &groups[i]
		if only != nil && !only[g.key] {
			continue
		}
		running.Go(func() error {
			err := r.compact(ctx, base, g)
			r.mu.Lock()
			defer r.mu.Unlock()
			if errors.Is(err, commit.ErrStale) {
				r.report.Stale++
				stale[g.key] = true
				err = nil
			}
			if r.done += g.Bytes; r.opts.Progress != nil {
				r.opts.Progress(r.done, r.total)
			}
			return err
		})
	}
	return stale, running.Wait()
}

// compact rewrites one group and publishes it.
func (r *run) compact(ctx context.Context, base *table.Table, g *Group) error {
	made, err := r.rewrite(ctx, base, g)
	if errors.Is(err, objstore.ErrNotFound) { // others rewrote the file, or deletes leave faster than they are read
		err = fmt.Errorf("%w: %w", commit.ErrStale, err)
	}
	if err != nil {
		return fmt.Errorf("compact %s: %w", base, err)
	}
	defer func() {
		if err := made.rebase.places.Close(); err != nil {
			r.opts.Log.Warn("a temporary file stays behind", "table", base.String(), "err", err)
		}
	}()
	landed, err := r.committer.Commit(ctx, made.change)
	if err != nil {
		if !errors.Is(err, commit.ErrStateUnknown) {
			files := slices.Concat(append(made.rebase.wrote, made.change.Files)...)
			err = errors.Join(err, table.Discard(ctx, r.store, files))
		}
		return fmt.Errorf("compact %s: %w", base, err)
	}
	r.opts.Log.Info("files rewritten", "table", base.String(), "snapshot_id", landed.SnapshotID,
		"partition", g.Partition, "files", len(g.Tasks), "rows", g.Rows, "bytes", g.Bytes, "copied", made.copied,
		"rows_deleted_meanwhile", made.rebase.moved)
	r.count(g, made)
	if err := table.Discard(ctx, r.store, made.rebase.lost()); err != nil {
		r.opts.Log.Warn("deletes of a lost commit stay behind", "table", base.String(), "err", err)
	}
	return nil
}

// bury takes the equality delete files of others out that delete nothing any more, since all files that they
// were about have been rewritten.
func (r *run) bury(ctx context.Context) error {
	t := r.committer.Table()
	dead, err := table.DeadEqualityDeletes(ctx, t, r.store)
	if err != nil || len(dead) == 0 {
		return err
	}
	_, err = r.committer.Commit(ctx, commit.Change{ID: r.opts.NewID(), Dead: dead,
		Base: t.Metadata().CurrentSnapshot().SnapshotID})
	if errors.Is(err, commit.ErrStale) {
		return nil // others took them out, or will be the next to look
	}
	if err != nil {
		return fmt.Errorf("compact %s: %w", t, err)
	}
	r.opts.Log.Info("equality deletes that delete nothing were taken out", "table", t.String(), "files", len(dead))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.DeletesRemoved += len(dead)
	return nil
}

func (r *run) count(g *Group, made rewritten) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.Groups++
	if made.copied {
		r.report.Copied++
	}
	if made.rebase.moved > 0 {
		r.report.Rebased++
		r.report.RowsMoved += made.rebase.moved
	}
	r.report.FilesRemoved += len(g.Tasks)
	r.report.BytesRemoved += g.Bytes
	for _, f := range made.change.Files {
		r.report.FilesAdded++
		r.report.BytesAdded += f.FileSizeBytes()
		r.report.Rows += f.Count()
	}
}
