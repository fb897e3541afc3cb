package keyed

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/apache/iceberg-go"
	"golang.org/x/sync/errgroup"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// difference is what became of rows between two snapshots.
type difference struct {
	added   []*table.Task
	removed []string
	changed []*changedFile
	// equal says that equality deletes changed: which rows they took out, reading all of them tells.
	equal bool
}

// changedFile is a data file whose deletes are others now.
type changedFile struct {
	task   *table.Task
	before []iceberg.DataFile
	// gone are positions that were live before, back those that are live again.
	gone, back *roaring.Bitmap
}

// compare finds files that came, left or have other deletes. Positions follow by read.
func compare(before, after map[string]*table.Task) difference {
	var d difference
	for _, task := range byAge(after) {
		old := before[task.File.FilePath()]
		switch {
		case old == nil:
			d.added = append(d.added, task)
		case !sameEquality(old.EqualityDeletes, task.EqualityDeletes):
			d.equal = true
		case !sameDeletes(old.Deletes, task.Deletes):
			d.changed = append(d.changed, &changedFile{task: task, before: old.Deletes})
		}
	}
	for _, task := range byAge(before) {
		if path := task.File.FilePath(); after[path] == nil {
			d.removed = append(d.removed, path)
		}
	}
	return d
}

func sameDeletes(a, b []iceberg.DataFile) bool {
	return slices.EqualFunc(a, b, func(a, b iceberg.DataFile) bool {
		return a.FilePath() == b.FilePath() && offsetOf(a) == offsetOf(b)
	})
}

// sameEquality compares equality deletes, whose order is that of manifests.
func sameEquality(a, b []table.EqualityDelete) bool {
	paths := func(deletes []table.EqualityDelete) (paths []string) {
		for _, e := range deletes {
			paths = append(paths, e.File.FilePath())
		}
		slices.Sort(paths)
		return paths
	}
	return len(a)+len(b) == 0 || slices.Equal(paths(a), paths(b))
}

// offsetOf is where a vector lies in its file.
func offsetOf(file iceberg.DataFile) int64 {
	if offset := file.ContentOffset(); offset != nil {
		return *offset
	}
	return 0
}

// read finds the positions that changed.
func (d *difference) read(ctx context.Context, store objstore.Store, reads int) error {
	group, running := errgroup.WithContext(ctx)
	group.SetLimit(reads)
	for _, f := range d.changed {
		if reads > 1 {
			group.Go(func() error { return f.read(running, store) })
		} else if err := f.read(ctx, store); err != nil {
			return err
		}
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, f := range d.changed {
		d.equal = d.equal || !f.back.IsEmpty() && len(f.task.EqualityDeletes) > 0
	}
	return nil
}

func (f *changedFile) read(ctx context.Context, store objstore.Store) error {
	before, err := positionsOf(ctx, store, f.task, f.before)
	if errors.Is(err, objstore.ErrNotFound) {
		return fmt.Errorf("%w: %w", errUnknown, err)
	}
	if err != nil {
		return err
	}
	after, err := positionsOf(ctx, store, f.task, f.task.Deletes)
	if err != nil {
		return err
	}
	f.gone, f.back = roaring.AndNot(after, before), roaring.AndNot(before, after)
	return nil
}

// positionsOf are the rows of a data file that are deleted. What a foreign writer deleted behind its end is
// no row.
func positionsOf(
	ctx context.Context, store objstore.Store, task *table.Task, deletes []iceberg.DataFile,
) (*roaring.Bitmap, error) {
	read, err := table.ReadDeletes(ctx, store, task.File.FilePath(), deletes)
	if err != nil {
		return nil, err
	}
	positions := roaring.New()
	for pos := range read.Positions() {
		if pos >= uint64(task.File.Count()) || pos > math.MaxUint32 {
			break
		}
		positions.Add(uint32(pos))
	}
	return positions, nil
}

// rows is how many rows came and went.
func (d *difference) rows() (n int64) {
	for _, task := range d.added {
		n += task.File.Count()
	}
	for _, f := range d.changed {
		n += int64(f.gone.GetCardinality() + f.back.GetCardinality())
	}
	return n
}
