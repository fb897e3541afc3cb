package commit_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/commit/committest"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// branched is a table with a committer, and files for its branches.
type branched struct {
	*testing.T
	catalog   *committest.Catalog
	store     objstore.Store
	committer *commit.Committer
	files     int
}

func newBranched(t *testing.T) *branched {
	b := &branched{T: t, catalog: committest.NewCatalog(), store: objstore.NewMemory(committest.Options(9, "").Now)}
	meta, err := committest.Metadata(2, "mem://lake/db/t", false)
	require.NoError(t, err)
	require.NoError(t, b.catalog.Create(table.Ident{"db", "t"}, meta))
	b.committer = b.open(1)
	return b
}

func (b *branched) open(seed uint64) *commit.Committer {
	c, err := commit.Open(b.Context(), b.catalog, b.store, table.Ident{"db", "t"}, committest.Options(seed, "w"))
	require.NoError(b, err)
	return c
}

// rows is a change of a branch by a file of so many rows.
func (b *branched) rows(after, rows int64) commit.BranchChange {
	b.files++
	id := uuid.NewSHA1(uuid.Nil, []byte{byte(b.files)})
	f, err := committest.DataFile(b.Context(), b.store, b.committer.Table().Metadata(),
		committest.File{Change: id, N: b.files, Rows: rows})
	require.NoError(b, err)
	out := commit.BranchChange{Branch: "side", After: after, ID: id}
	out.Files = append(out.Files, f)
	return out
}

func ranges(rows int64) map[commit.TopicPartition]commit.Range {
	return map[commit.TopicPartition]commit.Range{commit.BackfillOf("x", uuid.Nil, 0): {Next: commit.Offset(rows),
		Counts: commit.Counts{Inserted: rows}}}
}

func TestABranchKeepsOneSnapshotAndIsPromotedOnce(t *testing.T) {
	b := newBranched(t)
	first, err := b.committer.AppendBranch(t.Context(), b.rows(0, 3))
	require.NoError(t, err)
	second, err := b.committer.AppendBranch(t.Context(), b.rows(first, 4))
	require.NoError(t, err)
	require.Len(t, b.committer.Table().Metadata().Snapshots(), 1)
	_, err = b.committer.AppendBranch(t.Context(), b.rows(first, 5))
	require.ErrorIs(t, err, commit.ErrBranch)

	p := commit.Promotion{ID: uuid.NewSHA1(uuid.Nil, []byte("p")), Branch: "side", At: first, Ranges: ranges(7)}
	_, err = b.committer.Promote(t.Context(), p)
	require.ErrorIs(t, err, commit.ErrBranch)
	p.At = second
	_, err = b.open(2).Promote(t.Context(), p)
	require.NoError(t, err)
	_, err = b.committer.Promote(t.Context(), p)
	require.ErrorIs(t, err, commit.ErrBranch)

	meta := b.open(3).Table().Metadata()
	require.Len(t, meta.Snapshots(), 1)
	require.Equal(t, "7", meta.CurrentSnapshot().Summary.Properties["total-records"])
	third, err := b.committer.AppendBranch(t.Context(), b.rows(0, 7))
	require.NoError(t, err)
	p.At, p.ID = third, uuid.NewSHA1(uuid.Nil, []byte("q"))
	_, err = b.committer.Promote(t.Context(), p)
	require.ErrorIs(t, err, commit.ErrFenced, "the ledger has these rows")
	require.NoError(t, b.committer.DropBranch(t.Context(), "side", third))
	require.NoError(t, b.committer.DropBranch(t.Context(), "side", third), "it is gone already")
}

// TestACommitToABranchStopsNobodyOnMain has a catalog that refuses for good what another branch overtook.
func TestACommitToABranchStopsNobodyOnMain(t *testing.T) {
	b := newBranched(t)
	other := b.open(2)
	for i := range int64(3) {
		_, err := other.AppendBranch(t.Context(), commit.BranchChange{Branch: "side" + string(rune('a'+i)),
			ID: uuid.NewSHA1(uuid.Nil, []byte{100, byte(i)})})
		require.NoError(t, err)
		tp := commit.TopicPartition{Cluster: "c", Topic: "t"}
		_, err = b.committer.Commit(t.Context(), commit.Change{ID: uuid.NewSHA1(uuid.Nil, []byte{101, byte(i)}),
			Ranges: map[commit.TopicPartition]commit.Range{tp: {From: commit.Offset(i), Next: commit.Offset(i + 1),
				Counts: commit.Counts{Filtered: 1}}}})
		require.NoError(t, err)
	}
}
