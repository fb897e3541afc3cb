package table

import (
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/firthlake/firth/table/columnchunk"
)

// newParquetFile begins the content of a file; encodings have been chosen.
func (l *layout) newParquetFile(sink io.Writer) (parquetFile, error) {
	if l.nested {
		writer, err := pqarrow.NewFileWriter(l.file, sink, l.libraryProperties(), l.arrow)
		return &libraryFile{layout: l, writer: writer, nans: make([]int64, len(l.leaves))}, err
	}
	writer, err := columnchunk.New(sink, columnchunk.Options{Schema: l.columns, Columns: l.encodings,
		CreatedBy: createdBy, RowGroupRows: l.options.RowGroupRows, PageBytes: pageBytes,
		DictionaryBytes: dictionaryBytesMax, Buffers: l.buffers})
	return columnFile{writer}, err
}

// columnFile is a file of columnchunk's.
type columnFile struct{ writer *columnchunk.Writer }

func (f columnFile) write(batch arrow.RecordBatch) error { return f.writer.Write(batch) }
func (f columnFile) groupBytes() int64                   { return f.writer.GroupBytes() }
func (f columnFile) heldBytes() int64                    { return f.writer.HeldBytes() }
func (f columnFile) endRowGroup() error                  { return f.writer.EndRowGroup() }
func (f columnFile) discard()                            { f.writer.Discard() }

func (f columnFile) close() (*metadata.FileMetaData, []int64, error) {
	footer, err := f.writer.Close()
	return footer, f.writer.NaNs(), err
}

// libraryFile is a file of pqarrow's.
type libraryFile struct {
	layout *layout
	writer *pqarrow.FileWriter
	nans   []int64 // by leaf
}

// libraryProperties are the settings of pqarrow with the chosen encodings.
func (l *layout) libraryProperties() *parquet.WriterProperties {
	var choices []parquet.WriterProperty
	for i, leaf := range l.leaves {
		encoding := l.encodings[i]
		if encoding.Dictionary {
			choices = append(choices, parquet.WithDictionaryFor(leaf.path, true))
		} else {
			choices = append(choices, parquet.WithEncodingFor(leaf.path, encoding.Values))
		}
	}
	return l.properties(choices...)
}

func (f *libraryFile) write(batch arrow.RecordBatch) error {
	f.countNaNs(batch)
	out, err := f.layout.retype(batch)
	if err != nil {
		return err
	}
	defer out.Release()
	return f.writer.WriteBuffered(out)
}

func (f *libraryFile) countNaNs(batch arrow.RecordBatch) {
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

func (f *libraryFile) groupBytes() int64  { return f.writer.RowGroupTotalCompressedBytes() }
func (f *libraryFile) heldBytes() int64   { return f.writer.RowGroupTotalCompressedBytes() }
func (f *libraryFile) endRowGroup() error { return f.writer.NewBufferedRowGroupChecked() }

func (f *libraryFile) close() (*metadata.FileMetaData, []int64, error) {
	err := f.writer.Close()
	if err != nil {
		return nil, nil, err
	}
	footer, err := f.writer.FileMetadata()
	return footer, f.nans, err
}

// discard lets pqarrow end the file, since that frees its buffers; the bytes go to an upload that has
// ended.
func (f *libraryFile) discard() { _ = f.writer.Close() }

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
