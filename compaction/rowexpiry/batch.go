package rowexpiry

import (
	"context"
	"errors"
	"slices"

	"github.com/apache/iceberg-go"
	"github.com/google/uuid"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
	"github.com/firthlake/firth/table/vector"
)

// batch is what one commit takes out.
type batch struct {
	store  objstore.Store
	newID  func() uuid.UUID
	whole  []table.Task
	parts  []part
	change commit.Change
	// wrote are the deletes of each try. Those of the last one land, if it does.
	wrote [][]iceberg.DataFile
}

// rows is how many rows leave as far as was known when they were found.
func (b *batch) rows() (n int64) {
	for _, task := range b.whole {
		n += rows(task)
	}
	for _, p := range b.parts {
		n += int64(len(p.positions))
	}
	return n
}

// commit lands the batch.
func (b *batch) commit(ctx context.Context, committer Committer) (commit.Committed, error) {
	for _, task := range b.whole {
		b.change.Removed = append(b.change.Removed, task.File)
	}
	for _, p := range b.parts {
		b.change.Expiry.Files = append(b.change.Expiry.Files, p.task.File)
	}
	b.change.Rebase = b.deletes
	landed, err := committer.Commit(ctx, b.change)
	if err != nil && !errors.Is(err, commit.ErrStateUnknown) {
		err = errors.Join(err, table.Discard(ctx, b.store, slices.Concat(b.wrote...)))
	}
	return landed, err
}

// deletes is commit.Rebase: it adds the old rows to what is deleted now.
func (b *batch) deletes(ctx context.Context, head *table.Table, entries []table.Entry) ([]iceberg.DataFile, error) {
	tasks := make([]table.Task, len(b.parts))
	for i, p := range b.parts {
		tasks[i] = p.task
	}
	now, err := table.WithDeletes(tasks, entries)
	if err != nil {
		return nil, err
	}
	targets := make([]vector.Target, len(b.parts))
	for i, p := range b.parts {
		targets[i] = vector.Target{File: p.task.File, Positions: p.positions, Before: now[i].Deletes}
	}
	// An id for each call: what an earlier one wrote may be in a snapshot by now.
	made, err := vector.Write(ctx, b.store, vector.Options{Metadata: head.Metadata(), ChangeID: b.newID(),
		Read: table.ReadDeletes}, targets)
	if err == nil && len(made) > 0 {
		b.wrote = append(b.wrote, made)
	}
	return made, err
}

// lost returns the deletes of the tries that did not land.
func (b *batch) lost() []iceberg.DataFile {
	if len(b.wrote) == 0 {
		return nil
	}
	return slices.Concat(b.wrote[:len(b.wrote)-1]...)
}
