//go:build duckdb_arrow

package duckdb

import (
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
)

// computedType is the type of SQL for a column that is computed. Some types of Iceberg have no equal.
func computedType(t iceberg.Type) (string, error) {
	switch t.(type) {
	case iceberg.UUIDType, iceberg.FixedType, iceberg.TimestampTzNsType, iceberg.UnknownType:
		return "", fmt.Errorf("columns of type %s cannot be computed", t)
	}
	if nested, ok := t.(iceberg.NestedType); ok {
		for _, f := range nested.Fields() {
			if _, err := computedType(f.Type); err != nil {
				return "", err
			}
		}
	}
	return sqlType(t)
}

// inputSchema is the schema of what is read, as DuckDB is told of it, with the number of the row in front.
func inputSchema(of *arrow.Schema, fields []iceberg.NestedField) *arrow.Schema {
	out := []arrow.Field{{Name: numberName, Type: arrow.PrimitiveTypes.Int64}}
	for i, f := range of.Fields() {
		out = append(out, arrow.Field{Name: f.Name, Type: plain(f.Type, fields[i].Type), Nullable: true})
	}
	return arrow.NewSchema(out, nil)
}

// digitsOf are the digits that integers of a type have at most.
var digitsOf = map[string]int{"TINYINT": 3, "UTINYINT": 3, "SMALLINT": 5, "USMALLINT": 5, "INTEGER": 10, "UINTEGER": 10,
	"BIGINT": 19}

// widens says whether every value of a type is one of another: what is lost is said in the transform, by a cast.
func widens(from, to string) bool {
	if from == to || from == `"NULL"` || from == "FLOAT" && to == "DOUBLE" || from == "JSON" && to == "VARCHAR" {
		return true
	}
	digits, integer := digitsOf[from]
	switch to {
	case "INTEGER", "BIGINT":
		return integer && digits < digitsOf[to]
	case "DOUBLE":
		return integer && digits <= digitsOf["INTEGER"]
	}
	var precision, scale, ofPrecision, ofScale int
	if _, err := fmt.Sscanf(to, "DECIMAL(%d,%d)", &precision, &scale); err != nil {
		return false
	}
	if integer {
		return precision-scale >= digits
	}
	if _, err := fmt.Sscanf(from, "DECIMAL(%d,%d)", &ofPrecision, &ofScale); err != nil {
		return false
	}
	return scale >= ofScale && precision-scale >= ofPrecision-ofScale
}

// typed gives an array the type of the table's column, which holds the same values in the same layout under
// other names. The caller releases the result.
func typed(of arrow.Array, to arrow.DataType) (arrow.Array, error) {
	if !sameLayout(of.DataType(), to) {
		return nil, fmt.Errorf("sql engine: %s came for %s", of.DataType(), to)
	}
	data := retype(of.Data(), to)
	defer data.Release()
	return array.MakeFromData(data), nil
}

// sameLayout says whether values of two types lie alike in memory and mean the same.
func sameLayout(from, to arrow.DataType) bool {
	if from.ID() != to.ID() {
		return false
	}
	switch want := to.(type) {
	case *arrow.TimestampType:
		return from.(*arrow.TimestampType).Unit == want.Unit
	case *arrow.Time64Type:
		return from.(*arrow.Time64Type).Unit == want.Unit
	case *arrow.Decimal128Type:
		have := from.(*arrow.Decimal128Type)
		return have.Scale == want.Scale && have.Precision == want.Precision
	case arrow.NestedType:
		have := from.(arrow.NestedType).Fields()
		return slices.EqualFunc(have, want.Fields(), func(a, b arrow.Field) bool { return sameLayout(a.Type, b.Type) })
	}
	return true
}
