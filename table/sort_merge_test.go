package table

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// textKeys are sorted keys with many that begin alike.
func textKeys(r *rand.Rand, n int) (keys sortKeys, texts []string) {
	for range n {
		text := make([]byte, 1+r.IntN(12))
		for i := range text {
			text[i] = "ab"[r.IntN(2)]
		}
		texts = append(texts, string(text))
	}
	slices.Sort(texts)
	for _, text := range texts {
		keys.data = append(keys.data, text...)
		keys.ends = append(keys.ends, len(keys.data))
	}
	return keys, texts
}

func TestMergeTakesTheLeastRowOfManyCursors(t *testing.T) {
	type row struct {
		text   string
		cursor int
	}
	r := rand.New(rand.NewPCG(9, 9))
	for round := range 40 {
		var want []row
		var m merge
		for i := range 1 + round%9 {
			keys, texts := textKeys(r, r.IntN(30)*min(1, r.IntN(4)))
			m.cursors = append(m.cursors, cursor{keys: &keys, end: len(texts)})
			for _, text := range texts {
				want = append(want, row{text, i})
			}
		}
		slices.SortStableFunc(want, func(a, b row) int { return cmp.Compare(a.text, b.text) })
		var got []row
		m.begin()
		for {
			i, rows := m.least()
			if rows == 0 {
				break
			}
			c := &m.cursors[i]
			for range rows {
				got = append(got, row{string(c.keys.at(c.row)), i})
				c.row++
			}
			m.moved(i)
		}
		require.Equal(t, want, got)
	}
}
