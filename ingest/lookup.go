package ingest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/upsert"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/gather"
	"github.com/firthlake/firth/table/keyed"
	"github.com/firthlake/firth/table/keyindex"
	"github.com/firthlake/firth/table/objstore"
	"github.com/firthlake/firth/table/point"
)

// ErrNotIngested says that this process does not ingest the table, so that it has no index of it.
var ErrNotIngested = errors.New("this process does not ingest the table")

const (
	// lookupTries is how often a look-up begins anew because the table went on. A second time in a row takes another
	// commit.
	lookupTries = 8
	// newestFor is how long a table of which nothing waits to be committed is taken for the newest.
	newestFor = time.Second
)

// Lookup finds rows of a keyed table by their identifier, as of now, from any goroutine, while ingest goes on.
type Lookup struct {
	keys   *Keys
	reader *point.Reader
	now    func() time.Time
	// refreshing lets one look-up at a time load the table, and refreshed counts how often that was done: what one has
	// loaded does for all that waited.
	refreshing chan struct{}
	refreshed  atomic.Int64
}

// Lookup returns look-ups in the table that the keys are of.
func (k *Keys) Lookup(reader *point.Reader, now func() time.Time) *Lookup {
	l := &Lookup{keys: k, reader: reader, now: now, refreshing: make(chan struct{}, 1)}
	k.lookup.Store(l)
	return l
}

// Prepare lets look-ups find the rows of data files without a wait, before the index moves to them; while nobody
// looks up it does nothing. What cannot be prepared is read when it is asked for, and so are large files: the index
// waits meanwhile.
func (k *Keys) Prepare(ctx context.Context, t *table.Table, files []iceberg.DataFile) {
	if l := k.lookup.Load(); l != nil {
		l.prepare(ctx, t, slices.DeleteFunc(slices.Clone(files), func(file iceberg.DataFile) bool {
			return file.FileSizeBytes() > preparedBytesMax
		}))
	}
}

// preparedBytesMax is copied in a second or two.
const preparedBytesMax = 64 << 20

func (l *Lookup) prepare(ctx context.Context, t *table.Table, files []iceberg.DataFile) {
	if !l.keys.fresh.isWanted(l.now()) {
		return
	}
	for _, file := range files {
		if l.reader.Prepare(ctx, t, file) != nil {
			return
		}
	}
}

// checkpointWaitMax is how long AwaitCheckpoint waits: an index that is built anew takes minutes.
const checkpointWaitMax = 2 * time.Second

// AwaitCheckpoint waits for a checkpoint that is under way, while somebody looks up. Who makes new files of old ones
// does so behind it: both together take the memory and the cores that look-ups need.
func (l *Lookup) AwaitCheckpoint(ctx context.Context) {
	if !l.keys.fresh.isWanted(l.now()) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, checkpointWaitMax)
	defer cancel()
	select {
	case l.keys.turn <- struct{}{}:
		<-l.keys.turn
	case <-ctx.Done():
	}
}

// Preparing is the committer of those who make new files of old ones: each file is prepared, however large, before it
// is committed.
func (l *Lookup) Preparing(c Committer) Committer { return preparing{c, l} }

type preparing struct {
	Committer
	lookup *Lookup
}

// Commit publishes a change.
func (p preparing) Commit(ctx context.Context, change commit.Change) (commit.Committed, error) {
	p.lookup.prepare(ctx, p.Table(), change.Files)
	return p.Committer.Commit(ctx, change)
}

// Schema is that of the table.
func (l *Lookup) Schema() (*iceberg.Schema, error) {
	t, err := l.keys.fresh.table()
	if err != nil {
		return nil, err
	}
	return t.Schema(), nil
}

// Table is the newest version of the table that is known.
func (l *Lookup) Table() (*table.Table, error) { return l.keys.fresh.table() }

// Reads says that the process reads some of the table's topic partitions.
func (l *Lookup) Reads() bool {
	reads, _ := l.keys.fresh.readHere(nil)
	return len(reads) > 0
}

// Get finds the rows of keys, all at one state. Each is a batch of one row that has the identifier's columns. The
// caller releases the answer.
func (l *Lookup) Get(ctx context.Context, keys []arrow.RecordBatch) (point.Answer, error) {
	part, err := l.Part(ctx, keys, 0)
	return part.Answer, err
}

