package table

import (
	"bytes"
	"container/heap"
	"context"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// piecer passes rows on in pieces: long ranges as slices of their batch, others gathered into new
// batches of up to rowsMax rows.
type piecer struct {
	mem     memory.Allocator
	rowsMax int
	emit    func(arrow.RecordBatch) error

	sources []arrow.RecordBatch
	refs    []rowRef
}

// addRefs passes on rows of the batches of from.
func (p *piecer) addRefs(from *gatherer, refs []rowRef) error {
	if len(p.refs) > 0 {
		panic("BUG: rows of two sources in one piece")
	}
	for start := 0; start < len(refs); {
		end := start + 1
		for end < len(refs) && refs[end].batch == refs[start].batch &&
			refs[end].row == refs[end-1].row+1 {
			end++
		}
		if end-start < sliceRowsMin {
			end = min(end, start+p.rowsMax-len(p.refs))
			p.refs = append(p.refs, refs[start:end]...)
			if len(p.refs) == p.rowsMax {
				if err := p.gather(from); err != nil {
					return err
				}
			}
			start = end
			continue
		}
		if err := p.gather(from); err != nil {
			return err
		}
		first := refs[start]
		err := p.slice(from.sources[first.batch], int64(first.row), int64(end-start))
		if err != nil {
			return err
		}
		start = end
	}
	return p.gather(from)
}

// addRange adds rows [from, to) of batch, which it retains as long as it needs it.
func (p *piecer) addRange(batch arrow.RecordBatch, from, to int) error {
	if to-from >= sliceRowsMin {
		if err := p.flush(); err != nil {
			return err
		}
		return p.slice(batch, int64(from), int64(to-from))
	}
	if n := len(p.sources); n == 0 || p.sources[n-1] != batch {
		batch.Retain()
		p.sources = append(p.sources, batch)
	}
	for row := from; row < to; row++ {
		p.refs = append(p.refs, rowRef{uint32(len(p.sources) - 1), uint32(row)})
	}
	if len(p.refs) >= p.rowsMax || len(p.sources) >= sourcesMax {
		return p.flush()
	}
	return nil
}

// sourcesMax bounds the batches that one piece keeps alive.
const sourcesMax = 4 * runsMax

func (p *piecer) slice(batch arrow.RecordBatch, from, rows int64) error {
	if from == 0 && rows == batch.NumRows() {
		return p.emit(batch)
	}
	slice := batch.NewSlice(from, from+rows)
	defer slice.Release()
	return p.emit(slice)
}

// flush passes on what addRange gathered and lets go of its sources.
func (p *piecer) flush() error {
	defer p.drop()
	if len(p.refs) == 0 {
		return nil
	}
	return p.gather(newGatherer(p.sources))
}

func (p *piecer) drop() {
	for _, source := range p.sources {
		source.Release()
	}
	p.sources, p.refs = p.sources[:0], p.refs[:0]
}

func (p *piecer) gather(from *gatherer) error {
	if len(p.refs) == 0 {
		return nil
	}
	batch := from.gather(p.mem, p.refs)
	p.refs = p.refs[:0]
	defer batch.Release()
	return p.emit(batch)
}

// cursor stands at a row of a run.
type cursor struct {
	run      *run
	index    int // of the run: rows that compare equal come in the order they were written
	batch    arrow.RecordBatch
	ordinals []uint32
	keys     sortKeys
	row      int
}

func (c *cursor) ordinal() uint32 {
	if c.ordinals == nil {
		return 0
	}
	return c.ordinals[c.row]
}

// next moves to the next row that has one; false at the end of the run.
func (s *sorter) next(c *cursor, rows int) (bool, error) {
	c.row += rows
	if c.batch != nil && c.row < int(c.batch.NumRows()) {
		return true, nil
	}
	c.release()
	batch, err := c.run.read()
	if err != nil || batch == nil {
		return false, err
	}
	c.batch, c.row = batch, 0
	if s.partitions != nil {
		if c.ordinals, err = s.partitions.ordinals(c.ordinals, batch); err != nil {
			return false, err
		}
	}
	if s.order != nil {
		if err := s.order.encode(&c.keys, batch); err != nil {
			return false, err
		}
	}
	return true, nil
}

func (c *cursor) release() {
	if c.batch != nil {
		c.batch.Release()
		c.batch = nil
	}
}

// cursors is a heap of the runs that have rows left, least row first.
type cursors struct {
	list   []*cursor
	sorted bool
}

func (h *cursors) Len() int      { return len(h.list) }
func (h *cursors) Swap(i, j int) { h.list[i], h.list[j] = h.list[j], h.list[i] }
func (h *cursors) Push(x any)    { h.list = append(h.list, x.(*cursor)) }
func (h *cursors) Pop() any {
	last := h.list[len(h.list)-1]
	h.list = h.list[:len(h.list)-1]
	return last
}

func (h *cursors) Less(i, j int) bool {
	a, b := h.list[i], h.list[j]
	if a.ordinal() != b.ordinal() {
		return a.ordinal() < b.ordinal()
	}
	if h.sorted {
		if order := bytes.Compare(a.keys.at(a.row), b.keys.at(b.row)); order != 0 {
			return order < 0
		}
	}
	return a.index < b.index
}

// mergeInto merges all runs into out.
func (s *sorter) mergeInto(ctx context.Context, out *output) error {
	if err := s.spill.open(); err != nil {
		return err
	}
	h := &cursors{sorted: s.order != nil}
	all := make([]cursor, len(s.spill.runs))
	defer func() {
		for i := range all {
			all[i].release()
		}
	}()
	for i, run := range s.spill.runs {
		all[i] = cursor{run: run, index: i}
		ok, err := s.next(&all[i], 0)
		if err != nil {
			return err
		}
		if ok {
			h.list = append(h.list, &all[i])
		}
	}
	heap.Init(h)
	pieces := piecer{
		mem: s.w.opts.Allocator, rowsMax: pieceRows(s.spill.rowBytes),
		emit: func(batch arrow.RecordBatch) error { return out.write(ctx, batch) },
	}
	defer pieces.drop()
	begun, current := false, uint32(0)
	for h.Len() > 0 {
		c := h.list[0]
		if ordinal := c.ordinal(); !begun || ordinal != current {
			if err := pieces.flush(); err != nil {
				return err
			}
			if err := out.end(); err != nil {
				return err
			}
			out.begin(s.value(ordinal), -1)
			begun, current = true, ordinal
		}
		rows := h.lead()
		if err := pieces.addRange(c.batch, c.row, c.row+rows); err != nil {
			return err
		}
		ok, err := s.next(c, rows)
		if err != nil {
			return err
		}
		if ok {
			heap.Fix(h, 0)
		} else {
			heap.Pop(h)
		}
	}
	if err := pieces.flush(); err != nil {
		return err
	}
	return out.end()
}

// lead is how many rows of the least run come before any row of another. Without a sort order that
// is the rest of its partition in this batch.
func (h *cursors) lead() int {
	c := h.list[0]
	if h.sorted {
		return 1
	}
	end := c.row + 1
	if c.ordinals == nil {
		return int(c.batch.NumRows()) - c.row
	}
	for end < len(c.ordinals) && c.ordinals[end] == c.ordinals[c.row] {
		end++
	}
	return end - c.row
}
