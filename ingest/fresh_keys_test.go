package ingest

import (
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table/keyindex"
)

// Rows of a key are all that were there, in their order, whoever adds meanwhile.
func TestRowsAreFoundByKeyWhileOthersAreAdded(t *testing.T) {
	const rows = 5*runRowsMax + 7
	random := rand.New(rand.NewPCG(1, 2))
	model, order := map[keyindex.Key][]int32{}, make([]keyindex.Key, rows)
	for i := range order {
		order[i] = keyindex.Key{High: 1, Low: random.Uint64N(rows / 3)}
		model[order[i]] = append(model[order[i]], int32(i))
	}
	made := new(madeKeys)
	found := func(m *madeKeys, key keyindex.Key, most int) {
		var want []int32
		for _, row := range model[key] {
			if int(row) < most {
				want = append(want, row)
			}
		}
		require.Equal(t, want, m.rows(key, most))
	}
	var readers sync.WaitGroup
	for from := 0; from < rows; {
		next := *made
		to := min(rows, from+1+random.IntN(3*runRowsMin))
		next.add(order[from:to])
		from, made = to, &next
		seen := next
		readers.Go(func() {
			for i := range 50 {
				found(&seen, order[(i*7919)%rows], seen.count)
				found(&seen, order[(i*7919)%rows], seen.count/2)
			}
		})
	}
	readers.Wait()
	for i := range rows {
		if i%97 == 0 {
			found(made, order[i], rows)
		}
	}
	require.Empty(t, made.rows(keyindex.Key{High: 2}, rows))
	require.Equal(t, rows, made.count)
	require.Less(t, len(made.runs), 12)
}
