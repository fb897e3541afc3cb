package disk

import (
	"io"
	"io/fs"
	"os"
)

// Disk is what an index needs of a file system.
type Disk interface {
	// OpenFile takes the flags of the os package.
	OpenFile(name string, flag int) (File, error)
	Rename(from, to string) error
	Remove(name string) error
	MakeFolder(name string) error
	List(folder string) ([]fs.DirEntry, error)
}

// File is an open file.
type File interface {
	io.Reader
	io.ReaderAt
	io.Writer
	io.WriterAt
	io.Seeker
	io.Closer
	Truncate(size int64) error
}

// Local is the file system of the machine. Its files are the user's alone.
type Local struct{}

// OpenFile implements Disk.
func (Local) OpenFile(name string, flag int) (File, error) {
	file, err := os.OpenFile(name, flag, 0o600)
	if err != nil {
		return nil, err
	}
	return file, nil
}

// Rename implements Disk.
func (Local) Rename(from, to string) error { return os.Rename(from, to) }

// Remove implements Disk.
func (Local) Remove(name string) error { return os.Remove(name) }

// MakeFolder implements Disk.
func (Local) MakeFolder(name string) error { return os.MkdirAll(name, 0o700) }

// List implements Disk.
func (Local) List(folder string) ([]fs.DirEntry, error) { return os.ReadDir(folder) }
