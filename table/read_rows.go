package table

import (
	"errors"
	"fmt"

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

// ErrNoRow says that a file ends before a row that was asked for.
var ErrNoRow = errors.New("the file has no such row")

// complete says whether all were found.
func (w *wantedRows) complete() error {
	if len(w.rows) > 0 && !w.all {
		return fmt.Errorf("row %d: %w", w.rows[0], ErrNoRow)
	}
	return nil
}

// seek returns the row of a row group to go on with: the group's end when nobody asks for more of it. Rows between
// are decoded and left out: with the library's seek by the page index merged rows came out wrong.
func (r *taskReader) seek(start, end int64) int64 {
	if r.wanted.all || r.wanted.any(start, end-start) {
		return start
	}
	return end
}
