package compaction

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
)

// automatic looks after a ground's table; its clock goes on by a minute at every look.
func automatic(t *testing.T, committers ...Committer) (*Automatic, *Metrics) {
	t.Helper()
	var clock time.Time
	m := NewMetrics(prometheus.NewRegistry())
	a, err := NewAutomatic(AutomaticOptions{
		Tables:     func(context.Context) ([]Committer, error) { return committers, nil },
		Store:      committers[0].(interface{ Store() *ground }).Store().store,
		Compaction: Options{NewID: uuid.New},
		Now:        func() time.Time { clock = clock.Add(wholeEvery); return clock },
		Sleep:      func(ctx context.Context, _ time.Duration) error { return ctx.Err() }, Metrics: m})
	require.NoError(t, err)
	return a, m
}

// looked is a ground's committer, whose looks at the newest version are counted.
type looked struct {
	*commit.Committer
	g     *ground
	looks int
	err   error
}

func (l *looked) Store() *ground { return l.g }

func (l *looked) Refresh(ctx context.Context) error {
	l.looks++
	if l.err != nil {
		return l.err
	}
	return l.Committer.Refresh(ctx)
}

func TestAutomaticWaitsForEnoughFiles(t *testing.T) {
	g := newGround(t, 2, true)
	c := &looked{Committer: g.committer, g: g}
	a, m := automatic(t, c)
	step := func() bool {
		more, err := a.Step(t.Context())
		require.NoError(t, err)
		return more
	}
	require.False(t, step())
	require.Zero(t, c.looks, "nothing is in the table")
	g.feed(t, 20, "eu", "us")
	require.False(t, step())
	require.Zero(t, c.looks, "there are two files")
	for range FilesMinAutomatic - 2 {
		g.feed(t, 20, "eu", "us")
	}
	require.False(t, step())
	require.Len(t, g.tasks(t), 2*(FilesMinAutomatic-1))
	require.Equal(t, 1, c.looks)
	require.False(t, step())
	require.Equal(t, 1, c.looks, "the table has not changed")
	g.feed(t, 20, "eu", "us")
	before := g.lines(t, "id", "region")
	require.True(t, step())
	name := c.Table().String()
	require.EqualValues(t, 2*FilesMinAutomatic, testutil.ToFloat64(m.debt.WithLabelValues(name)))
	require.Len(t, g.tasks(t), 1+FilesMinAutomatic, "a partition at a time")
	require.False(t, step())
	require.Len(t, g.tasks(t), 2)
	require.False(t, step())
	require.Zero(t, testutil.ToFloat64(m.debt.WithLabelValues(name)))
	require.EqualValues(t, 2, testutil.ToFloat64(m.groups.WithLabelValues(name, "decoded")))
	require.Equal(t, before, g.lines(t, "id", "region"))
	g.prove(t)
}

func TestAutomaticTakesMoreWhenMuchIsLeft(t *testing.T) {
	g := newGround(t, 2, false)
	for range 2 * debtFiles {
		g.feed(t, 1, "eu")
	}
	a, m := automatic(t, &looked{Committer: g.committer, g: g})
	require.InDelta(t, ShareDefault, testutil.ToFloat64(m.share), 1e-9)
	_, err := a.Step(t.Context())
	require.NoError(t, err)
	require.InDelta(t, 2*ShareDefault, testutil.ToFloat64(m.share), 1e-9)
	require.Len(t, g.tasks(t), 1)
}

func TestAutomaticGoesOnWithOtherTables(t *testing.T) {
	g := newGround(t, 3, false)
	for range FilesMinAutomatic {
		g.feed(t, 10, "eu")
	}
	broken := &looked{Committer: g.open(t, 5), g: g, err: errors.New("no answer")}
	a, m := automatic(t, broken, &looked{Committer: g.committer, g: g})
	_, err := a.Step(t.Context())
	require.NoError(t, err)
	require.Len(t, g.tasks(t), 1)
	require.EqualValues(t, 1, testutil.ToFloat64(m.groups.WithLabelValues(broken.Table().String(), "failed")))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, a.Run(ctx), context.Canceled)
}

func TestTablesThatChangeAreLookedAtMoreOften(t *testing.T) {
	g := newGround(t, 2, false)
	var idle []float64
	looks := 0
	a, err := NewAutomatic(AutomaticOptions{Store: g.store, Compaction: Options{NewID: uuid.New}, Every: time.Second,
		Now:    func() time.Time { return time.Time{} },
		Tables: func(context.Context) ([]Committer, error) { looks++; return []Committer{g.committer}, nil },
		Sleep:  func(context.Context, time.Duration) error { return nil },
		Idle: func(_ context.Context, d time.Duration) error {
			switch idle = append(idle, d.Seconds()); len(idle) {
			case 8:
				g.feed(t, 1, "eu") // which wakes it
			case 10:
				return context.Canceled
			}
			return nil
		}})
	require.NoError(t, err)
	require.ErrorIs(t, a.Run(t.Context()), context.Canceled)
	require.Equal(t, []float64{1, 3, 7, 15, 31, 59, 59, 59, 1, 3}, idle)
	require.Equal(t, 1+len(idle), looks, "the table that changed was looked at again after a second")
}

func TestSmallFilesGatherForAMinute(t *testing.T) {
	g := newGround(t, 2, true)
	a, _ := automatic(t, &looked{Committer: g.committer, g: g})
	clock := a.opts.Now()
	a.opts.Now = func() time.Time { return clock }
	step := func() int {
		_, err := a.Step(t.Context())
		require.NoError(t, err)
		return len(g.tasks(t))
	}
	feed := func() {
		for range FilesMinAutomatic {
			g.feed(t, 20, "eu")
		}
	}
	feed()
	require.Equal(t, 1, step(), "the first look is whole")
	feed()
	clock = clock.Add(wholeEvery / 2)
	require.Equal(t, 1+FilesMinAutomatic, step())
	clock = clock.Add(wholeEvery)
	require.Equal(t, 1, step())
	g.prove(t)
}
