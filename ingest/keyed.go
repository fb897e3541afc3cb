package ingest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"
	"github.com/google/uuid"

	"github.com/firthlake/firth/ingest/upsert"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/keyed"
	"github.com/firthlake/firth/table/keyindex"
)

// KeyedOptions say how a table that has one row a key takes in versions of rows. Its schema has identifier
// fields.
type KeyedOptions struct {
	// Sequence names the columns that put versions in order; none is by arrival alone.
	Sequence []string
	// First keeps the version that came first, not the last one.
	First bool
	// Merge makes one row of several versions; nil replaces rows whole.
	Merge *MergeOptions
	// DeleteColumn is a boolean column: a row in which it is true deletes. "" is none.
	DeleteColumn string
	// Tombstones says that a record without a value deletes the row that its key names. It counts for
	// records without an envelope, whose keys are in the format of the values.
	Tombstones bool
	// Keys finds rows. All sources of the table in the process share it.
	Keys *Keys
	// Sources is how many sources the table has; 0 is one. What several have read is put in order when it is
	// committed, so look-ups see it then.
	Sources int
}

// KeyIndex tells where the rows of keys are; keyed.Keeper is one. It belongs to one goroutine at a time.
type KeyIndex interface {
	// Follow makes it mirror the newest snapshot of t.
	Follow(ctx context.Context, t *table.Table) error
	// Snapshot is the snapshot that it mirrors, 0 for a table without one.
	Snapshot() int64
	// Index makes keys and numbers files.
	Index() *keyindex.Index
	// Resolve looks up where the rows of keys are.
	Resolve(ctx context.Context, keys []keyindex.Key, places []keyindex.Place) error
	// Files are the live data files of the snapshot. They stay good while the index moves on.
	Files() keyed.Files
	// Doubles is how many rows beside old Deletes takes out, since their keys have newer ones.
	Doubles() int
	// Deletes writes the delete files for rows that go.
	Deletes(ctx context.Context, changeID uuid.UUID, old []keyindex.Place) ([]iceberg.DataFile, error)
	// Finder finds single keys, for look-ups.
	Finder() *keyed.Finder
	// Landed takes in a commit.
	Landed(ctx context.Context, t *table.Table, l keyed.Landing) error
	Close() error
}

// Keys is the key index of one table, opened when it is needed first. Several goroutines may share it: who
// works out and commits a change holds it that long.
type Keys struct {
	open   func(ctx context.Context, t *table.Table) (KeyIndex, error)
	turn   chan struct{}
	index  KeyIndex // nil when it is not open
	of     uuid.UUID
	failed int // how often in a row it could not follow the table

	finder atomic.Pointer[keyed.Finder] // of index, for look-ups
	lookup atomic.Pointer[Lookup]       // nil before the first
	fresh  fresh
	// keying makes keys of the index, for those who do not wait for it; nil when it is not open.
	keying atomic.Pointer[keying]
}

// keying makes keys of one index.
type keying struct {
	index  *keyindex.Index // whose keys they are; only its identity is of use
	hasher func(schema *iceberg.Schema) (*keyindex.Hasher, error)
}

// followTriesMax is how often an index may fail to follow its table before it is opened anew: stores come
// back, and to open a large one takes longer.
const followTriesMax = 5

// NewKeys returns the index that open opens.
func NewKeys(open func(ctx context.Context, t *table.Table) (KeyIndex, error)) *Keys {
	return &Keys{open: open, turn: make(chan struct{}, 1)}
}

// use calls f with the index while nobody else has it. An index that is of another table of the name, or
// that cannot follow the table again and again, is opened anew.
func (k *Keys) use(ctx context.Context, t *table.Table, f func(KeyIndex) error) error {
	if err := k.take(ctx, t); err != nil {
		return err
	}
	defer func() { <-k.turn }()
	if id := t.Metadata().TableUUID(); k.of != id || k.failed >= followTriesMax {
		if err := k.close(); err != nil {
			return err
		}
		k.of, k.failed = id, 0
	}
	if k.index == nil {
		index, err := k.open(ctx, t)
		if err != nil {
			return err
		}
		k.index = index
		k.finder.Store(index.Finder())
		k.keying.Store(&keying{index.Index(), index.Index().Hashers()})
	}
	err := f(k.index)
	if k.failed++; !errors.Is(err, errNotFollowed) {
		k.failed = 0
	}
	return err
}

// take waits for the index's turn.
func (k *Keys) take(ctx context.Context, t *table.Table) error {
	select {
	case k.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the key index of %s: %w", t, context.Cause(ctx))
	}
}

// look calls f with the index while nobody else has it, if it is open and of the table.
func (k *Keys) look(ctx context.Context, t *table.Table, f func(KeyIndex) error) error {
	if err := k.take(ctx, t); err != nil {
		return err
	}
	return k.looked(t, f)
}

