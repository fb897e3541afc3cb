package compaction

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/filter"
)

// filesOf is how many files hold rows for which text may be true.
func (g *ground) filesOf(t testing.TB, text string) int {
	rows, err := filter.Parse(text)
	require.NoError(t, err)
	tasks, err := table.Plan(t.Context(), g.table(t), g.store, table.Scan{Filter: rows})
	require.NoError(t, err)
	return len(tasks)
}

// TestZOrderOfAWholeTableKeepsItsRows puts a table of files in z-order, beside updates, and counts the files that
// look-ups by each column read.
func TestZOrderOfAWholeTableKeepsItsRows(t *testing.T) {
	g := newGround(t, 3, false)
	regions := make([]string, 100)
	for i := range regions {
		regions[i] = string([]rune{'r', rune('a' + i*7%26), rune('a' + i*11%26), rune('a' + i%26)})
	}
	for range 8 {
		g.feed(t, 12_000, regions...)
	}
	columns := []string{"id", "region", table.ColumnRowID, table.ColumnLastUpdated}
	before := g.lines(t, columns...)
	opts := options()
	opts.ZOrder = []string{"region", "id"}
	opts.Policy.Whole = true
	opts.Policy.TargetBytes = 4 << 10
	opts.Parquet.RowGroupRows = 4000
	report := g.compact(t, opts)
	require.Zero(t, report.Copied)
	require.Equal(t, before, g.lines(t, columns...))
	files := len(g.tasks(t))
	require.GreaterOrEqual(t, files, 6)
	require.LessOrEqual(t, g.filesOf(t, "id = 12345"), files*2/3)
	require.LessOrEqual(t, g.filesOf(t, "region = '"+regions[42]+"'"), files*2/3)
	g.prove(t)
	opts.ZOrder = []string{"id", "when"}
	c, err := New(g.committer, g.store, opts)
	require.NoError(t, err)
	_, err = c.Run(t.Context())
	require.ErrorContains(t, err, "no column when")
	require.NotErrorIs(t, err, commit.ErrStale)
}
