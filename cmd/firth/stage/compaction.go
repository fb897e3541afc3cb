package stage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/apache/iceberg-go"
	"github.com/google/uuid"

	"github.com/firthlake/firth/catalog"
	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/compaction"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
	"github.com/firthlake/firth/table/vector"
)

// CompactionOptions say what Compaction measures: tables of Rows rows in Files files, each compacted to
// one file.
type CompactionOptions struct {
	Options
	Files int
	// Runs is how many tables are compacted in each form.
	Runs int
	// UnderLoad has a writer update the table all the while, in tables of format version 2 and 3 in turn.
	UnderLoad bool
	// Dir is an empty folder for warehouse and catalog.
	Dir string
	// Committer is what commits need from outside: clock, ids, randomness, sleep, name.
	Committer commit.Options
}

// CompactionResult is what was measured, in both forms together and in each.
type CompactionResult struct {
	CompactionForm
	// Clean are files whose chunks are copied; of Decoded one row in a hundred is deleted.
	Clean   CompactionForm `json:"clean"`
	Decoded CompactionForm `json:"decoded"`
}

// CompactionForm is what was measured of tables of one form. Its rows and bytes are those of the files that
// were compacted.
type CompactionForm struct {
	Runs      int `json:"runs"`
	Completed int `json:"completed"`
	// Mismatches are rows that are not in their place afterwards, by checksum.
	Mismatches int64   `json:"mismatches"`
	Rows       int64   `json:"rows"`
	Bytes      int64   `json:"bytes"`
	Seconds    float64 `json:"seconds"`
	CPUSeconds float64 `json:"cpu_seconds"`
	RowsPerCPU float64 `json:"rows_per_cpu_s"`
	MBPerCPU   float64 `json:"mb_per_cpu_s"`
	// Load is what the writer did; without one it is nil. CPU time is that of both then.
	Load *CompactionLoad `json:"load,omitempty"`
}

func (f *CompactionForm) add(o CompactionForm) {
	f.Runs += o.Runs
	f.Completed += o.Completed
	f.Mismatches += o.Mismatches
	f.Rows += o.Rows
	f.Bytes += o.Bytes
	f.Seconds += o.Seconds
	f.CPUSeconds += o.CPUSeconds
	f.RowsPerCPU = float64(f.Rows) / f.CPUSeconds
	f.MBPerCPU = float64(f.Bytes) / 1e6 / f.CPUSeconds
	if o.Load != nil {
		if f.Load == nil {
			f.Load = &CompactionLoad{}
		}
		f.Load.add(*o.Load)
	}
}

// deletedEvery is the distance of deleted rows in files that have to be decoded.
const deletedEvery = 100

// Compaction measures how small files become one, with plan and commit, on a local store and an SQLite
// catalog. What fills the tables and what reads them back does not count.
func Compaction(ctx context.Context, o CompactionOptions) (CompactionResult, error) {
	var result CompactionResult
	pool, err := o.batches(ctx)
	if err != nil {
		return result, err
	}
	defer pool.release()
	done := int64(0)
	for n := range o.Runs {
		for form, into := range []*CompactionForm{&result.Clean, &result.Decoded} {
			b := &compacting{opts: o, pool: pool, deletes: form == 1, seed: uint64(2*n + form),
				version: 2 + n%2, dir: filepath.Join(o.Dir, fmt.Sprintf("run-%d-%d", n, form))}
			measured, err := b.run(ctx)
			if err = errors.Join(err, os.RemoveAll(b.dir)); err != nil {
				return result, err
			}
			into.add(measured)
			result.add(measured)
			done += o.Rows
			o.Progress(done)
		}
	}
	return result, nil
}

// compacting is one table that is compacted.
type compacting struct {
	opts      CompactionOptions
	pool      *batchPool
	deletes   bool
	seed      uint64
	version   int // of the table's format
	dir       string
	store     objstore.Store
	committer *commit.Committer
	next      commit.Offset
	rows      []uint64 // checksums of the rows that there should be, in order
}