// lookNow is look that does not wait: errTurn says that others have the index.
func (k *Keys) lookNow(t *table.Table, f func(KeyIndex) error) error {
	select {
	case k.turn <- struct{}{}:
		return k.looked(t, f)
	default:
		return errTurn
	}
}

// looked ends a turn with a look.
func (k *Keys) looked(t *table.Table, f func(KeyIndex) error) error {
	defer func() { <-k.turn }()
	if k.index == nil || k.of != t.Metadata().TableUUID() {
		return errors.New("the key index is not open yet")
	}
	return f(k.index)
}

// keyingOf makes keys of the index of t, which it opens if need be.
func (k *Keys) keyingOf(ctx context.Context, t *table.Table) (*keying, error) {
	if known := k.keying.Load(); known != nil {
		return known, nil
	}
	err := k.use(ctx, t, func(KeyIndex) error { return nil })
	return k.keying.Load(), err
}

// errNotFollowed says that the index could not be brought to the table's snapshot.
var errNotFollowed = errors.New("key index is not usable now")

// Close closes the index. Who feeds the table does not use it any more; readers of its tail may.
func (k *Keys) Close() error {
	k.turn <- struct{}{}
	defer func() { <-k.turn }()
	return k.close()
}

func (k *Keys) close() error {
	if k.index == nil {
		return nil
	}
	k.finder.Store(nil)
	err := k.index.Close()
	k.index = nil
	k.keying.Store(nil)
	return err
}

// keyedShape is what a shape knows of a keyed table.
type keyedShape struct {
	opts *KeyedOptions
	// sequence and deleteColumn are places in the table's batches; deleteColumn is -1 for none.
	sequence     []int
	deleteColumn int
	// needed are the fields, by their ids in the group's schema, without which a row cannot even delete;
	// ordering those that say when.
	needed, ordering map[int]bool
	// keeping are the fields, by their ids in the group's schema, of which a merged row keeps the old value when
	// a version does not say it.
	keeping map[int]bool
	// sequenceIDs are the sequence columns by their ids in the group's schema.
	sequenceIDs []int
	// columns say how versions are merged, nil when rows are replaced whole; groups are the places of the
	// sequence columns of column groups.
	columns []upsert.Column
	groups  [][]int
	// tagged is the arrow schema with a column for the numbers of rows.
	tagged *arrow.Schema
}

// newKeyedShape finds the columns that the options name in s; idOf gives the field id of a table's column
// in the group's schema.
func newKeyedShape(opts *KeyedOptions, s *shape, idOf func(place int) int) (*keyedShape, error) {
	k := &keyedShape{opts: opts, deleteColumn: -1, needed: map[int]bool{}, ordering: map[int]bool{},
		keeping: map[int]bool{}}
	if len(s.schema.IdentifierFieldIDs) == 0 {
		return nil, errors.New("it has no identifier fields: feed a new table from a spec with identifier columns")
	}
	for i, field := range s.schema.Fields() {
		for _, id := range s.schema.IdentifierFieldIDs {
			if holds(field, id) {
				k.needed[idOf(i)] = true
			}
		}
	}
	place := func(name string) (int, error) {
		for i, field := range s.schema.Fields() {
			if field.Name == name {
				return i, nil
			}
		}
		return 0, fmt.Errorf("it has no column %s: `firth plan` says what to do", name)
	}
	for _, name := range opts.Sequence {
		i, err := place(name)
		if err != nil {
			return nil, err
		}
		k.sequence, k.sequenceIDs = append(k.sequence, i), append(k.sequenceIDs, idOf(i))
		k.ordering[idOf(i)] = true
	}
	if opts.DeleteColumn != "" {
		i, err := place(opts.DeleteColumn)
		if err != nil {
			return nil, err
		}
		if _, is := s.schema.Field(i).Type.(iceberg.BooleanType); !is {
			return nil, fmt.Errorf("column %s is no boolean and cannot say what is deleted", opts.DeleteColumn)
		}
		k.deleteColumn = i
		k.needed[idOf(i)] = true
	}
	if err := k.findMerges(s, place); err != nil {
		return nil, err
	}
	for i, column := range k.columns {
		if !s.schema.Field(i).Required && column.Function.SkipsNull() {
			k.keeping[idOf(i)] = true
		}
	}
	fields := append(s.arrow.Fields(), arrow.Field{Name: "row", Type: arrow.PrimitiveTypes.Int64})
	k.tagged = arrow.NewSchema(fields, nil)
	return k, nil
}

// holds says whether a field is the one with the id, or a struct above it.
func holds(field iceberg.NestedField, id int) bool {
	nested, ok := field.Type.(*iceberg.StructType)
	return field.ID == id || ok && slices.ContainsFunc(nested.FieldList,
		func(child iceberg.NestedField) bool { return holds(child, id) })
}
