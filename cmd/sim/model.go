package main

import (
	"fmt"
	"maps"
	"slices"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest"
	"github.com/firthlake/firth/ingest/spec"
)

// The columns of a keyed table beside its key and the place of the record.
const (
	colKind = iota
	colRegion
	colSeq
	colAmount
	colNote
	colGroupSeq
	colGroup
	colBorn
	colGone
	colExtra
	columnCount
)

// columnNames are by the constants above.
var columnNames = [columnCount]string{"kind", "region", "seq", "amount", "note", "gseq", "gvalue", "born", "gone",
	"extra"}

// cell is a value, or null when it is not set.
type cell struct {
	value int64
	set   bool
}

func cellOf(value int64) cell { return cell{value, true} }

// version is a row of a keyed table, or a record that says what it is now.
type version struct {
	id    int64
	cells [columnCount]cell
	// at is the place of the record, nowhere for rows of others.
	at where
}

// String names what the row has.
func (v version) String() string {
	text := fmt.Sprint("{id:", v.id)
	for column, c := range v.cells {
		if c.set {
			text += fmt.Sprint(" ", columnNames[column], ":", c.value)
		}
	}
	return text + fmt.Sprintf(" of %v}", v.at)
}

// nowhere is the place of what comes from no topic.
var nowhere = where{-1, -1}

// engine is what a keyed table makes of several versions of a row. It is written from the guide
// (docs/operations.md, Merge engines), and shares nothing with ingest/upsert.
type engine struct {
	sequenced bool // by the column seq
	merge     spec.Merge
	functions map[int]spec.Function // by column, for aggregate
	grouped   bool                  // gvalue goes by gseq, for partial
}

func (e *engine) options() (opts ingest.KeyedOptions) {
	if e.sequenced {
		opts.Sequence = []string{columnNames[colSeq]}
	}
	opts.First = e.merge == spec.MergeFirst
	if e.merge != spec.MergePartial && e.merge != spec.MergeAggregate {
		return opts
	}
	opts.Merge = &ingest.MergeOptions{Functions: map[string]spec.Function{}}
	for column, f := range e.functions {
		opts.Merge.Functions[columnNames[column]] = f
	}
	if e.grouped {
		opts.Merge.Groups = []spec.ColumnGroup{{Columns: []string{columnNames[colGroup]},
			Sequence: []string{columnNames[colGroupSeq]}}}
	}
	return opts
}

// arrival is a record of a keyed table: a version, or a delete.
type arrival struct {
	version
	tombstone bool
}

func (a *arrival) deletes() bool { return a.tombstone || a.cells[colGone] == cellOf(1) }

// fold says what becomes of a row, nil for none, when the records of one checkpoint came one after the other.
func (e *engine) fold(old *version, records []arrival) *version {
	row := old
	var newest cell // the greatest sequence so far, that of a delete too
	if old != nil && e.sequenced {
		newest = old.cells[colSeq]
	}
	for i := range records {
		r := &records[i]
		own := r.cells[colSeq]
		if !e.sequenced || r.tombstone {
			own = cell{}
		}
		older := own.set && newest.set && own.value < newest.value
		switch {
		case r.deletes() && older:
			continue
		case r.deletes():
			row = nil
		case e.merge == spec.MergeFirst && row != nil:
			continue
		case e.merge == spec.MergePartial || e.merge == spec.MergeAggregate:
			row = e.mergeInto(row, &r.version, older)
		case older:
			continue
		default:
			row = &r.version
		}
		if own.set && !older {
			newest = own
		}
	}
	return row
}

// mergeInto adds a version to a row.
func (e *engine) mergeInto(row, v *version, older bool) *version {
	if row == nil {
		if older { // than a delete
			return nil
		}
		row = &version{id: v.id}
	}
	out := *row
	newGroup := e.grouped && v.cells[colGroupSeq].set &&
		(!row.cells[colGroupSeq].set || v.cells[colGroupSeq].value >= row.cells[colGroupSeq].value)
	if older && !newGroup && !e.accumulates() {
		return row
	}
	for column, own := range v.cells {
		was := &out.cells[column]
		switch {
		case e.grouped && (column == colGroup || column == colGroupSeq):
			if newGroup {
				*was = own
			}
		case e.functions[column] != "" && e.functions[column] != spec.FunctionLast:
			*was = accumulate(e.functions[column], *was, own)
		case own.set && !older:
			*was = own
		}
	}
	out.at = v.at
	return &out
}

