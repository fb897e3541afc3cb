package table

import (
	"bytes"
	"context"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/firthlake/firth/table/gather"
)

// piecer passes rows on in pieces: long runs as slices of their batch, others gathered into new
// batches of up to rowsMax rows.
type piecer struct {
	room    *arena
	rowsMax int
	emit    func(arrow.RecordBatch) error

	runs    []gather.Run
	rows    int                 // of runs
	sources []arrow.RecordBatch // of runs, when they are added by addRange
}

// addRun adds rows of one of the batches of from.
func (p *piecer) addRun(from *source, run gather.Run) error {
	if run.Rows >= sliceRowsMin {
		if err := p.gather(from.all); err != nil {
			return err
		}
		return p.slice(from.batches[run.Batch], run)
	}
	for run.Rows > 0 {
		if run = p.take(run); p.rows == p.rowsMax {
			if err := p.gather(from.all); err != nil {
				return err
			}
		}
	}
	return nil
}

// addRange adds rows [from, to) of batch, which it retains as long as it needs it.
func (p *piecer) addRange(batch arrow.RecordBatch, from, to int) error {
	run := gather.Run{Row: uint32(from), Rows: uint32(to - from)}
	if run.Rows >= sliceRowsMin {
		if err := p.flush(); err != nil {
			return err
		}
		return p.slice(batch, run)
	}
	for run.Rows > 0 {
		if n := len(p.sources); n == 0 || p.sources[n-1] != batch {
			batch.Retain()
			p.sources = append(p.sources, batch)
		}
		run.Batch = uint32(len(p.sources) - 1)
		if run = p.take(run); p.rows == p.rowsMax || len(p.sources) == sourcesMax {
			if err := p.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// take adds what there is room for and returns the rest.
func (p *piecer) take(run gather.Run) gather.Run {
	part := run
	part.Rows = min(run.Rows, uint32(p.rowsMax-p.rows))
	p.runs = gather.AppendRun(p.runs, part)
	p.rows += int(part.Rows)
	run.Row += part.Rows
	run.Rows -= part.Rows
	return run
}

// sourcesMax bounds the batches that one piece keeps alive.
const sourcesMax = 4 * runsMax

func (p *piecer) slice(batch arrow.RecordBatch, run gather.Run) error {
	if run.Row == 0 && int64(run.Rows) == batch.NumRows() {
		return p.emit(batch)
	}
	slice := batch.NewSlice(int64(run.Row), int64(run.Row+run.Rows))
	defer slice.Release()
	return p.emit(slice)
}

// flush passes on what addRange took and lets go of its sources.
func (p *piecer) flush() error {
	defer p.drop()
	if p.rows == 0 {
		return nil
	}
	return p.gather(gather.New(p.sources))
}

func (p *piecer) drop() {
	for _, source := range p.sources {
		source.Release()
	}
	p.sources, p.runs, p.rows = p.sources[:0], p.runs[:0], 0
}

// gather passes on the rows that were taken, which are those of from.
func (p *piecer) gather(from *gather.Batches) error {
	if p.rows == 0 {
		return nil
	}
	p.room.begin()
	batch := from.Runs(p.room, p.runs)
	p.runs, p.rows = p.runs[:0], 0
	defer batch.Release()
	return p.emit(batch)
}

// source is all that is pending, in order and ready to be gathered from; many goroutines may use it.
type source struct {
	batches []arrow.RecordBatch
	all     *gather.Batches
	keys    []sortKeys // by batch; nil without a sort order
	exact   bool       // of the order
}

func (s *sorter) newSource() (*source, error) {
	from := &source{batches: s.w.pending, all: gather.New(s.w.pending)}
	if s.order == nil {
		return from, nil
	}
	from.exact, from.keys = s.order.exact(), make([]sortKeys, len(from.batches))
	for i, batch := range from.batches {
		if err := s.order.encode(&from.keys[i], batch); err != nil {
			return nil, err
		}
	}
	return from, nil
}

// pass adds the rows of g to pieces, in order.
func (f *source) pass(g group, pieces *piecer) error {
	if f.keys == nil || len(g.runs) == 1 {
		for _, run := range g.runs {
			if err := pieces.addRun(f, run); err != nil {
				return err
			}
		}
		return nil
	}
	merge := merge{exact: f.exact, cursors: make([]cursor, len(g.runs))}
	for i, run := range g.runs {
		merge.cursors[i] = cursor{keys: &f.keys[run.Batch], row: int(run.Row),
			end: int(run.Row + run.Rows)}
	}
	merge.begin()
	for {
		first, rows := merge.least()
		if rows == 0 {
			return nil
		}
		run := gather.Run{Batch: g.runs[first].Batch, Row: uint32(merge.cursors[first].row),
			Rows: uint32(rows)}
		if err := pieces.addRun(f, run); err != nil {
			return err
		}
		merge.cursors[first].row += rows
		merge.moved(first)
	}
}

// cursor stands at a row of an ordered sequence of rows, its batch or a part of it at a time.
type cursor struct {
	run      *run // nil when the rows are in memory
	batch    arrow.RecordBatch
	ordinals []uint32  // nil when all rows are of one partition
	keys     *sortKeys // nil without a sort order
	row, end int
}

// head is what rows are compared by first.
type head struct{ high, low uint64 }

func (a head) less(b head) bool { return a.high < b.high || a.high == b.high && a.low < b.low }

// ended is above the heads of all rows.
const ended = ^uint64(0)

func (c *cursor) head(row int) head {
	var h head
	if row == c.end {
		return head{high: ended}
	}
	if c.keys != nil {
		marker, low := c.keys.head(row)
		h = head{uint64(marker), low}
	}
	if c.ordinals != nil {
		h.high |= uint64(c.ordinals[row]) << 1
	}
	return h
}

// merge finds the least row of many cursors: a tree of matches, each of which keeps its loser, so that
// a new row plays one match a level. Rows that compare equal come in the order of their cursors.
type merge struct {
	cursors []cursor
	exact   bool // heads are all there is to compare
	heads   []head
	losers  []int // of the inner nodes; 0 is the winner of all
}

// begin plays all matches; each cursor stands at its first row.
func (m *merge) begin() {
	n := len(m.cursors)
	m.heads, m.losers = make([]head, n), make([]int, n)
	for i := range m.cursors {
		m.heads[i] = m.cursors[i].head(m.cursors[i].row)
	}
	winners := make([]int, 2*n)
	for node := 2*n - 1; node > 0; node-- {
		if node >= n {
			winners[node] = node - n
			continue
		}
		a, b := winners[2*node], winners[2*node+1]
		if m.before(b, a) {
			a, b = b, a
		}
		winners[node], m.losers[node] = a, b
	}
	if n > 0 {
		m.losers[0] = winners[1]
	}
}

func (m *merge) before(a, b int) bool {
	if m.heads[a] != m.heads[b] {
		return m.heads[a].less(m.heads[b])
	}
	if !m.exact && m.heads[a].high != ended {
		order := bytes.Compare(m.cursors[a].keys.at(m.cursors[a].row), m.cursors[b].keys.at(m.cursors[b].row))
		if order != 0 {
			return order < 0
		}
	}
	return a < b
}

// least is the cursor with the least row, and how many rows there come before those of any other; 0
// at the end.
func (m *merge) least() (first, rows int) {
	first = m.losers[0]
	if m.heads[first].high == ended {
		return 0, 0
	}
	rows = 1
	if c := &m.cursors[first]; m.exact {
		for c.head(c.row+rows) == m.heads[first] {
			rows++
		}
	}
	return first, rows
}

// moved follows a move of cursor i, which was the least.
func (m *merge) moved(i int) {
	m.heads[i] = m.cursors[i].head(m.cursors[i].row)
	winner := i
	for node := (i + len(m.cursors)) / 2; node > 0; node /= 2 {
		if m.before(m.losers[node], winner) {
			winner, m.losers[node] = m.losers[node], winner
		}
	}
	m.losers[0] = winner
}

// load moves c to the next row that has one; at the end of the run it stands at its end.
func (s *sorter) load(c *cursor) error {
	if c.row < c.end {
		return nil
	}
	c.release()
	batch, err := c.run.read()
	c.row, c.end = 0, 0
	if err != nil || batch == nil {
		return err
	}
	c.batch, c.end = batch, int(batch.NumRows())
	if s.partitions != nil {
		if c.ordinals, err = s.partitions.ordinals(c.ordinals, batch); err != nil {
			return err
		}
	}
	if s.order != nil {
		return s.order.encode(c.keys, batch)
	}
	return nil
}

func (c *cursor) release() {
	if c.batch != nil {
		c.batch.Release()
		c.batch = nil
	}
}

// mergeInto merges all runs into out.
func (s *sorter) mergeInto(ctx context.Context, out *output) error {
	if err := s.spill.open(); err != nil {
		return err
	}
	m := merge{exact: s.order == nil || s.order.exact(), cursors: make([]cursor, len(s.spill.runs))}
	defer func() {
		for i := range m.cursors {
			m.cursors[i].release()
		}
	}()
	for i, run := range s.spill.runs {
		m.cursors[i] = cursor{run: run}
		if s.order != nil {
			m.cursors[i].keys = &sortKeys{}
		}
		if err := s.load(&m.cursors[i]); err != nil {
			return err
		}
	}
	m.begin()
	pieces := piecer{
		room: newArena(s.w.opts.Allocator), rowsMax: pieceRows(s.spill.rowBytes),
		emit: func(batch arrow.RecordBatch) error { return out.write(ctx, batch) },
	}
	defer pieces.room.drop()
	defer pieces.drop()
	if err := s.pass(&m, &pieces, out); err != nil {
		return err
	}
	if err := pieces.flush(); err != nil {
		return err
	}
	return out.end()
}

// pass adds the rows of m to pieces, in order, and begins a file in out where a partition begins.
func (s *sorter) pass(m *merge, pieces *piecer, out *output) error {
	begun, current := false, uint32(0)
	for {
		first, rows := m.least()
		if rows == 0 {
			return nil
		}
		c := &m.cursors[first]
		ordinal := uint32(0)
		if c.ordinals != nil {
			ordinal = c.ordinals[c.row]
		}
		if !begun || ordinal != current {
			if err := pieces.flush(); err != nil {
				return err
			}
			if err := out.end(); err != nil {
				return err
			}
			out.begin(s.value(ordinal), -1)
			begun, current = true, ordinal
		}
		if err := pieces.addRange(c.batch, c.row, c.row+rows); err != nil {
			return err
		}
		c.row += rows
		if err := s.load(c); err != nil {
			return err
		}
		m.moved(first)
	}
}
