package table

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/compute"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
)

// converter turns columns of one schema into a batch of another, matching them by field id:
// columns are reordered, renamed and widened, missing ones filled.
type converter struct {
	schema  *arrow.Schema
	columns []columnConverter
}

// columnConverter makes one column. Exactly one of convert and fill is set, or both for a column
// whose nulls are filled.
type columnConverter struct {
	source  int
	convert convertFunc
	fill    fillFunc
}

// convertFunc returns the data in another type; the caller releases it.
type convertFunc func(ctx context.Context, data arrow.ArrayData) (arrow.ArrayData, error)

// fillFunc makes a column of rows values, the first of them for row start of the file.
type fillFunc func(ctx context.Context, start int64, rows int) (arrow.ArrayData, error)

// constants are what metadata columns say about a file.
type constants struct {
	file       string
	firstRowID *int64
	sequence   int64
}

func newConverter(
	from []arrow.Field, to *iceberg.Schema, source constants,
) (*converter, error) {
	schema, err := ArrowSchema(to)
	if err != nil {
		return nil, err
	}
	c := &converter{schema: schema}
	for i, field := range to.Fields() {
		at := FieldByID(from, field.ID)
		column := columnConverter{source: at}
		if at >= 0 {
			column.convert, err = newConvert(from[at], schema.Field(i), field)
		}
		if fill, ok := source.fill(field.ID); ok {
			column.fill = fill
		} else if at < 0 {
			column.fill, err = newFill(schema.Field(i), field)
		}
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", field.Name, err)
		}
		c.columns = append(c.columns, column)
	}
	return c, nil
}

// FieldByID is where the field with an Iceberg field id is in the form that ArrowSchema gives a schema, or -1.
func FieldByID(fields []arrow.Field, id int) int {
	for i, field := range fields {
		if fieldID(field) == id {
			return i
		}
	}
	return -1
}

// batch makes a batch of rows rows from columns; start is the place of the first row in the file.
func (c *converter) batch(
	ctx context.Context, columns []arrow.Array, start int64, rows int,
) (arrow.RecordBatch, error) {
	made := make([]arrow.Array, 0, len(c.columns))
	defer func() {
		for _, column := range made {
			column.Release()
		}
	}()
	for i := range c.columns {
		data, err := c.columns[i].make(ctx, columns, start, rows)
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", c.schema.Field(i).Name, err)
		}
		made = append(made, array.MakeFromData(data))
		data.Release()
	}
	return array.NewRecordBatch(c.schema, made, int64(rows)), nil
}

func (c *columnConverter) make(
	ctx context.Context, columns []arrow.Array, start int64, rows int,
) (arrow.ArrayData, error) {
	if c.source < 0 {
		return c.fill(ctx, start, rows)
	}
	data, err := c.convert(ctx, columns[c.source].Data())
	if err != nil || c.fill == nil || data.NullN() == 0 {
		return data, err
	}
	defer data.Release()
	filled, err := c.fill(ctx, start, rows)
	if err != nil {
		return nil, err
	}
	defer filled.Release()
	return coalesce(ctx, data, filled), nil
}

// coalesce takes the value of first, or where that is null the one of second. Both are int64.
func coalesce(ctx context.Context, first, second arrow.ArrayData) arrow.ArrayData {
	a, b := array.NewInt64Data(first), array.NewInt64Data(second)
	defer a.Release()
	defer b.Release()
	builder := array.NewInt64Builder(compute.GetAllocator(ctx))
	defer builder.Release()
	for i := range a.Len() {
		switch {
		case a.IsValid(i):
			builder.Append(a.Value(i))
		case b.IsValid(i):
			builder.Append(b.Value(i))
		default:
			builder.AppendNull()
		}
	}
	return takeData(builder.NewArray())
}

// takeData is the data of an array that is of no more use.
func takeData(a arrow.Array) arrow.ArrayData {
	data := a.Data()
	data.Retain()
	a.Release()
	return data
}

