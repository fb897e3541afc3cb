package source

import "sync/atomic"

// lease is the right to read a chunk's records. Copies and cuts of a chunk share it.
type lease struct {
	holders atomic.Int32
	end     func()
}

// Lend says that the chunk's records are borrowed until Release was called once for the chunk and once
// for each Retain. end takes them back; the chunk has no lease yet.
func (c *Chunk) Lend(end func()) {
	c.lease = &lease{end: end}
	c.lease.holders.Store(1)
}

// Retain asks for one Release more, for a cut of the chunk that lives on its own. It may be called by
// any goroutine that holds the chunk.
func (c *Chunk) Retain() {
	if c.lease != nil {
		c.lease.holders.Add(1)
	}
}

// Release gives up the chunk's records: neither they nor their bytes may be read any more. What is
// never released is left to the garbage collector.
func (c *Chunk) Release() {
	if c.lease == nil {
		return
	}
	switch left := c.lease.holders.Add(-1); {
	case left == 0:
		c.lease.end()
	case left < 0:
		panic("BUG: chunk of " + c.TopicPartition.String() + " released more often than it was held")
	}
}
