package backfill

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/firthlake/firth/table/objstore"
)

// Listing is the files of a source in the order in which they are read.
type Listing struct {
	Files []objstore.Object
	Bytes int64
	// ID is made of the location, size and tag of each file.
	ID uuid.UUID
}

// filesMax bounds a listing: each file takes about 200 bytes of memory.
const filesMax = 1_000_000

// wild are the characters that begin a pattern within a name.
const wild = "*?["

// List lists the files that a pattern names: a location in which *, ? and [a-z] stand for parts of one name, and
// ** for any folders. A pattern without any of them is one file.
func List(ctx context.Context, store objstore.Store, pattern string) (Listing, error) {
	var out Listing
	at := strings.IndexAny(pattern, wild)
	if at < 0 {
		object, err := store.Stat(ctx, pattern)
		if err != nil {
			return out, fmt.Errorf("list source %s: %w", pattern, err)
		}
		return listed([]objstore.Object{object}), nil
	}
	want := strings.Split(pattern, "/")
	var files []objstore.Object
	for object, err := range store.List(ctx, pattern[:at]) {
		if err != nil {
			return out, fmt.Errorf("list source %s: %w", pattern, err)
		}
		fits, err := matches(want, strings.Split(object.Location, "/"))
		if err != nil {
			return out, fmt.Errorf("list source %s: %w", pattern, err)
		}
		if fits {
			files = append(files, object)
		}
		if len(files) > filesMax {
			return out, fmt.Errorf("list source %s: more than %d files: %w", pattern, filesMax, ErrSource)
		}
	}
	if len(files) == 0 {
		return out, fmt.Errorf("list source %s: no file is called so: %w", pattern, ErrSource)
	}
	return listed(files), nil
}

// matches says whether the parts of a location are those that are wanted.
func matches(want, parts []string) (bool, error) {
	for len(want) > 0 {
		if want[0] == "**" {
			for skip := range len(parts) + 1 {
				if fits, err := matches(want[1:], parts[skip:]); fits || err != nil {
					return fits, err
				}
			}
			return false, nil
		}
		if len(parts) == 0 {
			return false, nil
		}
		fits, err := path.Match(want[0], parts[0])
		if err != nil {
			return false, fmt.Errorf("%q is no pattern: %w", want[0], err)
		}
		if !fits {
			return false, nil
		}
		want, parts = want[1:], parts[1:]
	}
	return len(parts) == 0, nil
}

// listed puts files in order.
func listed(files []objstore.Object) Listing {
	slices.SortFunc(files, func(a, b objstore.Object) int { return cmp.Compare(a.Location, b.Location) })
	out := Listing{Files: files}
	digest := sha256.New()
	for _, f := range files {
		out.Bytes += f.Size
		tag := f.ETag
		if tag == "" {
			tag = f.Modified.UTC().Format("2006-01-02T15:04:05.000000000")
		}
		fmt.Fprintf(digest, "%q %d %q\n", f.Location, f.Size, tag)
	}
	out.ID = uuid.NewSHA1(uuid.NameSpaceURL, digest.Sum(nil))
	return out
}
