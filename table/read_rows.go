package table

import (
	"fmt"

	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/firthlake/firth/table/filter"
)

// wantedRows are the rows of a file that a read asks for and has not found yet.
type wantedRows struct {
	rows []uint32 // in order
	all  bool
}

// any says whether one is among n rows from start on.
func (w *wantedRows) any(start, n int64) bool {
	return w.all || len(w.rows) > 0 && int64(w.rows[0]) < start+n
}

// leave removes the other rows of n, of which the first is row start of the file.
func (w *wantedRows) leave(selection *filter.Selection, start, n int64) {
	if w.all {
		return
	}
	at := int64(0)
	for ; len(w.rows) > 0 && int64(w.rows[0]) < start+n; w.rows = w.rows[1:] {
		for wanted := int64(w.rows[0]) - start; at < wanted; at++ {
			selection.Remove(int(at))
		}
		at++
	}
	for ; at < n; at++ {
		selection.Remove(int(at))
	}
}

// complete says whether all were found.
func (w *wantedRows) complete() error {
	if len(w.rows) > 0 && !w.all {
		return fmt.Errorf("it has no row %d", w.rows[0])
	}
	return nil
}

// seek passes over rows of a row group that nobody asks for, where that is worth it, and returns the row that
// comes next: the group's end when it is done. The group begins with row first of the file.
func (r *taskReader) seek(batches pqarrow.RecordReader, first, start, end int64) (int64, error) {
	switch {
	case r.wanted.all:
		return start, nil
	case !r.wanted.any(start, end-start):
		return end, nil
	}
	next := int64(r.wanted.rows[0])
	if next-start < int64(r.opts.BatchRows) {
		return start, nil
	}
	if err := batches.SeekToRow(next - first); err != nil {
		return start, fmt.Errorf("go to row %d: %w", next, err)
	}
	return next, nil
}
