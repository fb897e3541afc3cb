package rowexpiry

import (
	"context"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/filter"
	"github.com/firthlake/firth/table/objstore"
	"github.com/firthlake/firth/table/vector"
)

// found is what may hold old rows.
type found struct {
	whole []table.Task // that hold no others
	parts []part
}

// part is a file of which some rows may be too old, and their positions once it is read.
type part struct {
	task      table.Task
	positions []int64
}

// find tells the files with old rows by what is known of them without reading them.
func find(ctx context.Context, t *table.Table, store objstore.Store, old, stay string) (found, error) {
	var out found
	for _, field := range t.Metadata().CurrentSchema().Fields() {
		if field.Name == table.ColumnPos {
			return out, fmt.Errorf("the table has a column of the name %s: rename it", table.ColumnPos)
		}
	}
	candidates, err := plan(ctx, t, store, old)
	if err != nil || len(candidates) == 0 {
		return out, err
	}
	staying, err := plan(ctx, t, store, stay)
	if err != nil {
		return out, err
	}
	stays := make(map[string]bool, len(staying))
	for _, task := range staying {
		stays[task.File.FilePath()] = true
	}
	for _, task := range candidates {
		if stays[task.File.FilePath()] {
			out.parts = append(out.parts, part{task: task})
		} else {
			out.whole = append(out.whole, task)
		}
	}
	return out, nil
}

// plan are the files that may hold a row for which text is true.
func plan(ctx context.Context, t *table.Table, store objstore.Store, text string) ([]table.Task, error) {
	rows, err := filter.Parse(text)
	if err != nil {
		return nil, err
	}
	return table.Plan(ctx, t, store, table.Scan{Columns: []string{table.ColumnPos}, Filter: rows})
}

// read finds the old rows that are not deleted yet.
func (p *part) read(ctx context.Context, store objstore.Store) (positions []int64, err error) {
	for batch, err := range table.Read(ctx, store, p.task) {
		if err != nil {
			return nil, err
		}
		positions = append(positions, batch.Column(0).(*array.Int64).Int64Values()...)
	}
	return positions, nil
}

// rows are those of a file that are not deleted, as far as is known.
func rows(task table.Task) int64 {
	n := task.File.Count()
	for _, d := range task.Deletes {
		if vector.DataFile(d) != "" {
			n -= d.Count()
		}
	}
	return max(0, n)
}
