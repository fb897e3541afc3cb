package stream

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/filter"
	"github.com/firthlake/firth/table/objstore"
	"github.com/firthlake/firth/table/tail"
)

// Subscription is one stream of a table. It belongs to one goroutine.
type Subscription struct {
	streams  *Streams
	request  Request
	followed *followed
	key      string
	hurry    func() // ends a write that takes long; guarded by the followed table's mu, nil for none

	// cut is what was handed out, expired the count of rows that have left that goes with it.
	cut     table.Position
	expired int64
	// rolledBack is the newest rollback of the table when the stream began.
	rolledBack int64
	token      string // of both, "" when it is not known
	// mark is what was handed out of a keyed table, which has no cut.
	mark  Mark
	keyed bool
	// scanned is how a table is read, so long as it is the same.
	scanned struct {
		table *table.Table
		scan  scan
	}
	// behind is how many offsets are still to come, or commits of a keyed table.
	behind atomic.Int64
}

const (
	// quietMax is after how long a stream says that nothing has come, so that its reader knows that it lives.
	quietMax = 10 * time.Second
	// lostMax is how often files may be gone before the state that no longer has them is seen.
	lostMax = 5
	// lostWait is how long that state is waited for.
	lostWait = time.Second
)

// Token says where the stream stands: behind all rows that it has handed out.
func (s *Subscription) Token() string {
	_, id := s.table()
	if mark := s.mark; s.keyed {
		return Token{Table: id, Mark: &mark}.String()
	}
	if s.token == "" {
		s.token = Token{Table: id, Cut: s.cut, Expired: s.expired, RolledBack: s.rolledBack}.String()
	}
	return s.token
}

func (s *Subscription) table() (name string, id [16]byte) {
	current, _, _ := s.followed.now()
	return s.followed.name, current.table.Metadata().TableUUID()
}

// Schema is what batches look like, unless the table gets other columns.
func (s *Subscription) Schema() (*arrow.Schema, error) {
	current, _, err := s.followed.now()
	if err != nil {
		return nil, err
	}
	if s.keyed {
		shape, err := newShape(current.table, s.request)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrRequest, err)
		}
		return shape.form, nil
	}
	scan, err := s.scan(current)
	if err != nil {
		return nil, err
	}
	schema, err := table.ScanSchema(current.table, scan.Scan)
	if err != nil {
		return nil, err
	}
	wide, err := table.ArrowSchema(schema)
	if err != nil {
		return nil, err
	}
	return arrow.NewSchema(wide.Fields()[:scan.columns], nil), nil
}

// Close ends the stream.
func (s *Subscription) Close() { s.streams.leave(s) }

// errStopped says that the reader wants no more.
var errStopped = errors.New("stopped")

// Rows yields the rows of the stream as they come, until ctx ends. A batch is valid until the next; nil says that
// there is nothing new for now. Token stands behind each. An error ends the iteration.
func (s *Subscription) Rows(ctx context.Context) iter.Seq2[arrow.RecordBatch, error] {
	return func(yield func(arrow.RecordBatch, error) bool) {
		for p, err := range s.portions(ctx) {
			if p == nil {
				if !yield(nil, err) {
					return
				}
				continue
			}
			batch := p.batch()
			more := yield(batch, nil)
			batch.Release()
			if !more {
				return
			}
		}
	}
}

// portions yields what Rows does, in a form that streams share.
func (s *Subscription) portions(ctx context.Context) iter.Seq2[*portion, error] {
	return func(yield func(*portion, error) bool) {
		err := s.run(ctx, func(p *portion) error {
			if !yield(p, nil) {
				return errStopped
			}
			return nil
		})
		if !errors.Is(err, errStopped) {
			yield(nil, fmt.Errorf("stream %s: %w", s.followed.name, err))
		}
	}
}

// run reads state after state. It ends with an error.
func (s *Subscription) run(ctx context.Context, emit func(*portion) error) error {
	lost := 0
	for {
		before, stood := maps.Clone(s.cut), s.mark
		changed, err := s.readState(ctx, emit)
		switch {
		// It was compacted, expired or committed.
		case errors.Is(err, objstore.ErrNotFound) && changed != nil && lost < lostMax:
			if lost++; !maps.Equal(before, s.cut) || s.mark != stood {
				lost = 1
			}
			if err := awaitChange(ctx, changed); err != nil {
				return err
			}
			continue
		case err != nil:
			return err
		}
		lost = 0
		if err := s.readPieces(ctx, emit); err != nil {
			return err
		}
		if err := emit(nil); err != nil {
			return err
		}
		if err := s.wait(ctx, changed, emit); err != nil {
			return err
		}
	}
}

