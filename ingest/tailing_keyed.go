package ingest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/firthlake/firth/ingest/upsert"
	"github.com/firthlake/firth/table"
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

// hiding finds the rows that the tail of a keyed table hides. It goes on from what it found for the view before; all
// of it belongs to whoever has the turn of the table's key index.
//
//	base ─► key index at that snapshot ─► places of keys ─┐
//	chunks of the view ─► versions of keys ───────────────┴► upsert.Rolling ─► hidden rows
type hiding struct {
	table *tableState

	// snapshot and index are what rolling begins with, numbers its chunks.
	snapshot int64
	index    *keyindex.Index
	rolling  *upsert.Rolling
	numbers  []uint64
	// files are those of the table in which rows were found, by the number that rolling knows them by, from 1.
	files  []string
	fileOf map[string]uint32
}

// Hide is what tail.Hider wants.
func (h *hiding) Hide(ctx context.Context, base *table.Table, view tail.View) (found []tail.Hidden, err error) {
	waiting, cancel := context.WithTimeout(ctx, turnWait)
	defer cancel()
	err = h.table.opts.Keyed.Keys.look(waiting, base, func(index KeyIndex) error {
		// Others wait for the same, so it does not end with who asked first.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), hideTimeout)
		defer cancel()
		found, err = h.hide(ctx, index, base, view)
		return err
	})
	switch {
	case err == nil, errors.Is(err, tail.ErrMoved), ctx.Err() != nil:
		return found, err
	}
	return nil, fmt.Errorf("%w: %w", tail.ErrUnresolved, err)
}

func (h *hiding) hide(ctx context.Context, index KeyIndex, base *table.Table, view tail.View) ([]tail.Hidden, error) {
	committer := h.table.opts.Committer
	if base.MetadataLocation() != committer.Table().MetadataLocation() {
		if err := committer.Refresh(ctx); err != nil {
			return nil, fmt.Errorf("load %s: %w", base, err)
		}
	}
	// The index never goes back: what checkpoints begin with is the committer's newest, too.
	standing := committer.Table()
	if base.MetadataLocation() != standing.MetadataLocation() {
		return nil, tail.ErrMoved
	}
	snapshot := int64(0)
	if head := base.Metadata().CurrentSnapshot(); head != nil {
		snapshot = head.SnapshotID
		if index.Snapshot() == 0 {
			return nil, errors.New("the key index is built with the next checkpoint")
		}
	}
	keys := h.table.opts.Keyed.Keys
	if err := keys.fresh.mirror(ctx, index, standing, h.table.ingester.opts.Now()); err != nil {
		return nil, err
	}
	switch {
	case index.Snapshot() != snapshot:
		panic(fmt.Sprintf("BUG: the key index followed %s to snapshot %d, not %d", base, index.Snapshot(), snapshot))
	case index.Doubles() > 0:
		return nil, fmt.Errorf("%d keys have more than one row until the next checkpoint", index.Doubles())
	}
	h.begin(index, snapshot, view.Numbers())
	if err := h.add(ctx, index, view); err != nil {
		h.rolling = nil
		return nil, err
	}
	return h.hidden(index, view)
}

// begin begins anew unless the view goes on from the one before.
func (h *hiding) begin(index KeyIndex, snapshot int64, numbers []uint64) {
	if h.rolling != nil && h.snapshot == snapshot && h.index == index.Index() && len(numbers) >= len(h.numbers) &&
		slices.Equal(h.numbers, numbers[:len(h.numbers)]) {
		return
	}
	h.snapshot, h.index, h.numbers = snapshot, index.Index(), nil
	h.rolling = upsert.NewRolling(upsert.Options{First: h.table.opts.Keyed.First})
	h.files, h.fileOf = []string{""}, map[string]uint32{}
}

// add takes in the chunks that are new in the view.
func (h *hiding) add(ctx context.Context, index KeyIndex, view tail.View) error {
	for i := len(h.numbers); i < len(view.Chunks); i++ {
		chunk := &view.Chunks[i]
		versions, _ := chunk.Versions.(*tailVersions)
		switch {
		case versions == nil:
			return tail.ErrMoved // a commit has come to it
		case versions.index != h.index && len(versions.Keys) > 0:
			return errors.New("the key index was begun anew, and keys of chunks are others")
		}
		if err := h.know(ctx, index, versions); err != nil {
			return err
		}
		h.rolling.Add(versions.Chunk)
		h.numbers = append(h.numbers, view.Numbers()[i])
	}
	return nil
}

// know finds what the table holds for the keys of a chunk.
func (h *hiding) know(ctx context.Context, index KeyIndex, v *tailVersions) error {
	unknown := h.rolling.Unknown(v.Chunk)
	if len(unknown) > 0 {
		places := make([]keyindex.Place, len(unknown))
		if err := index.Resolve(ctx, unknown, places); err != nil {
			return err
		}
		for i := range places {
			if places[i].File != 0 {
				places[i].File = h.number(index.Index().Path(places[i].File))
			}
		}
		h.rolling.Know(unknown, places)
	}
	fields := v.shape.sequenceFields(0)
	if len(fields) == 0 {
		return nil
	}
	bounds := map[uint32]upperBound{}
	lines, places := h.rolling.Need(v.Chunk, func(file uint32, value int64) bool {
		bound, known := bounds[file]
		if !known {
			if task, ok := index.Task(h.files[file]); ok {
				bound = boundOf(task.File, fields[0].ID)
			}
			bounds[file] = bound
		}
		return bound.below(value)
	})
	wanted := make([]wantedRow, len(lines))
	for i, place := range places {
		wanted[i] = wantedRow{index.Index().Number(h.files[place.File]), place.Row, i}
	}
	sequences := make([][]int64, len(lines))
	reader := oldReader{index, h.table.ingester.opts.Store}
	for rows := range byFile(wanted, len(wanted)) {
		if err := reader.readSequences(ctx, fields, rows, sequences); err != nil {
			return fmt.Errorf("read sequences of rows that %s holds: %w", h.table, err)
		}
	}
	for i, line := range lines {
		h.rolling.Found(line, sequences[i])
	}
	return nil
}

// number is that of a file in rolling: the index gives others when it is built anew.
func (h *hiding) number(file string) uint32 {
	number, known := h.fileOf[file]
	if !known {
		number = uint32(len(h.files))
		h.files, h.fileOf[file] = append(h.files, file), number
	}
	return number
}

// hidden lists what is hidden.
func (h *hiding) hidden(index KeyIndex, view tail.View) ([]tail.Hidden, error) {
	var found []tail.Hidden
	var err error
	h.rolling.Hidden(func(file uint32, rows *roaring.Bitmap) bool {
		task, ok := index.Task(h.files[file])
		if !ok {
			err = fmt.Errorf("BUG: key index knows a file that the table does not have: %s", h.files[file])
			return false
		}
		found = append(found, tail.Hidden{File: task.File, Before: task.Deletes, Rows: rows})
		return true
	})
	for i := range view.Chunks {
		if rows := h.rolling.HiddenIn(i); !rows.IsEmpty() {
			found = append(found, tail.Hidden{File: view.Chunks[i].Files[0], OfTail: true, Rows: rows})
		}
	}
	return found, err
}

// forgetHidden lets go of what was found of the snapshot before, by who has the turn of the index.
func (l *tailing) forgetHidden() {
	if l != nil && l.hiding != nil {
		l.hiding.rolling, l.hiding.numbers = nil, nil
	}
}
