package ingest

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/decode"
	"github.com/firthlake/firth/ingest/source"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/filter"
)

// TestRecordsAreSortedAlikeOneByOneAndTogether compares the way that looks at each record with the one
// that counts sets of them, for chunks with gaps, tombstones and filters, begun anywhere.
func TestRecordsAreSortedAlikeOneByOneAndTogether(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for range 500 {
		chunk := &source.Chunk{}
		offset := commit.Offset(random.IntN(100))
		chunk.From = offset
		for range random.IntN(200) {
			r := source.Record{Offset: offset, Timestamp: random.Int64()}
			if random.IntN(10) > 0 {
				r.Value = []byte("{}")
			}
			chunk.Records = append(chunk.Records, r)
			offset += commit.Offset(1 + random.IntN(3))
		}
		chunk.Next = offset
		from := chunk.From + commit.Offset(random.IntN(int(chunk.Next-chunk.From)+1))
		var selected *filter.Selection
		if random.IntN(3) > 0 {
			selected = &filter.Selection{}
			selected.Reset(len(chunk.Records))
			for i := range chunk.Records {
				if random.IntN(3) > 0 {
					selected.Remove(i)
				}
			}
		}
		together := &worker{}
		together.findValues(chunk.Records)
		all := &portion{chunk: chunk, part: commit.Range{From: from, Next: chunk.Next}}
		together.sort(all, nil, selected)

		oneByOne := &worker{}
		each := &portion{chunk: chunk, part: all.part}
		each.part.Counts = commit.Counts{}
		first := 0
		for first < len(chunk.Records) && chunk.Records[first].Offset < from {
			first++
		}
		oneByOne.keep.Reset(len(chunk.Records))
		for i := range first {
			oneByOne.keep.Remove(i)
		}
		oneByOne.sortEach(each, first, make([]*decode.Failure, len(chunk.Records)), selected)
		each.part.Counts.Absent = int64(chunk.Next-from) - each.part.Counts.Sum()

		require.Equal(t, each.part, all.part)
		require.Equal(t, each.newest, all.newest)
		require.Equal(t, oneByOne.keep.AppendRows(nil), together.keep.AppendRows(nil))
		require.EqualValues(t, each.part.Counts.Inserted, together.keep.Count())
	}
}

// TestMemoryPressureCutsNoCheckpoint reads three times what the budget holds into three tables.
func TestMemoryPressureCutsNoCheckpoint(t *testing.T) {
	const perTable = 400
	w := newWorld(t)
	w.log.Create("events", 1)
	var tables []TableOptions
	var idents []table.Ident
	for i := range 3 {
		ident := w.create(fmt.Sprintf("db.t%d", i), eventFields()...)
		opts := w.options(ident, "g")
		var err error
		opts.Filter, err = filter.Parse(fmt.Sprintf("id >= %d AND id < %d", i*perTable, (i+1)*perTable))
		require.NoError(t, err)
		idents, tables = append(idents, ident), append(tables, opts)
	}
	budget := table.NewBudget(16 << 20)
	g := w.ingester(w.log.Join("g", 100, "events"), tables...)
	g.opts.Budget = budget
	for row := range perTable {
		for i := range tables {
			w.append(0, fmt.Sprintf(`{"id":%d,"name":"%s"}`, i*perTable+row, strings.Repeat("abcd", 10<<10)))
		}
	}
	var most int64
	for range 20 { // in less than the interval
		require.NoError(t, g.Step(t.Context()))
		most = max(most, budget.Used())
	}
	for _, shown := range g.Progress().Tables {
		require.EqualValues(t, perTable, shown.Read.Inserted)
		require.Zero(t, shown.Commits)
	}
	require.Less(t, most, budget.Limit())
	w.steps(g, 20)
	for i, ident := range idents {
		require.Len(t, rows(w, ident, "id", longAt), perTable)
		require.EqualValues(t, 1, g.Progress().Tables[i].Commits)
	}
	g.Close(t.Context())
	require.Zero(t, budget.Used())
}
