package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/firthlake/firth/table/objstore"
)

// witness passes a store's answers on and remembers the first that was a trouble of the store itself. So
// an object that is there and makes no sense, which is a fault of the table, is told from a store that
// cannot be read, which is none.
type witness struct {
	objstore.Store

	mu      sync.Mutex // guards trouble
	trouble error
}

// Get implements objstore.Store.
func (w *witness) Get(ctx context.Context, location string, offset, length int64) (io.ReadCloser, error) {
	body, err := w.Store.Get(ctx, location, offset, length)
	if err != nil {
		w.note(err)
		return nil, err
	}
	return &watched{ReadCloser: body, witness: w}, nil
}

// Stat implements objstore.Store.
func (w *witness) Stat(ctx context.Context, location string) (objstore.Object, error) {
	object, err := w.Store.Stat(ctx, location)
	w.note(err)
	return object, err
}

// note keeps err unless it is about one object: a location that no store can have is a damaged one.
func (w *witness) note(err error) {
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, objstore.ErrNotFound) ||
		errors.Is(err, objstore.ErrBadLocation) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.trouble == nil {
		w.trouble = err
	}
}

// cause returns the store's trouble, or nil when the store did well.
func (w *witness) cause() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.trouble
}

// watched is an object's body.
type watched struct {
	io.ReadCloser
	witness *witness
}

func (b *watched) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.witness.note(err)
	return n, err
}

// guard runs work on bytes that may be damaged. The libraries that decode them are not made for that and
// may panic, which says the same as an error.
func guard(work func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("cannot be decoded: %v", r)
		}
	}()
	return work()
}
