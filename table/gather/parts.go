package gather

import "github.com/apache/arrow-go/v18/arrow"

// Part is what Share copies of a batch.
type Part struct {
	To      *Gathered
	Columns []int    // of the batch, one for each field
	Rows    []uint32 // in their order
}

// Share copies parts of batch behind the rows that each has gathered. It goes column by column: one that
// many parts have rows of stays in the processor's cache meanwhile.
func Share(batch arrow.RecordBatch, parts []Part) {
	choices := make([]choice, len(parts))
	for i, part := range parts {
		choices[i] = choose(part.Rows)
	}
	for place, wanted := range whoWants(parts, int(batch.NumCols())) {
		if len(wanted) == 0 {
			continue
		}
		source := newColumn([]arrow.Array{batch.Column(place)})
		for _, to := range wanted {
			parts[to.part].To.columns[to.field].take(source, choices[to.part])
		}
	}
	for _, part := range parts {
		part.To.count += len(part.Rows)
	}
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
