package catalog

import (
	"container/list"
	"sync"

	icetable "github.com/apache/iceberg-go/table"
)

// version is a table's metadata at one location: the bytes of the file and what they mean. It is
// immutable.
type version struct {
	location string
	raw      []byte
	metadata icetable.Metadata
}

// versionCache keeps the most recently used versions within a number of bytes. What a location holds
// never changes, so nothing in it is ever stale.
type versionCache struct {
	bytesMax int64

	mu     sync.Mutex
	bytes  int64
	recent *list.List // of *version, most recently used first
	byKey  map[string]*list.Element
}

func newVersionCache(bytesMax int64) *versionCache {
	return &versionCache{bytesMax: bytesMax, recent: list.New(), byKey: map[string]*list.Element{}}
}

func (c *versionCache) get(location string) *version {
	c.mu.Lock()
	defer c.mu.Unlock()
	element, ok := c.byKey[location]
	if !ok {
		return nil
	}
	c.recent.MoveToFront(element)
	return element.Value.(*version)
}

// put keeps v and forgets replaced, the location that v takes the place of.
func (c *versionCache) put(v *version, replaced string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(c.byKey[replaced])
	c.drop(c.byKey[v.location])
	c.byKey[v.location] = c.recent.PushFront(v)
	c.bytes += int64(len(v.raw))
	for c.bytes > c.bytesMax && c.recent.Len() > 1 {
		c.drop(c.recent.Back())
	}
}

func (c *versionCache) drop(element *list.Element) {
	if element == nil {
		return
	}
	v := c.recent.Remove(element).(*version)
	delete(c.byKey, v.location)
	c.bytes -= int64(len(v.raw))
}
