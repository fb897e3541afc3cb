package keyindex

import (
	"errors"
	"io"
	"io/fs"
	"os"
)

// disk is what an index needs of a file system.
type disk interface {
	// OpenFile takes the flags of the os package.
	OpenFile(name string, flag int) (diskFile, error)
	Rename(from, to string) error
	Remove(name string) error
	MakeFolder(name string) error
	List(folder string) ([]fs.DirEntry, error)
}

// diskFile is an open file.
type diskFile interface {
	io.Reader
	io.ReaderAt
	io.Writer
	io.WriterAt
	io.Seeker
	io.Closer
	Truncate(size int64) error
}

// localDisk is the file system of the machine. Its files are the user's alone.
type localDisk struct{}

func (localDisk) OpenFile(name string, flag int) (diskFile, error) {
	file, err := os.OpenFile(name, flag, 0o600)
	if err != nil {
		return nil, err
	}
	return file, nil
}

func (localDisk) Rename(from, to string) error              { return os.Rename(from, to) }
func (localDisk) Remove(name string) error                  { return os.Remove(name) }
func (localDisk) MakeFolder(name string) error              { return os.MkdirAll(name, 0o700) }
func (localDisk) List(folder string) ([]fs.DirEntry, error) { return os.ReadDir(folder) }

func readFile(on disk, name string) ([]byte, error) {
	file, err := on.OpenFile(name, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(file)
	return text, errors.Join(err, file.Close())
}

func writeFile(on disk, name string, text []byte) error {
	file, err := on.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	return errors.Join(err, file.Close())
}
