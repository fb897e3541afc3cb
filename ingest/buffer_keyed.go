package ingest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	"github.com/google/uuid"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/upsert"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/gather"
	"github.com/firthlake/firth/table/keyed"
	"github.com/firthlake/firth/table/keyindex"
)

// versions are the rows that a buffer of a keyed table holds. Files are written when the checkpoint is
// committed, since only the last version of each key is.
//
//	rows ─► keys ─► old places, old sequences ─► fold ─► files, deletes ─► commit ─► index
//	                 ▲                                                      │
//	                 └──────────── the table went on: ErrStale ◄────────────┘
//
// When the table goes on in between, all but the files is made anew; when other rows would have to be
// written, the buffer is lost and its records are read again.
type versions struct {
	set   *upsert.Set
	shape *shape
	held  int64 // taken from the memory budget

	keyed *keyindex.Index // that made keys
	keys  []keyindex.Key  // each once
	// acts are what the files were written for, nil before.
	acts   []upsert.Act
	olds   *oldRows         // that merged rows were made with
	placed []keyindex.Place // of rows, with numbers of paths
	paths  []string         // of written files; 0 is none
	sums   map[commit.TopicPartition]uint64
	tries  int
	// sent is the change whose outcome is not known.
	sent commit.Change
	// seen says that look-ups read the batches, which stay until the buffer is dropped.
	seen bool
}

// versionBytes is what a row takes beside its columns until its checkpoint is committed: key, order, sequence,
// operation, outcome and place.
const versionBytes = 72

// seenBytes is what a row takes besides once look-ups have made its key: the key, a slot or two and a number.
const seenBytes = 28

// staleMax is how often a checkpoint is worked out anew in one go while others change the table.
const staleMax = 8

// writeVersions takes in the rows of a portion.
func (b *buffer) writeVersions(p *portion) error {
	if b.versions == nil {
		b.versions = &versions{shape: p.shape, paths: []string{""}, set: upsert.New(p.shape.keyed.foldOptions())}
	}
	v := b.versions
	if v.shape.version != p.shape.version {
		return errors.New("the schema changed within a checkpoint")
	}
	if err := v.set.Add(p.chunk.TopicPartition, p.rows, p.ops); err != nil {
		return err
	}
	v.seen = b.seen != nil
	bytes := table.BatchBytes(p.rows) + versionBytes*p.rows.NumRows()
	if v.seen {
		bytes += seenBytes * p.rows.NumRows()
	}
	v.hold(bytes, p.shape.table.ingester.opts.Budget)
	return nil
}

// hold takes memory until the versions are dropped.
func (v *versions) hold(bytes int64, budget *table.Budget) {
	budget.Charge(bytes)
	v.held += bytes
}

// drop lets go of all that is held.
func (v *versions) drop(budget *table.Budget) {
	parts := v.set.Parts()
	v.seen = false
	for i := range parts {
		v.dropPart(&parts[i], budget)
	}
	budget.Release(v.held)
	v.held = 0
}

// dropPart lets go of the columns of a part, unless look-ups read them.
func (v *versions) dropPart(part *upsert.Part, budget *table.Budget) {
	if part.Batch == nil || v.seen {
		return
	}
	bytes := table.BatchBytes(part.Batch)
	part.Batch.Release()
	part.Batch = nil
	budget.Release(bytes)
	v.held -= bytes
}

// commitVersions publishes the buffer of a keyed table.
func (b *buffer) commitVersions(ctx context.Context, t *tableState) (out commit.Committed, err error) {
	if b.unknown { // it may be in the table: only the same change again can tell
		out, err := t.opts.Committer.Commit(ctx, b.versions.sent)
		if err == nil {
			t.opts.Keyed.Keys.fresh.land(b.seen, out.Table, 0, t.ingester.opts.Now())
		}
		return out, err
	}
	if err := b.closeLetters(ctx); err != nil {
		return out, err
	}
	err = t.opts.Keyed.Keys.use(ctx, t.opts.Committer.Table(), func(index KeyIndex) error {
		for range staleMax {
			c := checkpoint{versions: b.versions, oldReader: oldReaderOf(index, t.ingester.opts.Store), index: index,
				buffer: b, table: t}
			if out, err = c.commit(ctx); !errors.Is(err, commit.ErrStale) {
				t.tailing.forgetHidden()
				return err
			}
			if err := t.opts.Committer.Refresh(ctx); err != nil {
				return fmt.Errorf("load %s: %w", t, err)
			}
		}
		return err
	})
	return out, err
}

