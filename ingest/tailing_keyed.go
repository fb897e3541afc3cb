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
	"github.com/firthlake/firth/table/keyindex"
	"github.com/firthlake/firth/table/tail"
)

const (
	// turnWait is how long a reader waits for the key index while a checkpoint uses it.
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
// Views of chunks alone and those that go on with what is in memory take turns, so each kind has its own.
type hiding struct {
	table *tableState
	// chunks are for views of chunks alone, of whoever has the turn of the key index: for readers here, and for another
	// process, which knows of the last chunks a little later.
	chunks [2]rolled
	// newest is for the others, of whoever has turn. Who has it may wait for the turn of the key index, not the other
	// way around.
	newest rolled
	turn   chan struct{}
	// hid are when each of chunks was asked for last, and hidNewest when newest was, in nanoseconds since 1970.
	hid       [2]atomic.Int64
	hidNewest atomic.Int64
	// unbuilt says that a reader needs the key index of a table that this process has not committed to yet.
	unbuilt atomic.Bool
}

func newHiding(t *tableState) *hiding {
	h := &hiding{table: t, turn: make(chan struct{}, 1)}
	for _, r := range []*rolled{&h.chunks[0], &h.chunks[1], &h.newest} {
		r.table, r.unbuilt = t, &h.unbuilt
	}
	return h
}

// kinds are how many kinds of views are asked for now, of which each knows all versions.
func (h *hiding) kinds(now time.Time) int64 {
	since, kinds := now.Add(-hiddenFor).UnixNano(), int64(0)
	for _, asked := range []*atomic.Int64{&h.hid[0], &h.hid[1], &h.hidNewest} {
		if asked.Load() > since {
			kinds++
		}
	}
	return max(1, kinds)
}

// goingOn is what was found for views that the view goes on from, or else what is empty, or was asked for longer ago.
// Who has the turn of the key index calls it.
func (h *hiding) goingOn(view *tail.View) (*rolled, error) {
	some, err := stretches(view)
	if err != nil {
		return nil, err
	}
	one, two := &h.chunks[0], &h.chunks[1]
	best := 0
	switch {
	case one.goesOn(some) && two.goesOn(some):
		if len(two.taken) > len(one.taken) {
			best = 1
		}
	case one.goesOn(some) || one.rolling == nil:
	case two.goesOn(some) || two.rolling == nil || h.hid[1].Load() < h.hid[0].Load():
		best = 1
	}
	h.hid[best].Store(h.table.ingester.opts.Now().UnixNano())
	return &h.chunks[best], nil
}

// hiddenFor is how long what was found is kept for the next view.
const hiddenFor = time.Minute

// Hide is what tail.Hider wants.
func (h *hiding) Hide(ctx context.Context, base string, view tail.View) (found []tail.Hidden, err error) {
	waiting, cancel := context.WithTimeout(ctx, turnWait)
	defer cancel()
	err = h.table.opts.Keyed.Keys.look(waiting, h.table.opts.Committer.Table(), func(index KeyIndex) error {
		// Others wait for the same, so it does not end with who asked first.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), hideTimeout)
		defer cancel()
		r, err := h.goingOn(&view)
		if err != nil {
			return err
		}
		if err := r.roll(ctx, index, base, &view); err != nil {
			return err
		}
		found, err = r.hidden(index, &view)
		return err
	})
	return found, unresolved(ctx, err)
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

	// snapshot and index are what rolling begins with, taken its chunks.
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
	r.changes = keys.fresh.changes.Load()
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
func (r *rolled) forget() { r.rolling, r.taken = nil, nil }

// add takes in what is new in some. Without the turn of the key index, index is nil.
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
		if !known && index != nil {
			if task, ok := index.Task(r.files[file]); ok {
				bound = boundOf(task.File, fields[0].ID)
			}
			r.bounds[file] = bound
		}
		return bound.below(value)
	})
	if len(lines) > 0 && index == nil {
		return errTurn
	}
	wanted := make([]wantedRow, len(lines))
	for i, place := range places {
		wanted[i] = wantedRow{index.Index().Number(r.files[place.File]), place.Row, i}
	}
	sequences := make([][]int64, len(lines))
	reader := oldReader{index, r.table.ingester.opts.Store}
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
func (r *rolled) hidden(index KeyIndex, view *tail.View) ([]tail.Hidden, error) {
	var found []tail.Hidden
	var err error
	r.rolling.Hidden(func(file uint32, rows *roaring.Bitmap) bool {
		task, ok := index.Task(r.files[file])
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
	for i := range l.hiding.chunks {
		l.hiding.chunks[i].forget()
	}
	select {
	case l.hiding.turn <- struct{}{}:
		l.hiding.newest.forget()
		<-l.hiding.turn
	default: // whoever has it begins anew
	}
}
