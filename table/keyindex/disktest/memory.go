package disktest

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing/fstest"

	"github.com/firthlake/firth/table/keyindex/disk"
)

// Memory is a disk in memory that calls Before ahead of every change of what lies on it. It is a disk.Disk.
type Memory struct {
	// Before says what becomes of a change. torn makes a copy of the disk with so many quarters of the
	// change done, 0 to 4: what a process leaves that is killed then.
	Before func(torn func(share int) *Memory) Fault

	mu    sync.Mutex // guards all below
	files map[string]*memoryFile
}

// memoryFile is a file, and lasts as long as it is open, as on a real disk.
type memoryFile struct{ text []byte }

// Fault is what happens to a change.
type Fault int

// The faults: nothing, not done, done by half (a write), done and said not to be.
const (
	NoFault Fault = iota
	Refused
	Torn
	Unsaid
)

// ErrFault is the error of all faults.
var ErrFault = errors.New("disk in trouble")

// NewMemory is an empty disk without faults.
func NewMemory() *Memory {
	return &Memory{files: map[string]*memoryFile{},
		Before: func(func(int) *Memory) Fault { return NoFault }}
}

// Names are the files that there are.
func (d *Memory) Names() []string { return slices.Sorted(maps.Keys(d.files)) }

// Text is what a file holds.
func (d *Memory) Text(name string) []byte { return d.files[name].text }

// SetText makes a file hold text.
func (d *Memory) SetText(name string, text []byte) { d.files[name] = &memoryFile{text} }

// Clone is a copy without faults.
func (d *Memory) Clone() *Memory {
	c := NewMemory()
	for name, f := range d.files {
		c.files[name] = &memoryFile{slices.Clone(f.text)}
	}
	return c
}

// change does what do says in quarters, 4 being all of it.
func (d *Memory) change(do func(on *Memory, share int)) error {
	switch d.Before(func(share int) *Memory {
		c := d.Clone()
		do(c, share)
		return c
	}) {
	case Refused:
		return ErrFault
	case Torn:
		do(d, 2)
		return ErrFault
	case Unsaid:
		do(d, 4)
		return ErrFault
	}
	do(d, 4)
	return nil
}

// atOnce makes a change that happens as a whole or not at all.
func (d *Memory) atOnce(do func(on *Memory)) error {
	return d.change(func(on *Memory, share int) {
		if share == 4 {
			do(on)
		}
	})
}

// OpenFile implements disk.Disk.
func (d *Memory) OpenFile(name string, flag int) (disk.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, there := d.files[name]
	switch {
	case there && flag&os.O_EXCL != 0:
		return nil, fs.ErrExist
	case !there && flag&os.O_CREATE == 0:
		return nil, fs.ErrNotExist
	case !there || flag&os.O_TRUNC != 0:
		if err := d.atOnce(func(on *Memory) { on.files[name] = &memoryFile{} }); err != nil {
			return nil, err
		}
	}
	return &openFile{d: d, f: d.files[name], name: name}, nil
}

// Rename implements disk.Disk.
func (d *Memory) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.files[from] == nil {
		return fs.ErrNotExist
	}
	return d.atOnce(func(on *Memory) {
		on.files[to] = on.files[from]
		delete(on.files, from)
	})
}

// Remove implements disk.Disk.
func (d *Memory) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.files[name] == nil {
		return fs.ErrNotExist
	}
	return d.atOnce(func(on *Memory) { delete(on.files, name) })
}

// MakeFolder implements disk.Disk.
func (d *Memory) MakeFolder(string) error { return nil }

// List implements disk.Disk.
func (d *Memory) List(folder string) ([]fs.DirEntry, error) {
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
	d    *Memory
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
func (o *openFile) here(do func(f *memoryFile, share int)) func(on *Memory, share int) {
	named := o.d.files[o.name] == o.f
	return func(on *Memory, share int) {
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
