package orphans

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/cespare/xxhash/v2"
	"github.com/google/uuid"

	"github.com/firthlake/firth/table/tail"
)

// Place is where a table keeps objects.
type Place struct{ Table, Location string }

// ErrShared says that two tables keep objects in one place, so that neither can tell its own.
var ErrShared = errors.New("another table lies there too")

// unshared refuses a location that another table's place lies in, or that lies in one.
func unshared(location string, others []Place) error {
	own := plain(location) + "/"
	for _, o := range others {
		its := plain(o.Location) + "/"
		if strings.HasPrefix(own, its) || strings.HasPrefix(its, own) {
			return fmt.Errorf("%w: %s keeps objects in %s, this one in %s", ErrShared, o.Table, o.Location, location)
		}
	}
	return nil
}

// plain is one spelling for all that may mean the same object: schemes of S3 are one, those of files none,
// escapes are undone and slashes counted once. Objects that differ may have one plain spelling; whoever compares
// by it keeps both.
func plain(location string) string {
	for _, scheme := range []string{"s3a://", "s3n://"} {
		if rest, found := strings.CutPrefix(location, scheme); found {
			location = "s3://" + rest
		}
	}
	location = strings.TrimPrefix(location, "file:")
	for range escapesMax {
		once, err := url.PathUnescape(location)
		if err != nil || once == location {
			break
		}
		location = once
	}
	var out strings.Builder
	for i := range len(location) {
		if location[i] != '/' || i == 0 || location[i-1] != '/' {
			out.WriteByte(location[i])
		}
	}
	return strings.TrimSuffix(out.String(), "/")
}

// escapesMax is how often a location may have been escaped: by the writer of a partition's value, and by a library
// that takes locations for URLs.
const escapesMax = 3

// key stands for a location. Two that collide are taken for one, which keeps an object too many.
func key(location string) uint64 { return xxhash.Sum64String(plain(location)) }

// names are the endings of objects that writers of tables make. Others, checkpoints of a stream or what people put
// there, are left alone.
var names = regexp.MustCompile(`(\.parquet|\.orc|\.avro|\.puffin|\.stats|\.metadata\.json|\.metadata\.json\.gz)$`)

// removable says whether a location below the root is one that may be removed at all. What readers of the
// tail have is removed by who serves it.
func removable(location, root string) bool {
	name, inside := strings.CutPrefix(location, root)
	if !inside || !names.MatchString(name) || strings.HasPrefix(name, tail.Folder+"/") {
		return false
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || part == "." || part == ".." {
			return false
		}
	}
	return true
}

// changeOf is the change that an object of firth's was written for (docs/format.md), or none.
func changeOf(location string) uuid.UUID {
	const own, length = "firth-", 36
	name := location[strings.LastIndexByte(location, '/')+1:]
	rest, found := strings.CutPrefix(name, own)
	if !found || len(rest) < length {
		return uuid.Nil
	}
	id, err := uuid.Parse(rest[:length])
	if err != nil {
		return uuid.Nil
	}
	return id
}
