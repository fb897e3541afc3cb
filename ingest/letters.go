package ingest

import (
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/ingest/decode"
	"github.com/firthlake/firth/ingest/letters"
	"github.com/firthlake/firth/ingest/source"
)

// letter is a record for the dead-letter table and why it is there.
type letter struct {
	record  *source.Record
	failure decode.Failure
}

// DeadLetterSchema is the schema of a dead-letter table: the record as it was, where it stood, and
// why it is no row.
func DeadLetterSchema() *iceberg.Schema {
	text, binary := iceberg.PrimitiveTypes.String, iceberg.PrimitiveTypes.Binary
	header := &iceberg.StructType{FieldList: []iceberg.NestedField{
		{ID: 14, Name: "key", Type: text, Required: true},
		{ID: 15, Name: "value", Type: binary},
	}}
	return iceberg.NewSchema(0,
		iceberg.NestedField{ID: 1, Name: "payload", Type: binary},
		iceberg.NestedField{ID: 2, Name: "key", Type: binary},
		iceberg.NestedField{ID: 3, Name: "headers", Type: &iceberg.ListType{
			ElementID: 13, Element: header, ElementRequired: true,
		}},
		iceberg.NestedField{ID: 4, Name: "topic", Type: text, Required: true},
		iceberg.NestedField{ID: 5, Name: "partition", Type: iceberg.PrimitiveTypes.Int32, Required: true},
		iceberg.NestedField{ID: 6, Name: "offset", Type: iceberg.PrimitiveTypes.Int64, Required: true},
		iceberg.NestedField{ID: 7, Name: "timestamp", Type: iceberg.PrimitiveTypes.TimestampTz},
		iceberg.NestedField{ID: 8, Name: "error_class", Type: text, Required: true},
		iceberg.NestedField{ID: 9, Name: "error_message", Type: text},
		iceberg.NestedField{ID: 10, Name: "error_column", Type: text},
		iceberg.NestedField{ID: 11, Name: "schema_id", Type: iceberg.PrimitiveTypes.Int32},
		iceberg.NestedField{ID: 12, Name: "ingested_at", Type: iceberg.PrimitiveTypes.TimestampTz, Required: true},
	)
}

// letterBatch makes the rows of the dead-letter table. schema is the arrow form of DeadLetterSchema
// under the table's own field ids.
func letterBatch(mem memory.Allocator, schema *arrow.Schema, p *portion, now time.Time) arrow.RecordBatch {
	b := array.NewRecordBuilder(mem, schema)
	defer b.Release()
	for i := range p.letters {
		l := &p.letters[i]
		appendBytes(b.Field(0).(*array.BinaryBuilder), l.record.Value)
		appendBytes(b.Field(1).(*array.BinaryBuilder), l.record.Key)
		appendHeaders(b.Field(2).(*array.ListBuilder), l.record.Headers)
		b.Field(3).(*array.StringBuilder).Append(p.chunk.TopicPartition.Topic)
		b.Field(4).(*array.Int32Builder).Append(p.chunk.TopicPartition.Partition)
		b.Field(5).(*array.Int64Builder).Append(int64(l.record.Offset))
		b.Field(6).(*array.TimestampBuilder).Append(arrow.Timestamp(l.record.Timestamp * 1000))
		b.Field(7).(*array.StringBuilder).Append(string(l.failure.Class))
		b.Field(8).(*array.StringBuilder).Append(l.failure.Message)
		appendText(b.Field(9).(*array.StringBuilder), p.shape.columnName(l.failure.FieldID))
		if l.failure.SchemaID != 0 {
			b.Field(10).(*array.Int32Builder).Append(l.failure.SchemaID)
		} else {
			b.Field(10).AppendNull()
		}
		b.Field(11).(*array.TimestampBuilder).Append(arrow.Timestamp(now.UnixMicro()))
	}
	return b.NewRecordBatch()
}

// resolvedBatch makes the rows of the dead-letter table that say that letters are resolved. schema is as for
// letterBatch.
func resolvedBatch(mem memory.Allocator, schema *arrow.Schema, resolved []*letters.Letter, now time.Time,
) arrow.RecordBatch {
	b := array.NewRecordBuilder(mem, schema)
	defer b.Release()
	for _, l := range resolved {
		for _, empty := range []int{0, 1, 2, 8, 9, 10} {
			b.Field(empty).AppendNull()
		}
		b.Field(3).(*array.StringBuilder).Append(l.Topic)
		b.Field(4).(*array.Int32Builder).Append(l.Partition)
		b.Field(5).(*array.Int64Builder).Append(int64(l.Record.Offset))
		b.Field(6).(*array.TimestampBuilder).Append(arrow.Timestamp(l.Record.Timestamp * 1000))
		b.Field(7).(*array.StringBuilder).Append(string(letters.Resolved))
		b.Field(11).(*array.TimestampBuilder).Append(arrow.Timestamp(now.UnixMicro()))
	}
	return b.NewRecordBatch()
}

func appendBytes(b *array.BinaryBuilder, value []byte) {
	if value == nil {
		b.AppendNull()
		return
	}
	b.Append(value)
}

func appendText(b *array.StringBuilder, text string) {
	if text == "" {
		b.AppendNull()
		return
	}
	b.Append(text)
}

func appendHeaders(b *array.ListBuilder, headers []source.Header) {
	if len(headers) == 0 {
		b.AppendNull()
		return
	}
	b.Append(true)
	pair := b.ValueBuilder().(*array.StructBuilder)
	for _, h := range headers {
		pair.Append(true)
		pair.FieldBuilder(0).(*array.StringBuilder).Append(h.Key)
		appendBytes(pair.FieldBuilder(1).(*array.BinaryBuilder), h.Value)
	}
}