func (b *compacting) run(ctx context.Context) (CompactionForm, error) {
	store, err := catalog.OpenSQLite(ctx, filepath.Join(b.opts.Dir, filepath.Base(b.dir)+".db"))
	if err != nil {
		return CompactionForm{}, err
	}
	defer func() { _ = store.Close() }() // the folder is thrown away
	if err := b.open(ctx, store); err != nil {
		return CompactionForm{}, err
	}
	if err := b.fill(ctx); err != nil {
		return CompactionForm{}, err
	}
	measured := CompactionForm{Runs: 1}
	how := compaction.Options{Policy: compaction.DefaultPolicy(nil), NewID: uuid.New}
	how.Policy.TargetBytes = 1 << 40 // one file
	compact := b.compact
	var beside *load
	if b.opts.UnderLoad {
		if beside, err = newLoad(ctx, b); err != nil {
			return measured, err
		}
		compact = beside.compact
	}
	meter, err := StartMeter(b.opts.Now)
	if err != nil {
		return measured, err
	}
	report, err := compact(ctx, how)
	if err != nil {
		return measured, err
	}
	var used Result
	if err := meter.Stop(&used, b.opts.CPUProfile); err != nil {
		return measured, err
	}
	measured.Seconds, measured.CPUSeconds = used.Seconds, used.CPUSeconds
	measured.Rows, measured.Bytes = b.opts.Rows, report.BytesRemoved
	if report.Groups != 1 || report.FilesRemoved != b.opts.Files || report.Copied == 1 == b.deletes {
		return measured, fmt.Errorf("compaction did something else: %+v", report)
	}
	measured.Completed = 1
	if beside == nil {
		measured.Mismatches, err = b.compare(ctx)
		return measured, err
	}
	measured.Load = &beside.CompactionLoad
	measured.Mismatches, err = beside.compare(ctx)
	return measured, err
}

// compact runs compaction alone.
func (b *compacting) compact(ctx context.Context, how compaction.Options) (compaction.Report, error) {
	compactor, err := compaction.New(b.committer, b.store, how)
	if err != nil {
		return compaction.Report{}, err
	}
	return compactor.Run(ctx)
}

func (b *compacting) open(ctx context.Context, store catalog.Store) error {
	local, err := objstore.NewLocal("")
	if err != nil {
		return err
	}
	b.store = local
	ident := table.Ident{"bench", "compaction"}
	cat := catalog.New(store, local, catalog.Options{Warehouse: b.dir,
		TableProperties: catalog.DefaultTableProperties(), Now: b.opts.Committer.Now,
		NewID: b.opts.Committer.NewID})
	if err := cat.CreateNamespace(ctx, catalog.Namespace{ident[0]}, nil); err != nil {
		return err
	}
	spec := catalog.TableSpec{Schema: b.pool.schema}
	if b.opts.UnderLoad {
		spec.Properties = iceberg.Properties{"format-version": strconv.Itoa(b.version)}
	}
	if _, err := cat.CreateTable(ctx, ident, spec); err != nil {
		return err
	}
	b.committer, err = commit.Open(ctx, cat, local, ident, b.opts.Committer)
	return err
}

// fill commits the files, each with as many rows, and deletes rows of them.
func (b *compacting) fill(ctx context.Context) error {
	sums, err := table.NewChecksummer(b.committer.Table().Metadata().CurrentSchema())
	if err != nil {
		return err
	}
	batch, from := 0, int64(0)
	for n := range int64(b.opts.Files) {
		left := b.opts.Rows*(n+1)/int64(b.opts.Files) - b.opts.Rows*n/int64(b.opts.Files)
		begin, id := len(b.rows), uuid.New()
		meta := b.committer.Table().Metadata()
		w, err := table.NewWriter(b.store, table.WriterOptions{Schema: meta.CurrentSchema(),
			Location: meta.Location(), ChangeID: id, Properties: meta.Properties()})
		if err != nil {
			return err
		}
		for left > 0 {
			whole := b.pool.batches[batch%len(b.pool.batches)]
			part := whole.NewSlice(from, min(whole.NumRows(), from+left))
			b.rows, err = sums.Rows(b.rows, part)
			if err == nil {
				err = w.Write(ctx, part)
			}
			left -= part.NumRows()
			if from += part.NumRows(); from == whole.NumRows() {
				batch, from = batch+1, 0
			}
			part.Release()
			if err != nil {
				return err
			}
		}
		files, err := w.Close(ctx)
		if err != nil {
			return err
		}
		counts := commit.Counts{Inserted: int64(len(b.rows) - begin)}
		if err := b.commit(ctx, commit.Change{ID: id, Files: files}, counts, b.rows[begin:]); err != nil {
			return err
		}
	}
	if b.deletes {
		return b.deleteRows(ctx)
	}
	return nil
}

