package vector

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/schema"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table/dv"

	"github.com/firthlake/firth/table/columnchunk"
	"github.com/firthlake/firth/table/objstore"
)

const (
	// batchRows are the rows that are made at a time: 1 MiB of a path of 100 bytes.
	batchRows = 8192
	// A row group of a million positions takes some megabytes before it is written.
	rowGroupRows    = 1 << 20
	pageBytes       = 256 << 10
	dictionaryBytes = 256 << 10
)

// positionDeletes writes a Parquet file for each target.
func (w *writing) positionDeletes(ctx context.Context) error {
	columns, err := deleteColumns()
	if err != nil {
		return err
	}
	w.name("parquet")
	return w.each(ctx, len(w.targets), func(ctx context.Context, i int) error {
		positions, err := w.merged(ctx, &w.targets[i])
		if err != nil {
			return err
		}
		w.files[i], err = w.parquet(ctx, columns, w.wrote[i], &w.targets[i], positions)
		return err
	})
}

// deleteColumns is the Parquet schema of position delete files.
func deleteColumns() (*schema.Schema, error) {
	path, err := schema.NewPrimitiveNodeLogical("file_path", parquet.Repetitions.Required,
		schema.StringLogicalType{}, parquet.Types.ByteArray, 0, fieldIDPath)
	if err != nil {
		return nil, fmt.Errorf("schema of position deletes: %w", err)
	}
	pos := schema.NewInt64Node("pos", parquet.Repetitions.Required, fieldIDPos)
	root, err := schema.NewGroupNode("table", parquet.Repetitions.Required, schema.FieldList{path, pos}, -1)
	if err != nil {
		return nil, fmt.Errorf("schema of position deletes: %w", err)
	}
	return schema.NewSchema(root), nil
}

// parquet writes the position deletes of one data file. The encodings are those that every reader knows.
func (w *writing) parquet(ctx context.Context, columns *schema.Schema, location string, t *Target,
	positions *dv.RoaringPositionBitmap) (iceberg.DataFile, error) {
	file := t.File
	upload := objstore.Create(ctx, w.store, location)
	defer upload.Abort() // after Close it does nothing
	out, err := columnchunk.New(upload, columnchunk.Options{Schema: columns, Columns: []columnchunk.Encoding{
		{Dictionary: true, Values: parquet.Encodings.Plain}, {Values: parquet.Encodings.Plain},
	}, CreatedBy: createdBy, RowGroupRows: rowGroupRows, PageBytes: pageBytes, DictionaryBytes: dictionaryBytes})
	if err != nil {
		return nil, fmt.Errorf("begin %s: %w", location, err)
	}
	defer out.Discard()
	if err := fill(out, file.FilePath(), positions); err != nil {
		return nil, fmt.Errorf("write %s: %w", location, err)
	}
	if _, err := out.Close(); err != nil {
		return nil, fmt.Errorf("finish %s: %w", location, err)
	}
	if err := upload.Close(); err != nil {
		return nil, fmt.Errorf("finish %s: %w", location, err)
	}
	count := positions.Cardinality()
	b, err := describe(t, written{location, iceberg.ParquetFile, count, upload.Size()})
	if err != nil {
		return nil, err
	}
	path := []byte(file.FilePath())
	first, last := bounds(positions)
	return b.ValueCounts(map[int]int64{fieldIDPath: count, fieldIDPos: count}).
		NullValueCounts(map[int]int64{fieldIDPath: 0, fieldIDPos: 0}).
		LowerBoundValues(map[int][]byte{fieldIDPath: path, fieldIDPos: first}).
		UpperBoundValues(map[int][]byte{fieldIDPath: path, fieldIDPos: last}).Build(), nil
}

// bounds are the first and the last position, as a manifest holds them.
func bounds(positions *dv.RoaringPositionBitmap) (first, last []byte) {
	var low, high uint64
	for pos := range positions.Positions() {
		low = pos
		break
	}
	for pos := range positions.Positions() {
		high = pos
	}
	return binary.LittleEndian.AppendUint64(nil, low), binary.LittleEndian.AppendUint64(nil, high)
}

// fill writes a row for each position.
func fill(out *columnchunk.Writer, path string, positions *dv.RoaringPositionBitmap) error {
	fields := arrow.NewSchema([]arrow.Field{
		{Name: "file_path", Type: arrow.BinaryTypes.String}, {Name: "pos", Type: arrow.PrimitiveTypes.Int64},
	}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, fields)
	defer b.Release()
	paths, rows := b.Field(0).(*array.StringBuilder), b.Field(1).(*array.Int64Builder)
	flush := func() error {
		batch := b.NewRecordBatch()
		defer batch.Release()
		return out.Write(batch)
	}
	for pos := range positions.Positions() {
		paths.Append(path)
		rows.Append(int64(pos))
		if rows.Len() == batchRows {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if rows.Len() == 0 {
		return nil
	}
	return flush()
}
