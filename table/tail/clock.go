package tail

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/firthlake/firth/table"
)

// Clock tells of any cut of a table, wherever a reader got it, which moment it is of: everything that was in the
// topics at that moment is up to the cut. It may be used by many goroutines.
//
//	ingest ─► Hand.Mark(position, now), while position is the end of the topics
//	                     └─► Through(cut): when it was last behind no mark
type Clock struct {
	mu    sync.Mutex // guards all below, and the hands
	hands []*Hand
}

// Hand is one source of a table, which marks its own topic partitions. Nil marks nothing.
type Hand struct {
	clock *Clock
	ids   []table.TopicPartition
	marks []mark // oldest first
}

// mark says that the topic partitions ended at next. Those that have no next had nothing.
type mark struct {
	at   time.Time
	next []table.Offset
}

// The older a mark, the further it may lie from the next: what is told of a cut is too old by a markShare of its age at
// most. So marksMax of them, a fifth of a second apart at first, reach back for half an hour and more.
const (
	markShare = 10
	marksMax  = 128
)

// Hand opens another source. Nil opens none.
func (c *Clock) Hand() *Hand {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	h := &Hand{clock: c}
	c.hands = append(c.hands, h)
	return h
}

// Close ends the source.
func (h *Hand) Close() {
	if h == nil {
		return
	}
	h.clock.mu.Lock()
	defer h.clock.mu.Unlock()
	h.clock.hands = slices.DeleteFunc(h.clock.hands, func(o *Hand) bool { return o == h })
}

// Mark says that the source's topic partitions ended at position then. One that has had no record is left out. Nobody
// keeps the position.
func (h *Hand) Mark(position table.Position, then time.Time) {
	if h == nil {
		return
	}
	h.clock.mu.Lock()
	defer h.clock.mu.Unlock()
	if !h.continues(position) {
		h.ids, h.marks = nil, nil
	}
	if len(h.ids) < len(position) {
		for _, id := range slices.SortedFunc(maps.Keys(position), table.TopicPartition.Compare) {
			if !slices.Contains(h.ids, id) {
				h.ids = append(h.ids, id)
			}
		}
	}
	if n := len(h.marks); n > 0 && !then.After(h.marks[n-1].at) {
		return // it tells no more than the last one
	} else if n > 0 && h.isAt(h.marks[n-1].next, position) {
		h.marks[n-1].at = then
		return
	}
	next := make([]table.Offset, len(h.ids))
	for i, id := range h.ids {
		next[i] = position[id]
	}
	h.marks = append(h.marks, mark{then, next})
	h.thin(then)
}

// isAt says that a mark is at this position.
func (h *Hand) isAt(next []table.Offset, position table.Position) bool {
	for i, at := range next {
		if position[h.ids[i]] != at {
			return false
		}
	}
	return len(next) == len(position)
}

// continues says that no topic partition has left since the last mark, and none has gone back.
func (h *Hand) continues(position table.Position) bool {
	var last []table.Offset
	if n := len(h.marks); n > 0 {
		last = h.marks[n-1].next
	}
	for i, id := range h.ids {
		next, some := position[id]
		if !some || i < len(last) && next < last[i] {
			return false
		}
	}
	return true
}

// thin drops marks whose neighbours are close to each other for their age.
func (h *Hand) thin(now time.Time) {
	kept := h.marks[:0]
	for i, m := range h.marks {
		if n := len(kept); n > 0 && i+1 < len(h.marks) {
			later := h.marks[i+1].at
			if later.Sub(kept[n-1].at) <= now.Sub(later)/markShare {
				continue
			}
		}
		kept = append(kept, m)
	}
	h.marks = slices.Delete(kept, 0, max(0, len(kept)-marksMax))
}

// Through is the moment that a cut is of. It is false when there is no source, and when that moment is not known: it is
// before the process had read a source to its end for the first time.
func (c *Clock) Through(cut table.Position) (through time.Time, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, h := range c.hands {
		at, covered := h.through(cut)
		if !covered {
			return time.Time{}, false
		}
		if !known || at.Before(through) {
			through, known = at, true
		}
	}
	return through, known
}

func (h *Hand) through(cut table.Position) (time.Time, bool) {
	for _, m := range slices.Backward(h.marks) {
		covered := true
		for i, next := range m.next {
			if at, some := cut[h.ids[i]]; !some || at < next {
				covered = false
				break
			}
		}
		if covered {
			return m.at, true
		}
	}
	return time.Time{}, false
}