// commit publishes a change of one topic partition.
func (b *compacting) commit(
	ctx context.Context, change commit.Change, counts commit.Counts, rows []uint64,
) error {
	r := commit.Range{From: b.next, Next: b.next + commit.Offset(counts.Sum()), Counts: counts}
	for _, sum := range rows {
		r.Checksum += sum
	}
	change.Ranges = map[commit.TopicPartition]commit.Range{
		{Cluster: "bench", Topic: topic, TopicID: uuid.Max}: r}
	if _, err := b.committer.Commit(ctx, change); err != nil {
		return err
	}
	b.next = r.Next
	return nil
}

// deleteRows deletes one row in deletedEvery of each file, as an upsert would.
func (b *compacting) deleteRows(ctx context.Context) error {
	t := b.committer.Table()
	tasks, err := table.Plan(ctx, t, b.store, table.Scan{})
	if err != nil {
		return err
	}
	targets := make([]vector.Target, len(tasks))
	counts := commit.Counts{}
	for i, task := range tasks {
		targets[i].File = task.File
		for pos := int64(0); pos < task.File.Count(); pos += deletedEvery {
			targets[i].Positions = append(targets[i].Positions, pos)
			counts.Deleted++
		}
	}
	id := uuid.New()
	deletes, err := vector.Write(ctx, b.store, vector.Options{Metadata: t.Metadata(), ChangeID: id,
		Read: table.ReadDeletes}, targets)
	if err != nil {
		return err
	}
	return b.commit(ctx, commit.Change{ID: id, Deletes: deletes,
		Base: t.Metadata().CurrentSnapshot().SnapshotID}, counts, nil)
}

// plan finds the data files of the newest snapshot, and what makes checksums of their rows.
func (b *compacting) plan(ctx context.Context) ([]table.Task, *table.Checksummer, error) {
	t := b.committer.Table()
	tasks, err := table.Plan(ctx, t, b.store, table.Scan{})
	if err != nil {
		return nil, nil, err
	}
	sums, err := table.NewChecksummer(t.Metadata().CurrentSchema())
	return tasks, sums, err
}

// compare reads the table back and counts the rows that are not what they were.
func (b *compacting) compare(ctx context.Context) (mismatches int64, err error) {
	tasks, sums, err := b.plan(ctx)
	if err != nil {
		return 0, err
	}
	want := b.rows
	if b.deletes {
		want = b.undeleted()
	}
	var found []uint64
	for _, task := range tasks {
		for batch, err := range table.Read(ctx, b.store, task) {
			if err != nil {
				return 0, err
			}
			if found, err = sums.Rows(found, batch); err != nil {
				return 0, err
			}
		}
	}
	for i := range max(len(want), len(found)) {
		if i >= len(want) || i >= len(found) || want[i] != found[i] {
			mismatches++
		}
	}
	return mismatches, nil
}

// undeleted are the rows that deleteRows leaves.
func (b *compacting) undeleted() []uint64 {
	var left []uint64
	files := int64(b.opts.Files)
	for n := range files {
		for i, sum := range b.rows[b.opts.Rows*n/files : b.opts.Rows*(n+1)/files] {
			if i%deletedEvery != 0 {
				left = append(left, sum)
			}
		}
	}
	return left
}
