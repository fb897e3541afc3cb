package keyindex

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/firthlake/firth/table/keyindex/disk"
)

// Builder fills an index anew, from the keys of a whole table. Add may be called from many goroutines;
// entries come in any order.
type Builder struct {
	x     *Index
	parts [groups]part

	limited int64     // bytes of entries that a part may hold
	scratch sync.Pool // of *[addedMax]Entry

	mu      sync.Mutex // guards doubles
	doubles []Entry
}

// DoublesMax is how many doubles a Builder names: 24 MiB.
const DoublesMax = 1 << 20

// Doubles are the entries that Finish left out, since their keys have another that is newer: the first
// DoublesMax of them, in any order.
func (b *Builder) Doubles() []Entry { return b.doubles }

// Abort gives up a rebuild instead of Finish; the index stays empty.
func (b *Builder) Abort() { b.drop() }

// part are the entries of one group that were added.
type part struct {
	mu      sync.Mutex // guards all below
	entries []Entry
	name    string // of the file of what memory has no room for
	file    disk.File
	written int64
}

// Rebuild empties the index, which has no snapshot until the builder's Finish. Its Hashers stay good; numbers of
// data files begin anew.
func (x *Index) Rebuild() (*Builder, error) {
	fresh, err := begin(x.opts, x.seed)
	if err != nil {
		return nil, err
	}
	_ = x.log.close() // removed by begin
	shared := x.shared
	fresh.shared = shared
	shared.lock()
	x.closeCold()
	*x = *fresh
	shared.unlock()
	return &Builder{x: x, limited: max(x.opts.MemoryBytes/groups/2, 64<<10)}, nil
}

// Add takes in entries of live rows, which stay as they are. The numbers of their files have been asked
// for before.
func (b *Builder) Add(entries []Entry) error {
	for len(entries) > 0 {
		n := min(len(entries), addedMax)
		if err := b.add(entries[:n]); err != nil {
			return fmt.Errorf("rebuild key index: %w", err)
		}
		entries = entries[n:]
	}
	return nil
}

// addedMax is how many entries are divided at once: their copy fits into the second cache.
const addedMax = 8 << 10

func (b *Builder) add(entries []Entry) error {
	groupOf := func(e Entry) int { return segmentOf(e.Key) / groupSegments }
	var ends [groups]int
	for _, e := range entries {
		ends[groupOf(e)]++
	}
	sum := 0
	for i, n := range ends {
		ends[i], sum = sum, sum+n
	}
	divided, _ := b.scratch.Get().(*[addedMax]Entry)
	if divided == nil {
		divided = new([addedMax]Entry)
	}
	defer b.scratch.Put(divided)
	for _, e := range entries {
		i := groupOf(e)
		divided[ends[i]] = e
		ends[i]++
	}
	start := 0
	for i, end := range ends {
		if err := b.parts[i].add(b, i, divided[start:end]); err != nil {
			return err
		}
		start = end
	}
	return nil
}

