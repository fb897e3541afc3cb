package images

import (
	"context"
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/changes"
	"github.com/firthlake/firth/table/gather"
	"github.com/firthlake/firth/table/keyindex"
	"github.com/firthlake/firth/table/objstore"
)

// Options is what a Reader takes from outside. Store, Source and Memory must be set.
type Options struct {
	Store objstore.Store
	// Source is the schema of the table, with its identifier.
	Source *iceberg.Schema
	// Columns are those that are read, the identifier's among them; nil is all. Rows that are equal in them are equal.
	Columns *iceberg.Schema
	// Seed keys the hash of keys, and with it their order.
	Seed keyindex.Seed
	// Memory has room for rows that are kept, of which there are at most KeepBytes.
	Memory    *table.Budget
	KeepBytes int64
	Allocator memory.Allocator
	// Reads is how many delete files are read at a time; 1 starts no goroutine.
	Reads int
}

// Reader reads rows that came and went in the form of the newest schema, with all columns optional. It belongs to one
// goroutine.
type Reader struct {
	opts Options
	read table.ReadOptions
	// schema is that of the rows, and wide has the position behind them.
	schema, wide *iceberg.Schema
	form         *arrow.Schema
	hasher       *keyindex.Hasher
	sums         *table.Checksummer
	kept         int64
	// before and after are equality deletes of the two snapshots that are compared: those of the later one
	// would take rows of the earlier one out.
	before, after *table.EqualityDeletes
}

// NewReader returns a Reader. It reads nothing yet.
func NewReader(opts Options) (*Reader, error) {
	if opts.Columns == nil {
		opts.Columns = opts.Source
	}
	if opts.Allocator == nil {
		opts.Allocator = memory.DefaultAllocator
	}
	r := &Reader{opts: opts, schema: changes.Rows(opts.Columns), read: table.ReadOptions{Allocator: opts.Allocator}}
	r.wide = iceberg.NewSchema(r.schema.ID, append(r.schema.Fields(), positionColumn())...)
	var err error
	if r.form, err = table.ArrowSchema(r.schema); err != nil {
		return nil, err
	}
	if r.hasher, err = keyindex.NewHasher(opts.Source, opts.Seed); err != nil {
		return nil, err
	}
	r.sums, err = table.NewChecksummer(r.schema)
	return r, err
}

func positionColumn() iceberg.NestedField {
	for _, c := range table.MetadataColumns() {
		if c.Name == table.ColumnPos {
			return c
		}
	}
	panic("BUG: rows have no position")
}

// Schema is what the rows look like.
func (r *Reader) Schema() *arrow.Schema { return r.form }

// Span is a part of all keys.
type Span struct{ Part, Parts uint64 }

func (s Span) holds(key keyindex.Key) bool {
	return s.Parts == 1 || PartOf(key, s.Parts) == s.Part
}

// PartOf is the part that a key is in. Parts are in the order of keys.
func PartOf(key keyindex.Key, parts uint64) uint64 { return key.High >> 32 * parts >> 32 }

// Pair tells what became of the rows of a part of all keys, in the order of keys. It keeps rows while there is room,
// until Drop.
func (r *Reader) Pair(ctx context.Context, portions []*Portion, span Span) ([]Image, error) {
	var went, came []entry
	for i, p := range portions {
		into := &came
		if p.Went {
			into = &went
		}
		if err := r.enter(ctx, uint32(i), p, span, into); err != nil {
			return nil, err
		}
	}
	return pair(went, came), nil
}

