package ingest

import (
	"cmp"
	"context"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/decode"
	"github.com/firthlake/firth/ingest/source"
	"github.com/firthlake/firth/ingest/upsert"
	"github.com/firthlake/firth/table/filter"
)

// withKeys returns the chunk with the key of each tombstone in the place of its value, so that the key is
// decoded as a row of which only the identifier counts.
func (w *worker) withKeys(chunk *source.Chunk) *source.Chunk {
	isTombstone := func(r source.Record) bool { return r.Value == nil && r.Key != nil }
	if !slices.ContainsFunc(chunk.Records, isTombstone) {
		return chunk
	}
	w.keyed = *chunk
	w.keyed.Records = slices.Clone(chunk.Records)
	for i := range w.keyed.Records {
		if r := &w.keyed.Records[i]; r.Value == nil {
			r.Value = r.Key
		}
	}
	return &w.keyed
}

// fillKeyed makes the versions of rows, counts and letters of the decoded chunk. What the versions come to is
// decided when the checkpoint is committed; until then their records count as inserted.
func (w *worker) fillKeyed(ctx context.Context, p *portion, decoded decode.Decoded) error {
	batch, faults, err := w.transform(ctx, p.shape, decoded.Batch)
	if err != nil {
		return err
	}
	defer batch.Release()
	selected, err := w.filter(p.shape, batch)
	if err != nil {
		return err
	}
	records := p.chunk.Records
	first, _ := slices.BinarySearchFunc(records, p.part.From, func(r source.Record, from commit.Offset) int {
		return cmp.Compare(r.Offset, from)
	})
	r := keyedRows{worker: w, portion: p, batch: batch, selected: selected, changes: decoded.Changes}
	r.findDeletes()
	r.failed = r.findFailures(r.withFaults(decoded.Failures, faults))
	w.keep.Reset(int(batch.NumRows()))
	p.ops = make([]upsert.Op, 0, batch.NumRows())
	for i := range records {
		rows := r.rowsOf(i)
		if i < first {
			r.leaveOut(rows)
			continue
		}
		p.newest = records[i].Timestamp
		if r.sort(&records[i], i, rows); p.suspend != nil {
			return nil
		}
	}
	p.part.Counts.Absent = int64(p.part.Next-p.part.From) - p.part.Counts.Sum()
	if len(p.ops) > 0 {
		p.rows = w.keep.Apply(w.mem, batch)
	}
	return nil
}

// keyedRows are the rows of one chunk while they are sorted.
type keyedRows struct {
	worker   *worker
	portion  *portion
	batch    arrow.RecordBatch
	selected *filter.Selection
	changes  *decode.Changes // nil when each record is one row
	deletes  *array.Boolean  // rows that say themselves that they delete; nil for none
	failed   []*decode.Failure
	next     int // the row behind those of the last record
}

// span is a range of rows.
type span struct{ from, to int }

// rowsOf are the rows of the i-th record; records are asked for in order.
func (r *keyedRows) rowsOf(i int) span {
	if r.changes == nil {
		return span{i, i + 1}
	}
	rows := span{r.next, r.next}
	for rows.to < len(r.changes.Rows) && int(r.changes.Rows[rows.to].Record) == i {
		rows.to++
	}
	r.next = rows.to
	return rows
}

func (r *keyedRows) leaveOut(rows span) {
	for row := rows.from; row < rows.to; row++ {
		r.worker.keep.Remove(row)
	}
}

func (r *keyedRows) findDeletes() {
	if at := r.portion.shape.keyed.deleteColumn; at >= 0 {
		r.deletes = r.batch.Column(at).(*array.Boolean)
	}
}

// deletesRow says whether a row of a record deletes.
func (r *keyedRows) deletesRow(record, row int) bool {
	switch {
	case r.changes != nil:
		return r.changes.Rows[row].Op == decode.OpDelete
	case r.portion.chunk.Records[record].Value == nil:
		return true
	}
	return r.deletes != nil && r.deletes.IsValid(row) && r.deletes.Value(row)
}

// findFailures returns the first failure of each record, or nil when there is none. Of a row that deletes
// only the key counts, and what it says of its sequence; of others the sequence must be there. An unchanged value
// that was not sent is no failure where the row keeps the old one.
func (r *keyedRows) findFailures(failures []decode.Failure) []*decode.Failure {
	k := r.portion.shape.keyed
	failed := r.worker.firstFailures(r.portion, failures, func(f *decode.Failure) bool {
		if r.changes != nil {
			return f.Class == decode.ClassUnavailable && k.keeping[f.FieldID] && r.updatesOne(f.Row)
		}
		if f.FieldID == 0 || k.needed[f.FieldID] || !r.deletesRow(f.Row, f.Row) {
			return false
		}
		return !k.ordering[f.FieldID] || f.Class == decode.ClassRequired
	})
	for i, place := range k.sequence {
		column := r.batch.Column(place)
		if column.NullN() == 0 {
			continue
		}
		for row := range column.Len() {
			record := row
			if r.changes != nil {
				record = int(r.changes.Rows[row].Record)
			}
			if column.IsValid(row) || r.deletesRow(record, row) || failed != nil && failed[record] != nil ||
				r.portion.chunk.Records[record].Value == nil {
				continue
			}
			if failed == nil {
				failed = r.worker.noFailures(r.portion)
			}
			failed[record] = &decode.Failure{Row: record, FieldID: k.sequenceIDs[i], Class: decode.ClassRequired,
				Message: k.opts.Sequence[i] + ": the sequence is missing, so the row cannot be put in order"}
		}
	}
	return failed
}

// updatesOne says whether a change event updates a row that keeps its key. One with another key has no old
// value of its own.
func (r *keyedRows) updatesOne(record int) bool {
	if r.changes.Records[record] != decode.OpUpdate {
		return false
	}
	at, _ := slices.BinarySearchFunc(r.changes.Rows, record,
		func(row decode.RowChange, record int) int { return int(row.Record) - record })
	return at+1 == len(r.changes.Rows) || int(r.changes.Rows[at+1].Record) != record
}

// sort says what becomes of one record.
func (r *keyedRows) sort(record *source.Record, i int, rows span) {
	p, counts := r.portion, &r.portion.part.Counts
	if r.failed != nil && r.failed[i] != nil {
		r.leaveOut(rows)
		r.worker.refuse(p, record, r.failed[i])
		return
	}
	plain := r.changes == nil
	if rows.from == rows.to || plain && record.Value == nil && (!p.shape.keyed.opts.Tombstones || record.Key == nil) {
		r.leaveOut(rows)
		counts.Tombstones++
		return
	}
	op := upsert.Op(0)
	for row := rows.from; row < rows.to; row++ {
		deletes := r.deletesRow(i, row)
		if !deletes && r.selected != nil && !r.selected.Contains(row) {
			r.worker.keep.Remove(row)
			continue
		}
		if deletes {
			p.ops = append(p.ops, op|upsert.Delete)
		} else {
			p.ops = append(p.ops, op)
		}
		op = upsert.Continues
	}
	if op == 0 {
		counts.Filtered++
		return
	}
	counts.Inserted++
}
