package keyindex

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/firthlake/firth/table/keyindex/disk"
)

// ErrDamaged says that what lies on disk is not what was written there. An index that meets it is
// removed and built anew.
var ErrDamaged = errors.New("key index damaged")

// Tag is the snapshot that an index mirrors; the zero value is none, of an index that must be built.
type Tag struct {
	SnapshotID     int64
	SequenceNumber int64
}

// Options say where an index lies and what it may use. Dir, Table and Identifier are required.
type Options struct {
	// Dir is a local folder of its own.
	Dir string
	// Table is the table's UUID, and Identifier what keys are made of: an index of another table,
	// or of other columns, is not taken. The function Identifier makes it of a schema.
	Table      uuid.UUID
	Identifier string
	// MemoryBytes is the limit on entries in memory; 0 is 256 MiB.
	MemoryBytes int64
	// Parallel is how many goroutines look up, apply and merge; 0 and 1 mean none.
	Parallel int
	// Salt gives 64 random bits for the seed of the hash, and for the name and the checksums of a file;
	// they must not be guessed. It is never called by two goroutines at once.
	Salt func() uint64
	// Log is told what was found damaged; nil is nobody.
	Log *slog.Logger
	// Disk is where Dir lies; nil is the machine's file system.
	Disk disk.Disk
}

const (
	memoryDefault = 256 << 20
	// A log of changes is folded into cold files when it is this long and longer than a fifth of
	// the entries: so the log and cold files stay under 30 bytes a key.
	logBytesMin   = 64 << 20
	logShare      = 5
	groups        = 1 << groupBits
	groupSegments = segments / groups
)

// Index belongs to one goroutine; calls use others inside. Its Finder is for all.
type Index struct {
	opts   Options
	seed   Seed
	tag    Tag
	saved  Tag // that of the log's beginning
	groups [groups]group
	files  fileNumbers
	log    *changeLog
	folded int64 // bytes of the log that cold files may have
	batch  batch
	// replaced are cold files that the manifest on disk may still name.
	replaced []*coldFile
	// shared is held by who changes what a Finder reads.
	shared *shared
}

// group are neighbouring segments that share a cold file.
type group struct {
	hots [groupSegments]hot
	cold *coldFile
	// partial says that entries of the cold file are missing in hots; else it is a copy of them, or
	// of what they were.
	partial bool
	// dirty says that hots hold what the cold file does not.
	dirty bool
}

// Tag is the snapshot that the index mirrors.
func (x *Index) Tag() Tag { return x.tag }

// Number is the number of a data file in Places. A file that it does not know gets one, which lasts
// once a change is applied.
func (x *Index) Number(path string) uint32 {
	x.shared.files.Lock()
	defer x.shared.files.Unlock()
	return x.files.number(path)
}

// Path is the data file of a number that Lookup returned.
func (x *Index) Path(number uint32) string { return x.files.paths[number] }

// Bytes is the memory that entries take.
func (x *Index) Bytes() (n int64) {
	for i := range x.groups {
		n += x.groups[i].bytes()
	}
	return n
}

// Keys is the number of keys, or a little more while keys of a cold file are replaced in memory.
func (x *Index) Keys() (n int64) {
	for i := range x.groups {
		n += x.groups[i].keys()
	}
	return n
}

func (g *group) bytes() (n int64) {
	for i := range g.hots {
		n += g.hots[i].bytes()
	}
	return n
}

func (g *group) keys() (n int64) {
	for i := range g.hots {
		n += int64(g.hots[i].used)
	}
	if g.partial {
		for _, entries := range g.cold.counts {
			n += entries
		}
	}
	return n
}

// Lookup sets places[i] to where the row of keys[i] is, or to the zero Place. Keys come in any order.
func (x *Index) Lookup(ctx context.Context, keys []Key, places []Place) error {
	defer x.batch.shrink()
	x.batch.ask(keys)
	return x.eachGroup(ctx, func(work *worker, i int) error {
		x.batch.sortGroup(&work.sorter, i)
		asked := x.batch.group(i)
		if err := work.lookup(&x.groups[i], asked, places); err != nil {
			return err
		}
		for _, ask := range asked {
			if p := &places[ask.Place.Row]; !x.files.live(p.File) {
				*p = Place{}
			}
		}
		return nil
	})
}

