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

// checkpoint is what a process has read since its last cut.
type checkpoint struct {
	id     uuid.UUID
	ranges map[table.TopicPartition]tail.Span // all of it
	rest   map[table.TopicPartition]tail.Span // in no chunk yet
}

// history is a table, the process that ingests it, and chance.
type history struct {
	t     *testing.T
	rng   *rand.Rand
	clock time.Time

	// positions are those of the table's snapshots, oldest first; begins is where each topic partition began.
	positions []table.Position
	begins    table.Position

	index               *tail.Index
	feed                *tail.Feed
	read                table.Position // of the process
	all                 bool           // pieces of all that is read are handed over
	pieces              int            // that were shown
	shown               tail.View      // some time ago
	shownAt             table.Position // of the snapshot before it
	carried             int            // chunks that were withdrawn and shown again
	filling, committing *checkpoint
}

func newHistory(t *testing.T, seed uint64) *history {
	h := &history{t: t, rng: rand.New(rand.NewPCG(seed, 1)), clock: time.Unix(1_700_000_000, 0),
		positions: []table.Position{{}}, begins: table.Position{}}
	h.start()
	return h
}

func (h *history) head() table.Position { return h.positions[len(h.positions)-1] }

// start is a process that knows of nothing but the table.
func (h *history) start() {
	h.index = tail.NewIndex("mem://lake/db.events")
	h.shown, h.shownAt = tail.View{}, nil
	h.feed = h.index.Feed()
	h.read, h.filling, h.committing = maps.Clone(h.head()), nil, nil
}

func (h *history) id() uuid.UUID {
	return uuid.NewSHA1(uuid.Nil, fmt.Appendf(nil, "%d", h.rng.Uint64()))
}

func (h *history) anyPartition() table.TopicPartition {
	return table.TopicPartition{Topic: "events", Partition: h.rng.Int32N(4)}
}

func (h *history) readOn() {
	if h.filling == nil {
		h.filling = &checkpoint{id: h.id(), ranges: map[table.TopicPartition]tail.Span{},
			rest: map[table.TopicPartition]tail.Span{}}
	}
	id := h.anyPartition()
	from, known := h.read[id]
	if !known {
		if _, begun := h.begins[id]; !begun {
			h.begins[id] = table.Offset(h.rng.Int64N(100))
		}
		from = h.begins[id]
	}
	next := from + 1 + table.Offset(h.rng.Int64N(9))
	h.read[id] = next
	if h.rng.IntN(4) > 0 || h.all {
		h.feed.Add(tail.Piece{Change: h.filling.id, TopicPartition: id, SchemaID: h.rng.IntN(2),
			Span: tail.Span{From: from, Next: next, First: !known}})
	}
	for _, spans := range []map[table.TopicPartition]tail.Span{h.filling.ranges, h.filling.rest} {
		span, some := spans[id]
		if !some {
			span = tail.Span{From: from, First: !known}
		}
		span.Next = next
		spans[id] = span
	}
}

// flush makes a chunk of what is in none, the older checkpoint first.
func (h *history) flush() {
	for _, c := range []*checkpoint{h.committing, h.filling} {
		if c != nil && len(c.rest) > 0 {
			h.feed.Give(tail.Chunk{Change: c.id, Spans: c.rest})
			c.rest = map[table.TopicPartition]tail.Span{}
			return
		}
	}
}

func (h *history) cut() {
	if h.committing == nil {
		h.committing, h.filling = h.filling, nil
	}
}

// land commits. The process hears of it now, later, or never.
func (h *history) land() {
	if h.committing == nil {
		return
	}
	position := maps.Clone(h.head())
	for id, span := range h.committing.ranges {
		if next, known := position[id]; known && next != span.From {
			h.giveUp() // another process was faster
			return
		}
		position[id] = span.Next
	}
	h.positions = append(h.positions, position)
	h.committing = nil
	if h.rng.IntN(3) > 0 {
		h.feed.Committed(position, h.clock)
	}
}

