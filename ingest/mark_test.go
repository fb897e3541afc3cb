package ingest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/table/tail"
)

// TestReadersLearnHowOldWhatTheySeeIs asks of cuts while records are read, wait for their commit, and pile up.
func TestReadersLearnHowOldWhatTheySeeIs(t *testing.T) {
	w := newWorld(t)
	w.log.Create("events", 2)
	ident := w.create("db.events", eventFields()...)
	opts := w.options(ident, "g")
	opts.Clock = tail.NewSet().Clock([16]byte{1})
	age := func() (time.Duration, bool) {
		through, known := opts.Clock.Through(opts.Committer.Position())
		return w.clock.Sub(through), known
	}
	g := w.ingester(w.log.Join("g", 50, "events"), opts)
	_, known := age()
	require.False(t, known, "nothing was read yet")
	w.steps(g, 5)
	old, known := age()
	require.True(t, known)
	require.Equal(t, time.Second, old, "the topic is empty, and was a second ago")

	w.append(0, events(0, 10)...)
	w.steps(g, 6)
	old, _ = age()
	require.Equal(t, 7*time.Second, old, "since then records wait to be committed")
	w.steps(g, 10)
	old, _ = age()
	require.Equal(t, time.Second, old, "all is committed")

	w.append(1, events(10, 2000)...)
	w.steps(g, 12)
	require.Positive(t, g.Progress().Tables[0].Committed.Inserted-10, "some of the pile is committed")
	old, _ = age()
	require.Equal(t, 13*time.Second, old, "and yet readers miss what came first of the rest")
	w.steps(g, 60)
	old, _ = age()
	require.Equal(t, time.Second, old)
	w.append(1, events(2000, 2500)...)
	w.steps(g, 5)
	old, _ = age()
	require.Equal(t, 6*time.Second, old, "since then the topic partition has not been read to its end")
	w.steps(g, 30)
	old, _ = age()
	require.Equal(t, time.Second, old)
	require.Equal(t, commit.Offset(2490), opts.Committer.Position()[w.log.TopicPartition("events", 1)])
	g.Close(t.Context())
	_, known = age()
	require.False(t, known, "nobody reads any more")
}
