package compaction

import "sync"

// Debt is what compaction is behind with, for those who make the files: when it gets all the time that it may and
// files pile up all the same, commits are spaced out, so that fewer files come. Its methods may be called from
// many goroutines.
type Debt struct {
	mu      sync.Mutex // guards what follows
	stretch map[string]float64
}

// NewDebt returns a debt of nothing.
func NewDebt() *Debt { return &Debt{stretch: map[string]float64{}} }

// Stretch is by how much the time between commits of a table should be stretched, 1 or more. Whoever commits bounds it.
func (d *Debt) Stretch(table string) float64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return max(1, d.stretch[table])
}

// set notes what waits in a table and returns the stretch of before and now.
func (d *Debt) set(table string, stretch float64) (before float64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	before = max(1, d.stretch[table])
	if stretch > 1 {
		d.stretch[table] = stretch
	} else {
		delete(d.stretch, table)
	}
	return before
}

// shareOf is the share of a core for so many files that wait: more from debtFiles on, up to a core.
func shareOf(share float64, files int) float64 {
	return min(1, share*max(1, float64(files)/debtFiles))
}

// stretchOf is what freshness gives for so many files: from where compaction has a whole core, twice the time
// between commits for twice the files. It follows the debt without a memory of its own, and the debt follows it
// within minutes, so the two settle where as many files come as go, and do not swing.
func stretchOf(share float64, files int) float64 {
	return max(1, share*float64(files)/debtFiles)
}
