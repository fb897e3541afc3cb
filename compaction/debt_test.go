package compaction

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestDebtSettlesWithoutSwinging plays minutes of ingest and compaction: files come at a rate that the stretch of the
// minute divides, up to a bound, and go as compaction's share of a core allows.
func TestDebtSettlesWithoutSwinging(t *testing.T) {
	const share, perCore, stretchMax = ShareDefault, 100.0, 6.0
	play := func(debt *Debt, files, rate float64, minutes int) (float64, []float64) {
		var stretches []float64
		for range minutes {
			debt.set("t", stretchOf(share, int(files)))
			stretch := min(stretchMax, debt.Stretch("t"))
			files = max(0, files+rate/stretch-perCore*shareOf(share, int(files)))
			stretches = append(stretches, stretch)
		}
		return files, stretches
	}
	// turns is how often values change their direction by more than a file or two.
	turns := func(values []float64) (n int) {
		top, low, up := values[0], values[0], true
		for _, v := range values {
			switch {
			case up && v < top-0.02:
				n, up, low = n+1, false, v
			case !up && v > low+0.02:
				n, up, top = n+1, true, v
			}
			top, low = max(top, v), min(low, v)
		}
		return n
	}
	for _, rate := range []float64{20, 60, 100, 150, 300, 590} {
		debt := NewDebt()
		files, stretches := play(debt, 0, rate, 2000)
		last := stretches[len(stretches)-1]
		require.LessOrEqual(t, turns(stretches), 2, "rate %v", rate)
		require.InDelta(t, max(1, rate/perCore), last, 0.1, "rate %v: as many files come as go", rate)
		require.InDelta(t, max(0, debtFiles/share*last), files, debtFiles/share*last, "rate %v", rate)
		for i := 1; i < len(stretches); i++ {
			require.Less(t, math.Abs(stretches[i]-stretches[i-1]), 1.5)
		}
		// The load is over: freshness comes back, at once from where there is no debt.
		_, back := play(debt, files, 10, 3000)
		require.LessOrEqual(t, turns(back), 1)
		require.Equal(t, 1.0, back[len(back)-1])
	}
	// Beyond the bound files pile up, and commits come no further apart than it.
	_, stretches := play(NewDebt(), 0, 2000, 500)
	require.Equal(t, stretchMax, stretches[len(stretches)-1])
}

func TestCompactionHasAWholeCoreBeforeFreshnessGivesWay(t *testing.T) {
	for _, share := range []float64{0.05, ShareDefault, 1} {
		share0, stretch0 := 0.0, 0.0
		for files := range 4000 {
			part, stretch := shareOf(share, files), stretchOf(share, files)
			require.GreaterOrEqual(t, part, share0)
			require.GreaterOrEqual(t, stretch, stretch0)
			if stretch > 1 {
				require.InDelta(t, 1, part, 1e-9)
			}
			share0, stretch0 = part, stretch
		}
	}
	d := NewDebt()
	require.Equal(t, 1.0, d.set("a", 3))
	require.Equal(t, 3.0, d.Stretch("a"))
	require.Equal(t, 1.0, d.Stretch("b"))
	require.Equal(t, 3.0, d.set("a", 0.5))
	require.Equal(t, 1.0, d.Stretch("a"))
}
