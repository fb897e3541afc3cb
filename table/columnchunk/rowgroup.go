package columnchunk

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/parquet/metadata"
)

// WriteRowGroup is Write of each batch, and EndRowGroup. While no row group is open, it writes chunk after chunk, with
// the memory of one column for all: pages and the dictionary of a column stay in the processor's cache until they are
// compressed.
func (w *Writer) WriteRowGroup(batches ...arrow.RecordBatch) error {
	for len(batches) > 0 && w.rows == 0 {
		n, rows := 0, int64(0)
		for n < len(batches) && rows+batches[n].NumRows() <= w.opts.RowGroupRows {
			rows += batches[n].NumRows()
			n++
		}
		if n == 0 {
			break // a batch that is more than a row group
		}
		if err := w.writeWhole(batches[:n], rows); err != nil {
			return err
		}
		batches = batches[n:]
	}
	for _, batch := range batches {
		if err := w.Write(batch); err != nil {
			return err
		}
	}
	return w.EndRowGroup()
}

// writeWhole writes batches, which have rows together, as a row group.
func (w *Writer) writeWhole(batches []arrow.RecordBatch, rows int64) error {
	if rows == 0 {
		return nil
	}
	w.rows, w.work = rows, w.opts.Buffers.takeScratch()
	return w.writeChunks(func(i int, described *metadata.ColumnChunkMetaDataBuilder) error {
		c := &w.columns[i]
		c.begin(&w.work.alone, w.opts.Buffers)
		for _, batch := range batches {
			if err := c.appendRows(batch, 0, int(batch.NumRows()), w.work); err != nil {
				return err
			}
		}
		if err := w.endChunk(i, described); err != nil {
			return err
		}
		w.heap.drop()
		return nil
	})
}
