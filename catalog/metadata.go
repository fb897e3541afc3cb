package catalog

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/metafile"
	"github.com/firthlake/firth/table/objstore"
)

// metadataBytesMax bounds a metadata file: a table of 10,000 snapshots has about 10 MB.
const metadataBytesMax = 256 << 20

// cleanupTimeout bounds the removal of files that nobody refers to.
const cleanupTimeout = 10 * time.Second

func isNotFound(err error) bool { return errors.Is(err, table.ErrNotFound) }

func trimSlash(location string) string { return strings.TrimRight(location, "/") }

// readVersion returns the metadata at location, from memory if it is there.
func (c *Catalog) readVersion(ctx context.Context, location string) (*version, error) {
	if v := c.cache.get(location); v != nil {
		return v, nil
	}
	raw, err := c.readFile(ctx, location)
	if err != nil {
		return nil, err
	}
	metadata, err := metafile.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("parse table metadata %s: %w", location, err)
	}
	v := &version{location: location, raw: raw, metadata: metadata}
	c.cache.put(v, "")
	return v, nil
}

// readFile returns a metadata file, uncompressed.
func (c *Catalog) readFile(ctx context.Context, location string) (_ []byte, err error) {
	body, err := c.objects.Get(ctx, objectLocation(location), 0, -1)
	if errors.Is(err, objstore.ErrNotFound) {
		return nil, missingFile(location, err)
	}
	if err != nil {
		return nil, fmt.Errorf("read metadata: %w", err)
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	raw, err := readAtMost(body, metadataBytesMax)
	if err != nil {
		return nil, fmt.Errorf("read metadata %s: %w", location, err)
	}
	if !bytes.HasPrefix(raw, []byte{0x1f, 0x8b}) {
		return raw, nil
	}
	unzipped, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("read metadata %s: %w", location, err)
	}
	raw, err = readAtMost(unzipped, metadataBytesMax)
	if err != nil {
		return nil, fmt.Errorf("read metadata %s: %w", location, err)
	}
	return raw, nil
}

func readAtMost(r io.Reader, bytesMax int64) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(r, bytesMax+1))
	if err == nil && int64(len(raw)) > bytesMax {
		err = fmt.Errorf("larger than %d bytes", bytesMax)
	}
	return raw, err
}

// writeFile stores a metadata file under a name that nothing else has.
func (c *Catalog) writeFile(ctx context.Context, location string, raw []byte) error {
	_, err := c.objects.Put(ctx, objectLocation(location), bytes.NewReader(raw), int64(len(raw)),
		objstore.PutOptions{IfAbsent: true})
	if err == nil {
		return nil
	}
	act := "write metadata " + location
	if !errors.Is(err, objstore.ErrPrecondition) {
		// The answer of the Put may have been lost, so the file may be there. Nobody knows its name.
		c.removeFiles(ctx, location)
	}
	permanent := errors.Is(err, objstore.ErrPermission) || errors.Is(err, objstore.ErrNoBucket) ||
		errors.Is(err, objstore.ErrBadLocation)
	if permanent {
		return &Error{Kind: table.ErrRefused, Text: act, Cause: err}
	}
	return unchanged(act, err)
}

// removeFiles removes files that nobody refers to, whether or not the caller has left. What it cannot
// remove stays as an orphan, which orphan removal finds: so its error is dropped.
func (c *Catalog) removeFiles(ctx context.Context, locations ...string) {
	if len(locations) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	objects := make([]string, len(locations))
	for i, location := range locations {
		objects[i] = objectLocation(location)
	}
	_ = c.objects.Remove(ctx, objects...)
}

// metadataFolder is where a table's or view's metadata files go: its "write.metadata.path" property
// if set, else the folder metadata under its location.
func (c *Catalog) metadataFolder(location string, properties map[string]string) (string, error) {
	folder := trimSlash(properties["write.metadata.path"])
	if folder == "" {
		return trimSlash(location) + "/metadata", nil
	}
	return folder, c.checkLocation(folder)
}

// nextFile names the metadata file that follows the one at current, which is empty for the first.
func (c *Catalog) nextFile(folder, current string) string {
	next := 0
	if current != "" {
		number, _, _ := strings.Cut(path.Base(current), "-")
		if n, err := strconv.Atoi(strings.TrimPrefix(number, "v")); err == nil && n >= 0 {
			next = n + 1
		}
	}
	return fmt.Sprintf("%s/%05d-%s.metadata.json", folder, next, c.opts.NewID())
}
