package stream

import (
	"context"
	"errors"
	"math"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	icetable "github.com/apache/iceberg-go/table"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/filter"
	"github.com/firthlake/firth/table/gather"
	"github.com/firthlake/firth/table/images"
)

// deletesAtOnce is how many delete files of a commit are read at a time, as table.Plan reads manifests.
const deletesAtOnce = 8

// partsMore is how many times more parts of a commit are tried than its rows ask for, since they are long: many more
// bytes than a window has are of few keys then, and are told as they are.
const partsMore = 64

// teller makes what is told of a commit. It belongs to one goroutine.
type teller struct {
	*shape
	bounds   bounds
	reader   *images.Reader
	snapshot *icetable.Snapshot
	// portions keep their places in the list, whatever the filter: tokens hold them.
	portions []*images.Portion
	filter   *filter.Evaluator // nil for none
	// total is how many rows went or came at most, went whether any went.
	total int64
	went  bool
}

// portionsOf finds what went and came.
func (t *teller) portionsOf(ctx context.Context, before, after map[string]*table.Task) (err error) {
	if t.portions, err = t.reader.Portions(ctx, before, after); err != nil {
		return err
	}
	for _, p := range t.portions {
		t.total, t.went = t.total+p.Most(), t.went || p.Went
	}
	return nil
}

// mayMatch says whether a portion can have rows of the filter. One that has none is left out: of an update whose one
// image is in it, the other is told as if it were alone, as it is for who sees the rows of the filter.
func (t *teller) mayMatch(p *images.Portion) bool {
	return t.prune == nil || t.prune.MayMatchFile(p.Task.File, p.Task.Spec)
}

// parts is in how many parts the changes are told.
func (t *teller) parts() uint64 {
	rows := int64(t.bounds.windowRows)
	return uint64(max(1, (t.total+rows-1)/rows))
}

// part tells the changes of a part of all keys. The error is errOverflow when their rows are too many to hold, unless
// smaller parts would not help.
func (t *teller) part(ctx context.Context, span images.Span) (*told, error) {
	var portions []*images.Portion
	for _, p := range t.portions {
		if t.mayMatch(p) {
			portions = append(portions, p)
		}
	}
	defer func() { t.reader.Drop(portions) }()
	pairs, err := t.reader.Pair(ctx, portions, span)
	if err != nil {
		return nil, err
	}
	if !images.Kept(portions) && span.Parts < partsMore*t.parts() {
		return nil, errOverflow
	}
	rows := imageRows{pairs: slices.Clone(pairs), at: make([]gather.Run, len(pairs)), match: make([]bool, len(pairs))}
	err = t.reader.Rows(ctx, portions, pairs, func(batch arrow.RecordBatch, some []images.Image) error {
		match, err := t.matching(batch)
		if err != nil {
			return err
		}
		for row, image := range some {
			rows.at[image.Ordinal] = gather.Run{Batch: uint32(len(rows.batches)), Row: uint32(row), Rows: 1}
			rows.match[image.Ordinal] = match == nil || match.Contains(row)
		}
		batch.Retain()
		rows.batches = append(rows.batches, batch)
		return nil
	})
	if err != nil || len(pairs) == 0 {
		return &told{}, err
	}
	return t.tell(&rows), nil
}

// matching are the rows of the filter; nil is all.
func (t *teller) matching(batch arrow.RecordBatch) (*filter.Selection, error) {
	if t.filter == nil {
		return nil, nil
	}
	return t.filter.Select(batch)
}

// imageRows are the rows of images.
type imageRows struct {
	batches []arrow.RecordBatch
	// pairs are the images in order; at and match are where the row of each is, and whether it is one of the filter.
	pairs []images.Image
	at    []gather.Run
	match []bool
}

// half is the rows before, or those after.
type half struct {
	runs []gather.Run
	some []bool
	any  bool
}

func (h *half) add(r *imageRows, i int) (some bool) {
	if some = i >= 0 && r.match[i]; some {
		h.runs, h.any = gather.AppendRun(h.runs, r.at[i]), true
	} else {
		h.runs = append(h.runs, gather.Run{Batch: uint32(len(r.batches)), Rows: 1}) // a row of nulls
	}
	h.some = append(h.some, some)
	return some
}

// drop takes back what was added last, which was none.
func (h *half) drop() { h.runs, h.some = h.runs[:len(h.runs)-1], h.some[:len(h.some)-1] }

