package stream

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	icetable "github.com/apache/iceberg-go/table"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/images"
	"github.com/firthlake/firth/table/keyindex"
)

// openChanges begins the stream of a keyed table.
func (s *Streams) openChanges(ident table.Ident, first *state, request Request) (*Subscription, error) {
	sub := &Subscription{streams: s, request: request, keyed: true}
	var err error
	if sub.mark, err = beginChanges(first.table, request.From); err != nil {
		return nil, err
	}
	if _, err := newShape(first.table, request); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	if _, _, err := sub.mark.next(first.table.Metadata()); err != nil {
		return nil, fmt.Errorf("%s: %w", first.table, err)
	}
	return sub, s.join(ident, first, sub)
}

// beginChanges is the mark at which a stream begins.
func beginChanges(t *table.Table, from From) (Mark, error) {
	meta := t.Metadata()
	mark := Mark{Identifier: identifierOf(t.Schema())}
	head := meta.SnapshotByName(icetable.MainBranch)
	line := map[int64]bool{}
	var last *icetable.Snapshot
	for s := range table.Ancestry(meta, head) {
		line[s.SnapshotID], last = true, s
	}
	switch {
	case from.Token != nil:
		return resumed(t, *from.Token, mark.Identifier)
	case head == nil && from.SnapshotID == 0 && from.Time.IsZero():
		return mark, nil
	case last != nil && last.SequenceNumber == 0:
		return mark, fmt.Errorf("%s: %w: it has snapshots of format version 1, which do not tell what came first:"+
			" expire them", t, ErrUnsupported)
	case from.End:
		return mark.behind(head), nil
	case from.Oldest:
		return mark.within(commitStep{after: last}), nil
	case from.SnapshotID == 0 && from.Time.IsZero():
		return mark.within(commitStep{after: head}), nil
	}
	snapshot, _, err := table.Scan{SnapshotID: from.SnapshotID, AsOf: from.Time}.Snapshot(t)
	if err == nil && !line[snapshot.SnapshotID] {
		err = fmt.Errorf("%w: snapshot %d is not on main", table.ErrNotFound, snapshot.SnapshotID)
	}
	if err != nil {
		return mark, fmt.Errorf("%s: %w%s", t, err, oldest(meta))
	}
	return mark.behind(snapshot), nil
}

// resumed is the mark of a token.
func resumed(t *table.Table, token Token, identifier uint32) (Mark, error) {
	switch {
	case token.Table != t.Metadata().TableUUID():
		return Mark{}, fmt.Errorf("%w: it is of another table than %s: begin anew", ErrToken, t)
	case token.Mark == nil || token.Mark.Identifier != identifier:
		return Mark{}, fmt.Errorf("%s: %w: begin anew", t, ErrIdentifier)
	}
	return *token.Mark, nil
}

// readChanges tells what was committed up to a state.
func (s *Subscription) readChanges(ctx context.Context, now *state, emit func(arrow.RecordBatch) error) error {
	shape, err := newShape(now.table, s.request)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRequest, err)
	}
	if s.mark.Identifier != identifierOf(shape.source) {
		return fmt.Errorf("%w: begin anew", ErrIdentifier)
	}
	for {
		step, some, err := s.mark.next(now.table.Metadata())
		if s.behind.Store(step.left); err != nil || !some {
			return err
		}
		if s.mark.stage == stageBehind {
			if step.before != nil && images.MovesRows(step.after) {
				s.mark = s.mark.behind(step.after)
				continue
			}
			s.mark = s.mark.within(step)
		}
		if err := s.tell(ctx, now, shape, step, emit); err != nil {
			return fmt.Errorf("snapshot %d: %w", step.after.SnapshotID, err)
		}
		s.mark = s.mark.behind(step.after)
	}
}

// tell tells a commit from the mark on.
func (s *Subscription) tell(ctx context.Context, now *state, h *shape, step commitStep,
	emit func(arrow.RecordBatch) error) error {
	inRows := s.mark.stage == stageRows && s.mark.at != images.Place{}
	if !inRows {
		if small := s.small(ctx, now, h, step); small != nil {
			return s.holding(ctx, small.bytes, func() error {
				return s.giveTold(small, s.mark.behind(step.after), emit)
			})
		}
	}
	t, err := s.teller(ctx, now, h, step)
	if err != nil {
		return err
	}
	if s.mark.stage == stageRows && !t.went {
		return s.tellRows(ctx, t, emit)
	}
	if inRows {
		return fmt.Errorf("%w: it is within a commit that took no rows out, and this one did: begin anew", ErrToken)
	}
	return s.tellKeys(ctx, t, emit)
}

// small is a commit that can be told at once, made once for all streams of a shape; nil when it cannot.
func (s *Subscription) small(ctx context.Context, now *state, h *shape, step commitStep) *told {
	held := s.followed.telling(fmt.Sprint(s.mark.Before, " ", s.mark.Sequence, " ", h.key))
	held.once.Do(func() {
		if err := s.acquire(ctx, func() error {
			t, err := s.teller(ctx, now, h, step)
			if err == nil && t.parts() == 1 {
				held.told, err = t.part(ctx, images.Span{Parts: 1})
			}
			return err
		}); err != nil {
			held.told = nil // each tries by itself, and learns why not
		}
	})
	return held.told
}

