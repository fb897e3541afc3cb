package compaction

import (
	"context"
	"fmt"
	"math/bits"
	"slices"

	"github.com/apache/iceberg-go"
	"golang.org/x/sync/errgroup"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/rewrite"
	"github.com/firthlake/firth/table/vector"
)

// deletesAtOnce is how many delete files are read at a time while a rewrite lands: enough to hide the
// latency of a store. A vector takes memory for the rows of its data file, a bit each.
const deletesAtOnce = 8

// rebase carries deletes that came while a group was rewritten over to its new files.
type rebase struct {
	*Compactor
	tasks  []table.Task // as they were rewritten
	places *rewrite.Places
	base   int64
	files  []iceberg.DataFile

	// wrote are the deletes that each call wrote. Those of the last one land with the rewrite, if it does.
	wrote [][]iceberg.DataFile
	moved int64 // rows, by the last call
}

// run is commit.Rebase.
func (r *rebase) run(ctx context.Context, head *table.Table, deletes []table.Entry) ([]iceberg.DataFile, error) {
	now, err := table.WithDeletes(r.tasks, deletes)
	if err != nil {
		return nil, err
	}
	gone, err := r.find(ctx, head, now)
	if err != nil {
		return nil, err
	}
	r.moved = 0
	var targets []vector.Target
	for _, f := range r.files {
		if rows := gone[f.FilePath()]; len(rows) > 0 {
			targets = append(targets, vector.Target{File: f, Positions: rows})
			r.moved += int64(len(rows))
		}
	}
	// An id for each call: what an earlier one wrote may be in a snapshot by now.
	made, err := vector.Write(ctx, r.store, vector.Options{Metadata: head.Metadata(), ChangeID: r.opts.NewID(),
		Read: table.ReadDeletes}, targets)
	if err != nil {
		return nil, err
	}
	r.wrote = append(r.wrote, made)
	return made, nil
}

// find returns the rows of the new files that are deleted now.
func (r *rebase) find(ctx context.Context, head *table.Table, now []table.Task) (map[string][]int64, error) {
	stays := make([][]byte, len(now))
	deleted := make([]int64, len(now))
	reading, readCtx := errgroup.WithContext(ctx)
	reading.SetLimit(deletesAtOnce)
	for i, t := range now {
		if sameDeletes(t.Deletes, r.tasks[i].Deletes) {
			deleted[i] = -1
			continue
		}
		reading.Go(func() error {
			positions, err := table.ReadDeletes(readCtx, r.store, t.File.FilePath(), t.Deletes)
			if err != nil {
				return err
			}
			stays[i] = positions.KeepMaskBytes(t.File.Count())
			deleted[i] = t.File.Count()
			for _, eight := range stays[i] {
				deleted[i] -= int64(bits.OnesCount8(eight))
			}
			return nil
		})
	}
	if err := reading.Wait(); err != nil {
		return nil, err
	}
	gone, moved, err := r.places.Move(stays)
	if err != nil {
		return nil, err
	}
	for i := range now {
		if deleted[i] >= 0 && r.revived(head, i, deleted[i]-moved[i]) {
			return nil, fmt.Errorf("rows of %s that were deleted at snapshot %d are not at the head of %s: %w",
				now[i].File.FilePath(), r.base, head, commit.ErrStale)
		}
	}
	return gone, nil
}

// revived says whether rows of a file that the rewrite left out, since they were deleted, may be there again.
// known are those that are deleted by position.
func (r *rebase) revived(head *table.Table, i int, known int64) bool {
	left := r.tasks[i].File.Count() - r.places.Kept(i)
	if len(r.tasks[i].EqualityDeletes) == 0 {
		return known != left
	}
	// Equality deletes took out some. They are there still while the base is in the history.
	return head.Metadata().SnapshotByID(r.base) == nil
}

// sameDeletes says whether two lists are of the same delete files.
func sameDeletes(a, b []iceberg.DataFile) bool {
	return slices.EqualFunc(a, b, func(a, b iceberg.DataFile) bool {
		x, y := a.ContentOffset(), b.ContentOffset()
		return a.FilePath() == b.FilePath() && (x == nil) == (y == nil) && (x == nil || *x == *y)
	})
}

// lost returns what was written for calls whose rewrite did not land.
func (r *rebase) lost() []iceberg.DataFile {
	if len(r.wrote) == 0 {
		return nil
	}
	return slices.Concat(r.wrote[:len(r.wrote)-1]...)
}
