package keyindex

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing/fstest"
)

// memoryDisk is a disk in memory that calls before ahead of every change of what lies on it.
type memoryDisk struct {
	mu     sync.Mutex // guards all below
	files  map[string]*memoryFile
	before func(torn func(share int) *memoryDisk) fault
}

// memoryFile is a file, and lasts as long as it is open, as on a real disk.
type memoryFile struct{ text []byte }

// fault is what happens to a change.
type fault int

const (
	faultNone fault = iota
	faultRefused
	faultTorn // a write, in the middle
	faultUnsaid
)

var errFault = errors.New("disk in trouble")

func newMemoryDisk() *memoryDisk {
	return &memoryDisk{files: map[string]*memoryFile{},
		before: func(func(int) *memoryDisk) fault { return faultNone }}
}

func (d *memoryDisk) clone() *memoryDisk {
	c := newMemoryDisk()
	for name, f := range d.files {
		c.files[name] = &memoryFile{slices.Clone(f.text)}
	}
	return c
}

// change does what do says in quarters, 4 being all of it.
func (d *memoryDisk) change(do func(on *memoryDisk, share int)) error {
	switch d.before(func(share int) *memoryDisk {
		c := d.clone()
		do(c, share)
		return c
	}) {
	case faultRefused:
		return errFault
	case faultTorn:
		do(d, 2)
		return errFault
	case faultUnsaid:
		do(d, 4)
		return errFault
	}
	do(d, 4)
	return nil
}

func (d *memoryDisk) OpenFile(name string, flag int) (diskFile, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, there := d.files[name]
	switch {
	case there && flag&os.O_EXCL != 0:
		return nil, fs.ErrExist
	case !there && flag&os.O_CREATE == 0:
		return nil, fs.ErrNotExist
	case !there || flag&os.O_TRUNC != 0:
		err := d.change(func(on *memoryDisk, share int) {
			if share == 4 {
				on.files[name] = &memoryFile{}
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return &openFile{d: d, f: d.files[name], name: name}, nil
}

func (d *memoryDisk) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.files[from] == nil {
		return fs.ErrNotExist
	}
	return d.change(func(on *memoryDisk, share int) {
		if share == 4 {
			on.files[to] = on.files[from]
			delete(on.files, from)
		}
	})
}

func (d *memoryDisk) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.files[name] == nil {
		return fs.ErrNotExist
	}
	return d.change(func(on *memoryDisk, share int) {
		if share == 4 {
			delete(on.files, name)
		}
	})
}

func (d *memoryDisk) MakeFolder(string) error { return nil }

func (d *memoryDisk) List(folder string) ([]fs.DirEntry, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := fstest.MapFS{}
	for name := range d.files {
		if filepath.Dir(name) == folder {
			all[filepath.Base(name)] = &fstest.MapFile{}
		}
	}
	return all.ReadDir(".")
}

type openFile struct {
	d    *memoryDisk
	f    *memoryFile
	name string
	at   int64
}

func (o *openFile) Read(b []byte) (int, error) {
	n, err := o.ReadAt(b, o.at)
	o.at += int64(n)
	if n > 0 {
		err = nil
	}
	return n, err
}

func (o *openFile) ReadAt(b []byte, at int64) (int, error) {
	o.d.mu.Lock()
	defer o.d.mu.Unlock()
	return bytes.NewReader(o.f.text).ReadAt(b, at)
}

func (o *openFile) Write(b []byte) (int, error) {
	n, err := o.WriteAt(b, o.at)
	o.at += int64(n)
	return n, err
}

func (o *openFile) WriteAt(b []byte, at int64) (int, error) {
	o.d.mu.Lock()
	defer o.d.mu.Unlock()
	err := o.d.change(o.here(func(f *memoryFile, share int) {
		part := b[:len(b)*share/4]
		end := int(at) + len(part)
		f.text = append(f.text, make([]byte, max(0, end-len(f.text)))...)
		copy(f.text[at:], part)
	}))
	if err != nil {
		return 0, err
	}
	return len(b), nil
}

// here does a change to this file, in whatever copy of the disk, and nothing to one that was removed.
func (o *openFile) here(do func(f *memoryFile, share int)) func(on *memoryDisk, share int) {
	named := o.d.files[o.name] == o.f
	return func(on *memoryDisk, share int) {
		switch {
		case on == o.d:
			do(o.f, share)
		case named:
			do(on.files[o.name], share)
		}
	}
}

func (o *openFile) Seek(offset int64, whence int) (int64, error) {
	o.d.mu.Lock()
	defer o.d.mu.Unlock()
	o.at = offset
	if whence == io.SeekEnd {
		o.at = int64(len(o.f.text)) + offset
	}
	return o.at, nil
}

func (o *openFile) Truncate(size int64) error {
	o.d.mu.Lock()
	defer o.d.mu.Unlock()
	return o.d.change(o.here(func(f *memoryFile, share int) {
		if share == 4 {
			f.text = f.text[:min(size, int64(len(f.text)))]
		}
	}))
}

func (o *openFile) Close() error { return nil }