// checkpoint is one attempt to commit versions.
type checkpoint struct {
	*versions
	oldReader
	index  KeyIndex
	buffer *buffer
	table  *tableState

	places []keyindex.Place // of keys, as the table stands
	result upsert.Result
}

func (c *checkpoint) commit(ctx context.Context) (commit.Committed, error) {
	none := commit.Committed{}
	standing := c.table.opts.Committer.Table()
	opts := &c.table.ingester.opts
	if err := c.table.opts.Keyed.Keys.fresh.mirror(ctx, c.index, standing, opts.Now()); err != nil {
		return none, err
	}
	if err := c.order(); err != nil {
		return none, err
	}
	if err := c.resolve(ctx); err != nil {
		return none, err
	}
	if err := c.write(ctx, standing); err != nil {
		return none, err
	}
	deletesID := c.deletesID()
	change, err := c.change(ctx, deletesID)
	if err != nil {
		return none, err
	}
	committed, err := c.table.opts.Committer.Commit(ctx, change)
	switch {
	case errors.Is(err, commit.ErrStateUnknown):
		c.sent = change
		return none, err
	case err != nil:
		c.discard(ctx, change.Deletes)
		return none, err
	}
	c.buffer.settleCounts(change.Ranges)
	c.buffer.files = change.Files
	c.table.opts.Keyed.Keys.Prepare(ctx, committed.Table, change.Files)
	c.table.opts.Keyed.Keys.fresh.lands(c.buffer.seen)
	c.table.opts.Keyed.Keys.fresh.changes.Add(1)
	if err := c.index.Landed(ctx, committed.Table, c.landing(committed, deletesID)); err != nil {
		// It is derived from the table: the next checkpoint finds out what this one did.
		c.table.log.Warn("key index is behind its table", "err", err)
	}
	c.table.opts.Keyed.Keys.fresh.changes.Add(1)
	c.table.opts.Keyed.Keys.fresh.land(c.buffer.seen, committed.Table, c.index.Snapshot(), opts.Now())
	return committed, nil
}

// order makes the keys of all rows and puts them in order, once for an index.
func (c *checkpoint) order() error {
	if c.keyed == c.index.Index() {
		return nil
	}
	if c.acts != nil {
		return fmt.Errorf("%w: the key index was begun anew, and its keys are others", errBuffer)
	}
	hasher, err := c.index.Index().Hasher(c.shape.schema)
	if err != nil {
		return err
	}
	keys, err := keysOf(c.set, hasher)
	if err != nil {
		return err
	}
	c.keys = c.set.Order(keys)
	c.keyed = c.index.Index()
	return nil
}

// keysOf makes the keys of all rows, in their order.
func keysOf(set *upsert.Set, hasher *keyindex.Hasher) ([]keyindex.Key, error) {
	keys := make([]keyindex.Key, 0, set.Rows())
	for _, part := range set.Parts() {
		some, nulls, err := hasher.Keys(keys[len(keys):], part.Batch)
		if err != nil {
			return nil, err
		}
		if len(nulls) > 0 {
			panic("BUG: " + nulls[0].Error())
		}
		keys = keys[:len(keys)+len(some)]
	}
	return keys, nil
}

// resolve finds what the table holds for the keys, and decides.
func (c *checkpoint) resolve(ctx context.Context) error {
	c.places = make([]keyindex.Place, len(c.keys))
	if err := c.index.Resolve(ctx, c.keys, c.places); err != nil {
		return err
	}
	sequences := make([][][]int64, 1+len(c.shape.keyed.groups))
	for which := range sequences {
		var err error
		if sequences[which], err = c.oldSequences(ctx, which); err != nil {
			return fmt.Errorf("read sequences of rows that %s holds: %w", c.table, err)
		}
	}
	groups := make([][]int64, len(c.shape.keyed.groups))
	c.result = c.set.Fold(func(key int) upsert.Old {
		old := upsert.Old{Present: c.places[key].File != 0}
		if sequences[0] != nil {
			old.Sequence = sequences[0][key]
		}
		for g := range groups {
			groups[g] = sequences[1+g][key]
		}
		old.Groups = groups
		return old
	})
	return nil
}

