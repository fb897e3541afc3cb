package tail_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/tail"
)

// fleet is processes that share the topic partitions of a table, some of which do not know yet that they have lost
// one, and chance.
type fleet struct {
	t         *testing.T
	rng       *rand.Rand
	clock     time.Time
	positions []table.Position // of the table's snapshots, oldest first
	owner     map[table.TopicPartition]*fellow
	fellows   []*fellow
	// foreign counts chunks of others that were shown.
	foreign int
}

// fleetPartitions are the topic partitions that feed the table.
var fleetPartitions = []table.TopicPartition{{Topic: "events"}, {Topic: "events", Partition: 1},
	{Topic: "events", Partition: 2}, {Topic: "events", Partition: 3}}

// fellow is one of the processes.
type fellow struct {
	index   *tail.Index
	feed    *tail.Feed
	read    table.Position // of what it believes to own
	filling *checkpoint
	mirrors map[*fellow]*tail.Mirror
	// shown is what a reader was shown last, behind the snapshot that stores shownAt.
	shown   tail.View
	shownAt table.Position
}

func newFleet(t *testing.T, seed uint64) *fleet {
	f := &fleet{t: t, rng: rand.New(rand.NewPCG(seed, 2)), clock: time.Unix(1_700_000_000, 0),
		positions: []table.Position{{}}, owner: map[table.TopicPartition]*fellow{}}
	for range 3 {
		f.fellows = append(f.fellows, newFellow())
	}
	for _, id := range fleetPartitions {
		f.give(id, f.any())
	}
	return f
}

func newFellow() *fellow {
	m := &fellow{index: tail.NewIndex("mem://lake/db.events"), read: table.Position{},
		mirrors: map[*fellow]*tail.Mirror{}}
	m.feed = m.index.Feed()
	return m
}

func (f *fleet) head() table.Position { return f.positions[len(f.positions)-1] }
func (f *fleet) any() *fellow         { return f.fellows[f.rng.IntN(len(f.fellows))] }

// give makes m the owner of a topic partition, which reads on where the table stands. The one before does not notice.
func (f *fleet) give(id table.TopicPartition, m *fellow) {
	if f.owner[id] != m {
		f.giveUp(m)
		f.owner[id], m.read[id] = m, f.head()[id]
	}
}

func (f *fleet) readOn(m *fellow) {
	for _, id := range fleetPartitions {
		from, reads := m.read[id]
		if !reads || f.rng.IntN(2) == 0 {
			continue
		}
		if m.filling == nil {
			m.filling = &checkpoint{id: uuid.New(), ranges: map[table.TopicPartition]tail.Span{},
				rest: map[table.TopicPartition]tail.Span{}}
		}
		_, known := f.head()[id]
		next := from + 1 + table.Offset(f.rng.Int64N(9))
		for _, spans := range []map[table.TopicPartition]tail.Span{m.filling.ranges, m.filling.rest} {
			span, some := spans[id]
			if !some {
				span = tail.Span{From: from, First: !known && from == 0}
			}
			span.Next = next
			spans[id] = span
		}
		m.read[id] = next
	}
}

func (f *fleet) flush(m *fellow) {
	if m.filling != nil && len(m.filling.rest) > 0 {
		m.feed.Give(tail.Chunk{Change: m.filling.id, Spans: m.filling.rest})
		m.filling.rest = map[table.TopicPartition]tail.Span{}
	}
}

// commit is taken by the table where all begins where it stands; else m learns what it has lost.
func (f *fleet) commit(m *fellow) {
	if m.filling == nil {
		return
	}
	f.flush(m)
	next := maps.Clone(f.head())
	for id, span := range m.filling.ranges {
		if next[id] != span.From {
			f.giveUp(m)
			return
		}
		next[id] = span.Next
	}
	m.filling = nil
	f.positions = append(f.positions, next)
	m.feed.Committed(next, f.clock)
}

// giveUp has m read again what is its own.
func (f *fleet) giveUp(m *fellow) {
	if m.filling != nil {
		m.feed.Withdraw(m.filling.id, f.clock)
	}
	m.filling = nil
	for id := range m.read {
		if m.read[id] = f.head()[id]; f.owner[id] != m {
			delete(m.read, id)
		}
	}
}

// kill begins a process anew; others still have what it told.
func (f *fleet) kill(m *fellow) {
	f.fellows[slices.Index(f.fellows, m)] = newFellow()
	for _, id := range fleetPartitions {
		if f.owner[id] == m {
			f.give(id, f.any())
		}
	}
}

// ask has m hear what another has, or that it is gone.
func (f *fleet) ask(m *fellow) {
	for _, other := range f.fellows {
		if other == m || f.rng.IntN(2) == 0 {
			continue
		}
		if m.mirrors[other] == nil {
			m.mirrors[other] = m.index.Mirror(nil)
		}
		m.mirrors[other].Set(other.index.Tell(), f.clock)
	}
	if f.rng.IntN(3) > 0 {
		return // who is gone may come back
	}
	for other, mirror := range m.mirrors {
		if !slices.Contains(f.fellows, other) {
			mirror.Close(f.clock)
			delete(m.mirrors, other)
		}
	}
}

func (f *fleet) step() {
	f.clock = f.clock.Add(time.Second)
	m := f.any()
	switch n := f.rng.IntN(100); {
	case n < 40:
		f.readOn(m)
	case n < 60:
		f.flush(m)
	case n < 80:
		f.ask(m)
	case n < 90:
		f.commit(m)
	case n < 94:
		f.give(fleetPartitions[f.rng.IntN(len(fleetPartitions))], m)
	case n < 96:
		f.giveUp(m)
	case n < 98:
		f.kill(m)
	default:
		m.index.Forget(f.clock.Add(-time.Minute), f.clock.Add(-10*time.Minute))
	}
}

// look reads the table at a process.
func (f *fleet) look(m *fellow) {
	position := f.positions[max(0, len(f.positions)-1-f.rng.IntN(2))]
	view := m.index.At(position)
	f.check(view, position)
	if maps.Equal(position, m.shownAt) {
		view = m.index.Resume(position, m.shown)
		f.check(view, position)
		for id, next := range m.shown.Cut {
			require.GreaterOrEqual(f.t, view.Cut[id], next, "%s goes back", id)
		}
	}
	m.shown, m.shownAt = view, position
	for _, c := range view.Chunks {
		for id := range c.Spans {
			if _, own := m.read[id]; !own {
				f.foreign++
			}
		}
	}
}

func (f *fleet) check(view tail.View, position table.Position) {
	cut := maps.Clone(position)
	for _, c := range view.Chunks {
		for id, span := range c.Spans {
			require.Equal(f.t, cut[id], span.From, "gap or repetition in %s behind %v", id, position)
			cut[id] = span.Next
		}
	}
	require.Equal(f.t, cut, view.Cut)
}

func TestProcessesOfAFleetShowEachOffsetOnce(t *testing.T) {
	foreign := 0
	for seed := range uint64(100) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			f := newFleet(t, seed)
			for range 400 {
				f.step()
				f.look(f.any())
			}
			foreign += f.foreign
		})
	}
	require.Greater(t, foreign, 100*400/2, "hardly any chunk of others is shown")
}
