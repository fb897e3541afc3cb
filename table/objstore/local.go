package objstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	schemeFile = "file"
	// temporaryPrefix marks files that are being written. List hides them; a crash may leave one.
	temporaryPrefix = ".firth-put-"
	directoryMode   = 0o755
)

// Local keeps objects as files, under locations "file:///folder/name", "file:/folder/name" or
// "/folder/name". A file is written beside its place under a temporary name, flushed, and then
// linked (when it must not replace) or renamed into place, so it appears whole or not at all,
// also after a power cut. Locations are never unescaped.
type Local struct {
	files fileSystem
	root  string // "/" or the folder all locations must lie in
}

// fileSystem is what Local needs of the operating system; *os.Root is one. Names are relative to
// the root.
type fileSystem interface {
	Open(name string) (*os.File, error)
	OpenFile(name string, flag int, perm fs.FileMode) (*os.File, error)
	Stat(name string) (fs.FileInfo, error)
	MkdirAll(name string, perm fs.FileMode) error
	Chtimes(name string, atime, mtime time.Time) error
	Link(from, to string) error
	Rename(from, to string) error
	Remove(name string) error
}

// NewLocal returns a store of files. When root is not empty, locations outside of it are refused,
// also those that a symbolic link leads out; root must be absolute and exist, else ErrNoBucket.
func NewLocal(root string) (*Local, error) {
	if root == "" || root == "/" {
		return &Local{files: wholeSystem{}, root: "/"}, nil
	}
	if path.Clean(root) != root || !path.IsAbs(root) {
		return nil, fmt.Errorf("%w: root %q: give an absolute path without . or .. or trailing /",
			ErrBadLocation, root)
	}
	confined, err := os.OpenRoot(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open root %s: %w: create the folder first", root, ErrNoBucket)
	}
	if err != nil {
		return nil, fmt.Errorf("open root %s: %w", root, mapFileError(err))
	}
	return &Local{files: confined, root: root + "/"}, nil
}

// Get implements Store.
func (l *Local) Get(
	ctx context.Context, location string, offset, length int64,
) (io.ReadCloser, error) {
	file, err := l.open(ctx, location)
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", location, err)
	}
	if _, err := file.Seek(offset, io.SeekStart); err != nil {
		_ = file.Close() // opened for reading: nothing can be lost
		return nil, fmt.Errorf("get %s: %w", location, mapFileError(err))
	}
	if length < 0 {
		return file, nil
	}
	return struct {
		io.Reader
		io.Closer
	}{io.LimitReader(file, length), file}, nil
}

func (l *Local) open(ctx context.Context, location string) (*os.File, error) {
	name, err := l.name(ctx, location)
	if err != nil {
		return nil, err
	}
	file, err := l.files.Open(name)
	if err != nil {
		return nil, mapFileError(err)
	}
	stat, err := file.Stat()
	if err == nil && stat.IsDir() {
		err = fs.ErrNotExist
	}
	if err != nil {
		_ = file.Close() // opened for reading: nothing can be lost
		return nil, mapFileError(err)
	}
	return file, nil
}

// Stat implements Store.
func (l *Local) Stat(ctx context.Context, location string) (Object, error) {
	name, err := l.name(ctx, location)
	if err != nil {
		return Object{}, fmt.Errorf("stat %s: %w", location, err)
	}
	stat, err := l.files.Stat(name)
	if err == nil && stat.IsDir() {
		err = fs.ErrNotExist
	}
	if err != nil {
		return Object{}, fmt.Errorf("stat %s: %w", location, mapFileError(err))
	}
	return describeFile(location, stat), nil
}

// Put implements Store.
func (l *Local) Put(
	ctx context.Context, location string, body io.Reader, size int64, opts PutOptions,
) (Object, error) {
	name, err := l.name(ctx, location)
	if err != nil {
		return Object{}, fmt.Errorf("put %s: %w", location, err)
	}
	if opts.IfAbsent { // spares the writing; what decides is the link
		if _, err := l.files.Stat(name); err == nil {
			return Object{}, fmt.Errorf("put %s: %w", location, ErrPrecondition)
		}
	}
	stat, err := l.put(ctx, name, sizedReader(body, size), opts)
	if errors.Is(err, syscall.ENOTDIR) {
		return Object{}, fmt.Errorf("put %s: %w: a file stands where a folder is needed: %w",
			location, ErrBadLocation, err)
	}
	if err != nil {
		return Object{}, fmt.Errorf("put %s: %w", location, mapFileError(err))
	}
	return describeFile(location, stat), nil
}

func (l *Local) put(
	ctx context.Context, name string, body io.Reader, opts PutOptions,
) (fs.FileInfo, error) {
	folder := path.Dir(name)
	if err := l.makeFolder(folder); err != nil {
		return nil, err
	}
	temporary := path.Join(folder, temporaryPrefix+rand.Text())
	stat, err := l.writeFile(ctx, temporary, body)
	if err == nil {
		err = l.publish(temporary, name, opts)
	}
	if err != nil || opts.IfAbsent { // a rename took the temporary name away, a link did not
		if failed := l.files.Remove(temporary); err == nil {
			err = failed
		} // else the first error tells more; at worst a hidden file stays
	}
	if err != nil {
		return nil, err
	}
	return stat, l.syncFolder(folder)
}

