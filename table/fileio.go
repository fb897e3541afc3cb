package table

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"time"

	iceio "github.com/apache/iceberg-go/io"

	"github.com/firthlake/firth/table/objstore"
)

const (
	// readAheadBytes is the least that a positioned read asks the store for. A Parquet footer, a
	// Puffin footer or a small manifest comes with one request.
	readAheadBytes = 256 << 10
	// fileBytesMax bounds what ReadFile takes into memory: metadata files, not data files.
	fileBytesMax = 1 << 30
)

// FileIO lets iceberg-go read and write through store. Every call is bound by ctx, because
// iceberg-go's interfaces have no place for one; make a FileIO for each operation. It is handed to
// functions of iceberg-go directly and never registered with them.
func FileIO(ctx context.Context, store objstore.Store) iceio.WriteFileIO {
	return &fileIO{ctx: ctx, store: store}
}

type fileIO struct {
	ctx   context.Context //nolint:containedctx // the interface it adapts to has none
	store objstore.Store
}

var (
	_ iceio.ReadFileIO      = (*fileIO)(nil)
	_ iceio.StatIO          = (*fileIO)(nil)
	_ iceio.ListableIO      = (*fileIO)(nil)
	_ iceio.BulkRemovableIO = (*fileIO)(nil)
)

// Open describes the object and reads nothing yet.
func (f *fileIO) Open(name string) (iceio.File, error) {
	object, err := f.store.Stat(f.ctx, name)
	if err != nil {
		return nil, pathError("open", name, err)
	}
	return &storeFile{ctx: f.ctx, store: f.store, object: object}, nil
}

func (f *fileIO) ReadFile(name string) ([]byte, error) {
	content, err := readWhole(f.ctx, f.store, name)
	if err != nil {
		return nil, pathError("read", name, err)
	}
	return content, nil
}

// readWhole reads a whole object of bounded size.
func readWhole(ctx context.Context, store objstore.Store, location string) ([]byte, error) {
	body, err := store.Get(ctx, location, 0, -1)
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(io.LimitReader(body, fileBytesMax+1))
	if err = errors.Join(err, body.Close()); err != nil {
		return nil, fmt.Errorf("read %s: %w", location, err)
	}
	if len(content) > fileBytesMax {
		return nil, fmt.Errorf("read %s: larger than %d bytes", location, fileBytesMax)
	}
	return content, nil
}

func (f *fileIO) Stat(name string) (fs.FileInfo, error) {
	object, err := f.store.Stat(f.ctx, name)
	if err != nil {
		return nil, pathError("stat", name, err)
	}
	return fileStat{object}, nil
}

// Create's file appears when it is closed, whole or not at all.
func (f *fileIO) Create(name string) (iceio.FileWriter, error) {
	return fileWriter{objstore.Create(f.ctx, f.store, name)}, nil
}

func (f *fileIO) WriteFile(name string, content []byte) error {
	upload := objstore.Create(f.ctx, f.store, name)
	_, err := upload.Write(content)
	if err == nil {
		err = upload.Close()
	}
	if err != nil {
		upload.Abort()
		return pathError("write", name, err)
	}
	return nil
}

func (f *fileIO) Remove(name string) error {
	if err := f.store.Remove(f.ctx, name); err != nil {
		return pathError("remove", name, err)
	}
	return nil
}

// DeleteFiles removes all or reports none as removed, since removal can simply be repeated.
func (f *fileIO) DeleteFiles(ctx context.Context, names []string) ([]string, error) {
	if err := f.store.Remove(ctx, names...); err != nil {
		return nil, err
	}
	return names, nil
}

// WalkDir yields objects only: a store has no folders.
func (f *fileIO) WalkDir(root string, visit fs.WalkDirFunc) error {
	for object, err := range f.store.List(f.ctx, root) {
		if err != nil {
			err = visit(root, nil, err)
		} else {
			err = visit(object.Location, fs.FileInfoToDirEntry(fileStat{object}), nil)
		}
		if errors.Is(err, fs.SkipAll) {
			return nil
		}
		if err != nil && !errors.Is(err, fs.SkipDir) {
			return err
		}
	}
	return nil
}

