package compaction

import (
	"context"
	"errors"
	"fmt"

	"github.com/apache/iceberg-go"
	"github.com/google/uuid"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
	"github.com/firthlake/firth/table/rewrite"
)

// rewritten is a group with its new files, not published yet.
type rewritten struct {
	change commit.Change
	copied bool
}

// rewrite writes the files of a group anew. base is the table that the group was planned on.
func (c *Compactor) rewrite(ctx context.Context, base *table.Table, g *Group) (rewritten, error) {
	meta := base.Metadata()
	out := rewritten{change: commit.Change{ID: c.opts.NewID(), Base: meta.CurrentSnapshot().SnapshotID}}
	for _, t := range g.Tasks {
		out.change.Removed = append(out.change.Removed, t.File)
	}
	if g.Copied {
		file, err := rewrite.Copy(ctx, c.store, g.Tasks, rewrite.Options{Schema: meta.CurrentSchema(),
			Location: meta.Location(), ChangeID: out.change.ID, Profile: c.opts.Parquet.Profile})
		if err == nil {
			out.copied, out.change.Files = true, []iceberg.DataFile{file}
			return out, nil
		}
		if !errors.Is(err, rewrite.ErrNotCopyable) {
			return out, err
		}
		c.opts.Log.Info("files are decoded", "table", base.String(), "files", len(g.Tasks), "reason", err)
	}
	var err error
	out.change.Files, err = rewrite.Decode(ctx, c.store, g.Tasks, c.writing(base, out.change.ID), nil)
	return out, err
}

// writing is how decoded rows become files again.
func (c *Compactor) writing(base *table.Table, id uuid.UUID) table.WriterOptions {
	meta := base.Metadata()
	parquet := c.opts.Parquet
	if parquet.FileBytesTarget == 0 {
		parquet.FileBytesTarget = c.opts.Policy.TargetBytes
	}
	return table.WriterOptions{Schema: meta.CurrentSchema(), Spec: meta.PartitionSpec(), Sort: meta.SortOrder(),
		Location: meta.Location(), ChangeID: id, Parquet: parquet, Properties: meta.Properties(),
		Memory: c.opts.Memory, SpillDir: c.opts.SpillDir}
}

// discard removes the files of a change that is known not to have landed. What stays behind costs space,
// never rows.
func discard(ctx context.Context, store objstore.Store, change commit.Change) error {
	if len(change.Files) == 0 {
		return nil
	}
	locations := make([]string, len(change.Files))
	for i, f := range change.Files {
		locations[i] = f.FilePath()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), discardTimeout)
	defer cancel()
	if err := store.Remove(ctx, locations...); err != nil {
		return fmt.Errorf("remove %d files of change %s: %w", len(locations), change.ID, err)
	}
	return nil
}
