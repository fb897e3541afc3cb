package ingest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What was read is shown at once when nothing more waits, so that who waits for the end of a topic is not
// late, and seldom while there is work or where there are many tables.
func TestProgressIsShownSoonOnceCaughtUp(t *testing.T) {
	now := time.Unix(1000, 0)
	g := &Ingester{opts: Options{Now: func() time.Time { return now }}, tables: make([]*tableState, 1)}
	g.progress.Store(&Progress{At: now})
	require.Equal(t, publishEvery, g.untilShown(true), "nothing happened")
	g.unshown = true
	require.Equal(t, publishEvery, g.untilShown(false), "more is on its way")
	require.Equal(t, 12*time.Millisecond, g.untilShown(true))
	now = now.Add(5 * time.Millisecond)
	require.Equal(t, 7*time.Millisecond, g.untilShown(true))
	now = now.Add(time.Hour)
	require.Zero(t, g.untilShown(true))
	g.progress.Store(&Progress{At: now})
	g.tables = make([]*tableState, 1000)
	require.Equal(t, publishEvery, g.untilShown(true))
}
