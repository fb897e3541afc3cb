package objstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
	"time"
)

// name returns what location is called below the root.
func (l *Local) name(ctx context.Context, location string) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	absolute, err := absolutePath(location)
	if err != nil {
		return "", err
	}
	if path.Clean(absolute) != absolute || absolute == "/" || strings.ContainsRune(absolute, 0) {
		return "", fmt.Errorf("%w: want an absolute path without empty, . or .. parts",
			ErrBadLocation)
	}
	name, inside := strings.CutPrefix(absolute, l.root)
	if !inside {
		return "", fmt.Errorf("%w: outside of %s", ErrBadLocation, l.root)
	}
	if strings.HasPrefix(path.Base(name), temporaryPrefix) {
		return "", fmt.Errorf("%w: names beginning with %s are reserved",
			ErrBadLocation, temporaryPrefix)
	}
	return name, nil
}

// prefixName returns what a prefix of locations is below the root, and what precedes such names in
// locations that are spelled alike. A prefix may end anywhere, also in the middle of a name.
func (l *Local) prefixName(prefix string) (name, form string, err error) {
	absolute, err := absolutePath(prefix)
	if err != nil {
		return "", "", err
	}
	folder, _ := path.Split(absolute)
	if clean := path.Clean(folder); clean != folder && clean+"/" != folder {
		return "", "", fmt.Errorf("%w: want an absolute path without empty, . or .. parts",
			ErrBadLocation)
	}
	if absolute+"/" == l.root { // the root itself, spelled without its slash
		return "", prefix + "/", nil
	}
	name, inside := strings.CutPrefix(absolute, l.root)
	if !inside {
		return "", "", fmt.Errorf("%w: outside of %s", ErrBadLocation, l.root)
	}
	return name, strings.TrimSuffix(prefix, name), nil
}

// absolutePath strips the scheme of a location. Nothing is unescaped.
func absolutePath(location string) (string, error) {
	absolute := location
	if rest, ok := strings.CutPrefix(location, schemeFile+":"); ok {
		absolute = rest
		if strings.HasPrefix(rest, "//") {
			absolute = rest[2:]
		}
	}
	if !strings.HasPrefix(absolute, "/") {
		return "", fmt.Errorf("%w: want file:///folder/name or /folder/name", ErrBadLocation)
	}
	return absolute, nil
}

// mapFileError adds the sentinel that the error of the operating system stands for.
func mapFileError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrPrecondition), errors.Is(err, ErrBadLocation):
		return err
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("%w: %w", ErrPrecondition, err)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w: %w", ErrPermission, err)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%w: %w", ErrFull, err)
	case strings.Contains(err.Error(), "path escapes from parent"):
		return fmt.Errorf("%w: a link leads out of the root: %w", ErrBadLocation, err)
	}
	return err
}

// sizedReader makes reading fail when body does not have exactly size bytes; a negative size says
// that the length is not known.
func sizedReader(body io.Reader, size int64) io.Reader {
	if size < 0 {
		return body
	}
	return &exactReader{body: body, size: size, left: size}
}

type exactReader struct {
	body       io.Reader
	size, left int64
}

func (r *exactReader) Read(p []byte) (int, error) {
	n, err := r.body.Read(p)
	r.left -= int64(n)
	switch {
	case r.left < 0:
		return 0, errBodyTooLong(r.size)
	case err == io.EOF && r.left > 0:
		return n, fmt.Errorf("body ends %d bytes before the announced %d: %w",
			r.left, r.size, io.ErrUnexpectedEOF)
	}
	return n, err
}

// wholeSystem is the file system from "/", with names that lack the leading slash.
type wholeSystem struct{}

func (wholeSystem) Open(name string) (*os.File, error) { return os.Open("/" + name) }

func (wholeSystem) OpenFile(name string, flag int, perm fs.FileMode) (*os.File, error) {
	return os.OpenFile("/"+name, flag, perm)
}

func (wholeSystem) Stat(name string) (fs.FileInfo, error) { return os.Stat("/" + name) }

func (wholeSystem) MkdirAll(name string, perm fs.FileMode) error {
	return os.MkdirAll("/"+name, perm)
}

func (wholeSystem) Chtimes(name string, atime, mtime time.Time) error {
	return os.Chtimes("/"+name, atime, mtime)
}

func (wholeSystem) Link(from, to string) error   { return os.Link("/"+from, "/"+to) }
func (wholeSystem) Rename(from, to string) error { return os.Rename("/"+from, "/"+to) }
func (wholeSystem) Remove(name string) error     { return os.Remove("/" + name) }
