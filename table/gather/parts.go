package gather

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// Part is what Parts copies of a batch into a new one.
type Part struct {
	Schema  *arrow.Schema
	Columns []int    // of the batch, one for each field of Schema
	Rows    []uint32 // in their order
}

// Parts copies parts of batch into new batches, one for each, which the caller releases. It goes column by column:
// one that many parts have rows of stays in the processor's cache meanwhile.
func Parts(mem memory.Allocator, batch arrow.RecordBatch, parts []Part) []arrow.RecordBatch {
	choices := make([]choice, len(parts))
	columns := make([][]arrow.Array, len(parts))
	for i, part := range parts {
		choices[i] = choose(part.Rows)
		columns[i] = make([]arrow.Array, len(part.Columns))
	}
	for place, wanted := range whoWants(parts, int(batch.NumCols())) {
		if len(wanted) == 0 {
			continue
		}
		source := newColumn([]arrow.Array{batch.Column(place)})
		for _, to := range wanted {
			columns[to.part][to.field] = source.takeArray(mem, choices[to.part])
		}
	}
	out := make([]arrow.RecordBatch, len(parts))
	for i, part := range parts {
		out[i] = newBatch(part.Schema, columns[i], len(part.Rows))
	}
	return out
}

// target is a field of a part.
type target struct{ part, field int }

// whoWants returns the fields that each column of a batch is copied to.
func whoWants(parts []Part, columns int) [][]target {
	wanted := make([][]target, columns)
	for i, part := range parts {
		for field, place := range part.Columns {
			if wanted[place] == nil {
				wanted[place] = make([]target, 0, len(parts))
			}
			wanted[place] = append(wanted[place], target{i, field})
		}
	}
	return wanted
}
