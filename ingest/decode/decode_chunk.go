package decode

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/firthlake/firth/ingest/source"
)

// chunkBytesMax bounds the bytes of a chunk, so that no string column of its batch outgrows Arrow's
// 32-bit offsets. Fetches are far smaller.
const chunkBytesMax = 1 << 30

// valueDecoder decodes the value of one record, which is not nil and not too large, into the current
// row. It reports what is wrong with the record by rows.failRow and rows.failColumn; an error is for
// reasons outside the record and ends the chunk.
type valueDecoder interface {
	decodeValue(ctx context.Context, value []byte, out *rows) error
	// endChunk is called after the last record. A decoder that saw more than the plan's schema can
	// hold returns an *EvolutionError; the batch is then dropped.
	endChunk() error
}

// chunkDecoder is the Decoder of every format: it walks the chunk, fills the metadata columns, and
// has each value decoded.
//
// A record whose value is nil (a tombstone) becomes a row of nulls with its metadata and without a
// Failure: what it means is the caller's to say.
type chunkDecoder struct {
	rows   *rows
	values valueDecoder
}

func newChunkDecoder(rows *rows, values valueDecoder) *chunkDecoder {
	return &chunkDecoder{rows: rows, values: values}
}

// Decode implements Decoder.
func (d *chunkDecoder) Decode(ctx context.Context, chunk *source.Chunk) (Decoded, error) {
	size, err := sizeOf(chunk)
	if err != nil {
		return Decoded{}, err
	}
	d.rows.expect(len(chunk.Records), size)
	d.rows.fill(chunk)
	for i := range chunk.Records {
		record := &chunk.Records[i]
		d.rows.begin(i)
		if err := d.decodeRecord(ctx, record); err != nil {
			d.rows.drop()
			return Decoded{}, err
		}
		d.rows.end(record)
	}
	if err := d.values.endChunk(); err != nil {
		d.rows.drop()
		return Decoded{}, err
	}
	return d.rows.finish(len(chunk.Records)), nil
}

func (d *chunkDecoder) decodeRecord(ctx context.Context, record *source.Record) error {
	if record.Value == nil {
		return nil
	}
	if size, limit := len(record.Value), d.rows.plan.options.RecordBytesMax; size > limit {
		d.rows.failRow(ClassTooLarge, fmt.Sprintf("record of %d bytes: the limit is %d", size, limit))
		return nil
	}
	return d.values.decodeValue(ctx, record.Value, d.rows)
}

// Close implements Decoder.
func (d *chunkDecoder) Close() { d.rows.drop() }

// sizeOf is the bytes of a chunk that may come to stand in a batch.
func sizeOf(chunk *source.Chunk) (int, error) {
	size := 0
	for i := range chunk.Records {
		record := &chunk.Records[i]
		size += len(record.Value) + len(record.Key) + len(chunk.TopicPartition.Topic)
		for _, header := range record.Headers {
			size += len(header.Key) + len(header.Value)
		}
	}
	if size > chunkBytesMax {
		return 0, fmt.Errorf("chunk of %s holds %d bytes in one batch: the limit is %d, fetch less at once",
			chunk.TopicPartition, size, chunkBytesMax)
	}
	return size, nil
}

func appendValidString(column *Column, text string) {
	if !utf8.ValidString(text) {
		text = strings.ToValidUTF8(text, "\uFFFD")
	}
	column.AppendString(text)
}

// messageMax bounds what a message quotes of a value.
const messageMax = 64

// shorten quotes the beginning of a value for a message.
func shorten(value []byte) string {
	if len(value) > messageMax {
		return fmt.Sprintf("%q...", value[:messageMax])
	}
	return fmt.Sprintf("%q", value)
}
