package ingest

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/ingest/upsert"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// wantedRow is a row of the table whose sequence decides.
type wantedRow struct {
	file, row uint32
	key       int
}

// oldSequences are, by key, the sequences of the rows that the table holds: the table's (which 0) or those of a
// column group. They are nil where the table holds none, where the row has none, and where the bounds of its file
// tell that every version of the checkpoint is newer: streams whose sequence grows read nothing. Nil at all is
// the same for every key.
func (c *checkpoint) oldSequences(ctx context.Context, which int) ([][]int64, error) {
	fields := c.shape.sequenceFields(which)
	if len(fields) == 0 {
		return nil, nil
	}
	out := make([][]int64, len(c.keys))
	bounds := map[uint32]upperBound{}
	var wanted []wantedRow
	for key, place := range c.places {
		if place.File == 0 {
			continue
		}
		least, found := c.set.Least(key, which)
		if !found {
			continue
		}
		bound, known := bounds[place.File]
		if !known {
			task, err := c.taskOf(place.File)
			if err != nil {
				return nil, err
			}
			bound = boundOf(task.File, fields[0].ID)
			bounds[place.File] = bound
		}
		if bound.below(least) {
			continue
		}
		wanted = append(wanted, wantedRow{place.File, place.Row, key})
	}
	for rows := range byFile(wanted, len(wanted)) {
		if err := c.readSequences(ctx, fields, rows, out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// oldReader reads rows that a keyed table holds.
type oldReader struct {
	store objstore.Store
	// live is where a file of a number lies and what it is, false when the table does not have it.
	live func(file uint32) (string, table.Task, bool)
}

// oldReaderOf knows files by the numbers that the index gives them.
func oldReaderOf(index KeyIndex, store objstore.Store) oldReader {
	return oldReader{store, func(file uint32) (string, table.Task, bool) {
		path := index.Index().Path(file)
		task, ok := index.Files().Task(path)
		return path, task, ok
	}}
}

// taskOf is the live data file of a number, to read rows of by their positions.
func (r oldReader) taskOf(file uint32) (table.Task, error) {
	path, task, ok := r.live(file)
	if !ok {
		return task, fmt.Errorf("BUG: key index knows a file that the table does not have: %s", path)
	}
	task.Deletes, task.EqualityDeletes = nil, nil // the rows are live, or the index would not know them
	return task, nil
}

// byFile sorts rows by their places and yields those of one file together, up to rowsMax of them.
func byFile(wanted []wantedRow, rowsMax int) iter.Seq[[]wantedRow] {
	slices.SortFunc(wanted, func(a, b wantedRow) int {
		return cmp.Or(cmp.Compare(a.file, b.file), cmp.Compare(a.row, b.row))
	})
	return func(yield func([]wantedRow) bool) {
		for len(wanted) > 0 {
			n := 1
			for n < min(rowsMax, len(wanted)) && wanted[n].file == wanted[0].file {
				n++
			}
			if !yield(wanted[:n]) {
				return
			}
			wanted = wanted[n:]
		}
	}
}

// readOld yields rows of one file, which come in order, as batches of the schema.
func (r oldReader) readOld(
	ctx context.Context, schema *iceberg.Schema, wanted []wantedRow,
) iter.Seq2[arrow.RecordBatch, error] {
	return func(yield func(arrow.RecordBatch, error) bool) {
		task, err := r.taskOf(wanted[0].file)
		if err != nil {
			yield(nil, err)
			return
		}
		task.Schema = schema
		rows := make([]uint32, len(wanted))
		for i, w := range wanted {
			rows[i] = w.row
		}
		table.ReadWith(ctx, r.store, task, table.ReadOptions{Rows: rows})(yield)
	}
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
func (r oldReader) readSequences(
	ctx context.Context, fields []iceberg.NestedField, wanted []wantedRow, out [][]int64,
) error {
	for batch, err := range r.readOld(ctx, iceberg.NewSchema(0, fields...), wanted) {
		if err != nil {
			return err
		}
		rows := int(batch.NumRows())
		if err := takeSequences(batch, wanted[:rows], out); err != nil {
			return err
		}
		wanted = wanted[rows:]
	}
	return nil
}

// takeSequences copies the sequences of the rows of a batch.
func takeSequences(batch arrow.RecordBatch, wanted []wantedRow, out [][]int64) error {
	sequences := make([][]int64, len(wanted))
	if err := sequencesOf(batch.Columns(), sequences); err != nil {
		return err
	}
	for row, w := range wanted {
		out[w.key] = sequences[row]
	}
	return nil
}

// sequencesOf sets out to the sequences of the rows of columns, nil for those that are not whole.
func sequencesOf(columns []arrow.Array, out [][]int64) error {
	stride := len(columns)
	values := make([]int64, stride*len(out))
	for i, column := range columns {
		if err := upsert.Integers(values[i:], stride, column); err != nil {
			return err
		}
	}
	for row := range out {
		if !slices.ContainsFunc(columns, func(c arrow.Array) bool { return c.IsNull(row) }) {
			out[row] = values[row*stride : (row+1)*stride : (row+1)*stride]
		}
	}
	return nil
}
