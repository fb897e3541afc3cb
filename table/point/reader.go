package point

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

const (
	// atOnceBytesMax is up to which size a file is copied when one of its rows is asked for. It holds what a checkpoint
	// writes; to decode it takes a quarter of a second.
	atOnceBytesMax = 16 << 20
	// askedMin is how often a larger file is asked for before it is copied: whoever wants one row of it does not wait
	// for all.
	askedMin = 4
	// copiesAtOnce are made, or large files read, at a time: ingest needs the processors.
	copiesAtOnce = 2
	// copyShare of the room is for one copy at most.
	copyShare = 4
	// directAfter is how many rows are read from a file itself after it could not be copied: it is too large, or the
	// disk is full.
	directAfter = 10_000
	// entryBytes is what remembering a file takes, entriesMax how many are remembered: each copy is an open file.
	entryBytes = 1 << 10
	entriesMax = 1_000
)

// Reader reads rows. It is for any goroutine.
type Reader struct {
	store    objstore.Store
	dir      string
	bytesMax int64
	turns    chan struct{} // of those who decode

	mu     sync.Mutex // guards all below
	known  map[copyID]*list.Element
	used   list.List // of *entry, the one asked for last first
	bytes  int64
	making map[copyID]*making
}

// copyID names a copy: of a file, with the columns of a schema.
type copyID struct {
	location string
	schema   int
}

// entry is what is known of a file that was asked for.
type entry struct {
	id copyID
	// direct is how many more rows are read from the file itself before it is copied.
	direct int
	copy   *fileCopy // nil when there is none
}

func (e *entry) bytes() int64 {
	if e.copy == nil {
		return entryBytes
	}
	return entryBytes + e.copy.bytes
}

// making is under way until done is closed.
type making struct {
	done chan struct{}
	err  error
}

// NewReader returns a Reader that keeps copies of up to so many bytes in a local folder, which is made when there is
// something to keep.
func NewReader(store objstore.Store, dir string, bytesMax int64) *Reader {
	return &Reader{store: store, dir: dir, bytesMax: bytesMax, turns: make(chan struct{}, copiesAtOnce),
		known: map[copyID]*list.Element{}, making: map[copyID]*making{}}
}

// Row returns a row of a data file with the columns of the table's schema. The caller releases it. A file that is
// gone is objstore.ErrNotFound.
func (r *Reader) Row(ctx context.Context, t *table.Table, location string, row uint32) (arrow.RecordBatch, error) {
	out, err := r.row(ctx, t, copyID{location, t.Schema().ID}, row)
	if err != nil {
		return nil, fmt.Errorf("read row %d of %s: %w", row, location, err)
	}
	return out, nil
}

func (r *Reader) row(ctx context.Context, t *table.Table, id copyID, row uint32) (arrow.RecordBatch, error) {
	c := r.kept(id)
	if c == nil {
		object, err := r.store.Stat(ctx, id.location)
		if err != nil {
			return nil, err
		}
		if !r.isDirect(id, object.Size) {
			if c, err = r.copyFor(ctx, t, id, object.Size); err != nil {
				return nil, err
			}
		}
		if c == nil {
			return r.direct(ctx, t, object, row)
		}
	}
	defer r.release(c)
	return c.row(row)
}

// Prepare copies a data file that is about to be asked for, if it can be.
func (r *Reader) Prepare(ctx context.Context, t *table.Table, file iceberg.DataFile) error {
	id := copyID{file.FilePath(), t.Schema().ID}
	c, err := r.copyFor(ctx, t, id, file.FileSizeBytes())
	if err != nil {
		return fmt.Errorf("copy %s for look-ups: %w", id.location, err)
	}
	if c != nil {
		r.release(c)
	}
	return nil
}

// kept returns the copy of a file, which the caller releases, or nil.
func (r *Reader) kept(id copyID) *fileCopy {
	r.mu.Lock()
	defer r.mu.Unlock()
	element := r.known[id]
	if element == nil {
		return nil
	}
	r.used.MoveToFront(element)
	c := element.Value.(*entry).copy
	if c != nil {
		c.refs++
	}
	return c
}

