package decode

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/firthlake/firth/ingest/source"
)

// rows are the columns of the batch that a decoder is filling, and what failed in it.
//
// A row is begun, its record decoded into the columns, and ended. Between, a value decoder appends
// to each column at most one value, or takes it back by failColumn. What it leaves out becomes null.
type rows struct {
	plan     *Plan
	columns  []*Column
	row      int // the row that is being filled
	record   int // the record that it is made of; the same, but for plans with an envelope
	failures []Failure
	// rowFailures is the number of failures before this row; rowFailed says that the record as a
	// whole was refused.
	rowFailures int
	rowFailed   bool
	// filled says that all columns of this row are known to have their values.
	filled   bool
	schemaID int32 // writer schema of this row, for its failures
	// records and bytes are what the last finished batch was made of.
	records, bytes int
}

func newRows(plan *Plan, mem memory.Allocator) *rows {
	r := &rows{plan: plan}
	for _, column := range plan.columns {
		r.columns = append(r.columns, newColumn(column, mem))
	}
	return r
}

// expect prepares for a batch of so many records of so many bytes. It goes by whichever grew less: after
// one record of megabytes the next thousand are not as large.
func (r *rows) expect(records, bytes int) {
	times := 0.0
	if r.records > 0 {
		times = min(float64(records)/float64(r.records), float64(bytes)/float64(max(1, r.bytes)))
	}
	for _, column := range r.columns {
		column.expect(times)
		column.rowsHint = max(column.rowsHint, records)
	}
	r.records, r.bytes = records, bytes
}

// begin starts the row of a record.
func (r *rows) begin(row int) {
	r.row, r.rowFailures, r.rowFailed, r.schemaID, r.filled = row, len(r.failures), false, 0, false
	r.record = row
}

// has tells whether column i has its value, or its failure, in this row.
func (r *rows) has(i int) bool { return r.columns[i].rows > r.row }

// takeBack drops what column i has in this row.
func (r *rows) takeBack(i int) { r.columns[i].Truncate(r.row) }

// failColumn leaves a null in column i and records why. Only the first failure of a column in a row
// counts.
func (r *rows) failColumn(i int, class Class, message string) {
	id := r.plan.columns[i].id
	for _, failure := range r.failures[r.rowFailures:] {
		if failure.FieldID == id {
			return
		}
	}
	r.takeBack(i)
	r.columns[i].AppendNull()
	r.failures = append(r.failures, Failure{Row: r.record, FieldID: id, Class: class, Message: message,
		SchemaID: r.schemaID})
}

// forget takes back what column i has in this row, and its failure.
func (r *rows) forget(i int) {
	r.takeBack(i)
	id := r.plan.columns[i].id
	for k := r.rowFailures; k < len(r.failures); k++ {
		if r.failures[k].FieldID == id {
			r.failures = append(r.failures[:k], r.failures[k+1:]...)
			return
		}
	}
}

// failRow leaves nulls in all columns that the value fills and replaces the row's failures by one of
// the record as a whole.
func (r *rows) failRow(class Class, message string) {
	r.rowFailed = true
	r.failures = append(r.failures[:r.rowFailures], Failure{Row: r.record, Class: class, Message: message,
		SchemaID: r.schemaID})
	r.takeBackValues()
}

// takeBackValues drops what the columns that the value fills have in this row.
func (r *rows) takeBackValues() {
	for i, kind := range r.plan.metadata {
		if kind == "" {
			r.takeBack(i)
		}
	}
}

// end completes the row: a column without a value gets null, which fails a required one unless the
// record has no value at all.
func (r *rows) end(record *source.Record) {
	if r.filled {
		return
	}
	for i, column := range r.columns {
		if column.rows > r.row || r.plan.metadata[i] != "" {
			continue
		}
		if n := r.plan.columns[i]; n.required && !r.rowFailed && record.Value != nil {
			r.failColumn(i, ClassRequired, n.path+": required and missing")
			continue
		}
		column.AppendNull()
	}
}

// fill appends the metadata columns of all rows of the chunk.
func (r *rows) fill(chunk *source.Chunk) {
	for i, kind := range r.plan.metadata {
		column := r.columns[i]
		switch kind {
		case ColumnTopic:
			for range chunk.Records {
				column.AppendString(chunk.TopicPartition.Topic)
			}
		case ColumnPartition:
			for range chunk.Records {
				column.AppendInt32(chunk.TopicPartition.Partition)
			}
		case ColumnOffset:
			for k := range chunk.Records {
				column.AppendInt64(int64(chunk.Records[k].Offset))
			}
		case ColumnTimestamp:
			fillTimestamps(column, chunk.Records)
		case ColumnKey:
			fillKeys(column, chunk.Records)
		case ColumnHeaders:
			for k := range chunk.Records {
				appendHeaders(column, chunk.Records[k].Headers)
			}
		}
	}
}

// noTimestamp is what Kafka stores for a record without a timestamp.
const noTimestamp = -1

func fillTimestamps(column *Column, records []source.Record) {
	for k := range records {
		millis := records[k].Timestamp
		if micros := millis * 1000; millis != noTimestamp && micros/1000 == millis {
			column.AppendInt64(micros)
		} else {
			column.AppendNull()
		}
	}
}

func fillKeys(column *Column, records []source.Record) {
	for k := range records {
		if key := records[k].Key; key != nil {
			column.AppendBytes(key)
		} else {
			column.AppendNull()
		}
	}
}

// appendHeaders appends the headers of one record. Header names are text by Kafka's protocol; what
// is not UTF-8 in one is replaced, since a name is no reason to refuse a row.
func appendHeaders(column *Column, headers []source.Header) {
	element := column.Child(0)
	for _, header := range headers {
		appendValidString(element.Child(0), header.Key)
		if header.Value != nil {
			element.Child(1).AppendBytes(header.Value)
		} else {
			element.Child(1).AppendNull()
		}
		element.AppendStruct()
	}
	column.AppendList()
}

// finish returns the batch and the failures and leaves the rows empty.
func (r *rows) finish(records int) Decoded {
	arrays := make([]arrow.Array, len(r.columns))
	for i, column := range r.columns {
		if column.rows != records {
			panic(fmt.Sprintf("BUG: column %s has %d rows of %d", r.plan.columns[i].path, column.rows, records))
		}
		arrays[i] = column.Finish()
	}
	batch := array.NewRecordBatch(r.plan.arrowSchema, arrays, int64(records))
	for _, a := range arrays {
		a.Release()
	}
	decoded := Decoded{Batch: batch, Failures: r.failures}
	r.failures = nil
	return decoded
}

// drop empties the rows of a chunk that was not finished.
func (r *rows) drop() {
	for _, column := range r.columns {
		column.Release()
	}
	r.failures = nil
}
