package compaction

import (
	"context"
	"errors"
	"fmt"

	"github.com/apache/iceberg-go/table/dv"
	"golang.org/x/sync/errgroup"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// readsMax is how often a snapshot is looked up anew when it expired while it was read. What is read then are
// manifests and deletes alone, so a writer has to commit dozens of times a second to be ahead that often.
const readsMax = 8

// hold reads the deletes of a group, which takes a bit a row at the most, before the rows are rewritten. A writer
// that goes on replaces them, and they leave with the snapshots that had them: after a minute and 50 commits,
// which a rewrite may well take. A group that had to wait for its turn so long gets the deletes that its files have
// now. hold returns the table to which those belong, and the deleted positions by task.
func (c *Compactor) hold(ctx context.Context, base *table.Table, g *Group,
) (*table.Table, []*dv.RoaringPositionBitmap, error) {
	for try := 1; ; try++ {
		deleted, err := c.readDeletes(ctx, g.Tasks)
		if !errors.Is(err, objstore.ErrNotFound) || try == readsMax {
			return base, deleted, err
		}
		if base, err = c.renew(ctx, g); err != nil {
			return nil, nil, err
		}
	}
}

func (c *Compactor) readDeletes(ctx context.Context, tasks []table.Task) ([]*dv.RoaringPositionBitmap, error) {
	deleted := make([]*dv.RoaringPositionBitmap, len(tasks))
	reading, ctx := errgroup.WithContext(ctx)
	reading.SetLimit(deletesAtOnce)
	for i, t := range tasks {
		if len(t.Deletes) == 0 {
			continue
		}
		reading.Go(func() (err error) {
			deleted[i], err = table.ReadDeletes(ctx, c.store, t.File.FilePath(), t.Deletes)
			return err
		})
	}
	return deleted, reading.Wait()
}

// renew gives a group the deletes that its files have in the newest version of the table, which it returns. When
// one of the files has left, the group is stale.
func (c *Compactor) renew(ctx context.Context, g *Group) (*table.Table, error) {
	t, tasks, err := c.tasks(ctx)
	if err != nil {
		return nil, err
	}
	now := make(map[string]table.Task, len(tasks))
	for _, task := range tasks {
		now[task.File.FilePath()] = task
	}
	renewed := make([]table.Task, len(g.Tasks))
	for i, task := range g.Tasks {
		found, there := now[task.File.FilePath()]
		if !there {
			return nil, fmt.Errorf("%s has left the table: %w", task.File.FilePath(), commit.ErrStale)
		}
		renewed[i] = found
	}
	g.Tasks = renewed
	return t, nil
}
