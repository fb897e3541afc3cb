package ingest

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/ingest/upsert"
	"github.com/firthlake/firth/table"
)

// wantedRow is a row of the table whose sequence decides.
type wantedRow struct {
	file, row uint32
	key       int
}

// oldSequences are, by key, the sequences of the rows that the table holds. They are nil where the table
// holds none, where the row has none, and where the bounds of its file tell that every version of the
// checkpoint is newer: streams whose sequence grows read nothing.
func (c *checkpoint) oldSequences(ctx context.Context) ([][]int64, error) {
	out := make([][]int64, len(c.keys))
	columns := c.shape.keyed.sequence
	if len(columns) == 0 {
		return out, nil
	}
	bounds := map[uint32]upperBound{}
	var wanted []wantedRow
	for key, place := range c.places {
		if place.File == 0 {
			continue
		}
		least, found := c.set.Least(key)
		if !found {
			continue
		}
		bound, known := bounds[place.File]
		if !known {
			task, ok := c.index.Task(c.index.Index().Path(place.File))
			if !ok {
				return nil, fmt.Errorf("BUG: key index knows a file that the table does not have: %s",
					c.index.Index().Path(place.File))
			}
			bound = boundOf(task.File, c.shape.schema.Field(columns[0]).ID)
			bounds[place.File] = bound
		}
		if bound.below(least) {
			continue
		}
		wanted = append(wanted, wantedRow{place.File, place.Row, key})
	}
	slices.SortFunc(wanted, func(a, b wantedRow) int {
		return cmp.Or(cmp.Compare(a.file, b.file), cmp.Compare(a.row, b.row))
	})
	for len(wanted) > 0 {
		n := 1
		for n < len(wanted) && wanted[n].file == wanted[0].file {
			n++
		}
		if err := c.readSequences(ctx, wanted[:n], out); err != nil {
			return nil, err
		}
		wanted = wanted[n:]
	}
	return out, nil
}

// upperBound is the greatest value of a column in a file, as far as its metrics tell.
type upperBound struct {
	value int64
	known bool
}

// below says whether every row of the file has a value below v.
func (b upperBound) below(v int64) bool { return b.known && b.value < v }

// boundOf reads the bound of a column of integers. Its form is that of the type when the file was written.
func boundOf(file iceberg.DataFile, fieldID int) upperBound {
	switch bound := file.UpperBoundValues()[fieldID]; len(bound) {
	case 4:
		return upperBound{int64(int32(binary.LittleEndian.Uint32(bound))), true}
	case 8:
		return upperBound{int64(binary.LittleEndian.Uint64(bound)), true}
	}
	return upperBound{}
}

// readSequences reads the sequences of rows of one file, which come in order, into out.
func (c *checkpoint) readSequences(ctx context.Context, wanted []wantedRow, out [][]int64) error {
	task, _ := c.index.Task(c.index.Index().Path(wanted[0].file)) // it was there a moment ago
	task.Deletes = nil
	stride := len(c.shape.keyed.sequence)
	fields := make([]iceberg.NestedField, stride)
	for i, place := range c.shape.keyed.sequence {
		fields[i] = c.shape.schema.Field(place)
	}
	task.Schema = iceberg.NewSchema(0, fields...)
	first := 0
	for batch, err := range table.Read(ctx, c.table.ingester.opts.Store, task) {
		if err != nil {
			return err
		}
		end := first + int(batch.NumRows())
		n, _ := slices.BinarySearchFunc(wanted, end, func(w wantedRow, end int) int {
			return cmp.Compare(int(w.row), end)
		})
		if err := takeSequences(batch, first, wanted[:n], out); err != nil {
			return err
		}
		wanted, first = wanted[n:], end
		if len(wanted) == 0 {
			return nil
		}
	}
	return fmt.Errorf("%s has %d rows, and the key index names row %d", task.File.FilePath(), first, wanted[0].row)
}

// takeSequences copies the sequences of rows that are in a batch whose first row is row first of the file.
func takeSequences(batch arrow.RecordBatch, first int, wanted []wantedRow, out [][]int64) error {
	if len(wanted) == 0 {
		return nil
	}
	stride := int(batch.NumCols())
	values := make([]int64, stride*int(batch.NumRows()))
	for i, column := range batch.Columns() {
		if err := upsert.Integers(values[i:], stride, column); err != nil {
			return err
		}
	}
	for _, w := range wanted {
		row := int(w.row) - first
		whole := true
		for _, column := range batch.Columns() {
			whole = whole && column.IsValid(row)
		}
		if whole {
			out[w.key] = slices.Clone(values[row*stride : (row+1)*stride])
		}
	}
	return nil
}
