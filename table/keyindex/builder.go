package keyindex

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// Builder fills an index anew, from the keys of a whole table. Add may be called from many goroutines;
// entries come in any order.
type Builder struct {
	x     *Index
	parts [groups]part

	limited int64 // bytes of entries that a part may hold
}

// part are the entries of one group that were added.
type part struct {
	mu      sync.Mutex // guards all below
	entries []Entry
	file    *os.File // what memory has no room for
	out     *bufio.Writer
	written int64
}

// Rebuild empties the index, which has no snapshot until the builder's Finish. Its Hashers stay good.
func (x *Index) Rebuild() (*Builder, error) {
	fresh, err := begin(x.opts, x.seed)
	if err != nil {
		return nil, err
	}
	_ = x.log.close() // removed by begin
	x.closeCold()
	*x = *fresh
	return &Builder{x: x, limited: max(x.opts.MemoryBytes/groups/2, 64<<10)}, nil
}

// Add takes in entries of live rows. The numbers of their files have been asked for before.
func (b *Builder) Add(entries []Entry) error {
	var of [groups][]Entry
	for _, e := range entries {
		i := segmentOf(e.Key) / groupSegments
		of[i] = append(of[i], e)
	}
	for i := range of {
		if err := b.parts[i].add(b, i, of[i]); err != nil {
			return fmt.Errorf("rebuild key index: %w", err)
		}
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

func (p *part) spill(b *Builder, group int) (err error) {
	if p.file == nil {
		name := filepath.Join(b.x.opts.Dir, fmt.Sprintf("%02d.part.log", group))
		if p.file, err = os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600); err != nil {
			return err
		}
		p.out = bufio.NewWriterSize(p.file, 64<<10)
	}
	var buffer [entryBytes]byte
	for _, e := range p.entries {
		putEntry(buffer[:], e)
		if _, err := p.out.Write(buffer[:]); err != nil {
			return err
		}
	}
	p.written += int64(len(p.entries))
	p.entries = p.entries[:0]
	return nil
}

// Finish makes the index that of a snapshot. It returns how many keys were there more than once, of
// which the index has the one in the file with the highest number, and there the last.
func (b *Builder) Finish(ctx context.Context, tag Tag) (doubles int64, err error) {
	defer b.drop()
	salts := b.x.salts()
	var mu sync.Mutex // guards doubles
	err = b.x.eachGroup(ctx, func(_ *worker, i int) error {
		entries, err := b.parts[i].take()
		if err != nil {
			return err
		}
		slices.SortFunc(entries, compareEntries)
		unique := slices.CompactFunc(entries, func(a, b Entry) bool { return a.Key == b.Key })
		mu.Lock()
		doubles += int64(len(entries) - len(unique))
		mu.Unlock()
		return b.x.setGroup(i, unique, salts[i])
	})
	if err == nil {
		b.x.tag, b.x.saved, b.x.files.logged = tag, tag, b.x.files.last
		err = b.x.writeManifest()
	}
	if err != nil {
		return 0, fmt.Errorf("rebuild key index: %w", err)
	}
	return doubles, b.x.warm(ctx)
}

// compareEntries puts the newest place of a key first.
func compareEntries(a, b Entry) int {
	if order := a.Key.Compare(b.Key); order != 0 {
		return order
	}
	if a.Place.File != b.Place.File {
		if a.Place.File > b.Place.File {
			return -1
		}
		return 1
	}
	return int(int64(b.Place.Row) - int64(a.Place.Row))
}

// take returns all entries of the part.
func (p *part) take() ([]Entry, error) {
	if p.file == nil {
		return p.entries, nil
	}
	if err := p.out.Flush(); err != nil {
		return nil, err
	}
	if _, err := p.file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	all := make([]Entry, 0, p.written+int64(len(p.entries)))
	in := bufio.NewReaderSize(p.file, 256<<10)
	var buffer [entryBytes]byte
	for range p.written {
		if _, err := io.ReadFull(in, buffer[:]); err != nil {
			return nil, err
		}
		all = append(all, entryAt(buffer[:]))
	}
	all = append(all, p.entries...)
	return all, p.drop()
}

func (p *part) drop() error {
	if p.file == nil {
		return nil
	}
	err := errors.Join(p.file.Close(), os.Remove(p.file.Name()))
	*p = part{}
	return err
}

// drop removes what the parts have on disk.
func (b *Builder) drop() {
	for i := range b.parts {
		_ = b.parts[i].drop()
		b.parts[i].entries = nil
	}
}

// setGroup writes the cold file of a group from its entries, in order.
func (x *Index) setGroup(i int, entries []Entry, salt uint64) error {
	w, err := createCold(filepath.Join(x.opts.Dir, coldName(i, salt)), salt)
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
	x.groups[i] = group{cold: file, partial: true}
	return nil
}
