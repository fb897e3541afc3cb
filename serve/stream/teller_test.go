package stream

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table/images/imagestest"
)

// BenchmarkChangesOfACommit tells 20,000 updates of a table of a million rows that lie in one file.
func BenchmarkChangesOfACommit(b *testing.B) {
	const rows, updates = 1_000_000, 20_000
	w := newKeyedWorld(b, 1)
	w.bounds = defaultBounds()
	items := make([]imagestest.Item, rows)
	for i := range items {
		items[i] = imagestest.Item{ID: int64(i), Region: "r1", Value: int64(i)}
	}
	w.Commit(imagestest.Step{Add: items})
	behind := Token{Table: w.Meta.TableUUID(), Mark: &Mark{Identifier: identifierOf(w.Meta.CurrentSchema()),
		Sequence: w.Meta.CurrentSnapshot().SequenceNumber}}
	st := imagestest.Step{Remove: map[*imagestest.File][]int{}}
	for i := 0; i < rows; i += rows / updates {
		st.Remove[w.Files[0]] = append(st.Remove[w.Files[0]], i)
		st.Add = append(st.Add, imagestest.Item{ID: int64(i), Region: "r2", Value: int64(-i)})
	}
	w.Commit(st)
	for b.Loop() {
		w.restart()
		sub, err := w.streams.Open(b.Context(), w.Table().Ident(), Request{From: From{Token: &behind}})
		require.NoError(b, err)
		told := int64(0)
		for batch, err := range sub.Rows(b.Context()) {
			require.NoError(b, err)
			if batch == nil {
				break
			}
			told += batch.NumRows()
		}
		require.Equal(b, int64(updates), told)
		sub.Close()
	}
}
