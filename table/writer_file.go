package table

import (
	"cmp"
	"context"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/table/objstore"
)

// dataFile is one Parquet file while it is written. It belongs to one goroutine and ends in finish
// or abort.
type dataFile struct {
	layout   *layout
	location string
	upload   *objstore.Upload
	sink     *countingSink
	parquet  parquetFile
	rows     int64
}

// parquetFile is the content of a file: columnchunk's, or pqarrow's for columns in lists and maps.
type parquetFile interface {
	// write appends rows; it ends row groups that have all rows they may have.
	write(batch arrow.RecordBatch) error
	// groupBytes is the compressed size of the open row group.
	groupBytes() int64
	// heldBytes is the memory that the open row group takes.
	heldBytes() int64
	endRowGroup() error
	// close ends the file. It frees what the file holds also when it fails.
	close() (footer *metadata.FileMetaData, nans []int64, err error)
	// discard frees what the file holds, instead of close.
	discard()
}

// countingSink passes bytes on and counts them. It keeps the first error for itself and drops what comes
// after it, since a Parquet writer that sees one frees nothing at its end. It hides Close, which the
// Parquet writer would call.
type countingSink struct {
	to    io.Writer
	bytes int64
	err   error
}

func (s *countingSink) Write(p []byte) (int, error) {
	if s.err == nil {
		var n int
		n, s.err = s.to.Write(p)
		s.bytes += int64(n)
	}
	return len(p), nil
}

// createDataFile begins a file. ctx bounds it up to its end.
func createDataFile(
	ctx context.Context, store objstore.Store, location string, l *layout,
) (*dataFile, error) {
	upload := objstore.Create(ctx, store, location)
	sink := &countingSink{to: upload}
	writer, err := l.newParquetFile(sink)
	if err != nil {
		upload.Abort()
		return nil, fmt.Errorf("begin %s: %w", location, err)
	}
	return &dataFile{
		layout: l, location: location, upload: upload, sink: sink, parquet: writer,
	}, nil
}

// write appends the rows of batch, which has the writer's schema.
func (f *dataFile) write(batch arrow.RecordBatch) error {
	if batch.NumRows() == 0 {
		return nil
	}
	if err := f.parquet.write(batch); err != nil {
		return fmt.Errorf("write %s: %w", f.location, err)
	}
	f.rows += batch.NumRows()
	if f.parquet.groupBytes() >= f.layout.options.RowGroupBytes {
		if err := f.parquet.endRowGroup(); err != nil {
			return fmt.Errorf("end row group of %s: %w", f.location, err)
		}
	}
	if f.sink.err != nil {
		return fmt.Errorf("write %s: %w", f.location, f.sink.err)
	}
	return nil
}

// size is the compressed bytes so far, without the pages that are still open.
func (f *dataFile) size() int64 { return f.sink.bytes + f.parquet.groupBytes() }

// held is an estimate of the memory the file holds: its open row group and the upload's buffer.
func (f *dataFile) held() int64 { return f.parquet.heldBytes() + min(f.sink.bytes, 8<<20) }

// finish completes the file and describes it. The object is there when it returns nil; on an error
// it may be.
func (f *dataFile) finish(partition partitionValue) (iceberg.DataFile, error) {
	footer, nans, err := f.parquet.close()
	if err := cmp.Or(err, f.sink.err); err != nil {
		f.upload.Abort()
		return nil, fmt.Errorf("finish %s: %w", f.location, err)
	}
	described, err := describeDataFile(f, footer, nans, partition)
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
	f.parquet.discard()
}
