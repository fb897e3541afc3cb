package keyed

import (
	"context"
	"fmt"
	"math"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/apache/arrow-go/v18/arrow/array"
	"golang.org/x/sync/errgroup"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/keyindex"
)

// portion are rows of a data file whose keys are wanted.
type portion struct {
	task   table.Task
	number uint32
	// only are the positions that are wanted, whether they are deleted or not; nil is all that are live.
	only *roaring.Bitmap
}

// readKeys yields the entries of portions, some thousand at a time, from Parallel goroutines.
// Entries are valid during the call.
func (k *Keeper) readKeys(
	ctx context.Context, portions []portion, yield func([]keyindex.Entry) error,
) error {
	schema := k.table.Metadata().CurrentSchema()
	readers := make([]keyReader, max(1, min(k.opts.Parallel, len(portions))))
	for i := range readers {
		hasher, err := k.index.Hasher(schema)
		if err != nil {
			return err
		}
		readers[i] = keyReader{keeper: k, hasher: hasher, yield: yield}
	}
	if len(readers) == 1 {
		for _, p := range portions {
			if err := readers[0].read(ctx, p); err != nil {
				return err
			}
		}
		return nil
	}
	group, ctx := errgroup.WithContext(ctx)
	queue := make(chan portion)
	for i := range readers {
		group.Go(func() error {
			for p := range queue {
				if err := readers[i].read(ctx, p); err != nil {
					return err
				}
			}
			return nil
		})
	}
	group.Go(func() error {
		defer close(queue)
		for _, p := range portions {
			select {
			case queue <- p:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	return group.Wait()
}

// keyReader is the scratch memory of a goroutine.
type keyReader struct {
	keeper  *Keeper
	hasher  *keyindex.Hasher
	keys    []keyindex.Key
	entries []keyindex.Entry
	yield   func([]keyindex.Entry) error
	// equality are equality deletes of others that were read.
	equality table.EqualityDeletes
}

func (r *keyReader) read(ctx context.Context, p portion) error {
	path := p.task.File.FilePath()
	if p.task.File.Count() > math.MaxUint32 {
		return fmt.Errorf("data file %s has %d rows: the key index counts up to %d in a file",
			path, p.task.File.Count(), uint32(math.MaxUint32))
	}
	if p.only != nil {
		p.task.Deletes, p.task.EqualityDeletes = nil, nil
	}
	opts := table.ReadOptions{Allocator: r.keeper.opts.Allocator, Equality: &r.equality}
	keyless := 0
	for batch, err := range table.ReadWith(ctx, r.keeper.store, p.task, opts) {
		if err != nil {
			return err
		}
		positions, ok := batch.Column(int(batch.NumCols()) - 1).(*array.Int64)
		if !ok {
			return fmt.Errorf("BUG: keys of %s come without positions", path)
		}
		if p.only != nil && !meets(p.only, positions.Int64Values()) {
			continue
		}
		keys, nulls, err := r.hasher.Keys(r.keys, batch)
		if err != nil {
			return fmt.Errorf("keys of %s: %w", path, err)
		}
		r.keys, r.entries = keys, r.entries[:0]
		for i, pos := range positions.Int64Values() {
			row := uint32(pos)
			if len(nulls) > 0 && nulls[0].Row == i {
				nulls = nulls[1:]
				keyless++
				continue
			}
			if p.only == nil || p.only.Contains(row) {
				place := keyindex.Place{File: p.number, Row: row}
				r.entries = append(r.entries, keyindex.Entry{Key: keys[i], Place: place})
			}
		}
		if err := r.yield(r.entries); err != nil {
			return err
		}
	}
	if keyless > 0 {
		r.keeper.log.Warn("rows have no key, since their identifier is null: no record will ever "+
			"update them", "file", path, "rows", keyless)
	}
	return nil
}

// meets says whether any position of a batch, which are in order, is wanted.
func meets(only *roaring.Bitmap, positions []int64) bool {
	if len(positions) == 0 {
		return false
	}
	first, last := uint32(positions[0]), uint32(positions[len(positions)-1])
	it := only.Iterator()
	it.AdvanceIfNeeded(first)
	return it.HasNext() && it.PeekNext() <= last
}
