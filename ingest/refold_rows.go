package ingest

import (
	"context"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/compute"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/commit/verify"
	"github.com/firthlake/firth/ingest/upsert"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/gather"
	"github.com/firthlake/firth/table/keyindex"
)

// heldRows are the rows that a log leaves, by key, where later versions are merged into them. Its batches are
// put together now and then, so that they hold at most twice the rows that there are.
type heldRows struct {
	schema  *iceberg.Schema
	batches []heldBatch
	places  map[keyindex.Key]heldPlace
}

type heldPlace struct{ batch, row uint32 }

// heldBatch are rows with their sequences: the table's, then those of column groups.
type heldBatch struct {
	rows      arrow.RecordBatch
	sequences [][][]int64
}

// heldBatchesMax is from how many batches on they are put together.
const heldBatchesMax = 64

func (h *heldRows) drop() {
	for _, b := range h.batches {
		b.rows.Release()
	}
	h.batches = nil
}

// groupsOf are the sequences of the column groups of a key's row.
func (h *heldRows) groupsOf(key keyindex.Key) [][]int64 {
	at, held := h.places[key]
	if !held {
		return nil
	}
	var groups [][]int64
	for _, sequences := range h.batches[at.batch].sequences[1:] {
		groups = append(groups, sequences[at.row])
	}
	return groups
}

// add takes in rows of the shape, one a key.
func (h *heldRows) add(k *keyedShape, rows arrow.RecordBatch, keys []keyindex.Key) error {
	b := heldBatch{rows: rows}
	for _, places := range append([][]int{k.sequence}, k.groups...) {
		sequences := make([][]int64, rows.NumRows())
		if len(places) > 0 {
			columns := make([]arrow.Array, len(places))
			for i, place := range places {
				columns[i] = rows.Column(place)
			}
			if err := sequencesOf(columns, sequences); err != nil {
				return err
			}
		}
		b.sequences = append(b.sequences, sequences)
	}
	rows.Retain()
	if h.places == nil {
		h.places = map[keyindex.Key]heldPlace{}
	}
	for i, key := range keys {
		h.places[key] = heldPlace{uint32(len(h.batches)), uint32(i)}
	}
	h.batches = append(h.batches, b)
	return nil
}

// take gathers the rows of keys; nil for none.
func (h *heldRows) take(mem memory.Allocator, keys []keyindex.Key) arrow.RecordBatch {
	if len(keys) == 0 {
		return nil
	}
	batches := make([]arrow.RecordBatch, len(h.batches))
	for i := range h.batches {
		batches[i] = h.batches[i].rows
	}
	runs := make([]gather.Run, 0, len(keys))
	for _, key := range keys {
		at := h.places[key]
		runs = gather.AppendRun(runs, gather.Run{Batch: at.batch, Row: at.row, Rows: 1})
	}
	return gather.New(batches).Runs(mem, runs)
}

// settle puts batches together when they are many, or half of their rows are gone.
func (h *heldRows) settle(mem memory.Allocator, k *keyedShape) error {
	rows := 0
	for _, b := range h.batches {
		rows += int(b.rows.NumRows())
	}
	if len(h.batches) < heldBatchesMax && rows <= 2*len(h.places)+refoldRows {
		return nil
	}
	from := uint32(0) // the first batch stays when most rows are in it and the rest is small
	if n := int(h.batches[0].rows.NumRows()); rows <= 2*len(h.places) && 2*(rows-n) < n {
		from = 1
	}
	var keys []keyindex.Key
	for key, at := range h.places {
		if at.batch >= from {
			keys = append(keys, key)
		}
	}
	whole := h.take(mem, keys)
	for _, b := range h.batches[from:] {
		b.rows.Release()
	}
	if h.batches = h.batches[:from]; whole == nil {
		return nil
	}
	defer whole.Release()
	return h.add(k, whole, keys)
}

// merge moves the versions of keys to what a fold makes of them.
func (f *refold) merge(keys []keyindex.Key, result *upsert.Result) error {
	mem := f.recounter.mem
	sums, err := table.NewChecksummer(f.schema)
	if err != nil {
		return err
	}
	merger := f.set.NewMerger(mem, result.Merged)
	defer merger.Close()
	f.rows.schema = f.schema
	piece := make([]int, 0, pieceRows)
	for i, key := range keys {
		if f.mine(key) {
			if piece = append(piece, i); result.Acts[i] < 0 {
				piece = piece[:len(piece)-1]
				f.moveMerged(i, key, result)
			}
		}
		if len(piece) == 0 || len(piece) < pieceRows && i < len(keys)-1 {
			continue
		}
		if err := f.mergePiece(merger, sums, mergedPiece{keys, result, piece}); err != nil {
			return err
		}
		piece = piece[:0]
	}
	return f.rows.settle(mem, f.keyed)
}

