package live

import (
	"context"
	"fmt"

	"github.com/RoaringBitmap/roaring/v2"
	"golang.org/x/sync/errgroup"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/tail"
)

// hide finds what a view of a keyed table hides: each process tells it of its own chunks. Since a key is of one
// process, what all hide together is what the view does. Where two have versions of one key nobody can tell before
// they are committed which is the newer.
func (o *overlay) hide(ctx context.Context, c *Catalog, b committed, ident table.Ident, view tail.View,
) ([]tail.Hidden, error) {
	shares, err := c.tail(b).Shares(view)
	if err != nil {
		return nil, err
	}
	if tail.ShareKeys(shares) {
		return nil, fmt.Errorf("%w: several processes have read versions of one key, so its records are in several "+
			"topic partitions", tail.ErrUnresolved)
	}
	found := make([][]tail.Hidden, len(shares))
	group, asking := errgroup.WithContext(ctx)
	for i := range shares {
		group.Go(func() (err error) {
			found[i], err = shares[i].Hider.Hide(asking, b.loaded.MetadataLocation, shares[i].View)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	merged, err := mergeHidden(found)
	if err != nil {
		return nil, err
	}
	return merged, o.nameFiles(ctx, c, b, ident, merged)
}

// mergeHidden makes one list of several, in which a file of the base may be more than once.
func mergeHidden(found [][]tail.Hidden) ([]tail.Hidden, error) {
	var out []tail.Hidden
	at := map[string]int{}
	for _, some := range found {
		for _, h := range some {
			i, twice := at[h.Path]
			if !twice {
				at[h.Path] = len(out)
				out = append(out, h)
				continue
			}
			if out[i].Rows.Intersects(h.Rows) {
				return nil, fmt.Errorf("%w: two processes hide one row of %s", tail.ErrUnresolved, h.Path)
			}
			out[i].Rows = roaring.Or(out[i].Rows, h.Rows)
			if out[i].File == nil {
				out[i].File, out[i].Before = h.File, h.Before
			}
		}
	}
	return out, nil
}

// plannedFiles are the files of a base, by path.
type plannedFiles struct {
	location string
	tasks    map[string]table.Task
}

// nameFiles finds the files of the base that other processes have named. Who has the turn plans each base once.
func (o *overlay) nameFiles(ctx context.Context, c *Catalog, b committed, ident table.Ident, hidden []tail.Hidden,
) error {
	for i := range hidden {
		h := &hidden[i]
		if h.File != nil {
			continue
		}
		if o.files.location != b.loaded.MetadataLocation {
			tasks, err := table.Plan(ctx, b.table(ident), c.opts.Store, table.Scan{})
			if err != nil {
				return err
			}
			o.files = plannedFiles{b.loaded.MetadataLocation, make(map[string]table.Task, len(tasks))}
			for _, task := range tasks {
				o.files.tasks[task.File.FilePath()] = task
			}
		}
		task, known := o.files.tasks[h.Path]
		if !known {
			return fmt.Errorf("%w: another process hides rows of %s, which the table does not have", tail.ErrUnresolved,
				h.Path)
		}
		h.File, h.Before = task.File, task.Deletes
	}
	return nil
}
