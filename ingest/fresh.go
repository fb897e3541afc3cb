package ingest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/table"
)

// freshFor is how long after the last look-up buffers are still begun so that look-ups see them.
const freshFor = time.Minute

// fresh is what look-ups see of a keyed table: the committed table that its index mirrors, and the buffers whose
// rows go on from there. A buffer is seen from its first record until it is committed or given up, or not at all, so
// what is seen never goes back while the table goes on.
//
//	portion ─► filling ─► committing ─► landing: the index takes in its rows, key by key
//	                                      └─► landed: at once the base is the new table and the buffer is no more
//
// While a buffer is landing, what the index finds is of the base or already of the buffer. A view that has all of the
// buffer may use either, since to take in the same versions again changes nothing; but with sequences it does, when a
// delete and a version older than what it deleted came together.
//
// The applying side adds to it and the goroutine of a commit moves it; what comes of it is published whole, so that a
// look-up takes no lock: one that waits for a core while it holds a lock would have all others wait with it. Whoever
// looks up makes the keys of the rows that came since, so that ingest pays nothing for a row.
type fresh struct {
	wanted atomic.Int64 // when somebody looked up last, in nanoseconds since 1970
	stood  atomic.Pointer[standing]
	// changes grows when the index begins to move, and when it has moved: it is odd meanwhile.
	changes atomic.Int64

	mu        sync.Mutex // guards all below, which standing says at once
	committer Committer  // nil before the first source
	never     string     // why no buffer is ever seen, "" when they are
	hidden    int        // buffers that were begun while nobody looked up
	base      *mirrored  // nil when the index is not known to mirror a table
	held      []*seenBuffer
	gone      []*seenBuffer // no more held, which is not published yet
	// sources are those of the table in this process. Nobody changes what is read of them: another takes its place.
	sources map[*tableState]reading
	reading []reading
	reads   map[commit.TopicPartition]bool // of all of them
}

// reading is what one source of a table reads, and which topic partitions the table has from there.
type reading struct {
	reads map[commit.TopicPartition]bool
	takes func(commit.TopicPartition) bool
}

// standing is what there is from one change to the next. It is never changed.
type standing struct {
	committer Committer
	never     string
	waiting   int // buffers that are held
	// base, nil when there is none, and the buffers that go on from it, up to position. behind says why that is not
	// all that was read, "" when it is.
	base     *mirrored
	buffers  []seenUntil
	position commit.Position
	behind   string
	// landing are those of all buffers that the index is taking in.
	landing []seenUntil
	// sources are those of the table in this process, reads the topic partitions of all of them.
	sources []reading
	reads   map[commit.TopicPartition]bool
}

// mirrored is the committed table that the index mirrors.
type mirrored struct {
	table    *table.Table
	position commit.Position
	at       time.Time // when it was the newest
}

// attach says that a source of the table is about to be read. What an ingester before has left behind is read again.
func (f *fresh) attach(t *tableState) {
	f.mu.Lock()
	defer f.publish()
	f.committer, f.never, f.hidden, f.base = t.opts.Committer, "", 0, nil
	switch k := t.opts.Keyed; {
	case k.Merge != nil:
		f.never = "the table merges rows, which is done when they are committed"
	case k.Sources > 1:
		f.never = "the table has several sources, whose rows are put in order when they are committed"
	}
	for len(f.held) > 0 {
		f.remove(f.held[0])
	}
}

// tell says what a source reads from now on.
func (f *fresh) tell(t *tableState, r reading) {
	f.mu.Lock()
	defer f.publish()
	if f.sources == nil {
		f.sources = map[*tableState]reading{}
	}
	f.sources[t] = r
	f.gatherReads()
}

// detach says that a source is read no more.
func (f *fresh) detach(t *tableState) {
	f.mu.Lock()
	defer f.publish()
	delete(f.sources, t)
	f.gatherReads()
}

func (f *fresh) gatherReads() {
	f.reading, f.reads = nil, map[commit.TopicPartition]bool{}
	for _, r := range f.sources {
		f.reading = append(f.reading, r)
		maps.Copy(f.reads, r.reads)
	}
}

