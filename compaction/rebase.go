package compaction

import (
	"context"
	"fmt"
	"math/bits"
	"slices"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table/dv"
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
	// deleted are the positions that were deleted at the base, by task.
	deleted []*dv.RoaringPositionBitmap
	base    int64
	files   []iceberg.DataFile

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
	if head.Metadata().SnapshotByID(r.base) == nil {
		err = r.checkEquality(deletes)
	}
	var gone map[string][]int64
	if err == nil {
		gone, err = r.find(ctx, head, now)
	}
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
			stays[i], deleted[i] = stay(positions, t.File.Count())
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

// stay has a bit a row of a file, 1 for those that are not deleted, and tells how many are.
func stay(positions *dv.RoaringPositionBitmap, rows int64) (stays []byte, deleted int64) {
	stays, deleted = positions.KeepMaskBytes(rows), rows
	for _, eight := range stays {
		deleted -= int64(bits.OnesCount8(eight))
	}
	return stays, deleted
}

// revived says whether rows of a file that the rewrite left out, since they were deleted, may be there again.
// known are those that are deleted by position.
func (r *rebase) revived(head *table.Table, i int, known int64) bool {
	rows := r.tasks[i].File.Count()
	switch {
	case len(r.tasks[i].EqualityDeletes) == 0:
		return known != rows-r.places.Kept(i)
	case r.deleted[i] == nil || head.Metadata().SnapshotByID(r.base) != nil: // which is in its history
		return false
	}
	// Equality deletes took out some, and checkEquality has found them. All others have to be deleted still.
	_, before := stay(r.deleted[i], rows)
	return known < before
}

// checkEquality wants the equality deletes, by which the rewrite left rows out, at a head that tells no more of its
// base: when main was set back they may be gone.
func (r *rebase) checkEquality(deletes []table.Entry) error {
	there := map[string]bool{}
	for _, e := range deletes {
		there[e.File.FilePath()] = true
	}
	for _, t := range r.tasks {
		for _, e := range t.EqualityDeletes {
			if !there[e.File.FilePath()] {
				return fmt.Errorf("equality deletes %s of snapshot %d have left: %w", e.File.FilePath(), r.base,
					commit.ErrStale)
			}
		}
	}
	return nil
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
