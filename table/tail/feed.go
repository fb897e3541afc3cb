package tail

import (
	"time"

	"github.com/google/uuid"

	"github.com/firthlake/firth/table"
)

// Feed is the end of an index at which ingest hands over what it reads of one source of a table. It belongs to one
// goroutine.
type Feed struct {
	index *Index
	// reads are the topic partitions that it is of, takes those that the table has of them; under the index's mu.
	reads map[table.TopicPartition]bool
	takes func(table.TopicPartition) bool
}

// Feed opens another feed. Whoever follows the table already waits for it too.
func (x *Index) Feed() *Feed {
	f := &Feed{index: x}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.feeds[f] = false
	return f
}

// Wanted says whether somebody follows the table now.
func (f *Feed) Wanted(now time.Time) bool { return f.index.Followed(now) }

// Reads says which topic partitions the feed is of now. Those that it takes beside them are read by other processes, or
// by nobody yet. Nobody changes reads.
func (f *Feed) Reads(reads map[table.TopicPartition]bool, takes func(table.TopicPartition) bool) {
	f.index.mu.Lock()
	defer f.index.mu.Unlock()
	f.reads, f.takes = reads, takes
}

// Ready says that everything which is not committed yet is in the index or comes into it.
func (f *Feed) Ready() { f.say(true) }

// Pause says that what is read from now on does not come into the index.
func (f *Feed) Pause() { f.say(false) }

func (f *Feed) say(ready bool) {
	f.index.mu.Lock()
	defer f.index.mu.Unlock()
	f.index.feeds[f] = ready
	f.index.tellReady()
}

// Give hands over a chunk that is complete, in the place of its pieces.
func (f *Feed) Give(c Chunk) {
	x := f.index
	x.mu.Lock()
	defer x.mu.Unlock()
	x.chunks = append(x.chunks, held{Chunk: c, number: x.next, feed: f})
	x.next++
	x.dropPieces(func(p *heldPiece) bool { return p.feed == f && c.has(&p.Piece) })
	x.wake()
}

// Withdraw takes back the chunks of a change that is given up: its records are read again, by this process
// or another.
func (f *Feed) Withdraw(change uuid.UUID, now time.Time) {
	f.withdraw(now, func(c *held) bool { return c.Change == change })
	f.WithdrawPieces(change)
}

func (f *Feed) withdraw(now time.Time, which func(*held) bool) {
	x := f.index
	x.mu.Lock()
	defer x.mu.Unlock()
	for i := range x.chunks {
		c := &x.chunks[i]
		if c.feed != f || c.withdrawn || !which(c) {
			continue
		}
		c.withdrawn, c.Versions = true, nil
		if c.left.IsZero() {
			c.left = now
		}
	}
}

// WithdrawPieces takes back the pieces of a change: they are in chunks or in the table, or nobody is to see them.
func (f *Feed) WithdrawPieces(change uuid.UUID) {
	f.index.mu.Lock()
	defer f.index.mu.Unlock()
	f.index.dropPieces(func(p *heldPiece) bool { return p.feed == f && p.Change == change })
}

// Committed says where the table stands now. Chunks that it has come to stay for those who have loaded
// it before. It returns how many it has not come to.
func (f *Feed) Committed(position table.Position, now time.Time) (waiting int) {
	x := f.index
	x.mu.Lock()
	defer x.mu.Unlock()
	for i := range x.chunks {
		switch c := &x.chunks[i]; {
		case !c.left.IsZero():
		case c.behind(position):
			c.left, c.Versions = now, nil
		default:
			waiting++
		}
	}
	return waiting
}

// Close ends the feed. Chunks that are not committed are withdrawn.
func (f *Feed) Close(now time.Time) {
	f.withdraw(now, func(c *held) bool { return c.left.IsZero() })
	f.index.mu.Lock()
	defer f.index.mu.Unlock()
	f.index.dropPieces(func(p *heldPiece) bool { return p.feed == f })
	delete(f.index.feeds, f)
	f.index.tellReady()
}
