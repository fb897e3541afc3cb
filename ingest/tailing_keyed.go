package ingest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/firthlake/firth/ingest/upsert"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/keyed"
	"github.com/firthlake/firth/table/keyindex"
	"github.com/firthlake/firth/table/tail"
)

const (
	// turnWait is how long a reader waits for the key index while a checkpoint uses it, where he has to.
	turnWait = time.Second
	// hideTimeout bounds what is done for a reader while a checkpoint waits for the index.
	hideTimeout = 10 * time.Second
)

// tailVersions is what hiding knows of a chunk.
type tailVersions struct {
	upsert.Chunk
	shape *shape
	index *keyindex.Index // whose keys they are
}

// tailVersions makes keys of a chunk in the making.
func (t *tableState) tailVersions(ctx context.Context, g *gathered) (*tailVersions, error) {
	made := upsert.Chunk{Change: g.buffer.change, Set: g.versions}
	if g.versions.Rows() == 0 {
		return &tailVersions{Chunk: made, shape: g.shape}, nil
	}
	keying, err := t.opts.Keyed.Keys.keyingOf(ctx, t.opts.Committer.Table())
	if err != nil {
		return nil, err
	}
	hasher, err := keying.hasher(g.schema)
	if err != nil {
		return nil, err
	}
	if made.Keys, err = keysOf(g.versions, hasher); err != nil {
		return nil, err
	}
	return &tailVersions{made, g.shape, keying.index}, nil
}

