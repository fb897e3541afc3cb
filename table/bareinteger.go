package table

import (
	"fmt"
	"reflect"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/parquet/schema"
)

// bareInteger is an int32 or int64 whose Parquet column has no annotation. The Iceberg spec maps int
// and long to the plain physical types; Spark's vectorized reader of an annotated int column cannot
// read it as long once the column has been promoted.
type bareInteger struct{ arrow.ExtensionBase }

// bareIntegers is an array of bareInteger.
type bareIntegers struct{ array.ExtensionArrayBase }

func newBareInteger(storage arrow.DataType) *bareInteger {
	return &bareInteger{ExtensionBase: arrow.ExtensionBase{Storage: storage}}
}

// ParquetLogicalType is none.
func (*bareInteger) ParquetLogicalType() schema.LogicalType { return schema.NoLogicalType{} }

// ArrayType is the type of the arrays.
func (*bareInteger) ArrayType() reflect.Type { return reflect.TypeFor[bareIntegers]() }

// ExtensionName names the type; it appears in no file.
func (*bareInteger) ExtensionName() string { return "firth.bare_integer" }

// ExtensionEquals says whether other is the same type.
func (b *bareInteger) ExtensionEquals(other arrow.ExtensionType) bool {
	o, ok := other.(*bareInteger)
	return ok && arrow.TypeEqual(b.Storage, o.Storage)
}

// Serialize is empty: the storage says all.
func (*bareInteger) Serialize() string { return "" }

// Deserialize makes the type from its storage.
func (*bareInteger) Deserialize(storage arrow.DataType, _ string) (arrow.ExtensionType, error) {
	if id := storage.ID(); id != arrow.INT32 && id != arrow.INT64 {
		return nil, fmt.Errorf("bare integer of %s", storage)
	}
	return newBareInteger(storage), nil
}