func (e *engine) accumulates() bool {
	return slices.ContainsFunc(slices.Collect(maps.Values(e.functions)),
		func(f spec.Function) bool { return f != spec.FunctionLast })
}

func accumulate(f spec.Function, was, own cell) cell {
	switch {
	case f == spec.FunctionCount:
		return cellOf(was.value + 1)
	case !own.set:
		return was
	case !was.set:
		return own
	case f == spec.FunctionSum:
		return cellOf(was.value + own.value)
	case f == spec.FunctionMin:
		return cellOf(min(was.value, own.value))
	case f == spec.FunctionMax:
		return cellOf(max(was.value, own.value))
	}
	return was // the first one
}

// contents are the rows of a keyed table by key: more than one where others doubled it, the newest last.
type contents struct {
	rows map[int64][]version
}

func newContents() contents { return contents{rows: map[int64][]version{}} }

// clone returns a copy that can be changed.
func (c contents) clone() contents {
	out := contents{rows: make(map[int64][]version, len(c.rows))}
	for id, rows := range c.rows {
		out.rows[id] = slices.Clone(rows)
	}
	return out
}

// add puts rows in behind those that are there.
func (c contents) add(rows ...version) {
	for _, r := range rows {
		c.rows[r.id] = append(c.rows[r.id], r)
	}
}

// remove takes rows out, one for each.
func (c contents) remove(rows ...version) error {
	for _, r := range rows {
		at := slices.Index(c.rows[r.id], r)
		if at < 0 {
			return fmt.Errorf("row %v is not in the model", r)
		}
		c.rows[r.id] = slices.Delete(c.rows[r.id], at, at+1)
		c.settle(r.id)
	}
	return nil
}

// settle forgets a key without rows.
func (c contents) settle(id int64) {
	if len(c.rows[id]) == 0 {
		delete(c.rows, id)
	}
}

// order puts the rows of doubled keys in the order in which they were found.
func (c contents) order(found map[int64][]version) {
	for id, rows := range found {
		if len(rows) > 1 {
			c.rows[id] = rows
		}
	}
}

// take folds the records of a checkpoint into the rows. Of keys that were doubled the newest row is the one to stay.
func (c contents) take(e *engine, records map[int64][]arrival) {
	for id, rows := range c.rows {
		if _, comes := records[id]; !comes && len(rows) > 1 {
			records[id] = nil // only doubles leave
		}
	}
	for id, arrivals := range records {
		var old *version
		if rows := c.rows[id]; len(rows) > 0 {
			old = &rows[len(rows)-1]
		}
		row := e.fold(old, arrivals)
		c.rows[id] = nil
		if row != nil {
			c.rows[id] = []version{*row}
		}
		c.settle(id)
	}
}

// compare says how rows that were found differ from those that there should be.
func (c contents) compare(found map[int64][]version) error {
	for id, rows := range c.rows {
		if !sameRows(rows, found[id]) {
			return fmt.Errorf("key %d has the rows %v, want %v", id, found[id], rows)
		}
	}
	for id, rows := range found {
		if len(c.rows[id]) == 0 {
			return fmt.Errorf("key %d has the rows %v, want none", id, rows)
		}
	}
	return nil
}

// sameRows compares without regard to order.
func sameRows(a, b []version) bool {
	count := map[version]int{}
	for _, r := range a {
		count[r]++
	}
	for _, r := range b {
		count[r]--
	}
	return !slices.ContainsFunc(slices.Collect(maps.Values(count)), func(n int) bool { return n != 0 })
}

// arrivals are the records of ranges that say something of a row, by key.
func (w *world) arrivals(f *feed, ranges map[commit.TopicPartition]commit.Range) map[int64][]arrival {
	out := map[int64][]arrival{}
	for tp, r := range ranges {
		for offset := r.From; offset < r.Next; offset++ {
			fate := w.load.fates[tp][offset]
			at := where{tp.Partition, int64(offset)}
			a := arrival{tombstone: fate.kind == isTombstone}
			if fate.row != nil {
				a.version = *fate.row
			}
			a.id, a.at = fate.id, at
			// A filter leaves out rows, and no delete.
			says := f.fate(fate) == aRow || fate.kind == isTombstone || fate.kind == isNoise && a.deletes()
			if !says || f.lost[at] || f.fate(fate) == aDeadLetter {
				continue
			}
			out[fate.id] = append(out[fate.id], a) // a key is in one partition
		}
	}
	return out
}
