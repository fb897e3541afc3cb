package difference

import (
	"cmp"
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

// ErrUnknown says that deletes of the earlier snapshot are gone, so that the difference cannot be told.
var ErrUnknown = errors.New("deletes of the earlier snapshot are gone")

// Difference is what became of rows between two snapshots.
type Difference struct {
	// Added are files that came, Removed those that left, each in order of age.
	Added, Removed []*table.Task
	// Changed are files that stayed and have other deletes.
	Changed []*Changed
}

// Changed is a data file whose deletes are others now.
type Changed struct {
	// Before and After are the file with the deletes that it had and has.
	Before, After *table.Task
	// Gone are positions that were live before, Back those that are live again, as Read finds them.
	Gone, Back *roaring.Bitmap
	// Equality says that equality deletes play a part: which rows they take out, only reading the file tells,
	// and Gone and Back do not.
	Equality bool
}

// Of finds files that came, left or have other deletes, given the live files of two snapshots by their
// locations. Positions follow by Read.
func Of(before, after map[string]*table.Task) Difference {
	var d Difference
	for _, task := range ByAge(after) {
		old := before[task.File.FilePath()]
		switch {
		case old == nil:
			d.Added = append(d.Added, task)
		case !sameEquality(old.EqualityDeletes, task.EqualityDeletes):
			d.Changed = append(d.Changed, &Changed{Before: old, After: task, Equality: true,
				Gone: roaring.New(), Back: roaring.New()})
		case !sameDeletes(old.Deletes, task.Deletes):
			d.Changed = append(d.Changed, &Changed{Before: old, After: task})
		}
	}
	for _, task := range ByAge(before) {
		if after[task.File.FilePath()] == nil {
			d.Removed = append(d.Removed, task)
		}
	}
	return d
}

// ByAge are files in the order of their data sequence numbers.
func ByAge(files map[string]*table.Task) []*table.Task {
	list := make([]*table.Task, 0, len(files))
	for _, task := range files {
		list = append(list, task)
	}
	slices.SortFunc(list, func(a, b *table.Task) int {
		return cmp.Or(cmp.Compare(a.SequenceNumber, b.SequenceNumber),
			cmp.Compare(a.File.FilePath(), b.File.FilePath()))
	})
	return list
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

// Read finds the positions that changed, of several files at a time; 1 starts no goroutine.
func (d *Difference) Read(ctx context.Context, store objstore.Store, atOnce int) error {
	group, running := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for _, f := range d.Changed {
		switch {
		case f.Equality:
		case atOnce > 1:
			group.Go(func() error { return f.read(running, store) })
		default:
			if err := f.read(ctx, store); err != nil {
				return err
			}
		}
	}
	return group.Wait()
}

func (f *Changed) read(ctx context.Context, store objstore.Store) error {
	before, err := positionsOf(ctx, store, f.After, f.Before.Deletes)
	if errors.Is(err, objstore.ErrNotFound) {
		return fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	if err != nil {
		return err
	}
	after, err := positionsOf(ctx, store, f.After, f.After.Deletes)
	if err != nil {
		return err
	}
	f.Gone, f.Back = roaring.AndNot(after, before), roaring.AndNot(before, after)
	f.Equality = !f.Back.IsEmpty() && len(f.After.EqualityDeletes) > 0
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

// Equality says whether equality deletes play a part anywhere.
func (d *Difference) Equality() bool {
	return slices.ContainsFunc(d.Changed, func(f *Changed) bool { return f.Equality })
}

// Came is how many rows files that came hold, and those that are live again.
func (d *Difference) Came() (n int64) {
	for _, task := range d.Added {
		n += task.File.Count()
	}
	for _, f := range d.Changed {
		n += int64(f.Back.GetCardinality())
	}
	return n
}

// Gone is how many rows of files that stayed were deleted.
func (d *Difference) Gone() (n int64) {
	for _, f := range d.Changed {
		n += int64(f.Gone.GetCardinality())
	}
	return n
}
