package ingest

import (
	"maps"
	"slices"
	"time"

	"github.com/firthlake/firth/commit"
)

// Progress is what the ingester has done since it was made. It is a value that does not change.
type Progress struct {
	At     time.Time
	Tables []TableProgress
	// Troubles are what the source goes on retrying, in the order of their texts.
	Troubles []string
}

// TableProgress is the progress of one table.
type TableProgress struct {
	Table string
	State State
	// Trouble is why the table is stopped or stands by, or what is being retried; "" when all is well.
	Trouble string
	// Read counts what became of the records read, Committed of those committed.
	Read, Committed commit.Counts
	// Commits and Files count those of this process.
	Commits, Files int64
	// RowsPerSecond is the rate of reading over the last second or so.
	RowsPerSecond float64
	// UncommittedAge is the age of the oldest buffer that is not committed.
	UncommittedAge time.Duration
	// CommittedThrough is the timestamp of the newest record committed, LastCommit when the last
	// commit landed; zero before the first.
	CommittedThrough, LastCommit time.Time
	// TopicPartitions is how many are assigned.
	TopicPartitions int
	DeadLetterTable string
}

// Progress returns the newest progress.
func (g *Ingester) Progress() Progress { return *g.progress.Load() }

// tally is what a table's progress is made of.
type tally struct {
	read, committed commit.Counts
	commits, files  int64
	newest          int64
	lastCommit      time.Time

	sampled time.Time
	rows    int64
	rate    float64
}

func (t *tally) add(c commit.Counts) { t.read = t.read.Add(c) }

func (t *tally) landed(b *buffer, now time.Time) {
	t.lastCommit = now
	t.committed = t.committed.Add(b.counts)
	t.commits++
	t.files += int64(len(b.files))
	t.newest = max(t.newest, b.newest)
}

// sample brings the rate up to date, once a second.
func (t *tally) sample(now time.Time) {
	if elapsed := now.Sub(t.sampled); elapsed >= time.Second {
		if !t.sampled.IsZero() {
			t.rate = float64(t.read.Inserted-t.rows) / elapsed.Seconds()
		}
		t.sampled, t.rows = now, t.read.Inserted
	}
}

// publishEvery is how often Progress changes, and the longest that the applying side sleeps. Once all
// that was read is applied, what came of it is shown after caughtUpEvery, which is longer with many
// tables: each costs a few microseconds.
const (
	publishEvery       = 200 * time.Millisecond
	caughtUpEvery      = 10 * time.Millisecond
	caughtUpEveryTable = 2 * time.Millisecond
)

// untilShown is how long what happened may stay unseen.
func (g *Ingester) untilShown(caughtUp bool) time.Duration {
	every := publishEvery
	if caughtUp && g.unshown {
		every = min(publishEvery, caughtUpEvery+time.Duration(len(g.tables))*caughtUpEveryTable)
	}
	return max(0, g.progress.Load().At.Add(every).Sub(g.opts.Now()))
}

// publishSoon shows the progress to others unless that was done a moment ago.
func (g *Ingester) publishSoon(caughtUp bool) {
	if g.untilShown(caughtUp) == 0 {
		g.publish(caughtUp)
	}
}

// publish shows the progress to others.
func (g *Ingester) publish(caughtUp bool) {
	now := g.opts.Now()
	g.markAll(caughtUp, now)
	p := &Progress{At: now, Troubles: slices.Sorted(maps.Keys(g.troubles))}
	for _, t := range g.tables {
		t.tally.sample(now)
		shown := t.show(now)
		t.gauges.show(&shown)
		p.Tables = append(p.Tables, shown)
	}
	g.progress.Store(p)
	g.unshown = false
}

func (t *tableState) show(now time.Time) TableProgress {
	p := TableProgress{
		Table: t.name, State: t.state, Read: t.tally.read, Committed: t.tally.committed,
		Commits: t.tally.commits, Files: t.tally.files, RowsPerSecond: t.tally.rate,
		LastCommit: t.tally.lastCommit, TopicPartitions: len(t.next), DeadLetterTable: t.deadLetters,
	}
	if t.tally.newest > 0 {
		p.CommittedThrough = time.UnixMilli(t.tally.newest)
	}
	for _, b := range []*buffer{t.filling, t.committing} {
		if b != nil {
			p.UncommittedAge = now.Sub(b.opened)
		}
	}
	switch {
	case t.stopped != nil:
		p.Trouble = t.stopped.Error()
	case t.health != nil:
		p.Trouble = t.health.Error()
	}
	return p
}