// isDirect says whether a row is to be read from the file itself, and counts that.
func (r *Reader) isDirect(id copyID, size int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.entry(id, size)
	if e.direct > 0 {
		e.direct--
		return true
	}
	return false
}

// entry is that of a file.
func (r *Reader) entry(id copyID, size int64) *entry {
	element := r.known[id]
	if element == nil {
		e := &entry{id: id}
		if size > atOnceBytesMax {
			e.direct = askedMin
		}
		element = r.used.PushFront(e)
		r.known[id] = element
		r.grow(entryBytes)
	}
	r.used.MoveToFront(element)
	return element.Value.(*entry)
}

// grow takes room, from those asked for longest ago. What was asked for last stays.
func (r *Reader) grow(bytes int64) {
	for r.bytes += bytes; (r.bytes > r.bytesMax || r.used.Len() > entriesMax) && r.used.Len() > 1; {
		oldest := r.used.Remove(r.used.Back()).(*entry)
		delete(r.known, oldest.id)
		r.bytes -= oldest.bytes()
		r.unref(oldest.copy)
	}
}

// copyFor makes a copy, once for all who ask meanwhile, and returns it, or nil when there is none to be had. What was
// begun goes on when its asker leaves.
func (r *Reader) copyFor(ctx context.Context, t *table.Table, id copyID, size int64) (*fileCopy, error) {
	r.mu.Lock()
	under, found := r.making[id]
	if !found {
		under = &making{done: make(chan struct{})}
		r.making[id] = under
	}
	r.mu.Unlock()
	if !found {
		under.err = r.makeAndKeep(context.WithoutCancel(ctx), t, id, size)
		r.mu.Lock()
		delete(r.making, id)
		r.mu.Unlock()
		close(under.done)
	}
	select {
	case <-under.done:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if under.err != nil {
		return nil, under.err
	}
	return r.kept(id), nil // unless it was dropped for others at once
}

// makeAndKeep makes a copy and drops others for it.
func (r *Reader) makeAndKeep(ctx context.Context, t *table.Table, id copyID, size int64) error {
	if c := r.kept(id); c != nil { // it has just been made
		r.release(c)
		return nil
	}
	r.turns <- struct{}{}
	c, err := r.makeCopy(ctx, t, id, size)
	<-r.turns
	if err != nil && !errors.Is(err, errNoCopy) {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.entry(id, size)
	if c == nil {
		e.direct = directAfter
		return nil
	}
	e.copy = c
	r.grow(c.bytes)
	return nil
}

// release says that the caller reads a copy no more.
func (r *Reader) release(c *fileCopy) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unref(c)
}

func (r *Reader) unref(c *fileCopy) {
	if c == nil {
		return
	}
	if c.refs--; c.refs == 0 {
		c.close()
	}
}

// direct reads one row of a file.
func (r *Reader) direct(
	ctx context.Context, t *table.Table, object objstore.Object, row uint32,
) (arrow.RecordBatch, error) {
	task, err := taskOf(t, object.Location, object.Size)
	if err != nil {
		return nil, err
	}
	select {
	case r.turns <- struct{}{}:
		defer func() { <-r.turns }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	for batch, err := range table.ReadWith(ctx, r.store, task, table.ReadOptions{Rows: []uint32{row}}) {
		if err != nil {
			return nil, err
		}
		if batch.NumRows() > 0 {
			return batch.NewSlice(0, 1), nil
		}
	}
	return nil, table.ErrNoRow
}

// taskOf reads all rows of a file, whatever is deleted.
func taskOf(t *table.Table, location string, size int64) (table.Task, error) {
	meta := t.Metadata()
	file, err := iceberg.NewDataFileBuilder(*iceberg.UnpartitionedSpec, iceberg.EntryContentData, location,
		iceberg.ParquetFile, nil, nil, nil, 1, size)
	if err != nil {
		return table.Task{}, err
	}
	return table.Task{File: file.Build(), Schema: t.Schema(), NameMapping: meta.NameMapping()}, nil
}
