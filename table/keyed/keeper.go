package keyed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/google/uuid"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/keyindex"
	"github.com/firthlake/firth/table/keyindex/disk"
	"github.com/firthlake/firth/table/objstore"
)

// ErrNotFollowed says that the index mirrors no snapshot: Follow comes first, and again after an error of
// it.
var ErrNotFollowed = errors.New("key index mirrors no snapshot of the table")

// Options say where the index of a table lies and what it may use. Dir and Salt are required.
type Options struct {
	// Dir is a local folder for this table alone.
	Dir string
	// MemoryBytes is the limit on entries in memory; 0 is 256 MiB.
	MemoryBytes int64
	// Parallel is how many goroutines look up and read; 0 and 1 mean none.
	Parallel int
	// Reads is how many manifests and deletes are read at a time; 0 is 8, and 1 starts no goroutine.
	Reads int
	// Salt gives 64 random bits that must not be guessed.
	Salt func() uint64
	// Allocator makes the batches of key columns; nil is Go's heap.
	Allocator memory.Allocator
	// Log is told what was found damaged, doubled or built anew; nil is nobody.
	Log *slog.Logger
	// Arriving is told the data files that others added to t, before the index has rows in them; nil is nobody.
	Arriving func(ctx context.Context, t *table.Table, files []iceberg.DataFile)
	// Disk is where Dir lies; nil is the machine's file system.
	Disk disk.Disk
}

// readsDefault is enough to hide the latency of a store.
const readsDefault = 8

// Keeper keeps the key index of one table. It belongs to one goroutine; its Finder is for all.
type Keeper struct {
	store      objstore.Store
	opts       Options
	table      *table.Table // as it was followed last
	uuid       uuid.UUID
	identifier string
	log        *slog.Logger
	index      *keyindex.Index
	plans      table.PlanCache
	// ready says that the index mirrors snapshot at, but for doubles. While there are some, the tag of
	// the index itself is zero, so that a crash does not forget them.
	ready bool
	at    keyindex.Tag
	// files are the live files of snapshot at, by location; nil when they are not known yet.
	files map[string]*table.Task
	// doubles are rows that are live besides the one that the index has; offered are how many of them the
	// last Deletes takes out. missed says that there were more of them than are kept.
	doubles   []keyindex.Entry
	offered   int
	offeredBy uuid.UUID // the change
	missed    bool

	chunk  int // of entries in a catch-up
	finder *Finder
}

// Open opens the index of a table, or begins an empty one when there is none of this table and identifier
// that is whole. Follow brings it to a snapshot.
func Open(
	ctx context.Context, store objstore.Store, t *table.Table, opts Options,
) (*Keeper, error) {
	if opts.Allocator == nil {
		opts.Allocator = memory.DefaultAllocator
	}
	if opts.Reads <= 0 {
		opts.Reads = readsDefault
	}
	log := opts.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	identifier, err := keyindex.Identifier(t.Metadata().CurrentSchema())
	if err != nil {
		return nil, fmt.Errorf("open key index of %s: %w", t, err)
	}
	k := &Keeper{store: store, opts: opts, table: t, uuid: t.Metadata().TableUUID(), identifier: identifier,
		log: log.With("table", t.String()), plans: table.PlanCache{Reads: opts.Reads}, chunk: chunkDefault}
	if err := k.open(ctx); err != nil {
		return nil, fmt.Errorf("open key index of %s: %w", t, err)
	}
	return k, nil
}

func (k *Keeper) open(ctx context.Context) (err error) {
	k.index, err = keyindex.Open(ctx, keyindex.Options{
		Dir: k.opts.Dir, Table: k.uuid, Identifier: k.identifier, MemoryBytes: k.opts.MemoryBytes,
		Parallel: k.opts.Parallel, Salt: k.opts.Salt, Log: k.log, Disk: k.opts.Disk,
	})
	if err != nil {
		return err
	}
	k.finder = newFinder(k.index)
	k.at = k.index.Tag()
	k.ready = k.at != keyindex.Tag{}
	return nil
}

// Index is the index, for hashers, numbers and paths of files.
func (k *Keeper) Index() *keyindex.Index { return k.index }

// Snapshot is the one that Follow brought the index to, 0 for a table without any: what commit.Change.Base
// wants.
func (k *Keeper) Snapshot() int64 { return k.at.SnapshotID }

// Doubles is how many rows wait to be taken out by the next Deletes, since their keys have newer rows.
func (k *Keeper) Doubles() int { return len(k.doubles) }

// Close closes the index's files.
func (k *Keeper) Close() error {
	k.finder.pause()
	if err := k.index.Close(); err != nil {
		return fmt.Errorf("close key index of %s: %w", k.table, err)
	}
	return nil
}

// Resolve sets places[i] to where the live row of keys[i] is, or to the zero Place. Keys come in any
// order. When the index turns out to be damaged it is rebuilt first.
func (k *Keeper) Resolve(ctx context.Context, keys []keyindex.Key, places []keyindex.Place) error {
	if !k.ready || k.files == nil {
		return fmt.Errorf("look up %d keys of %s: %w", len(keys), k.table, ErrNotFollowed)
	}
	err := k.index.Lookup(ctx, keys, places)
	if errors.Is(err, keyindex.ErrDamaged) {
		k.log.Warn("key index is damaged and is built anew", "err", err)
		if err = k.rebuild(ctx, k.table); err == nil {
			k.finder.resume()
			err = k.index.Lookup(ctx, keys, places)
		}
	}
	if err != nil {
		return fmt.Errorf("look up %d keys of %s: %w", len(keys), k.table, err)
	}
	return nil
}

// keyColumns are the identifier columns of the table, as scans name them, and where rows lie.
func keyColumns(schema *iceberg.Schema) ([]string, error) {
	if _, taken := schema.FindFieldByName(table.ColumnPos); taken {
		return nil, fmt.Errorf("column %s has the name of Iceberg's metadata column, which a keyed table "+
			"needs: rename it", table.ColumnPos)
	}
	var names []string
	for _, id := range schema.IdentifierFieldIDs {
		name, ok := schema.FindColumnName(id)
		if !ok {
			return nil, fmt.Errorf("identifier field %d is not in the schema", id)
		}
		names = append(names, name)
	}
	return append(names, table.ColumnPos), nil
}
