package backfill

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"path"
	"strings"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"
	"github.com/klauspost/compress/zstd"

	"github.com/firthlake/firth/ingest/decode"
	"github.com/firthlake/firth/table/objstore"
)

// reader yields the rows of one file as batches of the table's columns. It belongs to one goroutine.
type reader interface {
	// next returns some rows, which the caller releases, or io.EOF. Metadata columns hold anything.
	next(ctx context.Context) (arrow.RecordBatch, error)
	// consumed is about how many bytes of the file are read.
	consumed() int64
	close()
}

// opener opens files of the source for one table.
type opener struct {
	store   objstore.Store
	schema  *iceberg.Schema
	form    *arrow.Schema // of schema
	mapping Mapping
	// columns are the spec's options of columns, for text.
	columns map[string]decode.ColumnOptions
}

// form is how a file is written, as its name tells.
type form struct{ format, packed string }

func formOf(location string) (form, error) {
	var out form
	name := strings.ToLower(path.Base(location))
	for _, packed := range []string{".gz", ".zst"} {
		if rest, ok := strings.CutSuffix(name, packed); ok {
			name, out.packed = rest, packed
		}
	}
	switch path.Ext(name) {
	case ".parquet", ".csv":
		out.format = path.Ext(name)[1:]
	case ".json", ".jsonl", ".ndjson":
		out.format = "json"
	}
	if out.format == "" || out.format == "parquet" && out.packed != "" {
		return out, fmt.Errorf("%s: its name tells no format; .parquet, .csv and .json are read, the last two with .gz"+
			" or .zst behind: narrow the pattern: %w", location, ErrSource)
	}
	return out, nil
}

// open opens a file.
func (o *opener) open(ctx context.Context, file objstore.Object) (reader, error) {
	form, err := formOf(file.Location)
	if err != nil {
		return nil, err
	}
	if form.format == "parquet" {
		return o.openParquet(ctx, file)
	}
	stream, err := o.store.Get(ctx, file.Location, 0, -1)
	if err != nil {
		return nil, fmt.Errorf("read source: %w", err)
	}
	counted := &counter{ReadCloser: stream}
	text, err := unpack(counted, form.packed)
	if err != nil {
		_ = stream.Close() // it was read only
		return nil, fmt.Errorf("%s is not what its name says: %w: %w", file.Location, err, ErrSource)
	}
	r, err := o.openText(ctx, form.format, &lines{from: text, location: file.Location, counted: counted})
	if err != nil {
		text.Close()
		_ = stream.Close() // it was read only
		return nil, err
	}
	return r, nil
}

// counter counts the bytes that were read.
type counter struct {
	io.ReadCloser
	bytes atomic.Int64 // a packed stream is read ahead by its reader
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.bytes.Add(int64(n))
	return n, err
}

// unpacked is a stream that must be let go.
type unpacked struct {
	io.Reader
	close func()
}

// Close lets go of what unpacking holds.
func (u unpacked) Close() { u.close() }

func unpack(stream io.Reader, packed string) (unpacked, error) {
	switch packed {
	case ".gz":
		r, err := gzip.NewReader(stream)
		if err != nil {
			return unpacked{}, err
		}
		return unpacked{r, func() { _ = r.Close() }}, nil // it was read only
	case ".zst":
		r, err := zstd.NewReader(stream, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(zstdWindowMax))
		if err != nil {
			return unpacked{}, err
		}
		return unpacked{r, r.Close}, nil
	}
	return unpacked{stream, func() {}}, nil
}

// zstdWindowMax bounds the memory of a packed file: the largest window that 'zstd --long' makes by default.
const zstdWindowMax = 256 << 20
