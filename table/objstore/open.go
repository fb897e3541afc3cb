package objstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"
)

// Config says which stores there are. The zero value reaches local files and, with the credentials
// of the surroundings, S3 on AWS.
type Config struct {
	// Root, when not empty, confines local files to a folder, which must exist.
	Root string `yaml:"root"`
	// S3 is how buckets are reached.
	S3 S3Config `yaml:"s3"`
}

// DefaultConfig is local files everywhere and S3 on AWS.
func DefaultConfig() Config { return Config{S3: DefaultS3Config()} }

// Validate says what is wrong with the configuration.
func (c Config) Validate() error { return c.S3.Validate() }

// Open returns a Router over local files ("file", or no scheme), S3 ("s3", "s3a", "s3n") and
// memory ("mem", for tests and trials). It makes no request.
func Open(cfg Config) (Store, error) {
	local, err := NewLocal(cfg.Root)
	if err != nil {
		return nil, err
	}
	s3, err := NewS3(cfg.S3)
	if err != nil {
		return nil, err
	}
	return Router{
		"":           local,
		schemeFile:   local,
		schemeMemory: NewMemory(time.Now),
		"s3":         s3,
		"s3a":        s3,
		"s3n":        s3,
	}, nil
}

// Router sends each location to the store of its scheme; a plain path has the scheme "". It must
// not be changed once in use.
type Router map[string]Store

func (r Router) pick(location string) (Store, error) {
	scheme := Scheme(location)
	if store, ok := r[scheme]; ok {
		return store, nil
	}
	known := slices.DeleteFunc(slices.Sorted(maps.Keys(r)), func(s string) bool { return s == "" })
	return nil, fmt.Errorf("%w: %s: no store for scheme %q, only for %s",
		ErrBadLocation, location, scheme, strings.Join(known, ", "))
}

// Scheme is the part of a location before the first colon, or "" for a plain path.
func Scheme(location string) string {
	scheme, _, found := strings.Cut(location, ":")
	if !found || strings.Contains(scheme, "/") {
		return ""
	}
	return scheme
}

// Get implements Store.
func (r Router) Get(
	ctx context.Context, location string, offset, length int64,
) (io.ReadCloser, error) {
	store, err := r.pick(location)
	if err != nil {
		return nil, err
	}
	return store.Get(ctx, location, offset, length)
}

// Stat implements Store.
func (r Router) Stat(ctx context.Context, location string) (Object, error) {
	store, err := r.pick(location)
	if err != nil {
		return Object{}, err
	}
	return store.Stat(ctx, location)
}

// Put implements Store.
func (r Router) Put(
	ctx context.Context, location string, body io.Reader, size int64, opts PutOptions,
) (Object, error) {
	store, err := r.pick(location)
	if err != nil {
		return Object{}, err
	}
	return store.Put(ctx, location, body, size, opts)
}

// Remove implements Store. Locations of one scheme are removed together.
func (r Router) Remove(ctx context.Context, locations ...string) error {
	groups := map[string][]string{}
	for _, location := range locations {
		if _, err := r.pick(location); err != nil {
			return err
		}
		scheme := Scheme(location)
		groups[scheme] = append(groups[scheme], location)
	}
	var failures []error
	for _, scheme := range slices.Sorted(maps.Keys(groups)) {
		failures = append(failures, r[scheme].Remove(ctx, groups[scheme]...))
	}
	return errors.Join(failures...)
}

// List implements Store.
func (r Router) List(ctx context.Context, prefix string) iter.Seq2[Object, error] {
	store, err := r.pick(prefix)
	if err != nil {
		return func(yield func(Object, error) bool) { yield(Object{}, err) }
	}
	return store.List(ctx, prefix)
}
