package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/catalog"
	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/compaction"
	"github.com/firthlake/firth/compaction/rowexpiry"
	"github.com/firthlake/firth/ingest/changelog"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/changes"
	"github.com/firthlake/firth/table/objstore"
)

// changesIdent is the changelog of the keyed table.
func changesIdent() table.Ident { return table.Ident{"db", "rows_changes"} }

// changesSpec is how the changelog is made.
func (w *world) changesSpec(f *feed) catalog.TableSpec {
	partition := changes.Spec()
	return catalog.TableSpec{Schema: changes.Begin(), PartitionSpec: &partition,
		Properties: iceberg.Properties{"format-version": w.load.version,
			commit.PropertyChangelogOf: table.FormatIdent(f.ident)}}
}

// The processes that look after a keyed table beside ingest, each in its own role.
const (
	compactor = "compactor"
	follower  = "follower"
)

// spawnKeepers starts those that are wanted and dead, after a while.
func (w *world) spawnKeepers(ctx context.Context) {
	if !w.keyed() {
		return
	}
	w.spawnKeeper(ctx, compactor, w.keeping.compacts || w.keeping.expires > 0, w.compact)
	w.spawnKeeper(ctx, follower, w.keeping.changelog, w.follow)
}

func (w *world) spawnKeeper(ctx context.Context, role string, wanted bool,
	body func(context.Context, *process, *feed) error) {
	if !wanted || w.rng.IntN(4) > 0 ||
		slices.ContainsFunc(w.living(), func(p *process) bool { return strings.HasPrefix(p.name, role) }) {
		return
	}
	w.started++
	p := w.start(ctx, fmt.Sprint(role, "-", w.started), func(ctx context.Context, p *process) error {
		return body(ctx, p, w.feeds[0])
	})
	p.keeper = true
}

// committerOf opens a table as a keeper does, again until it can or p is killed.
func (w *world) committerOf(ctx context.Context, p *process, ident table.Ident) (*commit.Committer, error) {
	for {
		c, err := commit.Open(ctx, w.catalogOf(p), w.objectsOf(p), ident, w.commitOptions(p, p.name))
		if err == nil || p.killed || errors.Is(err, errKilled) {
			return c, err
		}
	}
}

// compact is the main function of a process that compacts, and takes out rows that are too old.
func (w *world) compact(ctx context.Context, p *process, f *feed) error {
	committer, err := w.committerOf(ctx, p, f.ident)
	if err != nil {
		return err
	}
	objects := quietStore{w.objectsOf(p), w.objects}
	for {
		if err := p.pass("look"); err != nil {
			return err
		}
		if w.rng.IntN(3) > 0 {
			continue
		}
		if w.keeping.expires > 0 {
			e, err := rowexpiry.New(committer, objects, rowexpiry.Options{Now: w.clock, NewID: w.newID})
			if err != nil {
				return err
			}
			report, err := e.Run(ctx, commit.RowAge{Column: columnNames[colBorn], After: w.keeping.expires})
			w.tracef("%s: %d rows are too old, failed: %t", p.name, report.Rows, err != nil)
		}
		if !w.keeping.compacts {
			continue
		}
		if err := committer.Refresh(ctx); err != nil {
			continue
		}
		policy := compaction.DefaultPolicy(nil)
		policy.DeletedShare, policy.Whole = 0.1, w.rng.IntN(4) == 0
		c, err := compaction.New(committer, objects, compaction.Options{Policy: policy, ZOrder: w.keeping.zorder,
			NewID: w.newID})
		if err != nil {
			return err
		}
		report, err := c.Run(ctx)
		w.tally[rebased] += int64(report.Rebased)
		w.tracef("%s: %d groups, %d stale, %d rows moved: %v", p.name, report.Groups, report.Stale, report.RowsMoved,
			err)
	}
}

// quietStore is the store of a process that does several things at a time, which coroutines cannot: what it does
// side by side happens at once and without faults. These are reads, and the delete files of one commit.
type quietStore struct {
	objstore.Store
	quiet objstore.Store
}

// Get implements objstore.Store.
func (s quietStore) Get(ctx context.Context, location string, offset, length int64) (io.ReadCloser, error) {
	return s.quiet.Get(ctx, location, offset, length)
}

// Stat implements objstore.Store.
func (s quietStore) Stat(ctx context.Context, location string) (objstore.Object, error) {
	return s.quiet.Stat(ctx, location)
}