// giveUp drops what is not committed and reads it again.
func (h *history) giveUp() {
	for _, c := range []*checkpoint{h.committing, h.filling} {
		if c != nil {
			h.feed.Withdraw(c.id, h.clock)
		}
	}
	h.read, h.filling, h.committing = maps.Clone(h.head()), nil, nil
}

// foreign is a commit of another process that had the topic partition for a while.
func (h *history) foreign() {
	position := maps.Clone(h.head())
	id := h.anyPartition()
	from, known := position[id]
	if !known {
		return
	}
	position[id] = from + 1 + table.Offset(h.rng.Int64N(9))
	h.positions = append(h.positions, position)
}

func (h *history) step() {
	h.clock = h.clock.Add(time.Second)
	switch n := h.rng.IntN(100); {
	case n < 50:
		h.readOn()
	case n < 75:
		h.flush()
	case n < 84:
		h.cut()
	case n < 93:
		h.land()
	case n < 95:
		h.giveUp()
	case n < 96:
		h.foreign()
	case n < 97:
		h.feed.Close(h.clock)
		h.start()
	default:
		h.index.Forget(h.clock.Add(-time.Minute), h.clock.Add(-time.Minute))
	}
}

// check looks at the tail behind one of the table's last snapshots.
func (h *history) check() {
	back := h.rng.IntN(min(3, len(h.positions)))
	position := h.positions[len(h.positions)-1-back]
	before := maps.Clone(position)
	view := h.index.At(position)
	require.Equal(h.t, before, position, "the position was changed")
	h.checkView(view, position)
	newest := h.index.Newest(position, func(int) bool { return true })
	h.checkView(newest, position)
	require.Equal(h.t, view.Numbers(), newest.Numbers(), "other chunks")
	h.pieces += len(newest.Pieces)
	h.checkResumed(position, view)
	old := h.index.Newest(position, func(id int) bool { return id == 0 })
	h.checkView(old, position)
	for _, p := range old.Pieces {
		require.Zero(h.t, p.SchemaID)
	}
}

// checkResumed looks at the tail that goes on from what was shown: behind the same snapshot it does not go back.
func (h *history) checkResumed(position table.Position, view tail.View) {
	resumed := h.index.Resume(position, h.shown)
	h.checkView(resumed, position)
	newest := h.index.ResumeNewest(position, func(int) bool { return true }, h.shown)
	h.checkView(newest, position)
	if maps.Equal(position, h.shownAt) {
		for id, next := range h.shown.Cut {
			require.GreaterOrEqual(h.t, resumed.Cut[id], next, "%s goes back", id)
		}
	}
	for _, number := range resumed.Numbers() {
		if !slices.Contains(view.Numbers(), number) {
			h.carried++
		}
	}
	if h.rng.IntN(4) == 0 {
		h.shown, h.shownAt = view, position
	}
}

// checkView checks that a view goes on from a position without gap and repetition.
func (h *history) checkView(view tail.View, position table.Position) {
	cut := maps.Clone(position)
	advance := func(id table.TopicPartition, span tail.Span) {
		at, known := cut[id]
		if !known {
			at = h.begins[id]
		}
		require.Equal(h.t, at, span.From, "gap or repetition in %s behind %v", id, position)
		cut[id] = span.Next
	}
	for _, c := range view.Chunks {
		for id, span := range c.Spans {
			advance(id, span)
		}
	}
	for _, p := range view.Pieces {
		advance(p.TopicPartition, p.Span)
	}
	require.Equal(h.t, cut, view.Cut)
}

