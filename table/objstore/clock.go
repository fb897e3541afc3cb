package objstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Clock is the time of the store: that of an object that is written at location now, and removed again. When it
// cannot be removed, the time comes with an error that is ErrLeftBehind.
func Clock(ctx context.Context, store Store, location string) (time.Time, error) {
	if _, err := store.Put(ctx, location, strings.NewReader(""), 0, PutOptions{}); err != nil {
		return time.Time{}, fmt.Errorf("ask the store for its time: %w", err)
	}
	object, err := store.Stat(ctx, location)
	if err != nil {
		return time.Time{}, fmt.Errorf("ask the store for its time: %w", err)
	}
	if err := store.Remove(ctx, location); err != nil {
		return object.Modified, fmt.Errorf("%w: %w", ErrLeftBehind, err)
	}
	return object.Modified, nil
}

// ErrLeftBehind says that the object which tells the store's time stays.
var ErrLeftBehind = errors.New("the object that tells the store's time stays behind")
