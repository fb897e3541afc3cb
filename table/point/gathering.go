package point

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// gathering cuts the batches of a file, which end with its row groups, into runs.
type gathering struct {
	reader  *Reader
	id      runID // of the next run
	batches []arrow.RecordBatch
	rows    int64
}

// add takes in the next rows, and keeps the runs that are whole.
func (g *gathering) add(batch arrow.RecordBatch) error {
	for from := int64(0); from < batch.NumRows(); {
		to := min(batch.NumRows(), from+runRows-g.rows)
		g.batches = append(g.batches, batch.NewSlice(from, to))
		g.rows, from = g.rows+to-from, to
		if g.rows == runRows {
			if err := g.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// flush keeps what there is of a run.
func (g *gathering) flush() error {
	if len(g.batches) == 0 {
		return nil
	}
	columns := make([]arrow.Array, 0, g.batches[0].NumCols())
	defer func() {
		for _, column := range columns {
			column.Release()
		}
	}()
	for i := range int(g.batches[0].NumCols()) {
		parts := make([]arrow.Array, len(g.batches))
		for k, batch := range g.batches {
			parts[k] = batch.Column(i)
		}
		// A copy, so that a run keeps no more than its own rows in memory.
		column, err := array.Concatenate(parts, memory.DefaultAllocator)
		if err != nil {
			return fmt.Errorf("join rows of column %s: %w", g.batches[0].ColumnName(i), err)
		}
		columns = append(columns, column)
	}
	g.reader.keep(g.id, array.NewRecordBatch(g.batches[0].Schema(), columns, g.rows))
	g.id.number++
	g.drop()
	return nil
}

// drop lets go of what was gathered.
func (g *gathering) drop() {
	for _, batch := range g.batches {
		batch.Release()
	}
	g.batches, g.rows = nil, 0
}
