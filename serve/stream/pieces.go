package stream

import (
	"context"
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/firthlake/firth/table"
)

// smallBytes is what rows in memory may take that a reader holds beyond the bound of all windows. Those that keep up
// hold less, most of them the same, and do not wait for those that do not.
const smallBytes = 256 << 10

// run of pieces that go on where a subscription stands.
type pieceRun struct {
	window  window
	batches []arrow.RecordBatch
	numbers []byte // of the pieces, for who wants the same
	// torn says that the subscription stands within the first piece of a topic partition.
	torn bool
}

// readPieces hands out rows that are in memory alone, of the newest state. They are chosen by the cut: a piece is read
// that begins at or before it and ends behind it, whichever snapshot and chunks are said to lie before.
func (s *Subscription) readPieces(ctx context.Context, emit func(*portion) error) error {
	for s.request.Rows == RowsFresh {
		p, scan, end, err := s.nextPile(ctx)
		if err != nil || p == nil {
			return err
		}
		if err := s.givePieces(ctx, end, scan, p, emit); err != nil {
			return err
		}
	}
	return nil
}

// nextPile is the next rows in memory, nil when there are none, and where the state ends that they are of. Nothing else
// of it is held while the reader takes the rows.
func (s *Subscription) nextPile(ctx context.Context) (p *pile, scan scan, end table.Position, err error) {
	now, _, err := s.followed.now()
	if err != nil {
		return nil, scan, nil, err
	}
	if wait, err := s.rolled(now); wait || err != nil {
		return nil, scan, nil, err
	}
	run := s.nextPieces(now)
	if len(run.window.ids) == 0 {
		return nil, scan, nil, nil
	}
	if scan, err = s.scan(now); err == nil {
		p, err = s.pileOf(ctx, now, scan, run)
	}
	return p, scan, s.end(now), err
}

// nextPieces are the next pieces in order, as many as a window has room for, and no further than the next state went:
// so streams that are behind come to the same runs as those that keep up.
func (s *Subscription) nextPieces(now *state) (run pieceRun) {
	spans := map[table.TopicPartition]span{}
	rows, bytes, last := 0, int64(0), uint64(math.MaxUint64)
	for _, p := range now.view.Pieces {
		if p.Number > last {
			continue
		}
		at, some := s.cut[p.TopicPartition]
		got, more := spans[p.TopicPartition]
		if more {
			at, some = got.next, true
		}
		if p.Span.Next <= at || some && at < p.Span.From || !some && !p.Span.First && p.Span.From != 0 {
			continue
		}
		if len(spans) == 0 {
			last = now.markOf(p.Number)
		}
		if p.Rows != nil {
			rows, bytes = rows+int(p.Rows.NumRows()), bytes+table.BatchBytes(p.Rows)
		}
		if len(spans) > 0 && (rows > s.streams.bounds.windowRows || bytes > s.streams.bounds.windowBytes) {
			break
		}
		if !more {
			got.from = max(at, p.Span.From)
			run.torn = run.torn || at > p.Span.From
		}
		got.next = p.Span.Next
		spans[p.TopicPartition] = got
		if p.Rows != nil {
			run.batches = append(run.batches, p.Rows)
		}
		run.numbers = strconv.AppendUint(append(run.numbers, ' '), p.Number, 36)
	}
	run.window = window{ids: slices.SortedFunc(maps.Keys(spans), table.TopicPartition.Compare), least: true}
	for _, id := range run.window.ids {
		run.window.spans = append(run.window.spans, spans[id])
	}
	return run
}

// pileOf is the rows of pieces in order, made once for all streams that want them.
func (s *Subscription) pileOf(ctx context.Context, now *state, scan scan, run pieceRun) (*pile, error) {
	collected := func() (*pile, error) {
		task, err := table.PlanBatches(now.table, scan.Scan, run.batches)
		if err != nil {
			return nil, err
		}
		return collect(ctx, s.streams.opts.Objects, []table.Task{task}, run.window, s.streams.bounds)
	}
	if run.torn {
		return collected()
	}
	held := s.followed.sharing(s.keyOf(now, "pieces"+string(run.numbers)))
	if p := held.collect(collected); p != nil {
		return p, nil
	}
	return collected()
}

// givePieces hands out a pile that is left to the garbage collector.
func (s *Subscription) givePieces(ctx context.Context, end table.Position, scan scan, p *pile,
	emit func(*portion) error) error {
	if p.bytes > smallBytes {
		held := min(p.bytes, s.streams.bounds.windowBytes)
		if err := s.streams.windows.Acquire(ctx, held); err != nil {
			return err
		}
		defer s.streams.windows.Release(held)
	}
	return s.give(end, scan, p, emit)
}
