package tail

import (
	"maps"
	"time"

	"github.com/firthlake/firth/table"
)

// Told is what one process tells another of the tail of a table, as far as it is in chunks.
type Told struct {
	// Rules tell the ways apart in which records become rows; see Index.Rule.
	Rules string
	// Reads are the topic partitions that the process reads.
	Reads []table.TopicPartition
	// Chunks are those that it has read itself and not given up, in order, Numbers what they are called there. Of one
	// that was told before the number is enough.
	Chunks  []Chunk
	Numbers []uint64
}

// Rule says by which rules records become rows here. Chunks of processes with others are not shown: their rows
// may not be those that are read of the same records here.
func (x *Index) Rule(rules string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.rules = rules
}

// Tells says whether others may know of the tail. They may not of a keyed table with several sources, since nobody
// knows which rows its chunks hide.
func (x *Index) Tells() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.tells()
}

func (x *Index) tells() bool { return x.hider == nil || x.ordered() }

// Tell is what others may know of the tail.
func (x *Index) Tell() Told {
	x.mu.Lock()
	defer x.mu.Unlock()
	out := Told{Rules: x.rules}
	if !x.tells() {
		return out
	}
	for f := range x.feeds {
		for id := range f.reads {
			out.Reads = append(out.Reads, id)
		}
	}
	for i := range x.chunks {
		if c := &x.chunks[i]; c.mirror == nil && !c.withdrawn {
			out.Chunks, out.Numbers = append(out.Chunks, c.Chunk), append(out.Numbers, c.number)
		}
	}
	return out
}

// Mirror is what another process has told of the tail of a table. It belongs to one goroutine.
type Mirror struct {
	index *Index
	known map[uint64]bool               // numbers there of chunks that are here and not withdrawn
	reads map[table.TopicPartition]bool // under the index's mu
	hider Hider                         // of a keyed table's chunks; nil when nobody tells what they hide
}

// Mirror opens what another process tells. Of a keyed table h asks it what its chunks hide.
func (x *Index) Mirror(h Hider) *Mirror {
	return &Mirror{index: x, known: map[uint64]bool{}, hider: h}
}

// Set takes what the process tells now in the place of what it told before. Chunks that it does not tell any more are
// withdrawn; their files are its own to remove.
func (m *Mirror) Set(told Told, now time.Time) {
	x := m.index
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.rules != "" && x.rules != told.Rules {
		told = Told{}
	}
	m.reads = map[table.TopicPartition]bool{}
	for _, id := range told.Reads {
		m.reads[id] = true
	}
	x.mirrors[m] = struct{}{}
	before := maps.Clone(m.known)
	clear(m.known)
	fresh := false
	for i, number := range told.Numbers {
		if m.known[number] = true; before[number] {
			continue
		}
		x.chunks = append(x.chunks, held{Chunk: told.Chunks[i], number: x.next, mirror: m, there: number})
		x.next++
		fresh = true
	}
	m.withdraw(now)
	if fresh {
		x.wake()
	}
}

// withdraw takes back the chunks that are not known any more. The caller holds the index's mu.
func (m *Mirror) withdraw(now time.Time) {
	for i := range m.index.chunks {
		c := &m.index.chunks[i]
		if c.mirror != m || c.withdrawn || m.known[c.there] {
			continue
		}
		c.withdrawn = true
		if c.left.IsZero() {
			c.left = now
		}
	}
}

// After is the last of the numbers that are known; there is none before the first Set.
func (m *Mirror) After() (number uint64, some bool) {
	for known := range m.known {
		number, some = max(number, known), true
	}
	return number, some
}

// Close ends it: nobody knows what the process has. Its chunks are withdrawn.
func (m *Mirror) Close(now time.Time) {
	m.index.mu.Lock()
	defer m.index.mu.Unlock()
	clear(m.known)
	m.withdraw(now)
	delete(m.index.mirrors, m)
}
