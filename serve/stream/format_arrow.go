package stream

import (
	"bufio"
	"errors"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// metadataToken is the key of tokens in the metadata of Arrow batches.
const metadataToken = "firth.token"

// TokenOf is the token that a batch of an Arrow stream has behind its rows; empty when it has none.
func TokenOf(batch arrow.RecordBatch) string {
	with, some := batch.(arrow.RecordBatchWithMetadata)
	if !some {
		return ""
	}
	metadata := with.Metadata()
	if at := metadata.FindKey(metadataToken); at >= 0 {
		return metadata.Values()[at]
	}
	return ""
}

// arrowStream is Arrow IPC. Each batch has the token behind its rows in its metadata; one without rows brings a token
// alone. Columns are those of the first batch: where a table gets others, the stream ends.
type arrowStream struct {
	out    *bufio.Writer
	writer *ipc.Writer
	schema *arrow.Schema
}

func (f *arrowStream) kind() string { return MediaTypeArrow }

// open writes the schema before anything else.
func (f *arrowStream) open(schema *arrow.Schema) {
	f.schema, f.writer = schema, ipc.NewWriter(f.out, ipc.WithSchema(schema))
}

func (f *arrowStream) rows(batch arrow.RecordBatch, token string) error {
	if !batch.Schema().Equal(f.schema) {
		return errors.Join(errSchema, f.writer.Close())
	}
	return f.write(batch.Columns(), batch.NumRows(), token)
}

func (f *arrowStream) quiet(token string) error {
	columns := make([]arrow.Array, f.schema.NumFields())
	for i, field := range f.schema.Fields() {
		builder := array.NewBuilder(memory.DefaultAllocator, field.Type)
		columns[i] = builder.NewArray()
		builder.Release()
		defer columns[i].Release()
	}
	return f.write(columns, 0, token)
}

func (f *arrowStream) write(columns []arrow.Array, rows int64, token string) error {
	metadata := arrow.NewMetadata([]string{metadataToken}, []string{token})
	batch := array.NewRecordBatchWithMetadata(f.schema, columns, rows, metadata)
	defer batch.Release()
	return f.writer.Write(batch)
}

// fail cannot tell: a stream that breaks off has no end marker and no end of the answer.
func (f *arrowStream) fail(reason error) error { return reason }
