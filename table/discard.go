package table

import (
	"context"
	"fmt"

	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/table/objstore"
)

// discardParallel is how many requests remove files at a time.
const discardParallel = 8

// Discard removes files that no snapshot refers to, though ctx has ended. What stays behind costs space, never
// rows.
func Discard(ctx context.Context, store objstore.Store, files []iceberg.DataFile) error {
	if len(files) == 0 {
		return nil
	}
	locations := make([]string, len(files))
	for i, f := range files {
		locations[i] = f.FilePath()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
	defer cancel()
	if err := objstore.RemoveAll(ctx, store, discardParallel, locations); err != nil {
		return fmt.Errorf("remove %d files that did not land: %w", len(locations), err)
	}
	return nil
}
