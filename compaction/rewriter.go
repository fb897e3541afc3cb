package compaction

import (
	"context"
	"errors"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table/dv"
	"github.com/google/uuid"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/rewrite"
)

// rewritten is a group with its new files, not published yet.
type rewritten struct {
	change commit.Change
	copied bool
	rebase *rebase
}

// rewrite writes the files of a group anew. base is the table that the group was planned on.
func (c *Compactor) rewrite(ctx context.Context, base *table.Table, g *Group) (rewritten, error) {
	base, deleted, err := c.hold(ctx, base, g)
	if err != nil {
		return rewritten{}, err
	}
	head := base.Metadata().CurrentSnapshot()
	out := rewritten{change: commit.Change{ID: c.opts.NewID(), Base: head.SnapshotID,
		BaseSequence: head.SequenceNumber}}
	for _, t := range g.Tasks {
		out.change.Removed = append(out.change.Removed, t.File)
	}
	places := rewrite.NewPlaces(len(g.Tasks), c.opts.SpillDir)
	out.rebase = &rebase{Compactor: c, tasks: g.Tasks, places: places, deleted: deleted,
		base: head.SnapshotID}
	files, copied, err := c.write(ctx, base, g, writing{out.change.ID, places, deleted})
	if err != nil {
		return out, errors.Join(err, places.Close())
	}
	out.copied, out.change.Files = copied, files
	out.rebase.files, out.change.Rebase = files, out.rebase.run
	return out, nil
}

// writing is for what files are written.
type writing struct {
	change uuid.UUID
	places *rewrite.Places
	// deleted are the positions that are deleted, by task.
	deleted []*dv.RoaringPositionBitmap
}

// write copies the files of a group, or else decodes them.
func (c *Compactor) write(ctx context.Context, base *table.Table, g *Group, w writing,
) (files []iceberg.DataFile, copied bool, err error) {
	meta := base.Metadata()
	if g.Copied {
		file, err := rewrite.Copy(ctx, c.source, g.Tasks, rewrite.Options{Schema: meta.CurrentSchema(),
			Location: meta.Location(), ChangeID: w.change, Profile: c.opts.Parquet.Profile, Places: w.places})
		if err == nil {
			return []iceberg.DataFile{file}, true, nil
		}
		if !errors.Is(err, rewrite.ErrNotCopyable) {
			return nil, false, err
		}
		c.opts.Log.Info("files are decoded", "table", base.String(), "files", len(g.Tasks), "reason", err)
	}
	opts := c.decoded(base, w.change)
	if len(c.opts.ZOrder) > 0 {
		sources := make([]iceberg.DataFile, len(g.Tasks))
		for i, t := range g.Tasks {
			sources[i] = t.File
		}
		if opts.ZOrder, err = table.NewZOrder(meta.CurrentSchema(), c.opts.ZOrder, sources); err != nil {
			return nil, false, err
		}
	}
	files, err = rewrite.Decode(ctx, c.source, g.Tasks, opts, rewrite.Decoding{Places: w.places, Deleted: w.deleted})
	return files, false, err
}

// decoded is how decoded rows become files again.
func (c *Compactor) decoded(base *table.Table, id uuid.UUID) table.WriterOptions {
	meta := base.Metadata()
	parquet := c.opts.Parquet
	if parquet.FileBytesTarget == 0 {
		parquet.FileBytesTarget = c.opts.Policy.TargetBytes
	}
	return table.WriterOptions{Schema: meta.CurrentSchema(), Spec: meta.PartitionSpec(), Sort: meta.SortOrder(),
		Location: meta.Location(), ChangeID: id, Parquet: parquet, Properties: meta.Properties(),
		Memory: c.opts.Memory, SpillDir: c.opts.SpillDir}
}