// mergedPiece are keys, by their places, whose rows are made at once.
type mergedPiece struct {
	keys   []keyindex.Key
	result *upsert.Result
	which  []int
}

func (f *refold) mergePiece(merger *upsert.Merger, sums *table.Checksummer, p mergedPiece) error {
	piece := upsert.Piece{Keys: p.which}
	var old, own []keyindex.Key
	for _, i := range p.which {
		own = append(own, p.keys[i])
		piece.OldRows = append(piece.OldRows, -1)
		if p.result.Merged.WithOld(i) {
			piece.OldRows[len(piece.OldRows)-1] = int32(len(old))
			old = append(old, p.keys[i])
		}
	}
	if piece.Old = f.rows.take(f.recounter.mem, old); piece.Old != nil {
		defer piece.Old.Release()
	}
	rows, err := merger.Rows(piece)
	if err != nil {
		return err
	}
	defer rows.Release()
	checksums, err := sums.Rows(nil, rows)
	if err != nil {
		return err
	}
	if err := f.rows.add(f.keyed, rows, own); err != nil {
		return err
	}
	sequences := f.rows.batches[len(f.rows.batches)-1].sequences[0]
	for at, i := range p.which {
		f.moveMerged(i, own[at], p.result)
		v := f.versions[own[at]]
		v.Present, v.Checksum, v.Sequence = true, checksums[at], sequences[at]
	}
	return nil
}

// moveMerged says of a key whether its row is sure, and takes it out when it was deleted. A version that is not
// known is in all rows after it, until a delete that has no sequence to be held against comes.
func (f *refold) moveMerged(i int, key keyindex.Key, result *upsert.Result) {
	v := f.version(key)
	act := result.Acts[i]
	settled := len(f.keyed.sequence) == 0 && f.set.Deletes(i)
	if act == upsert.Remove {
		v.Present, v.Checksum, v.Sequence = false, 0, nil
		delete(f.rows.places, key)
	}
	v.Unsure, v.Most = f.step.Unsure || f.doubtful(i) || v.Unsure && !settled, nil
}

// follow gives the rows that are held the columns of the step's schema. Where that cannot be told, all of them
// are unsure.
func (f *refold) follow(ctx context.Context) error {
	h := &f.rows
	if h.schema == nil || h.schema.ID == f.schema.ID {
		return nil
	}
	form, err := table.ArrowSchema(f.schema)
	if err != nil {
		return err
	}
	for i := range h.batches {
		after := withSchema(compute.WithAllocator(ctx, f.recounter.mem), h.batches[i].rows, h.schema,
			target{f.schema, form})
		if after == nil {
			f.forget()
			return nil
		}
		h.batches[i].rows.Release()
		h.batches[i].rows = after
	}
	h.schema = f.schema
	return nil
}

// forget gives up what is known of rows that there are.
func (f *refold) forget() {
	f.rows.drop()
	f.rows = heldRows{}
	for key, v := range f.versions {
		if v.Present {
			f.versions[key] = &verify.Version{Unsure: true}
		}
	}
}

// target is a schema to give rows.
type target struct {
	schema *iceberg.Schema
	form   *arrow.Schema
}

// withSchema gives rows of one schema the columns of another, by field id. It is nil when it cannot.
func withSchema(ctx context.Context, rows arrow.RecordBatch, from *iceberg.Schema, to target) arrow.RecordBatch {
	columns := make([]arrow.Array, 0, to.form.NumFields())
	defer func() {
		for _, c := range columns {
			c.Release()
		}
	}()
	for i, field := range to.schema.Fields() {
		typ := to.form.Field(i).Type
		at := slices.IndexFunc(from.Fields(), func(f iceberg.NestedField) bool { return f.ID == field.ID })
		switch {
		case at < 0 && (field.Required || field.InitialDefault != nil):
			return nil // it has a value in old rows
		case at < 0:
			// It wants zeroed memory.
			columns = append(columns, array.MakeArrayOfNull(memory.DefaultAllocator, typ, int(rows.NumRows())))
		case arrow.TypeEqual(rows.Column(at).DataType(), typ):
			rows.Column(at).Retain()
			columns = append(columns, rows.Column(at))
		default:
			wider, err := compute.CastArray(ctx, rows.Column(at), compute.SafeCastOptions(typ))
			if err != nil {
				return nil
			}
			columns = append(columns, wider)
		}
	}
	return array.NewRecordBatch(to.form, columns, rows.NumRows())
}