// tell makes changes of images. For who sees the rows of the filter, one that comes to match is inserted, and one that
// matches no more is deleted.
func (t *teller) tell(r *imageRows) *told {
	out := &told{}
	var before, after half
	var ops []string
	for i := 0; i < len(r.pairs); i++ {
		key, old, now := r.pairs[i].Key, -1, i
		switch r.pairs[i].Kind {
		case images.Deleted:
			old, now = i, -1
		case images.UpdatedBefore:
			old, now = i, i+1
			i++
		}
		switch had, has := before.add(r, old), after.add(r, now); {
		case had && has:
			ops = append(ops, opUpdate)
		case had:
			ops = append(ops, opDelete)
		case has:
			ops = append(ops, opInsert)
		default:
			before.drop()
			after.drop()
			continue
		}
		out.keys = append(out.keys, key)
	}
	if len(ops) == 0 {
		return out
	}
	batches := gather.New(append(r.batches, t.nulls()))
	out.batch = t.batch(ops, t.half(batches, &before), t.half(batches, &after), t.snapshot)
	out.bytes = table.BatchBytes(out.batch)
	return out
}

func (t *teller) half(batches *gather.Batches, h *half) arrow.Array {
	if !h.any {
		return t.image(nil, h.some)
	}
	return t.image(batches.Runs(memory.DefaultAllocator, h.runs), h.some)
}

// nulls is a row of nulls.
func (t *teller) nulls() arrow.RecordBatch {
	b := array.NewRecordBuilder(memory.DefaultAllocator, t.reader.Schema())
	defer b.Release()
	for _, column := range b.Fields() {
		column.AppendNull()
	}
	return b.NewRecordBatch()
}

// errEnough says that a window is full.
var errEnough = errors.New("enough rows")

// window tells rows that came where none went, from a place on, until there are enough, and says where it ends.
func (t *teller) window(ctx context.Context, from images.Place) (out []*told, end images.Place, err error) {
	rows, bytes := 0, int64(0)
	for end = from; int(end.Portion) < len(t.portions); end = (images.Place{Portion: end.Portion + 1}) {
		p := t.portions[end.Portion]
		positions := behind(p, end.Row)
		if !t.mayMatch(p) || positions != nil && len(positions) == 0 {
			continue
		}
		err := t.reader.Each(ctx, p, positions, func(piece images.Piece) error {
			some, err := t.rows(piece, end.Portion)
			if err != nil {
				return err
			}
			end.Row = uint32(piece.Positions[len(piece.Positions)-1]) + 1
			if some.rows() > 0 {
				out = append(out, some)
			}
			rows, bytes = rows+some.rows(), bytes+some.bytes
			if rows >= t.bounds.windowRows || bytes >= t.bounds.windowBytes {
				return errEnough
			}
			return nil
		})
		if errors.Is(err, errEnough) {
			return out, end, nil
		}
		if err != nil {
			return nil, end, err
		}
	}
	return out, end, nil
}

// behind are the positions of a portion from a row on; nil is all.
func behind(p *images.Portion, row uint32) []uint32 {
	if row == 0 {
		return nil
	}
	if p.Rows != nil {
		at, _ := slices.BinarySearch(p.Rows, row)
		return p.Rows[at:]
	}
	out := []uint32{}
	for n := min(p.Most(), math.MaxUint32); int64(row) < n; row++ {
		out = append(out, row)
	}
	return out
}

// rows tells rows that came.
func (t *teller) rows(piece images.Piece, portion uint32) (*told, error) {
	match, err := t.matching(piece.Rows)
	if err != nil {
		return nil, err
	}
	out, batch := &told{}, piece.Rows
	for row, pos := range piece.Positions {
		if match == nil || match.Contains(row) {
			out.next = append(out.next, images.Place{Portion: portion, Row: uint32(pos) + 1})
		}
	}
	if len(out.next) == 0 {
		return out, nil
	}
	if match != nil {
		batch = match.Apply(memory.DefaultAllocator, batch)
	}
	ops, none, all := make([]string, len(out.next)), make([]bool, len(out.next)), make([]bool, len(out.next))
	for i := range ops {
		ops[i], all[i] = opInsert, true
	}
	out.batch = t.batch(ops, t.image(nil, none), t.image(batch, all), t.snapshot)
	out.bytes = table.BatchBytes(out.batch)
	return out, nil
}
