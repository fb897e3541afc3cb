package stream

import (
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/tail"
)

// state is a table at one moment: a snapshot, and the chunks and pieces that go on where it ends. It does not change.
type state struct {
	Ledger
	table *table.Table
	view  tail.View
	index *tail.Index     // nil when the process does not ingest the table
	ready <-chan struct{} // closed once all that was read is in the tail or committed
	marks []uint64        // the greatest number of a piece of each state up to this one, of the last states
}

// marksMax is how many states are told apart that a stream in memory may be behind.
const marksMax = 1024

// markOf is the mark of the first state that had a piece.
func (s *state) markOf(piece uint64) uint64 {
	at, _ := slices.BinarySearch(s.marks, piece)
	if at == len(s.marks) {
		return math.MaxUint64
	}
	return s.marks[at]
}

// mark goes on with the marks of the state before.
func (s *state) mark(before *state) {
	s.marks = before.marks
	greatest := uint64(0)
	for i := range s.view.Pieces {
		greatest = max(greatest, s.view.Pieces[i].Number)
	}
	if n := len(s.marks); n > 0 && s.marks[n-1] >= greatest {
		return
	}
	if len(s.marks) >= marksMax {
		s.marks = slices.Clone(s.marks[marksMax/2:])
	}
	s.marks = append(s.marks, greatest) // other states see no more than they have
}

// keyed says whether rows of the table change, by key.
func (s *state) keyed() bool { return len(s.table.Schema().IdentifierFieldIDs) > 0 }

// renewed is the same snapshot with the tail of this moment.
func (s *state) renewed() *state {
	next := *s
	if next.view = (tail.View{Cut: s.Position}); s.index != nil {
		next.view = s.index.Newest(s.Position, s.table.HasSchema)
	}
	return &next
}

// same says that nothing has come.
func (s *state) same(o *state) bool {
	return s.table.MetadataLocation() == o.table.MetadataLocation() && s.view.Same(&o.view)
}

// followed is a table that has subscriptions.
type followed struct {
	name  string
	ident table.Ident

	mu      sync.Mutex
	subs    map[*Subscription]struct{}
	current *state
	err     error         // why there are no more states
	changed chan struct{} // closed with the next state
	piles   []*sharedPile // of the newest rows, oldest first
	told    []*sharedTold // of the newest commits of a keyed table

	sharedBytes int64 // of all piles

	live *liveFiles
}

// join makes a subscription one of its table.
func (s *Streams) join(ident table.Ident, first *state, sub *Subscription) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return ErrStopped
	}
	if s.open >= subscriptionsMax {
		return fmt.Errorf("%w: %d are open: try again later", ErrBusy, s.open)
	}
	// By UUID: a table that was made again under its name has states of its own, as has one with another identifier.
	key := fmt.Sprint(first.table.Metadata().TableUUID(), identifierOf(first.table.Schema()))
	f := s.followed[key]
	if f == nil {
		f = &followed{name: table.FormatIdent(ident), ident: ident, subs: map[*Subscription]struct{}{},
			current: first, changed: make(chan struct{}), live: newLiveFiles()}
		s.followed[key] = f
	}
	s.open++
	s.opts.Metrics.subscribers(f.name, 1)
	sub.followed, sub.key = f, key
	f.mu.Lock()
	defer f.mu.Unlock()
	f.subs[sub] = struct{}{}
	if first.index != nil {
		first.index.Wake(s.woken)
	}
	return nil
}

// stop ends all subscriptions, those too whose readers do not read.
func (s *Streams) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	for _, f := range s.followed {
		f.fail(ErrStopped)
		f.mu.Lock()
		for sub := range f.subs {
			if sub.hurry != nil {
				sub.hurry()
			}
		}
		f.mu.Unlock()
	}
}

// leave is the end of a subscription.
func (s *Streams) leave(sub *Subscription) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := sub.followed
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, some := f.subs[sub]; !some {
		return
	}
	delete(f.subs, sub)
	s.open--
	s.opts.Metrics.subscribers(f.name, -1)
	if len(f.subs) == 0 && s.followed[sub.key] == f {
		delete(s.followed, sub.key)
		s.opts.Metrics.forget(f.name)
		if f.current.index != nil {
			f.current.index.Unwake(s.woken)
		}
	}
}

// now is the last state, and what is closed when there is another.
func (f *followed) now() (*state, <-chan struct{}, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.current, f.changed, f.err
}

func (f *followed) last() *state {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.current
}

// renew goes on to the state of this moment: of a snapshot, or of that of the last state when base is nil. It wakes the
// subscriptions when that tells anything new. The tail is looked at by turns, so that no state has less of it than the
// one before unless it was given up.
func (f *followed) renew(base *state) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if base == nil {
		if base = f.current; f.err != nil {
			return
		}
	}
	next := base.renewed()
	if f.err == nil && f.current.same(next) {
		return
	}
	next.mark(f.current)
	f.current, f.err = next, nil
	f.tell()
}

// fail says why there are no more states.
func (f *followed) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
	f.tell()
}

// tell wakes the subscriptions. The caller holds mu.
func (f *followed) tell() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// lag is how many offsets the slowest subscription is behind.
func (f *followed) lag() (most int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for sub := range f.subs {
		most = max(most, sub.behind.Load())
	}
	return most
}

// onStop says what ends a write of the subscription's reader when the server stops.
func (s *Subscription) onStop(hurry func()) {
	s.followed.mu.Lock()
	defer s.followed.mu.Unlock()
	s.hurry = hurry
}