// Put implements objstore.Store.
func (s quietStore) Put(ctx context.Context, location string, body io.Reader, size int64, opts objstore.PutOptions,
) (objstore.Object, error) {
	if strings.Contains(location, "-deletes") {
		return s.quiet.Put(ctx, location, body, size, opts)
	}
	return s.Store.Put(ctx, location, body, size, opts)
}

// follow is the main function of a process that writes the changelog.
func (w *world) follow(ctx context.Context, p *process, f *feed) error {
	source, err := w.committerOf(ctx, p, f.ident)
	if err != nil {
		return err
	}
	target, err := w.committerOf(ctx, p, changesIdent())
	if err != nil {
		return err
	}
	made, err := w.follower(source, target, w.objectsOf(p))
	if err != nil {
		return err
	}
	for {
		if err := p.pass("look"); err != nil {
			return err
		}
		if w.rng.IntN(5) > 0 || source.Refresh(ctx) != nil {
			continue
		}
		more, err := made.Step(ctx)
		w.tracef("%s: %v, %v", p.name, more, err)
	}
}

func (w *world) follower(source, target *commit.Committer, objects objstore.Store,
) (*changelog.Follower, error) {
	return changelog.New(changelog.Options{Source: source, Target: target, Store: objects, NewID: w.newID,
		Now: w.clock, Reads: 1, Memory: table.NewBudget(1 << 20),
		Sleep: func(context.Context, time.Duration) error { return nil }})
}

// checkChanges folds the changelog, once it has been brought to the end, and holds it against the table at each
// snapshot.
func (w *world) checkChanges(ctx context.Context, f *feed) error {
	if !w.keeping.changelog {
		return nil
	}
	var committers [2]*commit.Committer
	for i, ident := range []table.Ident{f.ident, changesIdent()} {
		var err error
		committers[i], err = commit.Open(ctx, w.healthy, w.objects, ident, w.commitOptions(nil, "last"))
		if err != nil {
			return err
		}
	}
	last, err := w.follower(committers[0], committers[1], w.objects)
	if err != nil {
		return err
	}
	for more := true; more; {
		if more, err = last.Step(ctx); err != nil {
			return err
		}
	}
	images, err := w.images(ctx, committers[1].Table())
	if err != nil {
		return err
	}
	w.tally[imagesFolded] += int64(len(images))
	return f.seen.fold(images)
}

// image is a row of the changelog.
type image struct {
	kind              string
	ordinal, snapshot int64
	row               version
}

// images reads the changelog in order.
func (w *world) images(ctx context.Context, t *table.Table) ([]image, error) {
	tasks, err := table.Plan(ctx, t, w.objects, table.Scan{})
	if err != nil {
		return nil, err
	}
	var out []image
	for _, task := range tasks {
		for batch, err := range table.Read(ctx, w.objects, task) {
			if err != nil {
				return nil, err
			}
			out = appendImages(out, batch)
		}
	}
	slices.SortFunc(out, func(a, b image) int { return int(a.ordinal - b.ordinal) })
	for i := range out {
		if out[i].ordinal != int64(i) {
			return nil, fmt.Errorf("the changelog has change %d where %d should be", out[i].ordinal, i)
		}
	}
	return out, nil
}

func appendImages(out []image, batch arrow.RecordBatch) []image {
	kinds := batch.Column(0).(*array.String)
	ordinals, snapshots := batch.Column(1).(*array.Int64), batch.Column(2).(*array.Int64)
	for i, row := range appendVersions(nil, batch) {
		out = append(out, image{kinds.Value(i), ordinals.Value(i), snapshots.Value(i), row})
	}
	return out
}

// fold holds the fold of images up to each snapshot against what the table was found to have.
func (o *observed) fold(images []image) error {
	folded, next := newContents(), 0
	for sequence := int64(1); len(o.past) > 0 && sequence <= o.last; sequence++ {
		s, known := o.past[sequence]
		if !known {
			continue
		}
		for ; next < len(images) && images[next].snapshot == s.id; next++ {
			i := images[next]
			switch i.kind {
			case "INSERT", "UPDATE_AFTER":
				folded.add(i.row)
			default:
				if err := folded.remove(i.row); err != nil {
					return fmt.Errorf("change %d (%s) of snapshot %d: %w", i.ordinal, i.kind, s.id, err)
				}
			}
		}
		if err := s.contents.compare(folded.rows); err != nil {
			return fmt.Errorf("the changelog up to snapshot %d (sequence number %d): %w", s.id, sequence, err)
		}
	}
	if next < len(images) {
		return fmt.Errorf("change %d is of snapshot %d, which is not the next", next, images[next].snapshot)
	}
	return nil
}
