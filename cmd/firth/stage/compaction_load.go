package stage

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/apache/iceberg-go"
	"github.com/google/uuid"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/compaction"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/vector"
)

const (
	// loadFiles are the data files that a commit of the writer deletes rows of, loadRows the rows of each.
	loadFiles, loadRows = 8, 16
	// loadAfter is how many commits the writer makes after compaction has ended, from the new files.
	loadAfter = 5
)

// load is a writer that updates and inserts rows of the table without a pause, through the same committer as
// compaction, and knows what there should be.
type load struct {
	*compacting
	random *rand.Rand
	files  map[string]*loadFile
	list   []*loadFile
	model  map[uint64]int // how many rows have a checksum
	from   int            // where new rows are taken from
	CompactionLoad
}

// CompactionLoad is what a writer did beside compaction, and what that meant for it.
type CompactionLoad struct {
	Commits int   `json:"commits"`
	Updated int64 `json:"rows_updated"`
	// Refused are commits that had to be worked out anew, since their files had been rewritten.
	Refused int `json:"refused"`
	// Moved are rows that were deleted while compaction rewrote their files, Stale rewrites that were made again.
	Moved int64 `json:"rows_moved"`
	Stale int   `json:"stale"`
}

func (l *CompactionLoad) add(o CompactionLoad) {
	l.Commits += o.Commits
	l.Updated += o.Updated
	l.Refused += o.Refused
	l.Moved += o.Moved
	l.Stale += o.Stale
}

// loadFile is a data file as the writer knows it.
type loadFile struct {
	file    iceberg.DataFile
	deletes []iceberg.DataFile
	rows    []uint64 // checksums
	gone    []bool
	left    int
}

// planned is the committer in the hands of compaction; it tells when the table that is compacted is known.
type planned struct {
	*commit.Committer
	refreshed atomic.Bool
	once      sync.Once
	done      chan struct{}
}

// Refresh comes before each plan.
func (p *planned) Refresh(ctx context.Context) error {
	p.refreshed.Store(true)
	return p.Committer.Refresh(ctx)
}

func (p *planned) Table() *table.Table {
	t := p.Committer.Table()
	if p.refreshed.Load() {
		p.once.Do(func() { close(p.done) })
	}
	return t
}

// newLoad reads what is in the table.
func newLoad(ctx context.Context, b *compacting) (*load, error) {
	l := &load{compacting: b, random: rand.New(rand.NewPCG(b.seed, 5)), files: map[string]*loadFile{},
		model: map[uint64]int{}}
	if err := l.look(ctx); err != nil {
		return nil, err
	}
	for _, f := range l.list {
		for i, sum := range f.rows {
			if !f.gone[i] {
				l.model[sum]++
			}
		}
	}
	return l, nil
}

// compact runs compaction beside the writer, which begins when the table is planned and goes on for a while
// after the end.
func (l *load) compact(ctx context.Context, how compaction.Options) (compaction.Report, error) {
	p := &planned{Committer: l.committer, done: make(chan struct{})}
	compactor, err := compaction.New(p, l.store, how)
	if err != nil {
		return compaction.Report{}, err
	}
	end, failed := make(chan struct{}), make(chan error, 1)
	go func() { failed <- l.run(ctx, p.done, end) }()
	report, err := compactor.Run(ctx)
	p.once.Do(func() { close(p.done) })
	close(end)
	err = errors.Join(err, <-failed)
	l.Moved, l.Stale = report.RowsMoved, report.Stale
	return report, err
}

// run commits from begin to end.
func (l *load) run(ctx context.Context, begin, end <-chan struct{}) error {
	<-begin
	for after := 0; after < loadAfter; {
		select {
		case <-end:
			after++
		default:
		}
		err := l.step(ctx)
		for errors.Is(err, commit.ErrStale) {
			l.Refused++
			if err = l.look(ctx); err == nil {
				err = l.step(ctx)
			}
		}
		if err != nil {
			return fmt.Errorf("update beside compaction: %w", err)
		}
		l.Commits++
	}
	return nil
}

// look reads the data files that are new to the writer, which are those of compaction, and forgets those that left.
func (l *load) look(ctx context.Context) error {
	tasks, sums, err := l.plan(ctx)
	if err != nil {
		return err
	}
	before := l.files
	l.files, l.list = map[string]*loadFile{}, nil
	for _, task := range tasks {
		f := before[task.File.FilePath()]
		if f == nil {
			f = &loadFile{file: task.File, gone: make([]bool, task.File.Count())}
			deleted, err := table.ReadDeletes(ctx, l.store, task.File.FilePath(), task.Deletes)
			if err != nil {
				return err
			}
			for pos := range deleted.Positions() {
				f.gone[pos] = true
			}
			f.left = len(f.gone) - int(deleted.Cardinality())
			f.deletes, task.Deletes = task.Deletes, nil
			for batch, err := range table.Read(ctx, l.store, task) {
				if err != nil {
					return err
				}
				if f.rows, err = sums.Rows(f.rows, batch); err != nil {
					return err
				}
			}
		}
		l.know(f)
	}
	return nil
}

