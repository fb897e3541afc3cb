package objstore

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const schemeMemory = "mem"

// Memory keeps objects in the process, under locations "mem://name/key". It is deterministic: no
// goroutine, no randomness, ETags count puts and times come from its clock. The zero value is not
// ready; call NewMemory.
type Memory struct {
	now func() time.Time

	mu      sync.Mutex
	objects map[string]memoryObject
	puts    int64
}

type memoryObject struct {
	body     []byte // never changed once stored, so readers need no copy
	etag     string
	modified time.Time
}

// NewMemory returns an empty store whose objects are dated by now.
func NewMemory(now func() time.Time) *Memory {
	return &Memory{now: now, objects: map[string]memoryObject{}}
}

// Get implements Store.
func (m *Memory) Get(
	ctx context.Context, location string, offset, length int64,
) (io.ReadCloser, error) {
	object, err := m.find(ctx, location)
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", location, err)
	}
	if offset < 0 {
		return nil, fmt.Errorf("get %s: negative offset %d", location, offset)
	}
	body := object.body[min(offset, int64(len(object.body))):]
	if length >= 0 {
		body = body[:min(length, int64(len(body)))]
	}
	return io.NopCloser(bytes.NewReader(body)), nil
}

// Stat implements Store.
func (m *Memory) Stat(ctx context.Context, location string) (Object, error) {
	object, err := m.find(ctx, location)
	if err != nil {
		return Object{}, fmt.Errorf("stat %s: %w", location, err)
	}
	return object.describe(location), nil
}

// Put implements Store.
func (m *Memory) Put(
	ctx context.Context, location string, body io.Reader, size int64, opts PutOptions,
) (Object, error) {
	if err := checkMemory(ctx, location); err != nil {
		return Object{}, fmt.Errorf("put %s: %w", location, err)
	}
	content, err := readBody(body, size)
	if err != nil {
		return Object{}, fmt.Errorf("put %s: %w", location, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	present, ok := m.objects[location]
	if opts.IfAbsent && ok || opts.IfMatch != "" && present.etag != opts.IfMatch {
		return Object{}, fmt.Errorf("put %s: %w", location, ErrPrecondition)
	}
	m.puts++
	object := memoryObject{body: content, etag: strconv.FormatInt(m.puts, 10), modified: m.now()}
	m.objects[location] = object
	return object.describe(location), nil
}

// Remove implements Store.
func (m *Memory) Remove(ctx context.Context, locations ...string) error {
	for _, location := range locations {
		if err := checkMemory(ctx, location); err != nil {
			return fmt.Errorf("remove %s: %w", location, err)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, location := range locations {
		delete(m.objects, location)
	}
	return nil
}

// List implements Store. It yields what was there when the iteration began.
func (m *Memory) List(ctx context.Context, prefix string) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		if err := checkMemory(ctx, prefix); err != nil {
			yield(Object{}, fmt.Errorf("list %s: %w", prefix, err))
			return
		}
		for _, object := range m.collect(prefix) {
			if !yield(object, nil) {
				return
			}
		}
	}
}

func (m *Memory) collect(prefix string) []Object {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []Object
	for location, object := range m.objects {
		if strings.HasPrefix(location, prefix) {
			found = append(found, object.describe(location))
		}
	}
	slices.SortFunc(found, func(a, b Object) int { return strings.Compare(a.Location, b.Location) })
	return found
}

func (m *Memory) find(ctx context.Context, location string) (memoryObject, error) {
	if err := checkMemory(ctx, location); err != nil {
		return memoryObject{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	object, ok := m.objects[location]
	if !ok {
		return memoryObject{}, ErrNotFound
	}
	return object, nil
}

func (o memoryObject) describe(location string) Object {
	return Object{Location: location, Size: int64(len(o.body)), ETag: o.etag, Modified: o.modified}
}

func checkMemory(ctx context.Context, location string) error {
	if !strings.HasPrefix(location, schemeMemory+"://") {
		return fmt.Errorf("%w: want mem://name/key", ErrBadLocation)
	}
	return ctx.Err()
}

// readBody reads all of body and checks it against size, when size is known.
func readBody(body io.Reader, size int64) ([]byte, error) {
	if size < 0 {
		return io.ReadAll(body)
	}
	content := make([]byte, size)
	if n, err := io.ReadFull(body, content); err != nil {
		return nil, fmt.Errorf("body ends after %d of %d bytes: %w", n, size, err)
	}
	if n, err := body.Read(make([]byte, 1)); n > 0 {
		return nil, errBodyTooLong(size)
	} else if err != nil && err != io.EOF {
		return nil, err
	}
	return content, nil
}

func errBodyTooLong(size int64) error {
	return fmt.Errorf("body is longer than the %d bytes that were announced", size)
}
