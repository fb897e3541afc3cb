package keyed

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/table/keyindex"
)

// Finder finds the rows of single keys for any goroutine, while the Keeper goes on. What it finds is of the
// snapshot that the index mirrors or of the one that it is being moved to, and never of a half-made index.
type Finder struct {
	index *keyindex.Finder
	// phase is even while the index mirrors a snapshot, and odd before the first, during a rebuild and once the
	// index is closed.
	phase atomic.Int64
}

// Finder returns the keeper's. It is good until Close.
func (k *Keeper) Finder() *Finder { return k.finder }

func newFinder(index *keyindex.Index) *Finder {
	f := &Finder{index: index.Finder()}
	f.phase.Store(1)
	return f
}

// pause keeps lookers out, and resume lets them in. Only the keeper calls them.
func (f *Finder) pause() { f.phase.Store(f.phase.Load() | 1) }

func (f *Finder) resume() { f.phase.Store((f.phase.Load() + 1) &^ 1) }

// Seed is that of the keys.
func (f *Finder) Seed() keyindex.Seed { return f.index.Seed() }

// Keys are the keys of batches of one row each, which have the identifier's columns.
func (f *Finder) Keys(schema *iceberg.Schema, batches []arrow.RecordBatch) ([]keyindex.Key, error) {
	identifier, err := keyindex.Identifier(schema)
	if err != nil {
		return nil, err
	}
	if identifier != f.index.Identifier() {
		return nil, fmt.Errorf("%w: it is of another identifier", ErrNotFollowed)
	}
	hasher, err := keyindex.NewHasher(schema, f.index.Seed())
	if err != nil {
		return nil, err
	}
	out := make([]keyindex.Key, len(batches))
	var one []keyindex.Key
	for i, batch := range batches {
		var nulls []keyindex.Null
		one, nulls, err = hasher.Keys(one, batch)
		switch {
		case err != nil:
			return nil, err
		case len(nulls) > 0:
			return nil, nulls[0]
		}
		out[i] = one[0]
	}
	return out, nil
}

// Find looks for a key. ErrNotFollowed says that it cannot be told now: Follow comes first.
func (f *Finder) Find(key keyindex.Key) (keyindex.Found, error) {
	before := f.phase.Load()
	if before&1 == 1 {
		return keyindex.Found{}, ErrNotFollowed
	}
	found, err := f.index.Find(key)
	if f.phase.Load() != before {
		return keyindex.Found{}, ErrNotFollowed
	}
	if err != nil {
		return found, errors.Join(ErrNotFollowed, err)
	}
	return found, nil
}
