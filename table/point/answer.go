package point

import (
	"github.com/apache/arrow-go/v18/arrow"

	"github.com/firthlake/firth/table"
)

// Answer are the rows of some keys at one state of a table.
type Answer struct {
	// Rows are one row each, in the order of the keys; nil where there is none.
	Rows []arrow.RecordBatch
	// SnapshotID is the committed state, 0 of a table without any, and Position where the state ends: what was read
	// and not committed goes on from the one to the other.
	SnapshotID int64
	Position   table.Position
	// Behind says why what was read and not committed is not in it, "" when it is.
	Behind string
}

// Release lets go of the rows.
func (a *Answer) Release() {
	for i, row := range a.Rows {
		if row != nil {
			row.Release()
			a.Rows[i] = nil
		}
	}
}