// write writes the rows that stay into files, once.
func (c *checkpoint) write(ctx context.Context, standing *table.Table) error {
	if c.acts != nil {
		if !slices.EqualFunc(c.acts, c.result.Acts, sameWrite) {
			return errOtherRows
		}
		return c.checkOldRows(ctx)
	}
	encoders := c.table.ingester.encoders
	select {
	case encoders <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("%w: wait for other tables to encode: %w", errBuffer, ctx.Err())
	}
	err := c.writeFiles(ctx, standing)
	<-encoders
	if err != nil {
		return fmt.Errorf("%w: write files: %w", errBuffer, err)
	}
	c.acts = c.result.Acts
	return nil
}

// errOtherRows says that what was written to files is not what should have been.
var errOtherRows = fmt.Errorf("%w: others changed the table, so that other rows are to be written", errBuffer)

// sameWrite says whether two acts write the same row, or none.
func sameWrite(a, b upsert.Act) bool { return a == b || a < 0 && b < 0 }

func (c *checkpoint) writeFiles(ctx context.Context, standing *table.Table) error {
	opts := c.table.writerOptions(c.buffer, standing, c.shape.schema)
	opts.Placed = c.place()
	w, err := table.NewWriter(c.table.ingester.opts.Store, opts)
	if err != nil {
		return err
	}
	c.buffer.rows = w
	c.sums = map[commit.TopicPartition]uint64{}
	sums, err := table.NewChecksummer(c.shape.schema)
	if err != nil {
		return err
	}
	c.placed = make([]keyindex.Place, c.set.Rows())
	if c.shape.keyed.merges() {
		err = c.writeMerged(ctx)
	} else {
		err = c.writeChosen(ctx, sums)
	}
	if err != nil {
		return err
	}
	c.buffer.files, err = w.Close(ctx)
	return err
}

// writeChosen writes the versions that stay, as they came.
func (c *checkpoint) writeChosen(ctx context.Context, sums *table.Checksummer) error {
	writes, parts := c.result.Writes(), c.set.Parts()
	for i := range parts {
		part := &parts[i]
		end, _ := slices.BinarySearch(writes, uint32(part.First+part.Rows()))
		if err := c.writePart(ctx, part, writes[:end], sums); err != nil {
			return err
		}
		writes = writes[end:]
		c.dropPart(part, c.table.ingester.opts.Budget)
	}
	return nil
}

// writePart writes some rows of a part, given by their numbers in the set.
func (c *checkpoint) writePart(
	ctx context.Context, part *upsert.Part, rows []uint32, sums *table.Checksummer,
) error {
	if len(rows) == 0 {
		return nil
	}
	chosen := make([]uint32, len(rows))
	for i, row := range rows {
		chosen[i] = row - uint32(part.First)
	}
	batch := gather.Rows(c.table.ingester.opts.Allocator, part.Batch, chosen)
	defer batch.Release()
	sum, err := sums.Sum(batch)
	if err != nil {
		return err
	}
	c.sums[part.TopicPartition] += sum
	return c.writeTagged(ctx, batch, rows)
}

// writeTagged writes rows with their numbers in the set.
func (c *checkpoint) writeTagged(ctx context.Context, batch arrow.RecordBatch, rows []uint32) error {
	numbers := array.NewInt64Builder(c.table.ingester.opts.Allocator)
	defer numbers.Release()
	numbers.Reserve(len(rows))
	for _, row := range rows {
		numbers.UnsafeAppend(int64(row))
	}
	tags := numbers.NewArray()
	defer tags.Release()
	tagged := array.NewRecordBatch(c.shape.keyed.tagged, append(slices.Clone(batch.Columns()), tags), batch.NumRows())
	defer tagged.Release()
	return c.buffer.rows.Write(ctx, tagged)
}

