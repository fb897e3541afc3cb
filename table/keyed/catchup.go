package keyed

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/difference"
	"github.com/firthlake/firth/table/keyindex"
)

// errTooMuch says that so many rows changed that a rebuild is cheaper.
var errTooMuch = errors.New("most rows have changed since the snapshot that the key index mirrors")

// errEquality says that another engine deleted rows by their values.
var errEquality = errors.New("equality deletes of another engine came or went")

const (
	// A catch-up looks up keys where a rebuild sorts them, which costs about the same a row, so it pays
	// for up to half of the rows; below a million both take a second.
	catchUpRowsMin = 1 << 20
	// chunkDefault is how many entries are looked up and applied together: 24 MiB, and as much again to sort
	// them.
	chunkDefault = 1 << 20
)

// catchUp moves the index by the difference of two snapshots.
func (k *Keeper) catchUp(ctx context.Context, t *table.Table) error {
	tag := tagOf(t.Metadata().CurrentSnapshot())
	before := k.files
	if k.at != tag && before == nil {
		var err error
		if before, err = k.before(ctx, t); err != nil {
			return err
		}
	}
	after, err := k.plan(ctx, t, 0)
	if err != nil {
		return err
	}
	if k.at == tag {
		k.table, k.files = t, after
		return nil
	}
	d := difference.Of(before, after)
	if err := d.Read(ctx, k.store, k.opts.Reads); err != nil {
		return err
	}
	if d.Equality() {
		return errEquality
	}
	rows, live := d.Came()+d.Gone(), int64(0)
	for _, task := range after {
		live += task.File.Count()
	}
	if rows > max(catchUpRowsMin, live/2) {
		return errTooMuch
	}
	k.table = t
	if k.opts.Arriving != nil {
		files := make([]iceberg.DataFile, len(d.Added))
		for i, task := range d.Added {
			files[i] = task.File
		}
		k.opts.Arriving(ctx, t, files)
	}
	c := k.newCatchUp(&d, after)
	found := len(k.doubles)
	if err := c.run(ctx, &d, tag); err != nil {
		if c.partly {
			k.finder.pause()
			k.ready, k.files = false, nil
		}
		return err
	}
	k.files = after
	k.log.Debug("key index caught up", "snapshot_id", tag.SnapshotID, "rows", rows)
	k.tellDoubles(int64(len(k.doubles) - found))
	return nil
}

// catchUp is one run. Entries that it holds are applied together, with the tag, unless they are too many.
type catchUp struct {
	k       *Keeper
	after   map[string]*table.Task
	removed map[uint32]bool
	// gone are the rows that were deleted and whose keys did not come back so far, by number of file.
	gone  map[uint32]*roaring.Bitmap
	read  []keyindex.Entry // not looked up yet
	moved []keyindex.Entry // new places, not applied yet
	// doubles are those from before that are still live, and those that were found.
	doubles []keyindex.Entry
	partly  bool // something was applied
	keys    []keyindex.Key
	places  []keyindex.Place
	ages    map[uint32]int64
}

func (k *Keeper) newCatchUp(d *difference.Difference, after map[string]*table.Task) *catchUp {
	c := &catchUp{k: k, after: after, removed: map[uint32]bool{}, gone: map[uint32]*roaring.Bitmap{}}
	for _, task := range d.Removed {
		c.removed[k.index.Number(task.File.FilePath())] = true
	}
	for _, f := range d.Changed {
		c.gone[k.index.Number(f.After.File.FilePath())] = f.Gone
	}
	for _, e := range k.doubles {
		gone := c.gone[e.Place.File]
		if !c.removed[e.Place.File] && (gone == nil || !gone.CheckedRemove(e.Place.Row)) {
			c.doubles = append(c.doubles, e)
		}
	}
	return c
}

func (c *catchUp) run(ctx context.Context, d *difference.Difference, tag keyindex.Tag) error {
	var came []portion
	for _, task := range d.Added {
		came = append(came, portion{task: *task, number: c.k.index.Number(task.File.FilePath())})
	}
	for _, f := range d.Changed {
		if !f.Back.IsEmpty() {
			number := c.k.index.Number(f.After.File.FilePath())
			came = append(came, portion{task: *f.After, number: number, only: f.Back})
		}
	}
	err := c.k.readKeys(ctx, came, locked(func(entries []keyindex.Entry) error {
		return c.take(ctx, entries, c.place)
	}))
	if err == nil {
		err = c.place(ctx)
	}
	if err != nil {
		return err
	}
	var went []portion
	for _, f := range d.Changed {
		if !f.Gone.IsEmpty() { // place took out those that came back elsewhere
			number := c.k.index.Number(f.After.File.FilePath())
			went = append(went, portion{task: *f.After, number: number, only: f.Gone})
		}
	}
	err = c.k.readKeys(ctx, went, locked(func(entries []keyindex.Entry) error {
		return c.take(ctx, entries, c.forget)
	}))
	if err == nil {
		err = c.forget(ctx)
	}
	if err != nil {
		return err
	}
	var retired []string
	for _, task := range d.Removed {
		retired = append(retired, task.File.FilePath())
	}
	return c.finish(ctx, retired, tag)
}