// newConvert makes the function that turns from into to, whose Iceberg form is field.
func newConvert(from, to arrow.Field, field iceberg.NestedField) (convertFunc, error) {
	if ext, ok := from.Type.(arrow.ExtensionType); ok {
		from.Type = ext.StorageType()
		inner, err := newConvert(from, to, field)
		if err != nil {
			return nil, err
		}
		return func(ctx context.Context, data arrow.ArrayData) (arrow.ArrayData, error) {
			storage := relabel(data, from.Type)
			defer storage.Release()
			return inner(ctx, storage)
		}, nil
	}
	switch target := to.Type.(type) {
	case *arrow.StructType:
		source, ok := from.Type.(*arrow.StructType)
		if !ok {
			return nil, errCannotRead(from.Type, field.Type)
		}
		return convertStruct(source, target, field.Type.(*iceberg.StructType))
	case *arrow.ListType:
		return convertList(from.Type, target, field.Type.(*iceberg.ListType))
	case *arrow.MapType:
		source, ok := from.Type.(*arrow.MapType)
		if !ok {
			return nil, errCannotRead(from.Type, field.Type)
		}
		return convertMap(source, target, field.Type.(*iceberg.MapType))
	}
	return convertLeaf(from.Type, to.Type, field.Type)
}

func errCannotRead(from arrow.DataType, to iceberg.Type) error {
	return fmt.Errorf("the file has %s, which cannot be read as %s", from, to)
}

// relabel is the same memory under another type.
func relabel(data arrow.ArrayData, to arrow.DataType) arrow.ArrayData {
	return array.NewData(to, data.Len(), data.Buffers(), data.Children(), data.NullN(), data.Offset())
}

// withChildren is data with other children, which it takes over.
func withChildren(
	data arrow.ArrayData, to arrow.DataType, children ...arrow.ArrayData,
) arrow.ArrayData {
	out := array.NewData(to, data.Len(), data.Buffers(), children, data.NullN(), data.Offset())
	for _, child := range children {
		child.Release()
	}
	return out
}

func convertStruct(
	from, to *arrow.StructType, typ *iceberg.StructType,
) (convertFunc, error) {
	columns := make([]columnConverter, len(typ.FieldList))
	for i, field := range typ.FieldList {
		at := FieldByID(from.Fields(), field.ID)
		columns[i].source = at
		var err error
		if at >= 0 {
			columns[i].convert, err = newConvert(from.Field(at), to.Field(i), field)
		} else {
			columns[i].fill, err = newFill(to.Field(i), field)
		}
		if err != nil {
			return nil, fmt.Errorf("field %s: %w", field.Name, err)
		}
	}
	return func(ctx context.Context, data arrow.ArrayData) (arrow.ArrayData, error) {
		children := make([]arrow.ArrayData, 0, len(columns))
		for i := range columns {
			var child arrow.ArrayData
			var err error
			if columns[i].source >= 0 {
				child, err = columns[i].convert(ctx, data.Children()[columns[i].source])
			} else {
				child, err = columns[i].fill(ctx, 0, data.Offset()+data.Len())
			}
			if err != nil {
				for _, made := range children {
					made.Release()
				}
				return nil, fmt.Errorf("field %s: %w", to.Field(i).Name, err)
			}
			children = append(children, child)
		}
		return withChildren(data, to, children...), nil
	}, nil
}

func convertList(
	from arrow.DataType, to *arrow.ListType, typ *iceberg.ListType,
) (convertFunc, error) {
	source, ok := from.(arrow.ListLikeType)
	if !ok || from.ID() != arrow.LIST && from.ID() != arrow.LARGE_LIST {
		return nil, errCannotRead(from, typ)
	}
	element, err := newConvert(source.ElemField(), to.ElemField(), typ.ElementField())
	if err != nil {
		return nil, fmt.Errorf("element: %w", err)
	}
	return func(ctx context.Context, data arrow.ArrayData) (arrow.ArrayData, error) {
		child, err := element(ctx, data.Children()[0])
		if err != nil {
			return nil, fmt.Errorf("element: %w", err)
		}
		if from.ID() == arrow.LIST {
			return withChildren(data, to, child), nil
		}
		defer child.Release()
		return shortList(ctx, data, child, to)
	}, nil
}

// shortList turns a list with 64-bit offsets into one with 32-bit offsets.
func shortList(
	ctx context.Context, data, child arrow.ArrayData, to *arrow.ListType,
) (arrow.ArrayData, error) {
	count := data.Offset() + data.Len() + 1
	if child.Len() > math.MaxInt32 {
		return nil, fmt.Errorf("%d elements in one batch are too many", child.Len())
	}
	offsets := memory.NewResizableBuffer(compute.GetAllocator(ctx))
	defer offsets.Release()
	offsets.Resize(count * arrow.Int32SizeBytes)
	long := data.Buffers()[1].Bytes()
	for i := range count {
		offset := uint32(binary.LittleEndian.Uint64(long[i*8:]))
		binary.LittleEndian.PutUint32(offsets.Bytes()[i*4:], offset)
	}
	return array.NewData(to, data.Len(), []*memory.Buffer{data.Buffers()[0], offsets},
		[]arrow.ArrayData{child}, data.NullN(), data.Offset()), nil
}