// Part is Get for whoever asks the other readers of the table too. The committed state is that of a number at least.
func (l *Lookup) Part(ctx context.Context, keys []arrow.RecordBatch, number int64) (point.Part, error) {
	now := l.now()
	l.keys.fresh.wanted.Store(now.UnixNano())
	if l.keys.fresh.isOld(now) {
		select {
		case l.refreshing <- struct{}{}:
			// When the table cannot be loaded the answer is as old as it says.
			_ = l.refresh(ctx)
			<-l.refreshing
		default: // another one does it
		}
	}
	var err error
	for range lookupTries {
		before := l.refreshed.Load()
		var part point.Part
		part, err = l.try(ctx, keys)
		if err == nil && part.Number >= number {
			return part, nil
		}
		switch {
		case errors.Is(err, errMoved):
		case err == nil, errors.Is(err, keyed.ErrNotFollowed), errors.Is(err, objstore.ErrNotFound):
			part.Release()
			if err := l.refreshSince(ctx, before); err != nil {
				return point.Part{}, err
			}
			err = errMoved
		default:
			return point.Part{}, err
		}
	}
	return point.Part{}, err
}

// errMoved says that the table went on during a look-up.
var errMoved = errors.New("the table went on again and again during the look-up: try again")

// refreshSince refreshes, unless another look-up did so since there were before refreshes.
func (l *Lookup) refreshSince(ctx context.Context, before int64) error {
	select {
	case l.refreshing <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-l.refreshing }()
	if l.refreshed.Load() != before {
		return nil
	}
	return l.refresh(ctx)
}

// refresh brings the index to the newest table, and waits for a commit that is under way. Whoever calls it has
// refreshing.
func (l *Lookup) refresh(ctx context.Context) error {
	f := &l.keys.fresh
	c := f.committed()
	if c == nil {
		return ErrNotIngested
	}
	if err := c.Refresh(ctx); err != nil {
		return err
	}
	err := l.keys.use(ctx, c.Table(), func(index KeyIndex) error {
		return f.mirror(ctx, index, c.Table(), l.now())
	})
	if err == nil {
		l.refreshed.Add(1)
	}
	return err
}

// lookup is one try.
type lookup struct {
	*Lookup
	view   view
	schema *iceberg.Schema // of the base
	seed   keyindex.Seed
	// landing is the buffer that the index is taking in, nil when there is none.
	landing *seenBuffer
}

// errLanding says that it cannot be told whether the index has taken in the versions of a key.
var errLanding = errors.New("the index is taking in what is committed")

