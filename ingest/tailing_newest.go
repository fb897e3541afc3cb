package ingest

import (
	"context"
	"errors"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/firthlake/firth/ingest/upsert"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/keyindex"
	"github.com/firthlake/firth/table/tail"
)

// pieceVersions is what hiding knows of a piece.
type pieceVersions struct {
	// of are the versions of the chunk that the piece comes to be in, which ingest goes on adding to: only its identity
	// is of use.
	of *upsert.Set
	// first is the number of the first row in that chunk.
	first int
	ops   []upsert.Op
	shape *shape
}

// stretch is what a view has of one chunk: all of it, or the first of its pieces while it is not written.
type stretch struct {
	of     *upsert.Set
	whole  *tailVersions
	view   *tail.View
	pieces []int // of the view
	rows   int
}

// stretches are those of a view, in the order in which they were read.
func stretches(view *tail.View) ([]stretch, error) {
	var out []stretch
	for i := range view.Chunks {
		v, _ := view.Chunks[i].Versions.(*tailVersions)
		if v == nil {
			return nil, tail.ErrMoved // a commit has come to it
		}
		out = append(out, stretch{of: v.Set, whole: v, rows: v.Set.Rows()})
	}
	for i := range view.Pieces {
		v, _ := view.Pieces[i].Versions.(*pieceVersions)
		if v == nil {
			continue // no row came of it
		}
		if n := len(out); n == 0 || out[n-1].of != v.of {
			out = append(out, stretch{of: v.of, view: view})
		}
		s := &out[len(out)-1]
		if v.first != s.rows {
			return nil, errors.New("some of what is in memory is shown once it is in a chunk")
		}
		s.pieces = append(s.pieces, i)
		s.rows += int(view.Pieces[i].Rows.NumRows())
	}
	return out, nil
}

// errTurn says that something cannot be told without the turn of the key index.
var errTurn = errors.New("the key index has to be asked in its turn")

// HideNewest is what tail.Hider wants.
func (h *hiding) HideNewest(ctx context.Context, base *table.Table, look func() tail.View,
) (found tail.View, err error) {
	waiting, cancel := context.WithTimeout(ctx, turnWait)
	defer cancel()
	b := bringing{hiding: h, kind: &h.newest, base: base.MetadataLocation(), look: look,
		tell: func(r *rolled, view *tail.View) error {
			err := r.unsee(view)
			found = *view
			return err
		}}
	return found, unresolved(ctx, b.soon(ctx, waiting))
}

// quickly brings what is found to a view without the turn of the key index, or says errTurn.
func (r *rolled) quickly(ctx context.Context, base string, view *tail.View) error {
	if r.rolling == nil || r.base != base || !r.stands() {
		return errTurn
	}
	some, err := stretches(view)
	if err != nil {
		return err
	}
	if !r.goesOn(some) {
		return errTurn
	}
	if r.add(ctx, nil, some) != nil {
		return errTurn // with the turn it is found out whether that stays so
	}
	return nil
}

// stands says that the key index has not moved since it was known to mirror the snapshot.
func (r *rolled) stands() bool {
	keys := r.table.opts.Keyed.Keys
	keying := keys.keying.Load()
	return r.changes&1 == 0 && keys.fresh.changes.Load() == r.changes && keying != nil && keying.index == r.index
}

// findPlaces is places without the turn of the key index.
func (r *rolled) findPlaces(keys []keyindex.Key) ([]keyindex.Place, error) {
	finder := r.table.opts.Keyed.Keys.finder.Load()
	if finder == nil {
		return nil, errTurn
	}
	places := make([]keyindex.Place, len(keys))
	for i, key := range keys {
		found, err := finder.Find(key)
		if err != nil {
			return nil, errTurn
		}
		if found.Path != "" {
			places[i] = keyindex.Place{File: r.number(found.Path), Row: found.Row}
		}
	}
	if !r.stands() {
		return nil, errTurn
	}
	return places, nil
}

// versionsOf are the versions of a stretch, of which t has the first already.
func (r *rolled) versionsOf(t *taken, s *stretch) (upsert.Chunk, *shape, error) {
	if s.whole != nil {
		if s.whole.index != r.index && len(s.whole.Keys) > 0 {
			return upsert.Chunk{}, nil, errors.New("the key index was begun anew, and keys of chunks are others")
		}
		return s.whole.Chunk, s.whole.shape, nil
	}
	keying := r.table.opts.Keyed.Keys.keying.Load()
	if keying == nil || keying.index != r.index {
		return upsert.Chunk{}, nil, errTurn
	}
	var of *shape
	for _, i := range s.pieces {
		piece := &s.view.Pieces[i]
		v := piece.Versions.(*pieceVersions)
		if of = v.shape; v.first < t.rows {
			continue
		}
		if t.own.Set == nil {
			t.own = upsert.Chunk{Change: piece.Change, Set: upsert.New(of.keyed.foldOptions())}
		}
		if err := t.take(piece, v, keying); err != nil {
			return upsert.Chunk{}, nil, err
		}
	}
	return t.own, of, nil
}

// take adds a piece, of which only keys, sequences and operations are kept.
func (t *taken) take(piece *tail.Piece, v *pieceVersions, keying *keying) error {
	hasher, err := keying.hasher(v.shape.schema)
	if err != nil {
		return err
	}
	keys, nulls, err := hasher.Keys(nil, piece.Rows)
	if err != nil {
		return err
	}
	if len(nulls) > 0 {
		panic("BUG: " + nulls[0].Error())
	}
	if err := t.own.Set.Add(piece.TopicPartition, piece.Rows, v.ops); err != nil {
		return err
	}
	t.own.Set.Drop(len(t.own.Set.Parts()) - 1)
	t.own.Keys = append(t.own.Keys, keys...)
	return nil
}

// unsee tells the view what of it and of its base is not seen.
func (r *rolled) unsee(view *tail.View) error {
	some, err := stretches(view)
	if err != nil {
		return err
	}
	view.Unseen = tail.Unseen{Files: map[string]*roaring.Bitmap{}, Pieces: make([]*roaring.Bitmap, len(view.Pieces))}
	r.rolling.Hidden(func(file uint32, rows *roaring.Bitmap) bool {
		view.Unseen.Files[r.files[file]] = rows
		return true
	})
	for i := range some {
		rows := r.rolling.HiddenIn(i)
		if some[i].whole == nil {
			some[i].unsee(rows)
		} else if !rows.IsEmpty() {
			view.Unseen.Files[view.Chunks[i].Files[0].FilePath()] = rows
		}
	}
	return nil
}

// unsee tells each piece what of it is not seen, where rows are those of the chunk that are not.
func (s *stretch) unsee(rows *roaring.Bitmap) {
	at := uint32(0)
	for _, i := range s.pieces {
		unseen := roaring.New()
		for row, op := range s.view.Pieces[i].Versions.(*pieceVersions).ops {
			deletes := op&upsert.Delete != 0
			if deletes || rows.Contains(at) {
				unseen.Add(uint32(row))
			}
			if !deletes {
				at++
			}
		}
		if !unseen.IsEmpty() {
			s.view.Unseen.Pieces[i] = unseen
		}
	}
}