// readHere are the topic partitions that this process reads, and those of a position that the table goes on with and
// that it does not read. Those of a topic that was made again do not count.
func (f *fresh) readHere(position commit.Position,
) (reads map[commit.TopicPartition]bool, lacks []commit.TopicPartition) {
	s := f.now()
	for id := range position {
		if s.reads[id] {
			continue
		}
		if slices.ContainsFunc(s.sources, func(r reading) bool { return r.takes(id) }) {
			lacks = append(lacks, id)
		}
	}
	lacks = slices.DeleteFunc(lacks, func(id commit.TopicPartition) bool {
		for read := range s.reads {
			if read.Cluster == id.Cluster && read.Topic == id.Topic && read.TopicID != id.TopicID {
				return true
			}
		}
		return false
	})
	return s.reads, lacks
}

// publish ends a change, which had the lock. Only then those hear of it who wait for a buffer to be gone.
func (f *fresh) publish() {
	f.stood.Store(f.stand())
	gone := f.gone
	f.gone = nil
	f.mu.Unlock()
	for _, s := range gone {
		close(s.landed)
		s.release()
	}
}

// now is what there is.
func (f *fresh) now() *standing {
	if s := f.stood.Load(); s != nil {
		return s
	}
	return &standing{}
}

// stand puts together what there is.
func (f *fresh) stand() *standing {
	s := &standing{committer: f.committer, never: f.never, waiting: len(f.held), base: f.base, behind: f.never}
	if f.hidden > 0 {
		s.behind = behindHidden
	}
	s.sources, s.reads = f.reading, f.reads
	for _, b := range f.held {
		if b.landing {
			s.landing = append(s.landing, seenUntil{b, b.shape, b.parts, b.rows})
		}
	}
	if f.base == nil {
		return s
	}
	s.position = commit.Position{}
	maps.Copy(s.position, f.base.position)
	for _, b := range f.held {
		if b.shape == nil {
			continue // nothing was added yet
		}
		if b.afterHidden {
			break // what is hidden need not be of a topic partition that the base knows
		}
		if !b.goesOn(s.position) {
			s.behind = behindOthers
			break
		}
		s.buffers = append(s.buffers, seenUntil{b, b.shape, b.parts, b.rows})
		maps.Copy(s.position, b.next)
	}
	return s
}

// committed is who commits the table, nil when nobody does in this process.
func (f *fresh) committed() Committer { return f.now().committer }

// table is the newest version that is known.
func (f *fresh) table() (*table.Table, error) {
	c := f.committed()
	if c == nil {
		return nil, ErrNotIngested
	}
	return c.Table(), nil
}

// isWanted says whether somebody looks up.
func (f *fresh) isWanted(now time.Time) bool { return now.UnixNano()-f.wanted.Load() < int64(freshFor) }

// isOld says that nothing waits to be committed here, so that it is others who may have changed the table.
func (f *fresh) isOld(now time.Time) bool {
	s := f.now()
	return s.base != nil && s.waiting == 0 && now.Sub(s.base.at) >= newestFor
}

// begin lets look-ups see a new buffer, when somebody looks up.
func (f *fresh) begin(now time.Time) *seenBuffer {
	f.mu.Lock()
	defer f.publish()
	if f.never != "" {
		return nil
	}
	if !f.isWanted(now) {
		f.hidden++
		return nil
	}
	s := &seenBuffer{from: commit.Position{}, next: commit.Position{}, landed: make(chan struct{}),
		afterHidden: f.hidden > 0}
	s.refs.Store(1)
	f.held = append(f.held, s)
	return s
}

// mustCut says that a buffer is to be committed, since somebody looks up and does not see it.
func (f *fresh) mustCut(s *seenBuffer, now time.Time) bool {
	if s != nil || !f.isWanted(now) {
		return false
	}
	return f.now().never == ""
}

// add shows what a buffer has taken in.
func (f *fresh) add(s *seenBuffer, p *portion) {
	f.mu.Lock()
	defer f.publish()
	s.shape = p.shape
	if p.rows != nil {
		p.rows.Retain()
		s.parts = append(s.parts, seenPart{p.chunk.TopicPartition, p.rows, p.ops, s.rows})
		s.rows += int(p.rows.NumRows())
	}
	id := p.chunk.TopicPartition
	if _, some := s.next[id]; !some {
		s.from[id] = p.part.From
	}
	s.next[id] = p.part.Next
}