// acquire has a function work while there is room for what it reads.
func (s *Subscription) acquire(ctx context.Context, read func() error) error {
	held := 2 * s.streams.bounds.windowBytes // rows as they were read, and as they are told
	if err := s.streams.windows.Acquire(ctx, held); err != nil {
		return err
	}
	defer s.streams.windows.Release(held)
	return read()
}

// teller finds what a commit changed.
func (s *Subscription) teller(ctx context.Context, now *state, h *shape, step commitStep) (*teller, error) {
	store := s.streams.opts.Objects
	var both [2]map[string]*table.Task
	for i, snapshot := range []*icetable.Snapshot{step.before, step.after} {
		var err error
		if both[i], err = s.followed.live.of(ctx, now.table, store, snapshot); err != nil {
			return nil, err
		}
	}
	t := &teller{shape: h, bounds: s.streams.bounds, snapshot: step.after}
	if h.rows != nil {
		t.filter = h.rows.Evaluator()
	}
	var err error
	t.reader, err = images.NewReader(images.Options{Store: store, Source: h.source, Columns: h.read,
		Seed: seedOf(now.table), Memory: table.NewBudget(t.bounds.windowBytes), KeepBytes: t.bounds.windowBytes,
		Reads: deletesAtOnce})
	if err == nil {
		err = t.portionsOf(ctx, both[0], both[1])
	}
	return t, err
}

// seedOf keys the order of changes, which is the same in every process. It is no secret, unlike that of an index: who
// makes two identifiers with one key has made a change between them, and nothing else comes of it.
func seedOf(t *table.Table) keyindex.Seed {
	id := t.Metadata().TableUUID()
	return keyindex.Seed{High: binary.BigEndian.Uint64(id[:8]), Low: binary.BigEndian.Uint64(id[8:])}
}

// tellRows tells rows that came where none went, in the order of files.
func (s *Subscription) tellRows(ctx context.Context, t *teller, emit func(arrow.RecordBatch) error) error {
	for int(s.mark.at.Portion) < len(t.portions) {
		var some []*told
		var end images.Place
		err := s.acquire(ctx, func() (err error) {
			some, end, err = t.window(ctx, s.mark.at)
			return err
		})
		if err != nil {
			return err
		}
		bytes := int64(0)
		for _, each := range some {
			bytes += each.bytes
		}
		err = s.holding(ctx, bytes, func() error {
			for _, each := range some {
				if err := s.giveTold(each, each.at(s.mark, each.rows()), emit); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		s.mark.at = end
	}
	return nil
}

// tellKeys tells changes in the order of keys.
func (s *Subscription) tellKeys(ctx context.Context, t *teller, emit func(arrow.RecordBatch) error) error {
	parts := t.parts()
	for part := s.partOf(parts); part < parts; part++ {
		var some *told
		err := s.acquire(ctx, func() (err error) {
			some, err = t.part(ctx, images.Span{Part: part, Parts: parts})
			return err
		})
		switch {
		case errors.Is(err, errOverflow):
			part = 4*part - 1 // which begins where this one did
			parts *= 4
			continue
		case err != nil:
			return err
		}
		if some.rows() == 0 {
			continue
		}
		done := some.at(s.mark, some.rows())
		if part == parts-1 {
			done = done.behind(t.snapshot)
		}
		if err := s.holding(ctx, some.bytes, func() error { return s.giveTold(some, done, emit) }); err != nil {
			return err
		}
	}
	return nil
}

// partOf is the part of all keys in which the mark is.
func (s *Subscription) partOf(parts uint64) uint64 {
	if s.mark.stage != stageKeys {
		return 0
	}
	return images.PartOf(s.mark.key, parts)
}

// holding hands out what takes some bytes, once there is room for it beside what other readers hold.
func (s *Subscription) holding(ctx context.Context, bytes int64, give func() error) error {
	if bytes <= smallBytes {
		return give()
	}
	held := min(bytes, s.streams.bounds.windowBytes)
	if err := s.streams.windows.Acquire(ctx, held); err != nil {
		return err
	}
	defer s.streams.windows.Release(held)
	return give()
}

// giveTold hands out what is behind the mark, which is done then.
func (s *Subscription) giveTold(t *told, done Mark, emit func(arrow.RecordBatch) error) error {
	for start := t.begin(s.mark); start < t.rows(); {
		end := t.end(start, s.streams.bounds.batchRows)
		if s.mark = t.at(s.mark, end); end == t.rows() {
			s.mark = done
		}
		s.streams.opts.Metrics.handed(s.followed.name, int64(end-start))
		batch := t.batch.NewSlice(int64(start), int64(end))
		err := emit(batch)
		batch.Release()
		if err != nil {
			return err
		}
		start = end
	}
	return nil
}
