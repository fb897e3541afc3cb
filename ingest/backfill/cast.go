package backfill

import (
	"context"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/compute"
)

// castError is a value that a column cannot hold.
type castError struct {
	row   int
	value string
	to    arrow.DataType
	cause error
}

func (e *castError) Error() string {
	if e.cause == nil {
		return "it is null, and the column is required"
	}
	return fmt.Sprintf("%q is no %s: %v", e.value, e.to, e.cause)
}

func (e *castError) Unwrap() error { return e.cause }

// cast makes the values of a column those of a field of the table, exactly or not at all. The caller releases
// the result.
func cast(ctx context.Context, from arrow.Array, to arrow.Field) (arrow.Array, error) {
	if ext, ok := from.(array.ExtensionArray); ok {
		from = ext.Storage()
	}
	if !to.Nullable && from.NullN() > 0 {
		for row := range from.Len() {
			if from.IsNull(row) {
				return nil, &castError{row: row, to: to.Type}
			}
		}
	}
	if arrow.TypeEqual(from.DataType(), to.Type) || nested(to.Type) {
		return retype(from, to.Type)
	}
	out, err := compute.CastArray(ctx, from, compute.SafeCastOptions(to.Type))
	if err == nil {
		return out, nil
	}
	for row := range from.Len() {
		if err := castRow(ctx, from, row, to.Type); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%s cannot be made %s: %w", from.DataType(), to.Type, err)
}

// castRow casts one value, to find the one that does not fit.
func castRow(ctx context.Context, from arrow.Array, row int, to arrow.DataType) error {
	one := array.NewSlice(from, int64(row), int64(row)+1)
	defer one.Release()
	out, err := compute.CastArray(ctx, one, compute.SafeCastOptions(to))
	if err != nil {
		return &castError{row: row, value: one.ValueStr(0), to: to, cause: err}
	}
	out.Release()
	return nil
}

func nested(t arrow.DataType) bool {
	_, is := t.(arrow.NestedType)
	return is
}

// retype gives an array the type of the table, whose nested fields have other metadata.
func retype(from arrow.Array, to arrow.DataType) (arrow.Array, error) {
	if !sameShape(from.DataType(), to) {
		return nil, fmt.Errorf("the file holds %s, the table %s", from.DataType(), to)
	}
	data := typed(from.Data(), to)
	defer data.Release()
	return array.MakeFromData(data), nil
}

// sameShape compares nested types without the metadata of their fields, which hold ids.
func sameShape(a, b arrow.DataType) bool {
	x, ok := a.(arrow.NestedType)
	if !ok {
		return arrow.TypeEqual(a, b)
	}
	y, ok := b.(arrow.NestedType)
	if !ok || a.ID() != b.ID() || len(x.Fields()) != len(y.Fields()) {
		return false
	}
	_, named := a.(*arrow.StructType)
	for i, field := range x.Fields() {
		other := y.Fields()[i]
		if named && field.Name != other.Name || !sameShape(field.Type, other.Type) ||
			field.Nullable && !other.Nullable {
			return false
		}
	}
	return true
}

func typed(from arrow.ArrayData, to arrow.DataType) arrow.ArrayData {
	children := from.Children()
	nestedType, is := to.(arrow.NestedType)
	if !is {
		return array.NewData(to, from.Len(), from.Buffers(), children, from.NullN(), from.Offset())
	}
	made := make([]arrow.ArrayData, len(children))
	for i, child := range children {
		made[i] = typed(child, nestedType.Fields()[i].Type)
		defer made[i].Release()
	}
	return array.NewData(to, from.Len(), from.Buffers(), made, from.NullN(), from.Offset())
}
