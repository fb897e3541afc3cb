package backfill

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	iceio "github.com/apache/iceberg-go/io"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// parquetRowsMax is the rows of a batch of Parquet.
const parquetRowsMax = 16 << 10

// parquetReader reads a Parquet file row group by row group.
type parquetReader struct {
	*opener
	object  objstore.Object
	bytes   iceio.File
	records pqarrow.RecordReader
	places  []int
	rows    int64
	total   int64
}

func (o *opener) openParquet(ctx context.Context, object objstore.Object) (reader, error) {
	bytes, err := table.FileIO(ctx, o.store).Open(object.Location)
	if err != nil {
		return nil, fmt.Errorf("read source: %w", err)
	}
	r := &parquetReader{opener: o, object: object, bytes: bytes}
	var names []string
	err = r.guard(func() error {
		whole, err := file.NewParquetReader(bytes)
		if err != nil {
			return fmt.Errorf("is no whole Parquet file: %w", err)
		}
		r.total = whole.NumRows()
		rows, err := pqarrow.NewFileReader(whole, pqarrow.ArrowReadProperties{BatchSize: parquetRowsMax},
			memory.DefaultAllocator)
		if err != nil {
			return err
		}
		schema, err := rows.Schema()
		if err != nil {
			return err
		}
		for _, field := range schema.Fields() {
			names = append(names, field.Name)
		}
		r.records, err = rows.GetRecordReader(ctx, nil, nil)
		return err
	})
	if err == nil {
		if r.places, err = o.mapping.fit(o.schema, names); err != nil {
			err = fmt.Errorf("%s: %w", object.Location, err)
		}
	}
	if err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

// guard turns what a damaged file does to its reader into an error.
func (r *parquetReader) guard(work func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%s: is damaged: %v: %w", r.object.Location, p, ErrSource)
		}
	}()
	if err := work(); err != nil {
		if errors.Is(err, context.Canceled) || errors.Is(err, io.EOF) && r.records != nil {
			return err
		}
		return fmt.Errorf("%s: %w: %w", r.object.Location, err, ErrSource)
	}
	return nil
}

// next implements reader.
func (r *parquetReader) next(ctx context.Context) (arrow.RecordBatch, error) {
	if r.rows >= r.total {
		return nil, io.EOF
	}
	var batch arrow.RecordBatch
	err := r.guard(func() (err error) { batch, err = r.records.Read(); return err })
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: ends behind row %d, and its footer says %d: %w", r.object.Location, r.rows, r.total,
			ErrSource)
	}
	if err != nil {
		return nil, err
	}
	out, err := r.fit(ctx, batch)
	r.rows += batch.NumRows()
	return out, err
}

// fit makes the table's columns of those of the file.
func (r *parquetReader) fit(ctx context.Context, batch arrow.RecordBatch) (arrow.RecordBatch, error) {
	columns := make([]arrow.Array, r.form.NumFields())
	defer func() {
		for _, c := range columns {
			if c != nil {
				c.Release()
			}
		}
	}()
	for i, field := range r.form.Fields() {
		if r.places[i] < 0 {
			columns[i] = array.MakeArrayOfNull(memory.DefaultAllocator, field.Type, int(batch.NumRows()))
			continue
		}
		var err error
		from := batch.Column(r.places[i])
		if columns[i], err = cast(ctx, from, field); err != nil {
			var at *castError
			if errors.As(err, &at) {
				return nil, fmt.Errorf("%s: row %d: column %s: %w: %w", r.object.Location, r.rows+int64(at.row)+1,
					field.Name, err, ErrSource)
			}
			return nil, fmt.Errorf("%s: column %s: %w: %w", r.object.Location, field.Name, err, ErrSource)
		}
	}
	return array.NewRecordBatch(r.form, columns, batch.NumRows()), nil
}

func (r *parquetReader) consumed() int64 {
	if r.total == 0 {
		return r.object.Size
	}
	return int64(float64(r.object.Size) * float64(r.rows) / float64(r.total))
}

func (r *parquetReader) close() {
	if r.records != nil {
		r.records.Release()
	}
	_ = r.bytes.Close() // it was read only
}