func (l *load) know(f *loadFile) {
	l.files[f.file.FilePath()] = f
	l.list = append(l.list, f)
}

// step replaces rows of some files by new ones.
func (l *load) step(ctx context.Context) error {
	t := l.committer.Table()
	var targets []vector.Target
	for _, i := range l.random.Perm(len(l.list))[:min(loadFiles, len(l.list))] {
		if f := l.list[i]; f.left > 2*loadRows {
			targets = append(targets, vector.Target{File: f.file, Before: f.deletes, Positions: f.draw(l.random)})
		}
	}
	id := uuid.New()
	deletes, err := vector.Write(ctx, l.store, vector.Options{Metadata: t.Metadata(), ChangeID: id,
		Read: table.ReadDeletes}, targets)
	if err != nil {
		return err
	}
	fresh, err := l.insert(ctx, t, id, len(targets)*loadRows)
	if err != nil {
		return err
	}
	change := commit.Change{ID: id, Files: []iceberg.DataFile{fresh.file}, Deletes: deletes,
		Base: t.Metadata().CurrentSnapshot().SnapshotID}
	updated := int64(len(targets) * loadRows)
	counts := commit.Counts{Updated: updated, Inserted: int64(len(fresh.rows)) - updated}
	if err := l.commit(ctx, change, counts, fresh.rows); err != nil {
		return err
	}
	for i, target := range targets {
		f := l.files[target.File.FilePath()]
		f.deletes = deletes[i : i+1 : i+1]
		for _, pos := range target.Positions {
			f.gone[pos] = true
			f.left--
			l.model[f.rows[pos]]--
		}
	}
	for _, sum := range fresh.rows {
		l.model[sum]++
	}
	l.know(fresh)
	l.Updated += updated
	return nil
}

// draw finds rows that are there, in order.
func (f *loadFile) draw(random *rand.Rand) []int64 {
	var out []int64
	for len(out) < loadRows {
		pos := random.Int64N(int64(len(f.gone)))
		if at, drawn := slices.BinarySearch(out, pos); !drawn && !f.gone[pos] {
			out = slices.Insert(out, at, pos)
		}
	}
	return out
}

// insert writes a file of new rows, a few more than take the place of others.
func (l *load) insert(ctx context.Context, t *table.Table, id uuid.UUID, rows int) (*loadFile, error) {
	whole := l.pool.batches[l.from%len(l.pool.batches)]
	l.from++
	batch := whole.NewSlice(0, min(whole.NumRows(), int64(rows+loadRows)))
	defer batch.Release()
	meta := t.Metadata()
	w, err := table.NewWriter(l.store, table.WriterOptions{Schema: meta.CurrentSchema(), Location: meta.Location(),
		ChangeID: id, Properties: meta.Properties()})
	if err != nil {
		return nil, err
	}
	if err := w.Write(ctx, batch); err != nil {
		return nil, errors.Join(err, w.Abort(ctx))
	}
	files, err := w.Close(ctx)
	if err != nil {
		return nil, errors.Join(err, w.Abort(ctx))
	}
	sums, err := table.NewChecksummer(meta.CurrentSchema())
	if err != nil {
		return nil, err
	}
	f := &loadFile{file: files[0], gone: make([]bool, batch.NumRows()), left: int(batch.NumRows())}
	f.rows, err = sums.Rows(nil, batch)
	return f, err
}

// compare reads the table back and counts the rows that are not as often in it as they should.
func (l *load) compare(ctx context.Context) (mismatches int64, err error) {
	t := l.committer.Table()
	tasks, err := table.Plan(ctx, t, l.store, table.Scan{})
	if err != nil {
		return 0, err
	}
	sums, err := table.NewChecksummer(t.Metadata().CurrentSchema())
	if err != nil {
		return 0, err
	}
	var found []uint64
	for _, task := range tasks {
		for batch, err := range table.Read(ctx, l.store, task) {
			if err != nil {
				return 0, err
			}
			if found, err = sums.Rows(found[:0], batch); err != nil {
				return 0, err
			}
			for _, sum := range found {
				l.model[sum]--
			}
		}
	}
	for _, count := range l.model {
		mismatches += int64(max(count, -count))
	}
	return mismatches, nil
}