// worker is the scratch memory of a goroutine.
type worker struct {
	reader  reader
	sorter  sorter
	wants   []want
	entries []Entry
	out     *bufio.Writer
}

// lookup sets the places of keys that are asked for, in order: each has its place in the batch as a row.
func (w *worker) lookup(g *group, asked []Entry, places []Place) error {
	for len(asked) > 0 {
		segment := segmentOf(asked[0].Key)
		h, n := &g.hots[segment%groupSegments], 0
		w.wants = w.wants[:0]
		for ; n < len(asked) && segmentOf(asked[n].Key) == segment; n++ {
			key, row := asked[n].Key, int(asked[n].Place.Row)
			at, found := h.find(key)
			places[row] = Place{}
			if found {
				places[row] = h.slots[at].Place
			} else if g.partial {
				w.wants = append(w.wants, want{key, row})
			}
		}
		if len(w.wants) > 0 {
			err := w.reader.lookup(g.cold.segment(segment%groupSegments), w.wants, places)
			if err != nil {
				return err
			}
		}
		asked = asked[n:]
	}
	return nil
}

// salts are one for each group, drawn before goroutines share the work.
func (x *Index) salts() (salts [groups]uint64) {
	for i := range salts {
		salts[i] = x.opts.Salt()
	}
	return salts
}

// eachGroup calls do for every group, on as many goroutines as the options say.
func (x *Index) eachGroup(ctx context.Context, do func(w *worker, group int) error) error {
	var next atomic.Int64
	run := func() error {
		var w worker
		for {
			i := int(next.Add(1)) - 1
			if i >= groups {
				return nil
			}
			if err := ctx.Err(); err != nil {
				return fmt.Errorf("key index: %w", err)
			}
			if err := do(&w, i); err != nil {
				return err
			}
		}
	}
	if x.opts.Parallel <= 1 {
		return run()
	}
	var workers errgroup.Group
	for range x.opts.Parallel {
		workers.Go(run)
	}
	return workers.Wait()
}

// Changes are what one commit did to the places of keys.
type Changes struct {
	// Tag is the snapshot of the commit.
	Tag Tag
	// Entries come in any order; the last one of a key counts.
	Entries []Entry
	// Retired are data files that the table no longer has: places in them are nowhere.
	Retired []string
}

// Apply takes in a commit that is known to have landed. After an error nothing has changed, and the
// same changes may be applied again.
func (x *Index) Apply(ctx context.Context, c Changes) error {
	defer x.batch.shrink()
	var err error
	if c.Entries, err = x.inOrder(ctx, c.Entries); err != nil {
		return err
	}
	if err := x.log.append(c, &x.files); err != nil {
		return err
	}
	return x.take(context.WithoutCancel(ctx), c)
}

// take applies changes in memory, whose entries are in order.
func (x *Index) take(ctx context.Context, c Changes) error {
	err := x.eachGroup(ctx, func(_ *worker, i int) error {
		from, to := entriesOf(c.Entries, i)
		g := &x.groups[i]
		x.shared.groups[i].Lock()
		defer x.shared.groups[i].Unlock()
		for _, e := range c.Entries[from:to] {
			h := &g.hots[segmentOf(e.Key)%groupSegments]
			switch {
			case e.Place.File != 0:
				h.put(e)
			case g.partial:
				h.put(Entry{e.Key, Place{File: gone}})
			default:
				h.remove(e.Key)
			}
		}
		g.dirty = g.dirty || from < to
		return nil
	})
	x.shared.files.Lock()
	x.files.retire(c.Retired)
	x.shared.files.Unlock()
	x.tag = c.Tag
	return err
}

func entriesOf(entries []Entry, i int) (from, to int) {
	compare := func(e Entry, segment int) int {
		if segmentOf(e.Key) < segment {
			return -1
		}
		return 1
	}
	from, _ = slices.BinarySearchFunc(entries, i*groupSegments, compare)
	to, _ = slices.BinarySearchFunc(entries[from:], (i+1)*groupSegments, compare)
	return from, from + to
}

// Close closes the files. What was applied is on disk.
func (x *Index) Close() error {
	err := x.log.close()
	for i := range x.groups {
		if c := x.groups[i].cold; c != nil {
			err = errors.Join(err, c.file.Close())
		}
	}
	return err
}
