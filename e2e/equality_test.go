//go:build e2e

package e2e

import (
	"context"
	"maps"
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/commit/committest"
	"github.com/firthlake/firth/compaction"
	"github.com/firthlake/firth/table"
)

// deleteEqual deletes the first few rows of the partition "odd" by their ids, as other writers do.
func (k *keyed) deleteEqual(t *testing.T, count int) {
	t.Helper()
	var ids []int64
	for _, id := range slices.Sorted(maps.Keys(k.left)) {
		if id%2 == 1 && len(ids) < count {
			ids = append(ids, id)
			delete(k.left, id)
		}
	}
	require.NoError(t, committest.DeleteEqual(t.Context(), k.catalog, k.store, table.Ident{"db", k.name},
		committest.EqualityDelete{Partition: map[int]any{1000: "odd"}, IDs: ids}))
	require.NoError(t, k.committer.Refresh(t.Context()))
}

// interrupted lets something happen before the first commit.
type interrupted struct {
	*commit.Committer
	before func()
}

func (i *interrupted) Commit(ctx context.Context, change commit.Change) (commit.Committed, error) {
	if i.before != nil {
		i.before()
		i.before = nil
	}
	return i.Committer.Commit(ctx, change)
}

// compact rewrites all files, of which rows are deleted meanwhile.
func (k *keyed) compact(t *testing.T, goes func(id int64) bool) {
	t.Helper()
	late := &interrupted{Committer: k.committer, before: func() { k.remove(t, goes) }}
	compactor, err := compaction.New(late, k.store, compaction.Options{NewID: uuid.New,
		Policy: compaction.DefaultPolicy(nil)})
	require.NoError(t, err)
	report, err := compactor.Run(t.Context())
	require.NoError(t, err)
	require.Equal(t, 2, report.Groups)
	require.Positive(t, report.Rebased)
	require.Positive(t, report.RowsMoved)
	require.Zero(t, report.Stale)
}