// writeFile writes and flushes a new file. Its time is set in full precision, because the file
// system's own clock may tick so slowly that two versions would get one ETag.
func (l *Local) writeFile(ctx context.Context, name string, body io.Reader) (fs.FileInfo, error) {
	file, err := l.files.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(&writeBehind{file: file}, body)
	if err == nil {
		now := time.Now()
		err = l.files.Chtimes(name, now, now)
	}
	if err == nil {
		err = file.Sync()
	}
	var stat fs.FileInfo
	if err == nil {
		stat, err = file.Stat()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, err
	}
	return stat, ctx.Err()
}

// publish gives the finished file its name, in one step.
func (l *Local) publish(temporary, name string, opts PutOptions) (err error) {
	if opts.IfAbsent {
		return l.files.Link(temporary, name)
	}
	if opts.IfMatch == "" {
		return l.files.Rename(temporary, name)
	}
	folder, err := l.files.Open(path.Dir(name))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, folder.Close()) }() // which ends the lock
	if err := lockFile(folder); err != nil {
		return err
	}
	stat, err := l.files.Stat(name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && fileETag(stat) != opts.IfMatch {
		return ErrPrecondition
	}
	if err != nil {
		return err
	}
	return l.files.Rename(temporary, name)
}

// makeFolder creates folder and flushes the entries of what it created.
func (l *Local) makeFolder(folder string) error {
	missing := folder
	var created []string
	for missing != "." && missing != "/" {
		if _, err := l.files.Stat(missing); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		missing = path.Dir(missing)
		created = append(created, missing)
	}
	if len(created) == 0 {
		return nil
	}
	if err := l.files.MkdirAll(folder, directoryMode); err != nil {
		return err
	}
	for _, parent := range created {
		if err := l.syncFolder(parent); err != nil {
			return err
		}
	}
	return nil
}

func (l *Local) syncFolder(folder string) error {
	file, err := l.files.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}

// Remove implements Store. Folders that become empty stay.
func (l *Local) Remove(ctx context.Context, locations ...string) error {
	for _, location := range locations {
		name, err := l.name(ctx, location)
		if err != nil {
			return fmt.Errorf("remove %s: %w", location, err)
		}
		stat, err := l.files.Stat(name)
		if err == nil && !stat.IsDir() {
			err = l.files.Remove(name)
		}
		if err = mapFileError(err); err != nil && !errors.Is(err, ErrNotFound) {
			return fmt.Errorf("remove %s: %w", location, err)
		}
	}
	return nil
}

// List implements Store. Locations are spelled the way prefix is.
func (l *Local) List(ctx context.Context, prefix string) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		name, form, err := l.prefixName(prefix)
		if err != nil {
			yield(Object{}, fmt.Errorf("list %s: %w", prefix, err))
			return
		}
		emit := func(object Object, err error) bool {
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				yield(Object{}, fmt.Errorf("list %s: %w", prefix, mapFileError(err)))
				return false
			}
			return yield(object, nil)
		}
		folder, _ := path.Split(name)
		l.walk(walk{folder: folder, prefix: name, form: form, emit: emit})
	}
}

type walk struct {
	folder string // "" or ends in "/"
	prefix string // names must begin with it
	form   string // what precedes a name in a location
	emit   func(Object, error) bool
}

// walk lists one folder in order of location, where a folder sorts as if its name ended in "/". It
// returns false to stop.
func (l *Local) walk(w walk) bool {
	entries, err := l.readFolder(w.folder)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return true // removed meanwhile, or there never was such a folder
	}
	if err != nil {
		return w.emit(Object{}, err)
	}
	for _, entry := range entries {
		name := w.folder + entry.Name()
		if entry.IsDir() {
			inside := w
			inside.folder = name + "/"
			reaches := strings.HasPrefix(inside.folder, w.prefix) ||
				strings.HasPrefix(w.prefix, inside.folder)
			if reaches && !l.walk(inside) {
				return false
			}
			continue
		}
		if !strings.HasPrefix(name, w.prefix) || strings.HasPrefix(entry.Name(), temporaryPrefix) {
			continue
		}
		stat, err := l.files.Stat(name)
		if errors.Is(err, fs.ErrNotExist) || err == nil && !stat.Mode().IsRegular() {
			continue // removed meanwhile, or no file of ours
		}
		if err != nil {
			return w.emit(Object{}, err)
		}
		if !w.emit(describeFile(w.form+name, stat), nil) {
			return false
		}
	}
	return true
}

func (l *Local) readFolder(folder string) ([]fs.DirEntry, error) {
	file, err := l.files.Open(path.Clean("./" + folder))
	if err != nil {
		return nil, err
	}
	entries, err := file.ReadDir(-1)
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, err
	}
	sortName := func(entry fs.DirEntry) string {
		if entry.IsDir() {
			return entry.Name() + "/"
		}
		return entry.Name()
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int {
		return strings.Compare(sortName(a), sortName(b))
	})
	return entries, nil
}

func describeFile(location string, stat fs.FileInfo) Object {
	return Object{
		Location: location, Size: stat.Size(), ETag: fileETag(stat), Modified: stat.ModTime(),
	}
}

func fileETag(stat fs.FileInfo) string {
	return strconv.FormatInt(stat.ModTime().UnixNano(), 36) + "-" + strconv.FormatInt(stat.Size(), 36)
}