// enter reads the keys and checksums of a portion. It keeps all of its rows in the span or none.
func (r *Reader) enter(ctx context.Context, at uint32, p *Portion, span Span, into *[]entry) error {
	pieces, keeping := []Piece{}, true
	var keys []keyindex.Key
	var sums []uint64
	var chosen []uint32
	err := r.Each(ctx, p, nil, func(piece Piece) (err error) {
		var nulls []keyindex.Null
		if keys, nulls, err = r.hasher.Keys(keys, piece.Rows); err != nil {
			return err
		}
		if sums, err = r.sums.Rows(sums[:0], piece.Rows); err != nil {
			return err
		}
		for _, null := range nulls { // a row without a key is only ever equal to its like
			keys[null.Row] = keyindex.Key{High: sums[null.Row], Low: ^uint64(0)}
		}
		chosen = chosen[:0]
		for row, key := range keys {
			if span.holds(key) {
				chosen = append(chosen, uint32(row))
				*into = append(*into, entry{key, sums[row], Place{at, uint32(piece.Positions[row])}})
			}
		}
		if keeping = keeping && r.keep(&pieces, piece, chosen); !keeping {
			r.release(pieces)
			pieces = nil
		}
		return nil
	})
	if p.kept = pieces; err != nil {
		r.drop(p)
	}
	return err
}

// keep keeps some rows of a piece if there is room for them.
func (r *Reader) keep(pieces *[]Piece, piece Piece, rows []uint32) bool {
	if len(rows) == 0 {
		return true
	}
	out := Piece{Positions: make([]int64, len(rows))}
	for i, row := range rows {
		out.Positions[i] = piece.Positions[row]
	}
	if out.Rows = piece.Rows; len(rows) < int(piece.Rows.NumRows()) {
		out.Rows = gather.Rows(r.opts.Allocator, piece.Rows, rows)
	} else {
		out.Rows.Retain()
	}
	bytes := table.BatchBytes(out.Rows)
	if r.kept+bytes > r.opts.KeepBytes || !r.opts.Memory.TryAcquire(bytes) {
		out.Rows.Release()
		return false
	}
	r.kept += bytes
	*pieces = append(*pieces, out)
	return true
}

// Kept says that all rows of portions are kept.
func Kept(portions []*Portion) bool {
	return !slices.ContainsFunc(portions, func(p *Portion) bool { return p.kept == nil })
}

// Drop drops the rows that were kept.
func (r *Reader) Drop(portions []*Portion) {
	for _, p := range portions {
		r.drop(p)
	}
}

func (r *Reader) drop(p *Portion) {
	r.release(p.kept)
	p.kept = nil
}

func (r *Reader) release(pieces []Piece) {
	bytes := int64(0)
	for _, piece := range pieces {
		bytes += table.BatchBytes(piece.Rows)
		piece.Rows.Release()
	}
	r.opts.Memory.Release(bytes)
	r.kept -= bytes
}

// Rows calls do with the rows of images, piece by piece of the files that they are in: rows of one order with
// images. It sorts images by place. A batch is valid during the call.
func (r *Reader) Rows(
	ctx context.Context, portions []*Portion, images []Image, do func(arrow.RecordBatch, []Image) error,
) error {
	slices.SortFunc(images, func(a, b Image) int { return a.At.compare(b.At) })
	for len(images) > 0 {
		n, at := 0, images[0].At.Portion
		var rows []uint32
		for ; n < len(images) && images[n].At.Portion == at; n++ {
			rows = append(rows, images[n].At.Row)
		}
		if err := r.rowsOf(ctx, portions[at], rows, images[:n], do); err != nil {
			return err
		}
		images = images[n:]
	}
	return nil
}

// rowsOf is Rows for the images that lie in one portion, at the given rows.
func (r *Reader) rowsOf(
	ctx context.Context, p *Portion, rows []uint32, images []Image, do func(arrow.RecordBatch, []Image) error,
) error {
	var chosen []uint32
	left := images
	err := r.Each(ctx, p, rows, func(piece Piece) error {
		chosen = chosen[:0]
		for i, pos := range piece.Positions {
			if n := len(chosen); n < len(left) && int64(left[n].At.Row) == pos {
				chosen = append(chosen, uint32(i))
			}
		}
		if len(chosen) == 0 {
			return nil
		}
		batch := gather.Rows(r.opts.Allocator, piece.Rows, chosen)
		defer batch.Release()
		err := do(batch, left[:len(chosen)])
		left = left[len(chosen):]
		return err
	})
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("%s has changed while it was read: row %d is gone", p.Task.File.FilePath(), left[0].At.Row)
	}
	return err
}
