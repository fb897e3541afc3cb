package table

import (
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// Placed is told where a Writer puts rows. With it batches have one more column, without nulls and of type
// int64, behind those of the schema: the tag of each row, by which the caller knows it. Files do not hold it.
//
// The calls for a file come one after the other and in the order of its rows: first is the position of
// tags[0]. Calls for several files come from several goroutines when Parallel is above 1. Tags are valid
// during the call. A file that is told of does not exist before Close returns it.
type Placed func(file string, first int64, tags []int64) error

// columnTag names the column of tags in memory.
const columnTag = "_tag"

// WithTags is the schema of batches with tags, given that of batches without.
func WithTags(schema *arrow.Schema) *arrow.Schema {
	metadata := schema.Metadata()
	return arrow.NewSchema(append(slices.Clone(schema.Fields()),
		arrow.Field{Name: columnTag, Type: arrow.PrimitiveTypes.Int64}), &metadata)
}

// stored are the columns of a batch that files hold.
func (l *layout) stored(batch arrow.RecordBatch) []arrow.Array {
	columns := batch.Columns()
	if l.placed != nil {
		columns = columns[:len(columns)-1]
	}
	return columns
}

// tell says where the rows of batch, which are the next of the file, are.
func (f *dataFile) tell(batch arrow.RecordBatch) error {
	if f.layout.placed == nil {
		return nil
	}
	tags := batch.Column(int(batch.NumCols()) - 1).(*array.Int64)
	if err := f.layout.placed(f.location, f.rows, tags.Int64Values()); err != nil {
		return fmt.Errorf("note the rows of %s: %w", f.location, err)
	}
	return nil
}
