package stage

import (
	"context"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/google/uuid"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// Encode measures how record batches become data files, one after the other on one goroutine. Nobody keeps
// the files.
func Encode(ctx context.Context, o Options) (Result, error) {
	result := Result{Stage: "encode", Workload: o.Workload, Format: o.Format}
	pool, err := o.batches(ctx)
	if err != nil {
		return result, err
	}
	defer pool.release()
	meter, err := StartMeter(o.Now)
	if err != nil {
		return result, err
	}
	files, err := pool.write(ctx, discard{}, writing{location: "discard://bench", rows: o.Rows,
		progress: o.Progress, result: &result})
	if err != nil {
		return result, err
	}
	if err := meter.Stop(&result, o.CPUProfile); err != nil {
		return result, err
	}
	result.Files = int64(len(files))
	for _, f := range files {
		result.BytesWritten += f.FileSizeBytes()
	}
	result.Rate()
	return result, nil
}

// discard is a store that takes objects in and forgets them.
type discard struct{ objstore.Store }

// Put implements objstore.Store.
func (discard) Put(
	_ context.Context, location string, body io.Reader, _ int64, _ objstore.PutOptions,
) (objstore.Object, error) {
	n, err := io.Copy(io.Discard, body)
	return objstore.Object{Location: location, Size: n}, err
}

// batchPool are decoded rows of a table, and the bytes of the records they come from.
type batchPool struct {
	schema  *iceberg.Schema
	batches []arrow.RecordBatch
	bytes   []int
}

// batches makes decoded rows ready.
func (o Options) batches(ctx context.Context) (*batchPool, error) {
	g, err := o.Generator()
	if err != nil {
		return nil, err
	}
	plan, err := o.plan(ctx, g, nil)
	if err != nil {
		return nil, err
	}
	pool := &batchPool{schema: plan.Schema()}
	decoder := plan.NewDecoder(memory.DefaultAllocator)
	defer decoder.Close()
	for _, chunk := range chunks(g, o.Rows) {
		out, err := decoder.Decode(ctx, &chunk)
		if err == nil {
			pool.batches = append(pool.batches, out.Batch)
			pool.bytes = append(pool.bytes, chunkSize(&chunk))
			err = decoded(out)
		}
		if err != nil {
			pool.release()
			return nil, err
		}
	}
	return pool, nil
}

func (p *batchPool) release() {
	for _, b := range p.batches {
		b.Release()
	}
}

// writing says what batchPool.write writes, and where it counts rows and the bytes they come from.
type writing struct {
	location string
	rows     int64
	progress func(rows int64)
	result   *Result
}

// write writes rows of the pool, over and over, through one table.Writer.
func (p *batchPool) write(ctx context.Context, to objstore.Store, w writing) ([]iceberg.DataFile, error) {
	writer, err := table.NewWriter(to, table.WriterOptions{Schema: p.schema, Location: w.location,
		ChangeID: uuid.New()})
	if err != nil {
		return nil, err
	}
	for i := 0; w.result.Rows < w.rows; i++ {
		batch := p.batches[i%len(p.batches)]
		n := min(batch.NumRows(), w.rows-w.result.Rows)
		batch = batch.NewSlice(0, n)
		err := writer.Write(ctx, batch)
		batch.Release()
		if err != nil {
			return nil, err
		}
		w.result.Rows += n
		w.result.BytesRead += int64(p.bytes[i%len(p.bytes)]) * n / p.batches[i%len(p.batches)].NumRows()
		w.progress(w.result.Rows)
	}
	return writer.Close(ctx)
}