// take gathers entries and has them worked on when they are many, and applied then.
func (c *catchUp) take(
	ctx context.Context, entries []keyindex.Entry, work func(context.Context) error,
) error {
	c.read = append(c.read, entries...)
	if len(c.read) < c.k.chunk {
		return nil
	}
	if err := work(ctx); err != nil {
		return err
	}
	c.partly = true
	err := c.k.index.Apply(ctx, keyindex.Changes{Entries: c.moved})
	c.moved = c.moved[:0]
	c.k.settle(ctx)
	return err
}

// lookUp finds where the index has the keys of what was read, in order of keys, the newest row last.
func (c *catchUp) lookUp(ctx context.Context) error {
	slices.SortFunc(c.read, func(a, b keyindex.Entry) int {
		return cmp.Or(a.Key.Compare(b.Key), c.age(a.Place, b.Place))
	})
	c.keys = c.keys[:0]
	for _, e := range c.read {
		c.keys = append(c.keys, e.Key)
	}
	c.places = slices.Grow(c.places[:0], len(c.keys))[:len(c.keys)]
	return c.k.index.Lookup(ctx, c.keys, c.places)
}

// place gives keys the rows that came.
func (c *catchUp) place(ctx context.Context) error {
	if err := c.lookUp(ctx); err != nil {
		return err
	}
	for i, e := range c.read {
		if i+1 < len(c.read) && c.read[i+1].Key == e.Key {
			c.doubles = append(c.doubles, e)
			continue
		}
		if c.live(c.places[i], e.Place) {
			older := keyindex.Entry{Key: e.Key, Place: c.places[i]}
			if c.age(older.Place, e.Place) > 0 {
				c.doubles = append(c.doubles, e)
				continue
			}
			c.doubles = append(c.doubles, older)
		}
		c.moved = append(c.moved, e)
	}
	c.read = c.read[:0]
	return nil
}

// live says whether the old row of a key is live beside the new one. One that was deleted is accounted for.
func (c *catchUp) live(old, now keyindex.Place) bool {
	if old == (keyindex.Place{}) || old == now || c.removed[old.File] {
		return false
	}
	gone := c.gone[old.File]
	return gone == nil || !gone.CheckedRemove(old.Row)
}

// forget takes out keys whose row was deleted.
func (c *catchUp) forget(ctx context.Context) error {
	if err := c.lookUp(ctx); err != nil {
		return err
	}
	for i, e := range c.read {
		if c.places[i] == e.Place {
			c.moved = append(c.moved, keyindex.Entry{Key: e.Key})
		}
	}
	c.read = c.read[:0]
	return nil
}

// age orders rows by when they were committed: by data sequence number, location of the file and position. That is the
// order of the numbers that a rebuild gives files, and those of files that came at other times have another.
func (c *catchUp) age(a, b keyindex.Place) int {
	if a.File == b.File {
		return cmp.Compare(a.Row, b.Row)
	}
	if c.ages == nil {
		c.ages = make(map[uint32]int64, len(c.after))
		for path, task := range c.after {
			c.ages[c.k.index.Number(path)] = task.SequenceNumber
		}
	}
	index := c.k.index
	return cmp.Or(cmp.Compare(c.ages[a.File], c.ages[b.File]), cmp.Compare(index.Path(a.File), index.Path(b.File)))
}

// finish applies what is left, and then gives keys whose row went the newest of their doubles.
func (c *catchUp) finish(ctx context.Context, removed []string, tag keyindex.Tag) error {
	k := c.k
	before := k.doubles
	k.doubles = c.doubles
	if over := len(k.doubles) - keyindex.DoublesMax; over > 0 {
		k.doubles, k.missed = k.doubles[:keyindex.DoublesMax], true
	}
	if err := k.apply(ctx, keyindex.Changes{Entries: c.moved, Retired: removed}, tag); err != nil {
		k.doubles = before
		return err
	}
	k.offered = 0
	if len(k.doubles) == 0 {
		return nil
	}
	c.partly = true
	return c.promote(ctx, tag)
}

// promote gives keys that have no row in the index the newest of their doubles.
func (c *catchUp) promote(ctx context.Context, tag keyindex.Tag) error {
	c.read, c.moved = append(c.read[:0], c.k.doubles...), c.moved[:0]
	if err := c.lookUp(ctx); err != nil {
		return err
	}
	left := c.k.doubles[:0]
	for i, e := range c.read {
		newest := i+1 == len(c.read) || c.read[i+1].Key != e.Key
		switch {
		case c.places[i] == e.Place:
		case c.places[i] == (keyindex.Place{}) && newest:
			c.moved = append(c.moved, e)
		default:
			left = append(left, e)
		}
	}
	c.k.doubles = slices.CompactFunc(left, func(a, b keyindex.Entry) bool { return a == b })
	return c.k.apply(ctx, keyindex.Changes{Entries: c.moved}, tag)
}
