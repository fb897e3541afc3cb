package ingest

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/firthlake/firth/table/keyindex"
)

// seenKeys finds rows of a buffer by their keys. One look-up at a time makes the keys of the rows that came since, and
// all others read beside it without a lock.
type seenKeys struct {
	made atomic.Pointer[madeKeys]

	mu     sync.Mutex // guards the making, and what follows
	hasher *keyindex.Hasher
	keys   []keyindex.Key
}

// madeKeys are the keys of the first parts of a buffer. They are never changed, but the last of their runs goes on
// beyond them.
type madeKeys struct {
	seed  keyindex.Seed
	parts int
	count int // of rows
	runs  []*keyRun
}

// of returns the keys of parts, and maybe of more. An index that was begun anew has other keys.
func (s *seenKeys) of(shape *shape, parts []seenPart, seed keyindex.Seed) (*madeKeys, error) {
	if made := s.made.Load(); made != nil && made.seed == seed && made.parts >= len(parts) {
		return made, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	made := s.made.Load()
	switch {
	case made == nil || made.seed != seed:
		hasher, err := keyindex.NewHasher(shape.schema, seed)
		if err != nil {
			return nil, err
		}
		s.hasher, made = hasher, &madeKeys{seed: seed}
	case made.parts >= len(parts): // another one has made them meanwhile
		return made, nil
	}
	next := &madeKeys{seed: seed, parts: made.parts, count: made.count, runs: made.runs}
	for ; next.parts < len(parts); next.parts++ {
		keys, nulls, err := s.hasher.Keys(s.keys, parts[next.parts].batch)
		if err != nil {
			return nil, err
		}
		if len(nulls) > 0 {
			panic("BUG: " + nulls[0].Error())
		}
		s.keys = keys
		next.add(keys)
	}
	s.made.Store(next)
	return next, nil
}

// add takes in the keys of the next rows.
func (m *madeKeys) add(keys []keyindex.Key) {
	for _, key := range keys {
		if len(m.runs) == 0 || m.count == m.runs[len(m.runs)-1].end() {
			m.runs = append(slices.Clip(m.runs), newKeyRun(m.count))
		}
		m.runs[len(m.runs)-1].add(key, m.count)
		m.count++
	}
}

// rows are the numbers of those of the first most rows that have a key, in their order.
func (m *madeKeys) rows(key keyindex.Key, most int) []int32 {
	var rows []int32
	for _, run := range m.runs {
		first := len(rows)
		for row := run.last(key); row >= 0; row = run.rowBefore(row) {
			if row < most {
				rows = append(rows, int32(row))
			}
		}
		slices.Reverse(rows[first:])
	}
	return rows
}

// A run has as many rows as there are before it, within bounds: it is never made larger, since whoever did that would
// be waited for, and few enough runs are to be looked at.
const (
	runRowsMin = 1 << 9
	runRowsMax = 1 << 14
)

// keyRun are the keys of some rows that follow one another, and the rows by key. One goroutine at a time adds, while
// any read: a row is there once a slot says so.
type keyRun struct {
	first int // number of its first row
	keys  []keyindex.Key
	// before are the places of rows that have the same key as a row and come before it, -1 for none.
	before []int16
	// slots have one more than the place of the last row of a key, 0 for none, each the first that was free from where
	// the key belongs. They are a power of two, and half of them stay free.
	slots []atomic.Uint32
}

func newKeyRun(first int) *keyRun {
	rows := min(max(first, runRowsMin), runRowsMax)
	return &keyRun{first: first, keys: make([]keyindex.Key, rows), before: make([]int16, rows),
		slots: make([]atomic.Uint32, 2*rows)}
}

func (r *keyRun) end() int { return r.first + len(r.keys) }

// last is the last row of a key, -1 when there is none.
func (r *keyRun) last(key keyindex.Key) int {
	_, place := r.find(key)
	return r.rowAt(place)
}

// rowBefore is the row that has the same key as row and comes before it, -1 when there is none.
func (r *keyRun) rowBefore(row int) int { return r.rowAt(int(r.before[row-r.first])) }

func (r *keyRun) rowAt(place int) int {
	if place < 0 {
		return -1
	}
	return r.first + place
}

// find returns the slot of a key, or where it belongs, and the place of its last row, -1 when there is none.
func (r *keyRun) find(key keyindex.Key) (slot, place int) {
	mask := len(r.slots) - 1
	for slot = int(key.Low) & mask; ; slot = (slot + 1) & mask {
		place = int(r.slots[slot].Load()) - 1
		if place < 0 || r.keys[place] == key {
			return slot, place
		}
	}
}

// add adds a row, the next one.
func (r *keyRun) add(key keyindex.Key, row int) {
	slot, before := r.find(key)
	place := row - r.first
	r.keys[place], r.before[place] = key, int16(before)
	r.slots[slot].Store(uint32(place) + 1)
}
