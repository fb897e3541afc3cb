package objstore

import (
	"context"
	"errors"
	"slices"

	"golang.org/x/sync/errgroup"
)

// RemoveAll removes many objects, in pages of what S3 takes in one request, several pages at a time. It goes on
// behind a page that fails and returns all errors.
func RemoveAll(ctx context.Context, store Store, parallel int, locations []string) error {
	if parallel <= 1 || len(locations) <= removePage {
		return store.Remove(ctx, locations...)
	}
	var pages [][]string
	for page := range slices.Chunk(locations, removePage) {
		pages = append(pages, page)
	}
	failures := make([]error, len(pages))
	var group errgroup.Group
	group.SetLimit(parallel)
	for i, page := range pages {
		group.Go(func() error {
			failures[i] = store.Remove(ctx, page...)
			return nil
		})
	}
	_ = group.Wait() // its functions return none
	return errors.Join(failures...)
}
