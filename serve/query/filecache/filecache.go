package filecache

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/firthlake/firth/table/objstore"
)

// ErrFull says that what is held leaves no room for another file.
var ErrFull = errors.New("no room for more files")

// Cache is a folder of files. All methods may be called from many goroutines.
type Cache struct {
	dir      string
	bytesMax int64

	mu     sync.Mutex
	files  map[string]*entry
	unheld *list.List // of *entry, longest unused first
	bytes  int64      // of all files
	named  int64      // how many names were given out
}

// entry is one file, or the attempt to fill it.
type entry struct {
	key, path string
	bytes     int64
	holders   int
	once      bool          // nobody will ask for it again
	filled    chan struct{} // closed when filling ended
	err       error         // of filling
	place     *list.Element // in unheld

	// turn is held by who adds parts, and guards present: the ranges that are there, apart and in order.
	turn    chan struct{}
	present []Range
}

// New returns an empty cache in a folder that exists and is empty.
func New(dir string, bytesMax int64) *Cache {
	return &Cache{dir: dir, bytesMax: bytesMax, files: map[string]*entry{}, unheld: list.New()}
}

// Fill writes the content of a file.
type Fill func(ctx context.Context, to io.Writer) error

// File is a file of the cache that is held.
type File struct {
	cache *Cache
	entry *entry
}

// Path is where the file lies.
func (f *File) Path() string { return f.entry.path }

// Release lets the file go. It is called once.
func (f *File) Release() { f.cache.release(f.entry) }

// Get returns the file of a key, held, and fills it when it is not there. Of several that ask at a time one fills; when
// it fails or gives up, another tries.
func (c *Cache) Get(ctx context.Context, key string, fill Fill) (*File, error) {
	for {
		e, mine := c.hold(key)
		if mine {
			c.fill(ctx, e, fill)
		}
		select {
		case <-e.filled:
		case <-ctx.Done():
			c.release(e)
			return nil, ctx.Err()
		}
		if e.err == nil {
			return &File{cache: c, entry: e}, nil
		}
		c.release(e)
		if mine || errors.Is(e.err, ErrFull) {
			return nil, e.err
		}
	}
}

// Once returns a file, held, that is removed with its release.
func (c *Cache) Once(ctx context.Context, fill Fill) (*File, error) {
	e := c.holdNew()
	c.fill(ctx, e, fill)
	if e.err != nil {
		return nil, e.err
	}
	return &File{cache: c, entry: e}, nil
}

// Whole returns a file with the content of an object.
func (c *Cache) Whole(ctx context.Context, store objstore.Store, location string) (*File, error) {
	return c.Get(ctx, "object "+location, func(ctx context.Context, to io.Writer) error {
		body, err := store.Get(ctx, location, 0, -1)
		if err != nil {
			return err
		}
		_, err = io.Copy(to, body)
		return errors.Join(err, body.Close())
	})
}

// hold finds or makes the entry of a key. Who made it fills it.
func (c *Cache) hold(key string) (e *entry, mine bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e = c.files[key]; e == nil {
		e, mine = c.name(key), true
	}
	if e.place != nil {
		c.unheld.Remove(e.place)
		e.place = nil
	}
	e.holders++
	return e, mine
}

// holdNew makes an entry that is held once.
func (c *Cache) holdNew() *entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.name("once " + strconv.FormatInt(c.named, 36))
	e.holders, e.once = 1, true
	return e
}

// name makes the entry of a key. The caller holds mu.
func (c *Cache) name(key string) *entry {
	c.named++
	e := &entry{key: key, filled: make(chan struct{}), turn: make(chan struct{}, 1),
		path: filepath.Join(c.dir, strconv.FormatInt(c.named, 36)+".parquet")}
	c.files[key] = e
	return e
}

// fill fills the file of e, or forgets e.
func (c *Cache) fill(ctx context.Context, e *entry, fill Fill) {
	defer close(e.filled)
	if e.err = c.write(ctx, e, fill); e.err == nil {
		return
	}
	_ = os.Remove(e.path) // a file under a name that nobody will ask for
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.files, e.key)
	c.bytes -= e.bytes
	e.bytes = 0
}

func (c *Cache) write(ctx context.Context, e *entry, fill Fill) error {
	file, err := os.OpenFile(e.path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("make cached file: %w", err)
	}
	err = fill(ctx, &bounded{cache: c, entry: e, file: file})
	return errors.Join(err, file.Close())
}

// bounded counts what is written against the bound of the cache.
type bounded struct {
	cache *Cache
	entry *entry
	file  *os.File
}

func (b *bounded) Write(p []byte) (int, error) {
	if err := b.cache.take(b.entry, int64(len(p))); err != nil {
		return 0, err
	}
	return b.file.Write(p)
}

// take makes room for n more bytes of e.
func (c *Cache) take(e *entry, n int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.bytes+n > c.bytesMax {
		oldest := c.unheld.Front()
		if oldest == nil {
			return fmt.Errorf("%w: %d bytes are held, and %d are all", ErrFull, c.bytes, c.bytesMax)
		}
		c.forget(oldest.Value.(*entry))
	}
	c.bytes += n
	e.bytes += n
	return nil
}

// forget removes a file that nobody holds. Removing takes no time to speak of, so the lock is kept.
func (c *Cache) forget(e *entry) {
	if e.place != nil {
		c.unheld.Remove(e.place)
	}
	delete(c.files, e.key)
	c.bytes -= e.bytes
	_ = os.Remove(e.path) // what stays goes with the folder
}

func (c *Cache) release(e *entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e.holders--
	switch {
	case e.holders > 0 || c.files[e.key] != e:
	case e.once:
		c.forget(e)
	default:
		e.place = c.unheld.PushBack(e)
	}
}
