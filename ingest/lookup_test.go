package ingest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/table/point"
)

// lookedUp is a history of which each state of each key is remembered, so that any answer can be held against its
// own cut.
type lookedUp struct {
	plainHistory
	// written counts the records of topic partitions; states are those of keys.
	written map[int32]int64
	states  map[int64][]keyState
	lookups map[*member]*Lookup
	answers map[string]int
}

// keyState is what a key is from an offset of its topic partition on.
type keyState struct {
	from int64
	row  *keyedRow
}

func newLookedUp(w *world, random *rand.Rand, k keyedTable) *keyedChaos {
	c := newPlainChaos(w, random, k)
	c.history = &lookedUp{plainHistory: *c.history.(*plainHistory), written: map[int32]int64{},
		states: map[int64][]keyState{}, lookups: map[*member]*Lookup{}, answers: map[string]int{}}
	return c
}

// next makes a record and remembers what it makes of its key.
func (h *lookedUp) next(c *keyedChaos) {
	before := h.logEnds(c)
	h.plainHistory.next(c)
	for partition, end := range h.logEnds(c) {
		if end == before[partition] {
			continue
		}
		for id := int64(partition); id < 25; id += 3 {
			state := keyState{from: end}
			if row, present := h.rows[id]; present {
				state.row = &row
			}
			h.states[id] = append(h.states[id], state)
		}
	}
}

// logEnds are the next offsets of the topic partitions.
func (h *lookedUp) logEnds(c *keyedChaos) map[int32]int64 {
	out := map[int32]int64{}
	for partition := range int32(3) {
		out[partition] = int64(c.log.End("events", partition))
	}
	return out
}

// at is the newest row of a key before an offset.
func (h *lookedUp) at(id int64, next commit.Offset) *keyedRow {
	var row *keyedRow
	for _, state := range h.states[id] {
		if state.from <= int64(next) {
			row = state.row
		}
	}
	return row
}

// look asks a member for some keys and holds the answer against the model at the answer's cut.
func (h *lookedUp) look(c *keyedChaos, m *member) {
	l := h.lookups[m]
	keys := m.ingester.tables[0].opts.Keyed.Keys
	if l == nil {
		l = keys.Lookup(point.NewReader(m.ingester.opts.Store, 1<<20), c.now)
		h.lookups[m] = l
	}
	schema, err := l.Schema()
	require.NoError(c.t, err)
	var batches []arrow.RecordBatch
	var ids []int64
	for range 1 + c.random.IntN(4) {
		id := c.random.Int64N(25)
		batch, err := point.ParseKey(schema, fmt.Sprint(id))
		require.NoError(c.t, err)
		batches, ids = append(batches, batch), append(ids, id)
	}
	answer, err := l.Get(c.t.Context(), batches)
	if err != nil {
		h.answers["error"]++
		require.False(c.t, c.healed, "%v", err)
		require.False(c.t, strings.Contains(err.Error(), "BUG"), "%v", err)
		require.False(c.t, errors.Is(err, point.ErrKey), "%v", err)
		return
	}
	defer answer.Release()
	for i, id := range ids {
		next := answer.Position[c.log.TopicPartition("events", int32(id%3))]
		want := h.at(id, next)
		var got *keyedRow
		if row := answer.Rows[i]; row != nil {
			got = &keyedRow{longAt(row.Column(0), 0), longAt(row.Column(1), 0), textAt(row.Column(2), 0),
				textAt(row.Column(3), 0)}
		}
		require.Equal(c.t, want, got, "key %d at offset %d of %v, snapshot %d, behind %q", id, next,
			answer.Position, answer.SnapshotID, answer.Behind)
		h.answers[fmt.Sprint("present ", got != nil)]++
		if answer.Behind != "" {
			h.answers["behind"]++
		}
		if next > m.ingester.tables[0].opts.Committer.Position()[c.log.TopicPartition("events", int32(id%3))] {
			h.answers["fresh"]++
		}
	}
}

func TestEachLookUpIsTheNewestRowAtItsCut(t *testing.T) {
	total := map[string]int{}
	for _, seed := range seeds(16) {
		k := keyedTable{version: 2 + int(seed%2), partitioned: seed/2%2 == 1, sequence: seed/4%2 == 1,
			first: seed%8 == 3}
		t.Run(fmt.Sprintf("%d %+v", seed, k), func(t *testing.T) {
			c := newLookedUp(newWorld(t), rand.New(rand.NewPCG(seed, 9)), k)
			c.rewrites = seed%3 > 0
			h := c.history.(*lookedUp)
			for range 150 {
				c.step()
				for _, m := range c.members {
					h.look(c, m)
				}
			}
			for kind, n := range h.answers {
				total[kind] += n
			}
			c.run(0)
		})
	}
	t.Log(total)
	for _, kind := range []string{"present true", "present false", "fresh"} {
		require.Greater(t, total[kind], 100, "%v", total)
	}
	require.Less(t, 10*total["error"], total["fresh"], "%v", total)
}
