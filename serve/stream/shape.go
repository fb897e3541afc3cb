package stream

import (
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/changes"
	"github.com/firthlake/firth/table/filter"
)

// The columns of a stream of changes, and what columnOp may say.
const (
	columnOp       = "op"
	columnBefore   = "before"
	columnAfter    = "after"
	columnSnapshot = "snapshot_id"
	columnTime     = "committed_at"

	opInsert = "insert"
	opUpdate = "update"
	opDelete = "delete"
)

// shape is what changes look like for a request.
type shape struct {
	// source is the schema of the table, read the columns that are read.
	source, read *iceberg.Schema
	// row is an image as it is handed out, form the batch.
	row  *arrow.StructType
	form *arrow.Schema
	// prune is the filter bound to source, rows to what is read; nil for none.
	prune, rows *filter.Bound
	// key is the same for the same shape.
	key string
}

func newShape(t *table.Table, request Request) (*shape, error) {
	h := &shape{source: t.Schema(), read: t.Schema()}
	h.key = fmt.Sprint(h.source.ID, "\n", strings.Join(request.Columns, "\x00"), "\n", request.Filter)
	for _, c := range table.MetadataColumns() {
		if _, own := h.source.FindFieldByName(c.Name); !own && slices.Contains(request.Columns, c.Name) {
			return nil, fmt.Errorf("column %s tells of a file, and changes are of rows: leave it out", c.Name)
		}
	}
	asked, err := table.ScanSchema(t, table.Scan{Columns: request.Columns, Filter: request.Filter})
	if err != nil {
		return nil, err
	}
	ids := slices.Clone(h.source.IdentifierFieldIDs)
	if request.Filter != nil {
		if h.prune, err = filter.Bind(request.Filter, h.source); err != nil {
			return nil, err
		}
		ids = append(ids, h.prune.FieldIDs()...)
	}
	if request.Columns != nil {
		names := slices.Clone(request.Columns)
		for _, id := range ids {
			if name, some := h.source.FindColumnName(id); some && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
		if h.read, err = table.ScanSchema(t, table.Scan{Columns: names}); err != nil {
			return nil, err
		}
	}
	if request.Filter != nil {
		if h.rows, err = filter.Bind(request.Filter, changes.Rows(h.read)); err != nil {
			return nil, err
		}
	}
	row, err := table.ArrowSchema(changes.Rows(asked))
	if err != nil {
		return nil, err
	}
	h.row = arrow.StructOf(row.Fields()...)
	h.form = arrow.NewSchema([]arrow.Field{
		{Name: columnOp, Type: arrow.BinaryTypes.String},
		{Name: columnBefore, Type: h.row, Nullable: true},
		{Name: columnAfter, Type: h.row, Nullable: true},
		{Name: columnSnapshot, Type: arrow.PrimitiveTypes.Int64},
		{Name: columnTime, Type: &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}},
	}, nil)
	return h, nil
}

// image is the rows that were read as they are handed out. Those that are not some are null, and so are all without
// rows.
func (h *shape) image(rows arrow.RecordBatch, some []bool) arrow.Array {
	if rows == nil {
		b := array.NewBuilder(memory.DefaultAllocator, h.row)
		defer b.Release()
		b.AppendNulls(len(some))
		return b.NewArray()
	}
	columns := make([]arrow.ArrayData, h.row.NumFields())
	for i, field := range h.row.Fields() {
		columns[i] = narrow(rows.Column(rows.Schema().FieldIndices(field.Name)[0]).Data(), field.Type)
	}
	valid, nulls := make([]byte, bitutil.BytesForBits(int64(len(some)))), 0
	for i, is := range some {
		if bitutil.SetBitTo(valid, i, is); !is {
			nulls++
		}
	}
	return array.NewStructData(array.NewData(h.row, len(some), []*memory.Buffer{memory.NewBufferBytes(valid)},
		columns, nulls, 0))
}

// narrow leaves out fields of structs that a type does not have.
func narrow(column arrow.ArrayData, to arrow.DataType) arrow.ArrayData {
	kind, nested := to.(*arrow.StructType)
	if !nested || arrow.TypeEqual(column.DataType(), to) {
		return column
	}
	fields := make([]arrow.ArrayData, kind.NumFields())
	for i, field := range kind.Fields() {
		at, _ := column.DataType().(*arrow.StructType).FieldIdx(field.Name)
		fields[i] = narrow(column.Children()[at], field.Type)
	}
	return array.NewData(to, column.Len(), column.Buffers(), fields, column.NullN(), column.Offset())
}

// batch is changes as they are handed out, of one commit.
func (h *shape) batch(ops []string, before, after arrow.Array, s *icetable.Snapshot) arrow.RecordBatch {
	kinds := array.NewStringBuilder(memory.DefaultAllocator)
	kinds.AppendValues(ops, nil)
	snapshots := array.NewInt64Builder(memory.DefaultAllocator)
	times := array.NewTimestampBuilder(memory.DefaultAllocator, h.form.Field(4).Type.(*arrow.TimestampType))
	for range ops {
		snapshots.Append(s.SnapshotID)
		times.Append(arrow.Timestamp(s.TimestampMs * 1000))
	}
	return array.NewRecordBatch(h.form, []arrow.Array{kinds.NewArray(), before, after, snapshots.NewArray(),
		times.NewArray()}, int64(len(ops)))
}