// readState hands out what the newest state has in files, and returns what is closed when there is another. The state
// is not held any longer, so that rows in memory go when they have come to all readers.
func (s *Subscription) readState(ctx context.Context, emit func(*portion) error) (<-chan struct{}, error) {
	current, changed, err := s.followed.now()
	if err != nil {
		return nil, err
	}
	if s.keyed {
		return changed, s.readChanges(ctx, current, func(batch arrow.RecordBatch) error {
			return emit(&portion{own: batch})
		})
	}
	return changed, s.read(ctx, current, emit)
}

// awaitChange waits for the next state, but not for long.
func awaitChange(ctx context.Context, changed <-chan struct{}) error {
	timer := time.NewTimer(lostWait)
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	case <-ctx.Done():
	}
	return ctx.Err()
}

// wait waits for the next state.
func (s *Subscription) wait(ctx context.Context, changed <-chan struct{}, emit func(*portion) error) error {
	timer := time.NewTimer(quietMax)
	defer timer.Stop()
	for {
		select {
		case <-changed:
			return nil
		case <-timer.C:
			if err := emit(nil); err != nil {
				return err
			}
			timer.Reset(quietMax)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// read hands out all rows of a state that are at or behind the cut and in files.
func (s *Subscription) read(ctx context.Context, now *state, emit func(*portion) error) error {
	if wait, err := s.rolled(now); wait || err != nil {
		return err
	}
	s.measure(s.end(now))
	if err := s.readCommitted(ctx, now, emit); err != nil {
		return err
	}
	if s.expired != now.Expired {
		s.expired, s.token = now.Expired, ""
	}
	if s.request.Rows == RowsCommitted {
		return nil
	}
	for i := range now.view.Chunks {
		if err := s.readChunk(ctx, now, &now.view.Chunks[i], emit); err != nil {
			return err
		}
	}
	return nil
}

// rolled says what a rollback makes of the stream: it ends, for what it has handed out may come again. A state of
// before the stream began, which another reader of the table still has, has nothing for it.
func (s *Subscription) rolled(now *state) (wait bool, err error) {
	if now.RolledBack > s.rolledBack {
		return false, rolledBack(now)
	}
	return now.RolledBack < s.rolledBack, nil
}

// rolledBack tells of a rollback.
func rolledBack(now *state) error {
	return fmt.Errorf("%w by snapshot number %d: rows that the stream has handed out may come again, and be others; "+
		"begin anew with from=snapshot", ErrRolledBack, now.RolledBack)
}

// end is where a state ends for the subscription.
func (s *Subscription) end(now *state) table.Position {
	if s.request.Rows == RowsCommitted {
		return now.Position
	}
	return now.view.Cut
}

// measure notes how far the end of a state is ahead.
func (s *Subscription) measure(end table.Position) {
	behind := int64(0)
	for id, next := range end {
		behind += int64(max(0, next-s.cut[id]))
	}
	s.behind.Store(behind)
}

// readCommitted hands out the rows of the snapshot.
func (s *Subscription) readCommitted(ctx context.Context, now *state, emit func(*portion) error) error {
	if !isBehind(s.cut, now.Position) {
		return nil
	}
	scan, err := s.scan(now)
	if err != nil {
		return err
	}
	if now.Expired > s.expired {
		if err := s.hasAll(ctx, now, scan); err != nil {
			return err
		}
	}
	tasks, err := table.Plan(ctx, now.table, s.streams.opts.Objects, scan.committed(s.cut, now.Position))
	if err != nil {
		return err
	}
	return s.pass(ctx, now, scan, scan.history(s, now.Position, tasks), emit)
}

// readChunk hands out the rows of a chunk of the tail.
func (s *Subscription) readChunk(
	ctx context.Context, now *state, chunk *tail.Chunk, emit func(*portion) error,
) error {
	end := table.Position{}
	for id, span := range chunk.Spans {
		end[id] = span.Next
	}
	if !isBehind(s.cut, end) {
		return nil
	}
	scan, err := s.scan(now)
	if err != nil {
		return err
	}
	tasks, err := table.PlanFiles(now.table, scan.Scan, chunk.Files)
	if err != nil {
		return err
	}
	if p := s.shared(ctx, now, chunk, tasks); p != nil {
		return s.give(s.end(now), scan, p, emit)
	}
	return s.pass(ctx, now, scan, scan.history(s, end, tasks), emit)
}

// pass goes window by window.
func (s *Subscription) pass(ctx context.Context, now *state, scan scan, h *history,
	emit func(*portion) error) error {
	for !h.over() {
		w, tasks := h.next()
		rows, err := s.hand(ctx, now, scan, tasks, w, emit)
		if errors.Is(err, errOverflow) {
			h.narrow()
			continue
		}
		if err != nil {
			return err
		}
		h.done(w, rows)
	}
	return nil
}

// isBehind says that a position is ahead of the cut anywhere.
func isBehind(cut, position table.Position) bool {
	for id, next := range position {
		if cut[id] < next {
			return true
		}
	}
	return false
}

// hand hands out the rows of a window, and moves the cut behind it. It tells how many rows there were.
func (s *Subscription) hand(ctx context.Context, now *state, scan scan, tasks []table.Task, w window,
	emit func(*portion) error) (rows int, err error) {
	held := s.streams.bounds.windowBytes
	if err := s.streams.windows.Acquire(ctx, held); err != nil {
		return 0, err
	}
	defer func() { s.streams.windows.Release(held) }()
	p, err := collect(ctx, s.streams.opts.Objects, tasks, w, s.streams.bounds)
	if err != nil {
		return 0, err
	}
	defer p.release()
	// A reader that is slow holds no more than its rows take.
	if small := min(held, p.bytes); small < held {
		s.streams.windows.Release(held - small)
		held = small
	}
	return len(p.places), s.give(s.end(now), scan, p, emit)
}

// give hands out a pile, which may be others' too, of a state that ends somewhere.
func (s *Subscription) give(state table.Position, scan scan, p *pile, emit func(*portion) error) error {
	if len(p.places) == 0 {
		s.advance(p, 0, state)
		return nil
	}
	for start := 0; start < len(p.places); {
		end := p.end(start)
		s.advance(p, end, state)
		s.streams.opts.Metrics.handed(s.followed.name, int64(end-start))
		if err := emit(&portion{pile: p, start: start, end: end, columns: scan.columns}); err != nil {
			return err
		}
		start = end
	}
	return nil
}

// advance moves the cut behind the first rows of a pile of a state that ends somewhere.
func (s *Subscription) advance(p *pile, end int, state table.Position) {
	p.advance(s.cut, end)
	s.token = ""
	s.measure(state)
}

// scan is what to read of each file.
type scan struct {
	table.Scan
	// columns is how many come out; those behind them tell only where the rows belong.
	columns     int
	coordinates [3]int
}

// history is the way of a subscription to a position.
func (c scan) history(s *Subscription, position table.Position, tasks []table.Task) *history {
	return newHistory(s.cut, position, tasks, c.coordinates, s.streams.bounds.windowRows)
}

// scan says how rows of a state are read.
func (s *Subscription) scan(now *state) (scan, error) {
	if s.scanned.table == now.table {
		return s.scanned.scan, nil
	}
	out, err := s.scanAnew(now)
	if err == nil {
		s.scanned.table, s.scanned.scan = now.table, out
	}
	return out, err
}

func (s *Subscription) scanAnew(now *state) (out scan, err error) {
	schema := now.table.Metadata().CurrentSchema()
	if out.coordinates, err = coordinatesOf(schema); err != nil {
		return out, err
	}
	out.Filter, out.Columns = s.request.Filter, slices.Clone(s.request.Columns)
	if out.Columns == nil {
		for _, field := range schema.Fields() {
			out.Columns = append(out.Columns, field.Name)
		}
	}
	asked := len(out.Columns)
	for _, name := range []string{columnTopic, columnPartition, columnOffset} {
		if !slices.Contains(out.Columns, name) {
			out.Columns = append(out.Columns, name)
		}
	}
	// Fields of one struct are one column.
	template, err := table.ScanSchema(now.table, out.Scan)
	if err != nil {
		return out, err
	}
	out.columns = len(template.Fields()) - (len(out.Columns) - asked)
	return out, nil
}

// committed leaves out files whose rows lie before the cut.
func (c scan) committed(cut, position table.Position) table.Scan {
	out, from := c.Scan, table.Offset(-1)
	for id, next := range position {
		if at := cut[id]; at < next && (from < 0 || at < from) {
			from = at
		}
	}
	text := fmt.Sprintf("%s >= %d", columnOffset, from)
	if c.Filter != nil {
		text = fmt.Sprintf("(%s) AND %s", c.Filter, text)
	}
	behind, err := filter.Parse(text)
	if err != nil {
		panic(fmt.Sprintf("BUG: filter %s does not parse: %v", text, err))
	}
	out.Filter = behind
	return out
}