func (p *part) add(b *Builder, group int, entries []Entry) error {
	if len(entries) == 0 {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.entries = append(p.entries, entries...)
	if int64(len(p.entries))*entryBytes < b.limited {
		return nil
	}
	return p.spill(b, group)
}

// spillBytes is how much is written and read at once.
const spillBytes = 2048 * entryBytes

func (p *part) spill(b *Builder, group int) (err error) {
	if p.file == nil {
		p.name = filepath.Join(b.x.opts.Dir, fmt.Sprintf("%02d.part.log", group))
		p.file, err = b.x.opts.Disk.OpenFile(p.name, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
		if err != nil {
			return err
		}
	}
	buffer := make([]byte, 0, spillBytes)
	for i, e := range p.entries {
		buffer = buffer[:len(buffer)+entryBytes]
		putEntry(buffer[len(buffer)-entryBytes:], e)
		if len(buffer) == spillBytes || i == len(p.entries)-1 {
			if _, err := p.file.Write(buffer); err != nil {
				return err
			}
			buffer = buffer[:0]
		}
	}
	p.written += int64(len(p.entries))
	p.entries = p.entries[:0]
	return nil
}

// Finish makes the index that of a snapshot. It returns how many keys were there more than once, of
// which the index has the one in the file with the highest number, and there the last. Each goroutine
// needs memory for a 64th of all entries, twice.
func (b *Builder) Finish(ctx context.Context, tag Tag) (doubles int64, err error) {
	defer b.drop()
	salts := b.x.salts()
	var all, kept atomic.Int64
	err = b.x.eachGroup(ctx, func(w *worker, i int) (err error) {
		if w.entries, err = b.parts[i].take(b.x.opts.Disk, w.entries[:0]); err != nil {
			return err
		}
		w.sorter.sort(w.entries, groupBits)
		unique := newest(w.entries, b.leaveOut)
		all.Add(int64(len(w.entries)))
		kept.Add(int64(len(unique)))
		return b.x.setGroup(w, i, unique, salts[i])
	})
	if err == nil {
		b.x.tag, b.x.saved, b.x.files.logged = tag, tag, b.x.files.last
		err = b.x.writeManifest()
	}
	if err != nil {
		return 0, fmt.Errorf("rebuild key index: %w", err)
	}
	return all.Load() - kept.Load(), b.x.warm(ctx)
}

// leaveOut remembers a double.
func (b *Builder) leaveOut(e Entry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.doubles) < DoublesMax {
		b.doubles = append(b.doubles, e)
	}
}

// newest keeps of entries in order the newest of each key and hands out the others.
func newest(entries []Entry, other func(Entry)) []Entry {
	n := 0
	for _, e := range entries {
		switch {
		case n == 0 || entries[n-1].Key != e.Key:
			entries[n] = e
			n++
		case entries[n-1].Place.before(e.Place):
			other(entries[n-1])
			entries[n-1] = e
		default:
			other(e)
		}
	}
	return entries[:n]
}

// before says whether a row is older than another: of an older file, or before it in the same.
func (p Place) before(o Place) bool {
	return p.File < o.File || p.File == o.File && p.Row < o.Row
}

// take appends all entries of the part to out and frees it.
func (p *part) take(on disk.Disk, out []Entry) ([]Entry, error) {
	out = slices.Grow(out, int(p.written)+len(p.entries))
	if p.file != nil {
		if _, err := p.file.Seek(0, io.SeekStart); err != nil {
			return nil, err
		}
		buffer := make([]byte, spillBytes)
		for left := p.written; left > 0; {
			part := buffer[:min(left*entryBytes, spillBytes)]
			if _, err := io.ReadFull(p.file, part); err != nil {
				return nil, err
			}
			for at := 0; at < len(part); at += entryBytes {
				out = append(out, entryAt(part[at:]))
			}
			left -= int64(len(part) / entryBytes)
		}
	}
	out = append(out, p.entries...)
	return out, p.drop(on)
}

func (p *part) drop(on disk.Disk) error {
	p.entries = nil
	if p.file == nil {
		return nil
	}
	err := errors.Join(p.file.Close(), on.Remove(p.name))
	p.file, p.written = nil, 0
	return err
}

// drop removes what the parts have on disk.
func (b *Builder) drop() {
	for i := range b.parts {
		_ = b.parts[i].drop(b.x.opts.Disk)
	}
}

// setGroup writes the cold file of a group from its entries, in order.
func (x *Index) setGroup(work *worker, i int, entries []Entry, salt uint64) error {
	if len(entries) == 0 {
		x.setCold(i, nil)
		return nil
	}
	w, err := work.createCold(x.opts.Disk, filepath.Join(x.opts.Dir, coldName(i, salt)), salt)
	if err != nil {
		return err
	}
	at := 0
	for k := range groupSegments {
		for ; at < len(entries) && segmentOf(entries[at].Key)%groupSegments == k; at++ {
			if err == nil {
				err = w.add(k, entries[at])
			}
		}
		if err == nil {
			err = w.end(k)
		}
	}
	if err != nil {
		w.abort()
		return err
	}
	file, err := w.finish()
	if err != nil {
		w.abort()
		return err
	}
	x.setCold(i, file)
	return nil
}

// setCold makes a group what its cold file holds, nil for nothing.
func (x *Index) setCold(i int, file *coldFile) {
	x.shared.groups[i].Lock()
	defer x.shared.groups[i].Unlock()
	x.groups[i] = group{cold: file, partial: file != nil}
}
