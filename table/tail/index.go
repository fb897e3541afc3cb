package tail

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/firthlake/firth/table"
)

// Index has the chunks of one table.
type Index struct {
	folder string
	// until is how long somebody follows the table, in nanoseconds since 1970, and asked how long somebody here does.
	until, asked atomic.Int64

	mu     sync.Mutex
	next   uint64 // number of the next chunk: there is none between two that follow each other
	chunks []held
	feeds  map[*Feed]bool // and whether each hands over all that it reads
	hider  NewestHider    // nil for a table whose rows nothing hides
	rules  string         // by which records become rows; empty when nobody has said
	// mirrors are what other processes tell.
	mirrors map[*Mirror]struct{}
	ready   chan struct{} // closed once all feeds do; nil when nobody waits
	pieces  []heldPiece   // in no chunk yet
	// nextPiece is the number of the next piece.
	nextPiece uint64
	wakes     map[chan<- struct{}]struct{}
}

// held is a chunk in the index.
type held struct {
	Chunk
	number uint64
	feed   *Feed // nil for one of another process, which has a mirror and the number there
	mirror *Mirror
	there  uint64
	// left is when it was covered by a commit or withdrawn; zero while neither.
	left      time.Time
	withdrawn bool
}

// NewIndex returns the empty index of a table that lies at location.
func NewIndex(location string) *Index {
	return &Index{folder: FolderOf(location), feeds: map[*Feed]bool{}, wakes: map[chan<- struct{}]struct{}{},
		mirrors: map[*Mirror]struct{}{}}
}

// Folder is where the chunks lie, with a slash.
func (x *Index) Folder() string { return x.folder }

// Follow says that somebody reads the table until then. The channel is closed once everything that is
// read from now on comes into the index.
func (x *Index) Follow(until time.Time) <-chan struct{} {
	atLeast(&x.asked, until)
	return x.FollowThere(until)
}

// FollowThere says that somebody reads the table at another process, which is told of the chunks.
func (x *Index) FollowThere(until time.Time) <-chan struct{} {
	atLeast(&x.until, until)
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.ready == nil {
		x.ready = make(chan struct{})
	}
	ready := x.ready
	x.tellReady()
	return ready
}

func atLeast(at *atomic.Int64, until time.Time) {
	for before := at.Load(); before < until.UnixNano(); before = at.Load() {
		if at.CompareAndSwap(before, until.UnixNano()) {
			return
		}
	}
}

// tellReady wakes those who wait when all feeds hand over what they read.
func (x *Index) tellReady() {
	for _, ready := range x.feeds {
		if !ready {
			return
		}
	}
	if x.ready != nil {
		close(x.ready)
		x.ready = nil
	}
}

// Followed says whether somebody follows the table now.
func (x *Index) Followed(now time.Time) bool { return now.UnixNano() < x.until.Load() }

// FollowedHere says whether somebody follows the table at this process now.
func (x *Index) FollowedHere(now time.Time) bool { return now.UnixNano() < x.asked.Load() }

// Fed says whether any ingest hands over what it reads of the table, or will once it is followed: here, or at a process
// that tells what it reads.
func (x *Index) Fed() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.feeds) > 0 || x.mirrored()
}

// At returns the tail behind a snapshot that stores position, as far as it is in chunks.
func (x *Index) At(position table.Position) View {
	view := newView(position)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.addChunks(&view, func(int) bool { return true })
	return view
}

// Begin is the tail behind a snapshot that stores position, without what it has.
func (x *Index) Begin(position table.Position) View { return newView(position) }

// Resume is At that begins with the chunks of a view that was shown, whether or not they were withdrawn since: their
// rows are those of their offsets, whoever reads these again.
func (x *Index) Resume(position table.Position, shown View) View {
	view := newView(position)
	x.mu.Lock()
	defer x.mu.Unlock()
	view.addShown(&shown)
	x.addChunks(&view, func(int) bool { return true })
	return view
}

// addChunks goes on with the chunks that fit. The caller holds mu.
func (x *Index) addChunks(view *View, knows func(schemaID int) bool) {
	for i := range x.chunks {
		c := &x.chunks[i]
		if c.withdrawn || !c.fits(view.Cut) || !knows(c.SchemaID) {
			continue
		}
		view.add(&c.Chunk, c.number)
	}
}

// Forget drops the chunks that were covered before one time or withdrawn before the other, and returns the locations of
// their files, which nobody else will remove.
func (x *Index) Forget(covered, withdrawn time.Time) []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	var files []string
	x.chunks = slices.DeleteFunc(x.chunks, func(c held) bool {
		before := covered
		if c.withdrawn {
			before = withdrawn
		}
		if c.left.IsZero() || !c.left.Before(before) {
			return false
		}
		if c.mirror == nil {
			files = append(files, c.locations()...)
		}
		return true
	})
	return files
}

// Files are the locations of all files in the index.
func (x *Index) Files() []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	var files []string
	for i := range x.chunks {
		files = append(files, x.chunks[i].locations()...)
	}
	return files
}

// locations are those of the chunk's files.
func (c *Chunk) locations() []string {
	var files []string
	for _, f := range c.Files {
		files = append(files, f.FilePath())
	}
	return files
}

// Set has the indexes of the tables that one process ingests, by the tables' UUIDs: a table that was dropped and made
// again under its name is another.
type Set struct {
	mu      sync.Mutex
	indexes map[uuid.UUID]*Index
	clocks  map[uuid.UUID]*Clock
}

// NewSet returns an empty set.
func NewSet() *Set { return &Set{indexes: map[uuid.UUID]*Index{}, clocks: map[uuid.UUID]*Clock{}} }

// Clock returns the clock of a table, and makes it when it is not there.
func (s *Set) Clock(id uuid.UUID) *Clock {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.clocks[id] == nil {
		s.clocks[id] = &Clock{}
	}
	return s.clocks[id]
}

// Index returns the index of a table that lies at location, and makes it when it is not there.
func (s *Set) Index(id uuid.UUID, location string) *Index {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.indexes[id]
	if x == nil {
		x = NewIndex(location)
		s.indexes[id] = x
	}
	return x
}

// All are the indexes so far.
func (s *Set) All() []*Index {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.indexes))
}

// FollowedHere are the indexes of the tables that somebody follows at this process now and that others may tell of.
func (s *Set) FollowedHere(now time.Time) map[uuid.UUID]*Index {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := map[uuid.UUID]*Index{}
	for id, x := range s.indexes {
		if x.FollowedHere(now) && x.Tells() {
			found[id] = x
		}
	}
	return found
}

// Find returns the index of a table, or nil when the process does not ingest it.
func (s *Set) Find(id uuid.UUID) *Index {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.indexes[id]
}