// place notes where rows are.
func (c *checkpoint) place() table.Placed {
	var mu sync.Mutex
	numbers := map[string]uint32{}
	return func(file string, first int64, rows []int64) error {
		mu.Lock()
		number, known := numbers[file]
		if !known {
			number = uint32(len(c.paths))
			numbers[file] = number
			c.paths = append(c.paths, file)
		}
		mu.Unlock()
		for i, row := range rows { // of one file at a time: nobody else writes these
			c.placed[row] = keyindex.Place{File: number, Row: uint32(first) + uint32(i)}
		}
		return nil
	}
}

// deletesID names the delete files: the change, and derived names for later tries, since the files of the
// earlier ones may not be gone yet.
func (c *checkpoint) deletesID() uuid.UUID {
	c.tries++
	if c.tries == 1 {
		return c.buffer.change
	}
	return uuid.NewSHA1(c.buffer.change, fmt.Appendf(nil, "deletes %d", c.tries))
}

// change makes the change of what was decided.
func (c *checkpoint) change(ctx context.Context, deletesID uuid.UUID) (commit.Change, error) {
	change := commit.Change{ID: c.buffer.change, Files: c.buffer.files, DeadLetters: c.buffer.deadLetters,
		Ranges: map[commit.TopicPartition]commit.Range{}, Base: c.index.Snapshot(), Pinned: true}
	var counted commit.Counts
	for id, r := range c.buffer.ranges {
		r.Counts.Inserted = 0 // the records that are decided now
		r.Counts = r.Counts.Add(c.result.Counts[id])
		r.Checksum = c.sums[id]
		change.Ranges[id] = r
		counted = counted.Add(r.Counts)
	}
	var old []keyindex.Place
	var added int64
	for i, act := range c.result.Acts {
		if act >= 0 {
			added++
		}
		if act != upsert.Keep && c.places[i].File != 0 {
			old = append(old, c.places[i])
		}
	}
	doubles := int64(c.index.Doubles())
	change.Uncounted = commit.Uncounted{Added: added - counted.Inserted - counted.Updated,
		Taken: int64(len(old)) + doubles - counted.Updated - counted.Deleted}
	if len(old) == 0 && doubles == 0 {
		return change, nil
	}
	var err error
	if change.Deletes, err = c.index.Deletes(ctx, deletesID, old); err != nil {
		return change, err
	}
	return change, nil
}

// discard removes the delete files of a change that did not land.
func (c *checkpoint) discard(ctx context.Context, files []iceberg.DataFile) {
	var locations []string
	for _, f := range files {
		locations = append(locations, f.FilePath())
	}
	slices.Sort(locations)
	locations = slices.Compact(locations)
	if len(locations) == 0 {
		return
	}
	if err := c.table.ingester.opts.Store.Remove(context.WithoutCancel(ctx), locations...); err != nil {
		c.table.log.Warn("delete files of a lost commit stay behind", "files", len(locations), "err", err)
	}
}

// landing tells the index what a commit did.
func (c *checkpoint) landing(committed commit.Committed, deletesID uuid.UUID) keyed.Landing {
	l := keyed.Landing{SnapshotID: committed.SnapshotID, ChangeID: deletesID}
	numbers := make([]uint32, len(c.paths))
	for i, path := range c.paths[1:] {
		numbers[i+1] = c.index.Index().Number(path)
	}
	for i, act := range c.result.Acts {
		switch {
		case act >= 0:
			place := c.placed[act]
			place.File = numbers[place.File]
			l.Entries = append(l.Entries, keyindex.Entry{Key: c.keys[i], Place: place})
		case act == upsert.Remove:
			l.Deleted = append(l.Deleted, c.keys[i])
		}
	}
	return l
}

// settleCounts takes over the ranges as they were committed.
func (b *buffer) settleCounts(ranges map[commit.TopicPartition]commit.Range) {
	b.counts = commit.Counts{}
	for _, r := range ranges {
		b.counts = b.counts.Add(r.Counts)
	}
}
