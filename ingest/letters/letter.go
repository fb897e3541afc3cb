package letters

import (
	"bytes"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/decode"
	"github.com/firthlake/firth/ingest/source"
)

// Resolved is the class of the row that says that a letter is dealt with.
const Resolved decode.Class = commit.ClassResolved

// Place is a topic partition as letters name it. Incarnations of one topic share it.
type Place struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
}

// Letter is a record that could not become a row, and why.
type Letter struct {
	Place
	Record     source.Record
	Class      decode.Class
	Message    string
	Column     string // "" for the whole record
	SchemaID   int32  // 0 for none
	IngestedAt time.Time
}

// columns are the columns of a batch of letters; those that were not asked for are nil.
type columns struct {
	topic, class, message, column *array.String
	partition, schemaID           *array.Int32
	offset                        *array.Int64
	timestamp, ingestedAt         *array.Timestamp
	payload, key                  *array.Binary
	headers                       *array.List
}

// newColumns finds the columns of a batch by their names.
func newColumns(batch arrow.RecordBatch) *columns {
	c := &columns{}
	for i, field := range batch.Schema().Fields() {
		switch column := batch.Column(i).(type) {
		case *array.String:
			switch field.Name {
			case "topic":
				c.topic = column
			case "error_class":
				c.class = column
			case "error_message":
				c.message = column
			case "error_column":
				c.column = column
			}
		case *array.Int32:
			switch field.Name {
			case "partition":
				c.partition = column
			case "schema_id":
				c.schemaID = column
			}
		case *array.Timestamp:
			switch field.Name {
			case "timestamp":
				c.timestamp = column
			case "ingested_at":
				c.ingestedAt = column
			}
		case *array.Binary:
			switch field.Name {
			case "payload":
				c.payload = column
			case "key":
				c.key = column
			}
		case *array.Int64:
			c.offset = column
		case *array.List:
			c.headers = column
		}
	}
	return c
}

// place says where the record of a row stood.
func (c *columns) place(row int) (Place, commit.Offset) {
	return Place{c.topic.Value(row), c.partition.Value(row)}, commit.Offset(c.offset.Value(row))
}

// letter copies a row out of the batch.
func (c *columns) letter(row int) Letter {
	l := Letter{Class: decode.Class(c.class.Value(row)), Message: text(c.message, row), Column: text(c.column, row),
		IngestedAt: moment(c.ingestedAt, row)}
	l.Place, l.Record.Offset = c.place(row)
	if c.schemaID != nil && c.schemaID.IsValid(row) {
		l.SchemaID = c.schemaID.Value(row)
	}
	if at := moment(c.timestamp, row); !at.IsZero() {
		l.Record.Timestamp = at.UnixMilli()
	}
	l.Record.Value, l.Record.Key = content(c.payload, row), content(c.key, row)
	if c.headers == nil || c.headers.IsNull(row) {
		return l
	}
	pairs := c.headers.ListValues().(*array.Struct)
	names, values := pairs.Field(0).(*array.String), pairs.Field(1).(*array.Binary)
	first, end := c.headers.ValueOffsets(row)
	for i := int(first); i < int(end); i++ {
		l.Record.Headers = append(l.Record.Headers, source.Header{Key: names.Value(i), Value: content(values, i)})
	}
	return l
}

func text(column *array.String, row int) string {
	if column == nil || column.IsNull(row) {
		return ""
	}
	return string([]byte(column.Value(row))) // the batch's memory goes
}

// content is nil for null, which is another thing than nothing.
func content(column *array.Binary, row int) []byte {
	if column == nil || column.IsNull(row) {
		return nil
	}
	if value := column.Value(row); len(value) > 0 {
		return bytes.Clone(value)
	}
	return []byte{}
}

func moment(column *array.Timestamp, row int) time.Time {
	if column == nil || column.IsNull(row) {
		return time.Time{}
	}
	return time.UnixMicro(int64(column.Value(row))).UTC()
}
