package live

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/firthlake/firth/table/objstore"
)

// The janitor's times.
const (
	janitorEvery = 10 * time.Second
	// sweepEvery is how often folders are listed for what no process knows: chunks of one that was killed.
	sweepEvery = time.Hour
	// sweepGrace is how old that must be, by the store's clock. It is longer than any table waits for a commit, since
	// other processes may have chunks in the folder.
	sweepGrace = 24 * time.Hour
)

// Janitor removes files of tails and versions that no reader may use any more. It belongs to one goroutine.
type Janitor struct {
	catalog *Catalog
	swept   time.Time
}

// NewJanitor returns the janitor of a catalog. There is one for each catalog.
func NewJanitor(c *Catalog) *Janitor { return &Janitor{catalog: c} }

// Run works until ctx ends.
func (j *Janitor) Run(ctx context.Context) error {
	ticker := time.NewTicker(janitorEvery)
	defer ticker.Stop()
	for {
		if err := j.Step(ctx); err != nil && ctx.Err() == nil {
			j.catalog.opts.Log.Warn("remove what is left of tails", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// Step removes what is due. What cannot be removed is swept later.
func (j *Janitor) Step(ctx context.Context) error {
	c := j.catalog
	now := c.opts.Now()
	var files []string
	for _, o := range c.all() {
		files = append(files, o.expire(now.Add(-Pin-removeGrace))...)
		o.unshow(now.Add(-Pin))
	}
	for _, index := range c.opts.Tails.All() {
		// A version with the chunk may have been handed out for holdFor after a commit came to it, and longer after it
		// was withdrawn: carryFor from when that was noticed, by a reader who comes every Pin.
		files = append(files, index.Forget(now.Add(-holdFor-Pin-removeGrace), now.Add(-carryFor-2*Pin-removeGrace))...)
	}
	err := j.remove(ctx, files)
	if j.swept.IsZero() || now.Sub(j.swept) >= sweepEvery {
		j.swept = now
		err = errors.Join(err, j.sweep(ctx))
	}
	return err
}

func (j *Janitor) remove(ctx context.Context, files []string) error {
	if len(files) == 0 {
		return nil
	}
	if err := j.catalog.opts.Store.Remove(ctx, files...); err != nil {
		return fmt.Errorf("remove %d files: %w", len(files), err)
	}
	j.catalog.opts.Metrics.removed.Add(float64(len(files)))
	return nil
}

// sweep removes what lies in the folders of tails for long and is of no version and no chunk, whatever its name:
// clients that try to write put their files there too.
func (j *Janitor) sweep(ctx context.Context) error {
	c := j.catalog
	folders, known := map[string]bool{}, map[string]bool{}
	for _, o := range c.all() {
		folders[o.folder] = true
		for _, file := range o.written() {
			known[file] = true
		}
	}
	for _, index := range c.opts.Tails.All() {
		folders[index.Folder()] = true
		for _, file := range index.Files() {
			known[file] = true
		}
	}
	var errs []error
	for _, folder := range slices.Sorted(maps.Keys(folders)) {
		errs = append(errs, j.sweepFolder(ctx, folder, known))
	}
	return errors.Join(errs...)
}

func (j *Janitor) sweepFolder(ctx context.Context, folder string, known map[string]bool) error {
	store := j.catalog.opts.Store
	var strange []objstore.Object
	for object, err := range store.List(ctx, folder) {
		if err != nil {
			return fmt.Errorf("list %s: %w", folder, err)
		}
		if !known[object.Location] {
			strange = append(strange, object)
		}
	}
	if len(strange) == 0 {
		return nil // an empty folder costs no write
	}
	now, err := objstore.Clock(ctx, store, folder+"firth-clock-"+j.catalog.opts.NewID().String())
	if err != nil && !errors.Is(err, objstore.ErrLeftBehind) {
		return err
	}
	var old []string
	for _, object := range strange {
		if now.Sub(object.Modified) > sweepGrace {
			old = append(old, object.Location)
		}
	}
	return j.remove(ctx, old)
}

// all are the overlays so far.
func (c *Catalog) all() []*overlay {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Collect(maps.Values(c.overlays))
}