// pathError lets callers find fs.ErrNotExist as well as the sentinels of objstore.
func pathError(act, name string, err error) error {
	if errors.Is(err, objstore.ErrNotFound) {
		err = fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	return &fs.PathError{Op: act, Path: name, Err: err}
}

type fileWriter struct{ *objstore.Upload }

func (w fileWriter) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{w.Upload}, r)
}

type fileStat struct{ object objstore.Object }

func (s fileStat) Name() string       { return path.Base(s.object.Location) }
func (s fileStat) Size() int64        { return s.object.Size }
func (s fileStat) Mode() fs.FileMode  { return 0o444 }
func (s fileStat) ModTime() time.Time { return s.object.Modified }
func (s fileStat) IsDir() bool        { return false }
func (s fileStat) Sys() any           { return nil }

// storeFile reads an object by ranges. Sequential reads share one request for as long as nobody
// seeks; positioned reads go through a window of readAheadBytes. It belongs to one goroutine.
type storeFile struct {
	ctx    context.Context //nolint:containedctx // the interface it adapts to has none
	store  objstore.Store
	object objstore.Object

	next   int64         // where Read goes on
	stream io.ReadCloser // from next to the end, nil when there is none

	window loadedRange
	loaded []loadedRange
}

func (f *storeFile) Stat() (fs.FileInfo, error) { return fileStat{f.object}, nil }

func (f *storeFile) Read(p []byte) (int, error) {
	if f.next >= f.object.Size {
		return 0, io.EOF
	}
	if f.stream == nil {
		stream, err := f.store.Get(f.ctx, f.object.Location, f.next, -1)
		if err != nil {
			return 0, err
		}
		f.stream = stream
	}
	n, err := f.stream.Read(p)
	f.next += int64(n)
	if errors.Is(err, io.EOF) && f.next < f.object.Size {
		err = fmt.Errorf("read %s: ends at byte %d of %d: %w",
			f.object.Location, f.next, f.object.Size, io.ErrUnexpectedEOF)
	}
	return n, err
}

func (f *storeFile) ReadAt(p []byte, offset int64) (int, error) {
	if offset < 0 {
		return 0, fmt.Errorf("read %s: negative offset %d", f.object.Location, offset)
	}
	if offset >= f.object.Size {
		return 0, io.EOF
	}
	want := min(int64(len(p)), f.object.Size-offset)
	if err := f.fill(p[:want], offset); err != nil {
		return 0, err
	}
	if want < int64(len(p)) {
		return int(want), io.EOF
	}
	return int(want), nil
}

// fill reads exactly len(p) bytes, which the object has.
func (f *storeFile) fill(p []byte, offset int64) error {
	size := int64(len(p))
	for _, part := range f.loaded {
		if part.copyTo(p, offset) {
			return nil
		}
	}
	if f.window.copyTo(p, offset) {
		return nil
	}
	if size >= readAheadBytes {
		return f.fetch(p, offset)
	}
	start := offset
	if offset+readAheadBytes > f.object.Size { // footers are read backwards
		start = max(0, f.object.Size-readAheadBytes)
	}
	window := make([]byte, min(readAheadBytes, f.object.Size-start))
	if err := f.fetch(window, start); err != nil {
		return err
	}
	f.window = loadedRange{start: start, content: window}
	f.window.copyTo(p, offset)
	return nil
}

func (f *storeFile) fetch(p []byte, offset int64) error {
	body, err := f.store.Get(f.ctx, f.object.Location, offset, int64(len(p)))
	if err != nil {
		return err
	}
	n, err := io.ReadFull(body, p)
	if err = errors.Join(err, body.Close()); err != nil {
		return fmt.Errorf("read %s: %d of %d bytes from byte %d: %w",
			f.object.Location, n, len(p), offset, err)
	}
	return nil
}

func (f *storeFile) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += f.next
	case io.SeekEnd:
		offset += f.object.Size
	}
	if offset < 0 {
		return 0, fmt.Errorf("seek %s: negative offset %d", f.object.Location, offset)
	}
	if offset == f.next {
		return offset, nil
	}
	f.next = offset
	return offset, f.closeStream()
}

func (f *storeFile) closeStream() error {
	if f.stream == nil {
		return nil
	}
	err := f.stream.Close()
	f.stream = nil
	return err
}

func (f *storeFile) Close() error {
	f.window, f.loaded = loadedRange{}, nil
	return f.closeStream()
}