// moves says that the index begins to follow t. Where another process has moved the table's position, what the index
// finds meanwhile is of no known cut; others who change files leave each key what it was, or change it at no offset.
func (f *fresh) moves(t *table.Table) error {
	before := f.now().base
	if before == nil || before.table == t {
		return nil
	}
	ledger, err := commit.ReadLedger(t.Metadata())
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.publish()
	if !maps.Equal(before.position, ledger.Position) {
		f.base = nil
	}
	return nil
}

// follow says that the index mirrors t.
func (f *fresh) follow(t *table.Table, now time.Time) error {
	if !f.isWanted(now) {
		return nil
	}
	ledger, err := commit.ReadLedger(t.Metadata())
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.publish()
	f.base = &mirrored{t, ledger.Position, now}
	return nil
}

// mirror brings the index to t.
func (f *fresh) mirror(ctx context.Context, index KeyIndex, t *table.Table, now time.Time) error {
	if err := f.moves(t); err != nil {
		return err
	}
	if index.Snapshot() != t.SnapshotID() {
		f.changes.Add(1)
		defer f.changes.Add(1)
	}
	if err := index.Follow(ctx, t); err != nil {
		return fmt.Errorf("%w: %w", errNotFollowed, err)
	}
	return f.follow(t, now)
}

// lands says that the index begins to take in a buffer. Where look-ups do not see the buffer nothing tells up to which
// cut the index is, until it is done.
func (f *fresh) lands(s *seenBuffer) {
	f.mu.Lock()
	defer f.publish()
	if s == nil {
		f.base = nil
		return
	}
	s.landing = true
}

// land says that a buffer is in t, and which snapshot the index mirrors now. When nobody looks up, or the ledger
// cannot be read, the next look-up finds out.
func (f *fresh) land(s *seenBuffer, t *table.Table, snapshotID int64, now time.Time) {
	var next *mirrored
	if head := t.Metadata().CurrentSnapshot(); f.isWanted(now) && head != nil && head.SnapshotID == snapshotID {
		if ledger, err := commit.ReadLedger(t.Metadata()); err == nil {
			next = &mirrored{t, ledger.Position, now}
		}
	}
	f.mu.Lock()
	defer f.publish()
	f.base = next
	f.remove(s)
}

// withdraw takes a buffer out that was given up.
func (f *fresh) withdraw(s *seenBuffer) {
	f.mu.Lock()
	defer f.publish()
	f.remove(s)
}

func (f *fresh) remove(s *seenBuffer) {
	if s == nil {
		f.hidden = max(0, f.hidden-1)
		for _, b := range f.held {
			b.afterHidden = b.afterHidden && f.hidden > 0
		}
	}
	if i := slices.Index(f.held, s); i >= 0 {
		f.held = slices.Delete(f.held, i, i+1)
		f.gone = append(f.gone, s)
	}
}

// view is what there was at one moment, with a hold on the buffers.
type view struct{ *standing }

// behindHidden is the reason while buffers are committed that were begun before somebody looked up.
const behindHidden = "what was read before the first look-up is being committed"

// behindOthers is the reason when a buffer does not go on from where the table stands.
const behindOthers = "another process has committed what this one has read"

// seenUntil is a buffer as far as it had come.
type seenUntil struct {
	*seenBuffer
	shape *shape
	parts []seenPart
	rows  int
}

// look returns what there is now, or false when there is no base. The caller releases it.
func (f *fresh) look() (view, bool) {
	for {
		s := f.now()
		if s.base == nil {
			return view{}, false
		}
		if s.hold() {
			return view{s}, true
		}
	}
}

// hold keeps the buffers, unless one of them is gone, after another standing was published.
func (s *standing) hold() bool {
	for i, b := range s.buffers {
		if !b.hold() {
			for _, held := range s.buffers[:i] {
				held.release()
			}
			return false
		}
	}
	return true
}

// stands says whether what the index has found since v was taken is of v: its base is still the base, and v has all
// of the buffer that is landing, which it returns, nil when there is none.
func (f *fresh) stands(v view) (landing *seenBuffer, ok bool) {
	s := f.now()
	if s.base != v.base {
		return nil, false
	}
	for _, l := range s.landing {
		if !slices.ContainsFunc(v.buffers, func(u seenUntil) bool {
			return u.seenBuffer == l.seenBuffer && u.rows == l.rows
		}) {
			return nil, false
		}
		landing = l.seenBuffer
	}
	return landing, true
}

func (v *view) release() {
	for _, s := range v.buffers {
		s.seenBuffer.release()
	}
	v.standing = &standing{}
}
