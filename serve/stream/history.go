package stream

import (
	"encoding/binary"
	"maps"
	"math"
	"slices"

	"github.com/firthlake/firth/table"
)

// history is the way of a cut to the position of a snapshot, through the files of the snapshot. Which snapshot made a
// file has no part in it, nor has the order of files: compaction and sorting put rows anywhere.
type history struct {
	ids    []table.TopicPartition // in order
	spans  []span                 // what is left of each
	pieces []piece                // files that may hold some of it
	width  table.Offset           // offsets of a topic partition in the next window
	rows   int                    // that a window should have at most
}

// piece is a task, and where its rows can be.
type piece struct {
	task table.Task
	ids  []int // in the history
	span span
}

// newHistory is what is left from cut to position in the tasks of a snapshot, in windows of some rows.
func newHistory(cut, position table.Position, tasks []table.Task, columns [3]int, rows int) *history {
	h := &history{rows: rows}
	for _, id := range slices.SortedFunc(maps.Keys(position), table.TopicPartition.Compare) {
		if cut[id] < position[id] {
			h.ids = append(h.ids, id)
			h.spans = append(h.spans, span{cut[id], position[id]})
		}
	}
	h.width = max(1, table.Offset(rows/max(1, len(h.ids))))
	for _, task := range tasks {
		p := piece{task: task, span: offsetsOf(task, columns)}
		for i, id := range h.ids {
			if mayHold(task, columns, id) && h.spans[i].from < p.span.next && p.span.from < h.spans[i].next {
				p.ids = append(p.ids, i)
			}
		}
		if len(p.ids) > 0 {
			h.pieces = append(h.pieces, p)
		}
	}
	return h
}

// next is the next window, and the tasks that may hold rows of it. What lies before it holds none.
func (h *history) next() (window, []table.Task) {
	low := make([]table.Offset, len(h.ids))
	for i := range low {
		low[i] = h.spans[i].next
	}
	for _, p := range h.pieces {
		for _, i := range p.ids {
			if p.span.next > h.spans[i].from {
				low[i] = min(low[i], max(h.spans[i].from, p.span.from))
			}
		}
	}
	w := window{ids: h.ids, spans: make([]span, len(h.ids)), least: h.width == 1}
	for i, from := range low {
		w.spans[i] = span{h.spans[i].from, min(h.spans[i].next, from+min(h.width, math.MaxInt64-from))}
	}
	var tasks []table.Task
	for _, p := range h.pieces {
		if slices.ContainsFunc(p.ids, func(i int) bool {
			return p.span.from < w.spans[i].next && w.spans[i].from < p.span.next
		}) {
			tasks = append(tasks, p.task)
		}
	}
	return w, tasks
}

// narrow makes the next window smaller.
func (h *history) narrow() { h.width = max(1, h.width/4) }

// done goes on behind a window that had some rows.
func (h *history) done(w window, rows int) {
	for i := range h.spans {
		h.spans[i].from = w.spans[i].next
	}
	h.pieces = slices.DeleteFunc(h.pieces, func(p piece) bool {
		return !slices.ContainsFunc(p.ids, func(i int) bool {
			return h.spans[i].from < min(p.span.next, h.spans[i].next)
		})
	})
	if rows < h.rows/4 {
		h.width = min(2*h.width, math.MaxInt64/4)
	}
}

// over says that nothing is left.
func (h *history) over() bool {
	return !slices.ContainsFunc(h.spans, func(s span) bool { return s.from < s.next })
}

// offsetsOf are the offsets between which the rows of a file lie, by its statistics.
func offsetsOf(task table.Task, columns [3]int) span {
	out := span{0, math.MaxInt64}
	lower, upper := task.File.LowerBoundValues()[columns[2]], task.File.UpperBoundValues()[columns[2]]
	if len(lower) == 8 && len(upper) == 8 {
		out.from = table.Offset(binary.LittleEndian.Uint64(lower))
		if last := table.Offset(binary.LittleEndian.Uint64(upper)); last < math.MaxInt64 {
			out.next = last + 1
		}
	}
	return out
}

// mayHold says whether a file can have rows of a topic partition, by its statistics.
func mayHold(task table.Task, columns [3]int, id table.TopicPartition) bool {
	lower, upper := task.File.LowerBoundValues(), task.File.UpperBoundValues()
	if low, some := lower[columns[0]]; some && id.Topic < string(low) {
		return false
	}
	if high, some := upper[columns[0]]; some && id.Topic > string(high) {
		return false
	}
	if low := lower[columns[1]]; len(low) == 4 && id.Partition < int32(binary.LittleEndian.Uint32(low)) {
		return false
	}
	high := upper[columns[1]]
	return len(high) != 4 || id.Partition <= int32(binary.LittleEndian.Uint32(high))
}