// tailKeys are the keys of a chunk in the making as all processes make them, in order: hashed without the salt that
// each index has of its own.
func tailKeys(g *gathered) ([]uint64, error) {
	hasher, err := keyindex.NewHasher(g.schema, keyindex.Seed{})
	if err != nil {
		return nil, err
	}
	keys, err := keysOf(g.versions, hasher)
	if err != nil {
		return nil, err
	}
	out := make([]uint64, len(keys))
	for i, key := range keys {
		out[i] = key.High
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// hiding finds the rows that the tail of a keyed table hides. It goes on from what it found for the view before.
//
//	base ─► key index at that snapshot ─► places of keys ─┐
//	chunks of the view ─► versions of keys ───────────────┴► upsert.Rolling ─► hidden rows
//
// Once the key index is known to mirror the base, further keys are found in it while others have its turn: readers do
// not wait for a checkpoint that is committed. Views of chunks alone and those that go on with what is in memory take
// turns, so each kind has its own.
type hiding struct {
	table *tableState
	// chunks are for views of chunks alone: for readers here, and for another process, which knows of the last chunks
	// a little later. newest is for the others.
	chunks, newest kind
	// unbuilt says that a reader needs the key index of a table that this process has not committed to yet.
	unbuilt atomic.Bool
}

// kind is what was found for views of one kind.
type kind struct {
	// turn is of whoever uses rolled. Who has the turn of the key index may wait for it, not the other way around.
	turn   chan struct{}
	rolled []*rolled
}

func newHiding(t *tableState) *hiding {
	h := &hiding{table: t}
	of := func(views int) kind {
		k := kind{turn: make(chan struct{}, 1)}
		for range views {
			k.rolled = append(k.rolled, &rolled{table: t, unbuilt: &h.unbuilt})
		}
		return k
	}
	h.chunks, h.newest = of(2), of(1)
	return h
}

// kinds are how many kinds of views are asked for now, of which each knows all versions.
func (h *hiding) kinds(now time.Time) int64 {
	since, kinds := now.Add(-hiddenFor).UnixNano(), int64(0)
	for _, r := range slices.Concat(h.chunks.rolled, h.newest.rolled) {
		if r.asked.Load() > since {
			kinds++
		}
	}
	return max(1, kinds)
}

// goingOn is what was found for views that the view goes on from, or else what is empty, or was asked for longer ago.
func (k *kind) goingOn(view *tail.View) (*rolled, error) {
	one := k.rolled[0]
	if len(k.rolled) == 1 {
		return one, nil
	}
	some, err := stretches(view)
	if err != nil {
		return nil, err
	}
	two := k.rolled[1]
	switch {
	case one.goesOn(some) && two.goesOn(some):
		if len(two.taken) > len(one.taken) {
			return two, nil
		}
	case one.goesOn(some) || one.rolling == nil:
	case two.goesOn(some) || two.rolling == nil || two.asked.Load() < one.asked.Load():
		return two, nil
	}
	return one, nil
}

// hiddenFor is how long what was found is kept for the next view.
const hiddenFor = time.Minute

// Hide is what tail.Hider wants. Many keys are found at once by who has the turn of the key index, so it is taken when
// it is free.
func (h *hiding) Hide(ctx context.Context, base string, view tail.View) (found []tail.Hidden, err error) {
	waiting, cancel := context.WithTimeout(ctx, turnWait)
	defer cancel()
	b := bringing{hiding: h, kind: &h.chunks, base: base, look: func() tail.View { return view },
		tell: func(r *rolled, view *tail.View) (err error) {
			found, err = r.hidden(view)
			return err
		}}
	opts := &h.table.opts
	err = opts.Keyed.Keys.lookNow(opts.Committer.Table(), func(index KeyIndex) error {
		return b.by(ctx, waiting, index)
	})
	if errors.Is(err, errTurn) {
		err = b.soon(ctx, waiting)
	}
	return found, unresolved(ctx, err)
}

// bringing brings what is found to the view that look returns, which is of a kind and behind a base, and tells it.
type bringing struct {
	*hiding
	*kind
	base string
	look func() tail.View
	tell func(*rolled, *tail.View) error
}

// soon does it without the turn of the key index if it can, or waits for that.
func (b *bringing) soon(ctx, waiting context.Context) error {
	if err := b.by(ctx, waiting, nil); !errors.Is(err, errTurn) {
		return err
	}
	opts := &b.table.opts
	return opts.Keyed.Keys.look(waiting, opts.Committer.Table(), func(index KeyIndex) error {
		return b.by(ctx, waiting, index)
	})
}

// by does it with the turn of the key index, or with none, where index is nil, or says errTurn. It waits for others of
// the kind while waiting is not over.
func (b *bringing) by(ctx, waiting context.Context, index KeyIndex) error {
	select {
	case b.turn <- struct{}{}:
		defer func() { <-b.turn }()
	case <-waiting.Done():
		return context.Cause(waiting)
	}
	// Others wait for the same, so it does not end with who asked first.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), hideTimeout)
	defer cancel()
	view := b.look()
	r, err := b.goingOn(&view)
	if err != nil {
		return err
	}
	r.asked.Store(b.table.ingester.opts.Now().UnixNano())
	if index == nil {
		err = r.quickly(ctx, b.base, &view)
	} else {
		err = r.roll(ctx, index, b.base, &view)
	}
	if err != nil {
		return err
	}
	return b.tell(r, &view)
}

// unresolved is an error as tail.Hider has it.
func unresolved(ctx context.Context, err error) error {
	if err == nil || errors.Is(err, tail.ErrMoved) || ctx.Err() != nil {
		return err
	}
	return fmt.Errorf("%w: %w", tail.ErrUnresolved, err)
}

// rolled is what was found for the views of one kind, each of which goes on from the one before.
type rolled struct {
	table   *tableState
	unbuilt *atomic.Bool // of the hiding
	// asked is when a view was asked for last, in nanoseconds since 1970.
	asked atomic.Int64

	// base is where the metadata of the table lies that the last view was behind, live its files. snapshot is its, and
	// index the one that mirrors it: what rolling begins with. taken are the chunks of rolling.
	base     string
	live     keyed.Files
	snapshot int64
	index    *keyindex.Index
	rolling  *upsert.Rolling
	taken    []taken
	// files are those of the table in which rows were found, by the number that rolling knows them by, from 1; bounds
	// are of their sequences.
	files  []string
	fileOf map[string]uint32
	bounds map[uint32]upperBound
	// changes are those of the key index when it was known to mirror the snapshot.
	changes int64
}

// taken is what rolling has of a chunk, which need not be written.
type taken struct {
	of   *upsert.Set // tells it apart
	rows int
	own  upsert.Chunk // made of pieces
}

// roll brings what is found to a view, with the turn of the key index.
func (r *rolled) roll(ctx context.Context, index KeyIndex, base string, view *tail.View) error {
	committer := r.table.opts.Committer
	if base != committer.Table().MetadataLocation() {
		if err := committer.Refresh(ctx); err != nil {
			return fmt.Errorf("load %s: %w", r.table, err)
		}
	}
	// The index never goes back: what checkpoints begin with is the committer's newest, too.
	standing := committer.Table()
	if base != standing.MetadataLocation() {
		return tail.ErrMoved
	}
	snapshot := standing.SnapshotID()
	if snapshot != 0 && index.Snapshot() == 0 {
		r.unbuilt.Store(true)
		return errors.New("the key index is built with the next checkpoint")
	}
	keys := r.table.opts.Keyed.Keys
	if err := keys.fresh.mirror(ctx, index, standing, r.table.ingester.opts.Now()); err != nil {
		return err
	}
	switch {
	case index.Snapshot() != snapshot:
		panic(fmt.Sprintf("BUG: the key index followed %s to snapshot %d, not %d", standing, index.Snapshot(),
			snapshot))
	case index.Doubles() > 0:
		return fmt.Errorf("%d keys have more than one row until the next checkpoint", index.Doubles())
	}
	some, err := stretches(view)
	if err != nil {
		return err
	}
	if r.snapshot != snapshot || r.index != index.Index() || !r.goesOn(some) {
		r.begin(index.Index(), snapshot)
	}
	r.base, r.live, r.changes = base, index.Files(), keys.fresh.changes.Load()
	return r.add(ctx, index, some)
}

// goesOn says that what was taken is the beginning of some, of which the last may have grown.
func (r *rolled) goesOn(some []stretch) bool {
	if r.rolling == nil || len(some) < len(r.taken) {
		return false
	}
	for i := range r.taken {
		t, s := &r.taken[i], &some[i]
		if t.of != s.of || t.rows > s.rows || t.rows < s.rows && i < len(r.taken)-1 {
			return false
		}
	}
	return true
}

func (r *rolled) begin(index *keyindex.Index, snapshot int64) {
	r.forget()
	r.snapshot, r.index = snapshot, index
	r.rolling = upsert.NewRolling(upsert.Options{First: r.table.opts.Keyed.First})
	r.files, r.fileOf, r.bounds = []string{""}, map[string]uint32{}, map[uint32]upperBound{}
}

// forget lets go of what was found.
func (r *rolled) forget() { r.rolling, r.taken, r.live = nil, nil, nil }

// add takes in what is new in some. Without the turn of the key index, index is nil, and it may end with errTurn.
func (r *rolled) add(ctx context.Context, index KeyIndex, some []stretch) error {
	for i := max(0, len(r.taken)-1); i < len(some); i++ {
		if err := r.addOne(ctx, index, i, &some[i]); err != nil {
			r.forget()
			return err
		}
	}
	return nil
}

func (r *rolled) addOne(ctx context.Context, index KeyIndex, i int, s *stretch) error {
	fresh := i == len(r.taken)
	if fresh {
		r.taken = append(r.taken, taken{of: s.of})
	}
	t := &r.taken[i]
	if !fresh && t.rows == s.rows {
		return nil
	}
	chunk, shape, err := r.versionsOf(t, s)
	if err != nil {
		return err
	}
	if err := r.know(ctx, index, chunk, shape, t.rows); err != nil {
		return err
	}
	if fresh {
		r.rolling.Add(chunk)
	} else {
		r.rolling.Grow(chunk)
	}
	t.rows = s.rows
	return nil
}

// know finds what the table holds for the keys of a chunk's rows from one on.
func (r *rolled) know(ctx context.Context, index KeyIndex, chunk upsert.Chunk, shape *shape, from int) error {
	if unknown := r.rolling.Unknown(chunk, from); len(unknown) > 0 {
		places, err := r.places(ctx, index, unknown)
		if err != nil {
			return err
		}
		r.rolling.Know(unknown, places)
	}
	fields := shape.sequenceFields(0)
	if len(fields) == 0 {
		return nil
	}
	lines, places := r.rolling.Need(chunk, from, func(file uint32, value int64) bool {
		bound, known := r.bounds[file]
		if !known {
			if task, ok := r.live.Task(r.files[file]); ok {
				bound = boundOf(task.File, fields[0].ID)
			}
			r.bounds[file] = bound
		}
		return bound.below(value)
	})
	wanted := make([]wantedRow, len(lines))
	for i, place := range places {
		wanted[i] = wantedRow{place.File, place.Row, i}
	}
	sequences := make([][]int64, len(lines))
	reader := oldReader{store: r.table.ingester.opts.Store, live: func(file uint32) (string, table.Task, bool) {
		task, ok := r.live.Task(r.files[file])
		return r.files[file], task, ok
	}}
	for rows := range byFile(wanted, len(wanted)) {
		if err := reader.readSequences(ctx, fields, rows, sequences); err != nil {
			return fmt.Errorf("read sequences of rows that %s holds: %w", r.table, err)
		}
	}
	for i, line := range lines {
		r.rolling.Found(line, sequences[i])
	}
	return nil
}

// places are where the table's rows of keys are.
func (r *rolled) places(ctx context.Context, index KeyIndex, keys []keyindex.Key) ([]keyindex.Place, error) {
	if index == nil {
		return r.findPlaces(keys)
	}
	places := make([]keyindex.Place, len(keys))
	if err := index.Resolve(ctx, keys, places); err != nil {
		return nil, err
	}
	for i := range places {
		if places[i].File != 0 {
			places[i].File = r.number(index.Index().Path(places[i].File))
		}
	}
	return places, nil
}

// number is that of a file in rolling: the index gives others when it is built anew.
func (r *rolled) number(file string) uint32 {
	number, known := r.fileOf[file]
	if !known {
		number = uint32(len(r.files))
		r.files, r.fileOf[file] = append(r.files, file), number
	}
	return number
}

// hidden lists what a view of chunks hides.
func (r *rolled) hidden(view *tail.View) ([]tail.Hidden, error) {
	var found []tail.Hidden
	var err error
	r.rolling.Hidden(func(file uint32, rows *roaring.Bitmap) bool {
		task, ok := r.live.Task(r.files[file])
		if !ok {
			err = fmt.Errorf("BUG: key index knows a file that the table does not have: %s", r.files[file])
			return false
		}
		found = append(found, tail.Hidden{Path: task.File.FilePath(), File: task.File, Before: task.Deletes,
			Rows: rows})
		return true
	})
	for i := range view.Chunks {
		if rows := r.rolling.HiddenIn(i); !rows.IsEmpty() {
			file := view.Chunks[i].Files[0]
			found = append(found, tail.Hidden{Path: file.FilePath(), File: file, OfTail: true, Rows: rows})
		}
	}
	return found, err
}

// forgetHidden lets go of what was found of the snapshot before, by who has the turn of the index.
func (l *tailing) forgetHidden() {
	if l == nil || l.hiding == nil {
		return
	}
	for _, k := range []*kind{&l.hiding.chunks, &l.hiding.newest} {
		select {
		case k.turn <- struct{}{}:
			for _, r := range k.rolled {
				r.forget()
			}
			<-k.turn
		default: // whoever has it begins anew
		}
	}
}
