package table

import (
	"context"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/table/columnchunk"
	"github.com/firthlake/firth/table/objstore"
)

// dataFile is one Parquet file while it is written. It belongs to one goroutine and ends in finish
// or abort.
type dataFile struct {
	layout   *layout
	location string
	upload   *objstore.Upload
	sink     *countingSink
	parquet  *columnchunk.Writer
	rows     int64
}

// countingSink passes bytes on and counts them.
type countingSink struct {
	to    io.Writer
	bytes int64
}

func (s *countingSink) Write(p []byte) (int, error) {
	n, err := s.to.Write(p)
	s.bytes += int64(n)
	return n, err
}

// fileOptions are how a file looks, and what the file before it has found out.
type fileOptions struct {
	layout *layout
	trials *columnchunk.Trials // nil when there was none
}

// createDataFile begins a file. ctx bounds it up to its end.
func createDataFile(
	ctx context.Context, store objstore.Store, location string, opts fileOptions,
) (*dataFile, error) {
	l := opts.layout
	upload := objstore.Create(ctx, store, location)
	sink := &countingSink{to: upload}
	writer, err := columnchunk.New(sink, columnchunk.Options{Schema: l.columns, Columns: l.encodings,
		CreatedBy: createdBy, RowGroupRows: l.options.RowGroupRows, PageBytes: pageBytes,
		DictionaryBytes: dictionaryBytesMax, Buffers: l.buffers, Trials: opts.trials})
	if err != nil {
		upload.Abort()
		return nil, fmt.Errorf("begin %s: %w", location, err)
	}
	return &dataFile{
		layout: l, location: location, upload: upload, sink: sink, parquet: writer,
	}, nil
}

// writeAll appends the rows of batches, and leaves the row group open.
func (f *dataFile) writeAll(batches []arrow.RecordBatch) error {
	for _, batch := range batches {
		if err := f.write(batch); err != nil {
			return err
		}
	}
	return nil
}

// write appends the rows of batch, which has the writer's schema.
func (f *dataFile) write(batch arrow.RecordBatch) error {
	if batch.NumRows() == 0 {
		return nil
	}
	if err := f.parquet.Write(batch); err != nil {
		return fmt.Errorf("write %s: %w", f.location, err)
	}
	if err := f.wrote(batch); err != nil {
		return err
	}
	if f.parquet.GroupBytes() >= f.layout.options.RowGroupBytes {
		return f.endRowGroup()
	}
	return nil
}

// writeRowGroup writes batches and ends the row group.
func (f *dataFile) writeRowGroup(batches []arrow.RecordBatch) error {
	if err := f.parquet.WriteRowGroup(batches...); err != nil {
		return fmt.Errorf("write a row group of %s: %w", f.location, err)
	}
	for _, batch := range batches {
		if err := f.wrote(batch); err != nil {
			return err
		}
	}
	return nil
}

// wrote tells of the rows of a batch that is in the file now, and counts them.
func (f *dataFile) wrote(batch arrow.RecordBatch) error {
	if err := f.tell(batch); err != nil {
		return err
	}
	f.rows += batch.NumRows()
	return nil
}

// size is the compressed bytes so far, without the pages that are still open.
func (f *dataFile) size() int64 { return f.sink.bytes + f.parquet.GroupBytes() }

// endRowGroup hands the memory of the open row group back.
func (f *dataFile) endRowGroup() error {
	if err := f.parquet.EndRowGroup(); err != nil {
		return fmt.Errorf("end row group of %s: %w", f.location, err)
	}
	return nil
}

// held is an estimate of the memory the file holds: its open row group and the upload's chunks.
func (f *dataFile) held() int64 { return f.parquet.HeldBytes() + f.upload.HeldBytes() }

// finish completes the file and describes it. The object is there when it returns nil; on an error
// it may be.
func (f *dataFile) finish(partition partitionValue) (iceberg.DataFile, error) {
	footer, err := f.parquet.Close()
	if err != nil {
		f.upload.Abort()
		return nil, fmt.Errorf("finish %s: %w", f.location, err)
	}
	described, err := describeDataFile(f, footer, partition)
	if err != nil {
		f.upload.Abort()
		return nil, err
	}
	if err := f.upload.Close(); err != nil {
		return nil, fmt.Errorf("finish %s: %w", f.location, err)
	}
	return described, nil
}

// abort gives the file up; nothing becomes visible.
func (f *dataFile) abort() {
	f.upload.Abort()
	f.parquet.Discard()
}