func convertMap(from, to *arrow.MapType, typ *iceberg.MapType) (convertFunc, error) {
	key, err := newConvert(from.KeyField(), to.KeyField(), typ.KeyField())
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	item, err := newConvert(from.ItemField(), to.ItemField(), typ.ValueField())
	if err != nil {
		return nil, fmt.Errorf("value: %w", err)
	}
	return func(ctx context.Context, data arrow.ArrayData) (arrow.ArrayData, error) {
		entries := data.Children()[0]
		keys, err := key(ctx, entries.Children()[0])
		if err != nil {
			return nil, fmt.Errorf("key: %w", err)
		}
		items, err := item(ctx, entries.Children()[1])
		if err != nil {
			keys.Release()
			return nil, fmt.Errorf("value: %w", err)
		}
		return withChildren(data, to, withChildren(entries, to.Elem(), keys, items)), nil
	}, nil
}

// convertLeaf allows what the spec calls promotion, and the forms in which other writers store the
// same type.
func convertLeaf(from, to arrow.DataType, typ iceberg.Type) (convertFunc, error) {
	switch {
	case arrow.TypeEqual(from, to):
		return func(_ context.Context, data arrow.ArrayData) (arrow.ArrayData, error) {
			data.Retain()
			return data, nil
		}, nil
	case sameLayout(from, to):
		return func(_ context.Context, data arrow.ArrayData) (arrow.ArrayData, error) {
			return relabel(data, to), nil
		}, nil
	case !castable(from, to):
		return nil, errCannotRead(from, typ)
	}
	// A timestamp in nanoseconds may lose digits the column has no room for; nothing else may lose.
	opts := compute.CastOptions{ToType: to, AllowTimeTruncate: true}
	return func(ctx context.Context, data arrow.ArrayData) (arrow.ArrayData, error) {
		source := array.MakeFromData(data)
		defer source.Release()
		cast, err := compute.CastArray(ctx, source, &opts)
		if err != nil {
			return nil, fmt.Errorf("read %s as %s: %w", from, typ, err)
		}
		return takeData(cast), nil
	}, nil
}

func sameLayout(from, to arrow.DataType) bool {
	switch target := to.(type) {
	case *arrow.Decimal128Type:
		source, ok := from.(*arrow.Decimal128Type)
		return ok && source.Scale == target.Scale && source.Precision <= target.Precision
	case *arrow.TimestampType:
		source, ok := from.(*arrow.TimestampType)
		return ok && source.Unit == target.Unit
	}
	return false
}

func castable(from, to arrow.DataType) bool {
	if dictionary, ok := from.(*arrow.DictionaryType); ok {
		return arrow.TypeEqual(dictionary.ValueType, to) || castable(dictionary.ValueType, to)
	}
	switch to.ID() {
	case arrow.INT32:
		return from.ID() == arrow.INT8 || from.ID() == arrow.INT16 || from.ID() == arrow.UINT8 ||
			from.ID() == arrow.UINT16
	case arrow.INT64:
		return arrow.IsInteger(from.ID())
	case arrow.FLOAT64:
		return from.ID() == arrow.FLOAT32 || from.ID() == arrow.FLOAT16
	case arrow.FLOAT32:
		return from.ID() == arrow.FLOAT16
	case arrow.TIMESTAMP:
		return from.ID() == arrow.TIMESTAMP || from.ID() == arrow.DATE32
	case arrow.TIME64:
		return from.ID() == arrow.TIME32 || from.ID() == arrow.TIME64
	case arrow.STRING:
		return from.ID() == arrow.LARGE_STRING || from.ID() == arrow.BINARY ||
			from.ID() == arrow.LARGE_BINARY
	case arrow.BINARY:
		return from.ID() == arrow.LARGE_BINARY || from.ID() == arrow.STRING ||
			from.ID() == arrow.LARGE_STRING
	case arrow.DECIMAL128:
		return from.ID() == arrow.DECIMAL32 || from.ID() == arrow.DECIMAL64
	}
	return false
}