func TestTailGoesOnExactlyWhereASnapshotEnds(t *testing.T) {
	shown, pieces, carried := 0, 0, 0
	for seed := range uint64(100) {
		h := newHistory(t, seed)
		for range 400 {
			h.step()
			h.check()
			shown += len(h.index.At(h.head()).Chunks)
		}
		pieces += h.pieces
		carried += h.carried
	}
	require.Greater(t, carried, 100*10, "the histories show hardly any chunk again")
	require.Greater(t, shown, 100*400/2, "the histories show hardly any chunk")
	require.Greater(t, pieces, 100*400/2, "the histories show hardly any piece")
}

func TestTailReachesAllThatWasHandedOver(t *testing.T) {
	for seed := range uint64(100) {
		h := newHistory(t, seed)
		h.all = true
		for range 200 {
			switch n := h.rng.IntN(10); {
			case n < 5:
				h.readOn()
			case n < 8:
				h.flush()
			case n < 9:
				h.cut()
			default:
				h.land()
			}
			knows := func(int) bool { return true }
			require.Equal(t, h.read, h.index.Newest(h.head(), knows).Cut)
			for range 3 {
				h.flush()
			}
			require.Empty(t, h.index.Newest(h.head(), knows).Pieces, "they are in chunks")
			require.Equal(t, h.read, h.index.At(h.head()).Cut)
		}
	}
}

func chunk(change byte, from, next table.Offset) tail.Chunk {
	return tail.Chunk{Change: uuid.UUID{change},
		Spans: map[table.TopicPartition]tail.Span{{Topic: "events"}: {From: from, Next: next}}}
}

func TestCoveredChunksStayForReadersOfOlderSnapshots(t *testing.T) {
	x := tail.NewIndex("mem://lake/db.events")
	feed := x.Feed()
	id := table.TopicPartition{Topic: "events"}
	feed.Give(chunk(1, 10, 20))
	begun := time.Unix(1_700_000_000, 0)
	feed.Committed(table.Position{id: 20}, begun)
	require.Empty(t, x.Forget(begun, begun))
	require.Len(t, x.At(table.Position{id: 10}).Chunks, 1)
	require.Empty(t, x.At(table.Position{id: 20}).Chunks)
	x.Forget(begun.Add(time.Second), begun.Add(time.Second))
	require.Empty(t, x.At(table.Position{id: 10}).Chunks)
}

func TestAChunkThatBeginsBeforeTheCutIsNotShown(t *testing.T) {
	x := tail.NewIndex("mem://lake/db.events")
	x.Feed().Give(chunk(1, 10, 20))
	require.Empty(t, x.At(table.Position{{Topic: "events"}: 15}).Chunks)
	require.Empty(t, x.At(table.Position{{Topic: "events"}: 5}).Chunks)
	require.Empty(t, x.At(table.Position{}).Chunks, "the table may have had the rows before it")
}

func TestAClosedFeedLeavesNothingUncommitted(t *testing.T) {
	x := tail.NewIndex("mem://lake/db.events")
	one, two := x.Feed(), x.Feed()
	one.Give(chunk(1, 10, 20))
	one.Close(time.Unix(1_700_000_000, 0))
	require.Empty(t, x.At(table.Position{{Topic: "events"}: 10}).Chunks)
	require.True(t, x.Fed())
	two.Close(time.Unix(1_700_000_000, 0))
	require.False(t, x.Fed())
}

func TestViewsOfTheSameChunksAreTheSame(t *testing.T) {
	x := tail.NewIndex("mem://lake/db.events")
	feed := x.Feed()
	at := table.Position{{Topic: "events"}: 10}
	empty := x.At(at)
	feed.Give(chunk(1, 10, 20))
	one, again := x.At(at), x.At(at)
	require.True(t, one.Same(&again))
	require.False(t, one.Same(&empty))
	feed.Withdraw(uuid.UUID{1}, time.Unix(1_700_000_000, 0))
	feed.Give(chunk(2, 10, 20))
	again = x.At(at)
	require.False(t, one.Same(&again), "other files")
	require.True(t, slices.Equal([]table.Offset{20}, slices.Collect(maps.Values(again.Cut))))
}
