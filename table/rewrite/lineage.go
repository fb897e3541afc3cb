package rewrite

import (
	"bytes"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/columnchunk"
)

const (
	// lineageRows is how many rows get their lineage at a time: a page of row ids.
	lineageRows     = 128 << 10
	lineagePage     = 1 << 20
	lineageRowGroup = 1 << 62 // never ends one
)

// lineage writes what rows inherit from their files (v3, "Row Lineage") as columns.
type lineage struct {
	fields *arrow.Schema
	opts   columnchunk.Options
	meta   *metadata.FileMetaData // of the chunks last written, for the columns
}

func newLineage(profile table.Profile) (*lineage, error) {
	rowID, updated := iceberg.RowID(), iceberg.LastUpdatedSequenceNumber()
	fields, err := table.ArrowSchema(iceberg.NewSchema(0, rowID, updated))
	if err != nil {
		return nil, fmt.Errorf("lineage columns: %w", err)
	}
	columns, err := pqarrow.ToParquet(fields, parquet.NewWriterProperties(
		parquet.WithVersion(parquet.V2_LATEST)), pqarrow.DefaultWriterProps())
	if err != nil {
		return nil, fmt.Errorf("lineage columns: %w", err)
	}
	ids := columnchunk.Encoding{Values: parquet.Encodings.DeltaBinaryPacked}
	if profile == table.ProfileSafe {
		ids.Values = parquet.Encodings.Plain
	}
	constant := columnchunk.Encoding{Values: parquet.Encodings.Plain, Dictionary: true}
	return &lineage{fields: fields, opts: columnchunk.Options{
		Schema: columns, Columns: []columnchunk.Encoding{ids, constant}, CreatedBy: "firth",
		RowGroupRows: lineageRowGroup, PageBytes: lineagePage, DictionaryBytes: lineagePage,
		Buffers: new(columnchunk.Buffers), Trials: new(columnchunk.Trials),
	}}, nil
}

// inherits says whether rows of a file have lineage that is not in the file. It is an error when some
// rows have it there and others not.
func inherits(s *source) (bool, error) {
	if s.task.File.FirstRowID() == nil {
		return false, nil
	}
	found := 0
	for i := range s.meta.Schema.NumColumns() {
		id := s.meta.Schema.Column(i).SchemaNode().FieldID()
		if id != iceberg.RowIDFieldID && id != iceberg.LastUpdatedSequenceNumberFieldID {
			continue
		}
		found++
		for g, group := range s.meta.RowGroups {
			stats := group.Columns[i].MetaData.Statistics
			if stats == nil || !stats.IsSetNullCount() || stats.GetNullCount() > 0 {
				return false, notCopyable("%s may lack the lineage of rows in row group %d", s.location, g)
			}
		}
	}
	if found == 1 {
		return false, notCopyable("%s has half of the lineage of its rows", s.location)
	}
	return found == 0, nil
}

// addLineage writes the lineage of row group g of a source, whose first row is row start of the file.
// What it returns describes the two chunks where they are now.
func (w *splicer) addLineage(s *source, g int, start int64) (*source, error) {
	made, raw, err := w.lineage.make(*s.task.File.FirstRowID()+start, s.task.SequenceNumber,
		s.meta.RowGroups[g].NumRows)
	if err != nil {
		return nil, fmt.Errorf("lineage: %w", err)
	}
	parts := made.parts()
	moved := map[int64]int64{}
	for _, p := range parts {
		moved[p.start] = w.at - p.start
		if err := w.write(raw[p.start:p.end]); err != nil {
			return nil, err
		}
	}
	for i, chunk := range made.meta.RowGroups[0].Columns {
		at, _ := chunkRange(chunk.MetaData)
		by := moved[at]
		if chunk.MetaData.IsSetDictionaryPageOffset() {
			dictionary := chunk.MetaData.GetDictionaryPageOffset() + by
			chunk.MetaData.DictionaryPageOffset = &dictionary
		}
		chunk.MetaData.DataPageOffset += by
		made.indexes[0][i].moved = by
	}
	w.lineage.meta = made.meta
	return made, nil
}

// make makes a file in memory of the lineage of rows.
func (l *lineage) make(firstRowID, sequence, rows int64) (*source, []byte, error) {
	var out bytes.Buffer
	file, err := columnchunk.New(&out, l.opts)
	if err != nil {
		return nil, nil, err
	}
	for from := int64(0); from < rows; from += lineageRows {
		batch := l.batch(firstRowID+from, sequence, min(rows-from, lineageRows))
		err := file.Write(batch)
		batch.Release()
		if err != nil {
			file.Discard()
			return nil, nil, err
		}
	}
	meta, err := file.Close()
	if err != nil {
		return nil, nil, err
	}
	raw := out.Bytes()
	made := &source{meta: meta, dataEnd: int64(len(raw)), indexes: [][]chunkIndex{make([]chunkIndex, 2)}}
	for i, chunk := range meta.RowGroups[0].Columns {
		at := chunk.GetColumnIndexOffset()
		made.indexes[0][i].columns = raw[at : at+int64(chunk.GetColumnIndexLength())]
		at = chunk.GetOffsetIndexOffset()
		made.indexes[0][i].offsets, err = parseOffsets(raw[at : at+int64(chunk.GetOffsetIndexLength())])
		if err != nil {
			return nil, nil, err
		}
	}
	return made, raw, nil
}

func (l *lineage) batch(firstRowID, sequence, rows int64) arrow.RecordBatch {
	b := array.NewRecordBuilder(memory.DefaultAllocator, l.fields)
	defer b.Release()
	ids, updated := b.Field(0).(*array.Int64Builder), b.Field(1).(*array.Int64Builder)
	ids.Reserve(int(rows))
	updated.Reserve(int(rows))
	for row := range rows {
		ids.UnsafeAppend(firstRowID + row)
		updated.UnsafeAppend(sequence)
	}
	return b.NewRecordBatch()
}

// addLineageColumns tells of the two columns in the footer. What others say of columns in key-value
// metadata holds no more.
func (w *splicer) addLineageColumns() {
	footer, own := w.footer.FileMetaData, w.lineage.meta.FileMetaData
	columns := *footer.Schema[0].NumChildren + 2
	footer.Schema[0].NumChildren = &columns
	footer.Schema = append(footer.Schema, own.Schema[1:]...)
	footer.ColumnOrders = append(footer.ColumnOrders, own.ColumnOrders...)
	footer.KeyValueMetadata = nil
}
