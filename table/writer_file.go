package table

import (
	"cmp"
	"context"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
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
	parquet  *pqarrow.FileWriter
	rows     int64
	nans     []int64 // per leaf
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
	writer, err := pqarrow.NewFileWriter(l.file, sink, l.props, l.arrow)
	if err != nil {
		upload.Abort()
		return nil, fmt.Errorf("begin %s: %w", location, err)
	}
	return &dataFile{
		layout: l, location: location, upload: upload, sink: sink, parquet: writer,
		nans: make([]int64, len(l.leaves)),
	}, nil
}

// write appends the rows of batch, which has the writer's schema.
func (f *dataFile) write(batch arrow.RecordBatch) error {
	if batch.NumRows() == 0 {
		return nil
	}
	f.countNaNs(batch)
	out, err := f.layout.retype(batch)
	if err != nil {
		return err
	}
	defer out.Release()
	if err := f.parquet.WriteBuffered(out); err != nil {
		return fmt.Errorf("write %s: %w", f.location, err)
	}
	f.rows += batch.NumRows()
	if f.parquet.RowGroupTotalCompressedBytes() >= f.layout.options.RowGroupBytes {
		if err := f.parquet.NewBufferedRowGroupChecked(); err != nil {
			return fmt.Errorf("end row group of %s: %w", f.location, err)
		}
	}
	if f.sink.err != nil {
		return fmt.Errorf("write %s: %w", f.location, f.sink.err)
	}
	return nil
}

// size is the compressed bytes so far, without the pages that are still open.
func (f *dataFile) size() int64 { return f.sink.bytes + f.parquet.RowGroupTotalCompressedBytes() }

// held is an estimate of the memory the file holds: its open row group and the upload's buffer.
func (f *dataFile) held() int64 {
	return f.parquet.RowGroupTotalCompressedBytes() + min(f.sink.bytes, 8<<20)
}

func (f *dataFile) countNaNs(batch arrow.RecordBatch) {
	at := 0
	for _, column := range batch.Columns() {
		visitLeaves(column, nil, func(values arrow.Array, above []arrow.Array) {
			if f.layout.leaves[at].bounds {
				f.nans[at] += countNaNs(values, above)
			}
			at++
		})
	}
}

// finish completes the file and describes it. The object is there when it returns nil; on an error
// it may be.
func (f *dataFile) finish(partition partitionValue) (iceberg.DataFile, error) {
	if err := cmp.Or(f.parquet.Close(), f.sink.err); err != nil {
		f.upload.Abort()
		return nil, fmt.Errorf("finish %s: %w", f.location, err)
	}
	meta, err := f.parquet.FileMetadata()
	if err != nil {
		f.upload.Abort()
		return nil, fmt.Errorf("finish %s: %w", f.location, err)
	}
	described, err := describeDataFile(f, meta, partition)
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
	_ = f.parquet.Close() // its bytes go to an upload that has ended; this frees its buffers
}

// retype returns batch with the types of the file's schema. The caller releases the result.
func (l *layout) retype(batch arrow.RecordBatch) (arrow.RecordBatch, error) {
	if !l.retyped {
		return array.NewRecordBatch(l.file, batch.Columns(), batch.NumRows()), nil
	}
	columns := make([]arrow.Array, batch.NumCols())
	for i, column := range batch.Columns() {
		data := retypeData(column.Data(), l.file.Field(i).Type)
		columns[i] = array.MakeFromData(data)
		data.Release()
		defer columns[i].Release()
	}
	return array.NewRecordBatch(l.file, columns, batch.NumRows()), nil
}

// retypeData puts typ on data, which has the same buffers under both types.
func retypeData(data arrow.ArrayData, typ arrow.DataType) arrow.ArrayData {
	var children []arrow.ArrayData
	below := nestedTypes(typ)
	for i, child := range data.Children() {
		retyped := retypeData(child, below[i])
		defer retyped.Release()
		children = append(children, retyped)
	}
	return array.NewData(typ, data.Len(), data.Buffers(), children, data.NullN(), data.Offset())
}

func nestedTypes(typ arrow.DataType) []arrow.DataType {
	nested, ok := typ.(arrow.NestedType)
	if !ok {
		return nil
	}
	var out []arrow.DataType
	if m, isMap := typ.(*arrow.MapType); isMap {
		return []arrow.DataType{m.Elem()}
	}
	for _, field := range nested.Fields() {
		out = append(out, field.Type)
	}
	return out
}
