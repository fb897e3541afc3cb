package upsert

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table/keyindex"
)

// heldRow is a row that a key has: of the table, or the n-th event of the history.
type heldRow struct {
	place keyindex.Place
	event int // -1 for the table's
	seq   int64
}

// rollingModel is what the checkpoints so far leave of a table, by key.
type rollingModel map[int64]heldRow

// fold is what a checkpoint of the events that begin at first makes of the model.
func (m rollingModel) fold(t *testing.T, opts Options, events []event, first int) rollingModel {
	s, keys := setOf(t, memory.DefaultAllocator, opts, events)
	defer release(s)
	byKey := map[keyindex.Key]int64{}
	for i, key := range keys {
		byKey[key] = events[i].key
	}
	distinct := s.Order(slices.Clone(keys))
	result := s.Fold(func(i int) Old {
		row, present := m[byKey[distinct[i]]]
		old := Old{Present: present}
		if present && row.seq >= 0 && len(opts.Sequence) > 0 {
			old.Sequence = []int64{row.seq}
		}
		return old
	})
	out := rollingModel{}
	for key, row := range m {
		out[key] = row
	}
	for i, act := range result.Acts {
		key := byKey[distinct[i]]
		switch {
		case act >= 0:
			out[key] = heldRow{event: first + int(act), seq: events[act].seq}
		case act == Remove:
			delete(out, key)
		}
	}
	return out
}

// rollingCheck drives a Rolling beside the model.
type rollingCheck struct {
	*Rolling
	t      *testing.T
	opts   Options
	table  rollingModel
	events []event
	begins []int // of chunks in events
	given  []*roaring.Bitmap
	copies []*roaring.Bitmap
}

// add hands over the next chunk as its callers do: whole, or part by part.
func (c *rollingCheck) add(change uuid.UUID, events []event, byPart bool) {
	for from := 0; from < len(events); {
		to := len(events)
		if byPart {
			for to = from + 1; to < len(events) && events[to].partition == events[from].partition; {
				to++
			}
		}
		s, keys := setOf(c.t, memory.DefaultAllocator, c.opts, events[:to])
		release(s)
		chunk := Chunk{Change: change, Set: s, Keys: keys}
		c.know(chunk, from)
		if from == 0 {
			c.begins = append(c.begins, len(c.events))
			c.Add(chunk)
		} else {
			c.Grow(chunk)
		}
		c.events = append(c.events, events[from:to]...)
		from = to
	}
}

// know tells what the table has for the keys of a chunk's rows from one on.
func (c *rollingCheck) know(chunk Chunk, from int) {
	byKey := map[keyindex.Key]heldRow{}
	for key, row := range c.table {
		byKey[keyindex.Key{High: uint64(key) * 0x9e3779b97f4a7c15, Low: uint64(key)}] = row
	}
	unknown := c.Unknown(chunk, from)
	places := make([]keyindex.Place, len(unknown))
	for i, key := range unknown {
		places[i] = byKey[key].place
	}
	c.Know(unknown, places)
	bounds, rows := map[uint32]int64{}, map[keyindex.Place]heldRow{}
	for _, row := range c.table {
		bounds[row.place.File] = max(bounds[row.place.File], row.seq)
		rows[row.place] = row
	}
	numbers, wanted := c.Need(chunk, from, func(file uint32, value int64) bool { return bounds[file] < value })
	for i, number := range numbers {
		var sequence []int64
		if row := rows[wanted[i]]; row.seq >= 0 {
			sequence = []int64{row.seq}
		}
		c.Found(number, sequence)
	}
}

// require holds what is seen against the model.
func (c *rollingCheck) require(want rollingModel) {
	c.t.Helper()
	hidden := map[keyindex.Place]bool{}
	for file, rows := range c.Hidden {
		c.remember(rows)
		for _, row := range rows.ToArray() {
			hidden[keyindex.Place{File: file, Row: row}] = true
		}
	}
	seen := map[int64]int{}
	for key, row := range c.table {
		if !hidden[row.place] {
			seen[key] = -1
		}
	}
	for i, begin := range c.begins {
		end, at := len(c.events), uint32(0)
		if i+1 < len(c.begins) {
			end = c.begins[i+1]
		}
		rows := c.HiddenIn(i)
		c.remember(rows)
		for n := begin; n < end; n++ {
			if c.events[n].op&Delete != 0 {
				continue
			}
			if !rows.Contains(at) {
				_, twice := seen[c.events[n].key]
				require.False(c.t, twice, "key %d has two rows", c.events[n].key)
				seen[c.events[n].key] = n
			}
			at++
		}
		require.LessOrEqual(c.t, rows.GetCardinality(), uint64(at))
	}
	wanted := map[int64]int{}
	for key, row := range want {
		wanted[key] = row.event
	}
	require.Equal(c.t, wanted, seen)
}

// remember keeps what was given out: nobody changes it.
func (c *rollingCheck) remember(rows *roaring.Bitmap) {
	c.given, c.copies = append(c.given, rows), append(c.copies, rows.Clone())
}

func TestWhatIsSeenIsWhatTheCheckpointsWouldLeave(t *testing.T) {
	for seed := range uint64(400) {
		rng := rand.New(rand.NewPCG(seed, 3))
		opts := Options{First: rng.IntN(3) == 0}
		if rng.IntN(3) > 0 {
			opts.Sequence = []int{1}
		}
		table := rollingModel{}
		for key := range int64(12) {
			if rng.IntN(2) == 0 {
				table[key] = heldRow{event: -1, seq: rng.Int64N(12) - 1,
					place: keyindex.Place{File: uint32(1 + key%3), Row: uint32(key)}}
			}
		}
		c := rollingCheck{Rolling: NewRolling(opts), t: t, opts: opts, table: table}
		model := table
		for range 1 + rng.IntN(4) {
			change, first := uuid.New(), len(c.events)
			for range 1 + rng.IntN(4) {
				var events []event
				for range 1 + rng.IntN(10) {
					e := event{key: rng.Int64N(16), seq: rng.Int64N(14) - 2, partition: rng.Int32N(2)}
					if rng.IntN(4) == 0 {
						e.op = Delete
					}
					events = append(events, e)
				}
				c.add(change, events, seed%2 == 1)
				c.require(model.fold(t, opts, c.events[first:], first))
			}
			model = model.fold(t, opts, c.events[first:], first)
		}
		for i := range c.given {
			require.True(t, c.given[i].Equals(c.copies[i]), "what was given out has changed")
		}
	}
}