// awaitLanding waits until it has: it takes milliseconds.
func (l *lookup) awaitLanding(ctx context.Context) error {
	select {
	case <-l.landing.landed:
		return errMoved
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (l *Lookup) try(ctx context.Context, keys []arrow.RecordBatch) (point.Part, error) {
	finder := l.keys.finder.Load()
	v, ok := l.keys.fresh.look()
	if !ok || finder == nil {
		return point.Part{}, keyed.ErrNotFollowed
	}
	defer v.release()
	at := lookup{Lookup: l, view: v, schema: v.base.table.Schema(), seed: finder.Seed()}
	hashes, err := finder.Keys(at.schema, keys)
	if err != nil {
		return point.Part{}, err
	}
	found := make([]keyindex.Found, len(keys))
	for i, hash := range hashes {
		if found[i], err = finder.Find(hash); err != nil {
			return point.Part{}, err
		}
	}
	landing, ok := l.keys.fresh.stands(v)
	if !ok {
		return point.Part{}, errMoved
	}
	at.landing = landing
	part := point.Part{Answer: point.Answer{Position: v.position, Behind: v.behind},
		Table: v.base.table.Metadata().TableUUID()}
	if s := v.base.table.Metadata().CurrentSnapshot(); s != nil {
		part.SnapshotID, part.Number = s.SnapshotID, s.SequenceNumber
	}
	for i := range keys {
		row, waiting, err := at.row(ctx, hashes[i], found[i])
		if errors.Is(err, errLanding) {
			err = at.awaitLanding(ctx)
		}
		if err != nil {
			part.Release()
			return point.Part{}, err
		}
		part.Rows, part.Waiting = append(part.Rows, row), append(part.Waiting, waiting)
	}
	// What is read here still was read here when the view was taken.
	part.Reads, part.Lacks = l.keys.fresh.readHere(v.base.position)
	return part, nil
}

// row is the newest row of a key, nil when there is none, and what of it waits to be committed.
func (l *lookup) row(ctx context.Context, key keyindex.Key, found keyindex.Found,
) (row arrow.RecordBatch, waiting point.Waiting, err error) {
	present := found.Path != ""
	drop := func() {
		if row != nil {
			row.Release()
			row = nil
		}
	}
	for i := range l.view.buffers {
		s := &l.view.buffers[i]
		numbers, err := s.versions(key, l.seed)
		if err != nil {
			drop()
			return nil, waiting, err
		}
		if len(numbers) == 0 {
			continue
		}
		waiting.Some, waiting.In = true, s.partitionsOf(numbers, waiting.In)
		sequenced := len(s.shape.keyed.sequence) > 0
		if sequenced && s.seenBuffer == l.landing {
			drop()
			return nil, waiting, errLanding
		}
		if present && row == nil && sequenced {
			if row, err = l.committed(ctx, found); err != nil {
				return nil, waiting, err
			}
		}
		act, next, err := s.fold(present, row, numbers)
		if err != nil {
			drop()
			return nil, waiting, err
		}
		if act != upsert.Keep {
			drop()
			row, present, found = next, next != nil, keyindex.Found{}
			waiting.Changed = true
			if waiting.Sequence, err = s.deciding(row); err != nil {
				drop()
				return nil, waiting, err
			}
		}
	}
	if present && row == nil {
		row, err = l.committed(ctx, found)
	}
	return row, waiting, err
}

// deciding is the sequence of a row that was read and not committed, nil where it does not say which of two is newer:
// there is none, or the first version stays.
func (s *seenUntil) deciding(row arrow.RecordBatch) ([]int64, error) {
	if row == nil || s.shape.keyed.opts.First {
		return nil, nil
	}
	return s.shape.sequenceOf(row)
}

// partitionsOf adds the topic partitions of versions, given by their numbers.
func (s *seenUntil) partitionsOf(numbers []int32, ids []commit.TopicPartition) []commit.TopicPartition {
	for _, number := range numbers {
		if id := s.parts[s.partOf(number)].topicPartition; !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// partOf is the place of the part that has a version.
func (s *seenUntil) partOf(number int32) int {
	i, _ := slices.BinarySearchFunc(s.parts, int(number), func(p seenPart, row int) int {
		return p.first + int(p.batch.NumRows()) - 1 - row
	})
	return i
}

// committed reads a row of a data file.
func (l *lookup) committed(ctx context.Context, found keyindex.Found) (arrow.RecordBatch, error) {
	return l.reader.Row(ctx, l.view.base.table, found.Path, found.Row)
}

// fold takes versions of a key, given by their numbers, onto the row that was there, as the checkpoint will. The
// caller releases the row that it returns.
func (s *seenUntil) fold(present bool, was arrow.RecordBatch, numbers []int32) (upsert.Act, arrow.RecordBatch, error) {
	old := upsert.Old{Present: present}
	var err error
	if was != nil {
		if old.Sequence, err = s.shape.sequenceOf(was); err != nil {
			return 0, nil, err
		}
	}
	set := upsert.New(s.shape.keyed.foldOptions())
	defer func() {
		for _, part := range set.Parts() {
			part.Batch.Release()
		}
	}()
	for len(numbers) > 0 {
		n, err := s.parts[s.partOf(numbers[0])].addTo(set, numbers)
		if err != nil {
			return 0, nil, err
		}
		numbers = numbers[n:]
	}
	set.Order(make([]keyindex.Key, set.Rows()))
	act := set.Fold(func(int) upsert.Old { return old }).Acts[0]
	if act < 0 {
		return act, nil, nil
	}
	for _, part := range set.Parts() {
		if at := int64(int(act) - part.First); at < int64(part.Rows()) {
			return act, part.Batch.NewSlice(at, at+1), nil
		}
	}
	panic("BUG: a row was chosen that is in no part")
}

// addTo adds those rows of the part that are first among numbers, and returns how many these are.
func (p seenPart) addTo(set *upsert.Set, numbers []int32) (int, error) {
	var rows []uint32
	var ops []upsert.Op
	for _, number := range numbers {
		row := int(number) - p.first
		if row >= int(p.batch.NumRows()) {
			break
		}
		rows, ops = append(rows, uint32(row)), append(ops, p.ops[row])
	}
	var batch arrow.RecordBatch
	if first := int64(rows[0]); len(rows) == 1 { // as nearly always
		batch = p.batch.NewSlice(first, first+1)
	} else {
		batch = gather.Rows(memory.DefaultAllocator, p.batch, rows)
	}
	defer batch.Release()
	return len(rows), set.Add(p.topicPartition, batch, ops)
}

// sequenceOf is the sequence of a row of the table, nil when it has none.
func (s *shape) sequenceOf(row arrow.RecordBatch) ([]int64, error) {
	var out []int64
	for _, field := range s.sequenceFields(0) {
		at := table.FieldByID(row.Schema().Fields(), field.ID)
		if at < 0 || row.Column(at).IsNull(0) {
			return nil, nil
		}
		var value [1]int64
		if err := upsert.Integers(value[:], 1, row.Column(at)); err != nil {
			return nil, fmt.Errorf("sequence column %s: %w", field.Name, err)
		}
		out = append(out, value[0])
	}
	return out, nil
}
