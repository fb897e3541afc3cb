package stream

import (
	"bufio"
	"bytes"
	"errors"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/firthlake/firth/table"
)

// metadataToken is the key of tokens in the metadata of Arrow batches.
const metadataToken = "firth.token"

// metadataBytes is what a batch is thought to take besides its columns.
const metadataBytes = 4 << 10

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

// arrowForm is how rows are written as Arrow, wherever they are sent: a message of Arrow IPC with the token behind the
// rows in its metadata. One without rows brings a token alone.
type arrowForm struct{}

func (arrowForm) kind() string { return MediaTypeArrow }

// form has the token in it, since the batch has.
func (arrowForm) form(token string) string { return token }

func (arrowForm) encode(batch arrow.RecordBatch, token string) ([]byte, error) {
	told := withToken(batch.Schema(), batch.Columns(), batch.NumRows(), token)
	defer told.Release()
	payload, err := ipc.GetRecordBatchPayload(told)
	if err != nil {
		return nil, err
	}
	defer payload.Release()
	var body bytes.Buffer
	body.Grow(int(table.BatchBytes(batch)) + metadataBytes)
	_, err = payload.WritePayload(&body)
	return body.Bytes(), err
}

// fail cannot tell: a stream that breaks off has no end marker and no end of the answer.
func (arrowForm) fail(reason error) error { return reason }

// withToken is a batch that has a token in its metadata.
func withToken(schema *arrow.Schema, columns []arrow.Array, rows int64, token string) arrow.RecordBatch {
	metadata := arrow.NewMetadata([]string{metadataToken}, []string{token})
	return array.NewRecordBatchWithMetadata(schema, columns, rows, metadata)
}

// tokenAlone is a batch without rows that has a token.
func tokenAlone(schema *arrow.Schema, token string) arrow.RecordBatch {
	columns := make([]arrow.Array, schema.NumFields())
	for i, field := range schema.Fields() {
		builder := array.NewBuilder(memory.DefaultAllocator, field.Type)
		columns[i] = builder.NewArray()
		builder.Release()
		defer columns[i].Release()
	}
	return withToken(schema, columns, 0, token)
}

// arrowStream is Arrow IPC. Columns are those of the first batch: where a table gets others, the stream ends.
type arrowStream struct {
	arrowForm
	out    *bufio.Writer
	writer *ipc.Writer
	schema *arrow.Schema
}

// open writes the schema before anything else.
func (f *arrowStream) open(schema *arrow.Schema) {
	f.schema, f.writer = schema, ipc.NewWriter(f.out, ipc.WithSchema(schema))
}

func (f *arrowStream) rows(body []byte, schema *arrow.Schema, _ string) error {
	if !schema.Equal(f.schema) {
		return errors.Join(errSchema, f.writer.Close())
	}
	return writeBody(f.out, body)
}

func (f *arrowStream) quiet(token string) error {
	batch := tokenAlone(f.schema, token)
	defer batch.Release()
	return f.writer.Write(batch)
}
