//go:build duckdb_arrow

package duckdb

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/apache/iceberg-go"
)

// column is a column of a table under the name that it has in SQL, where names that differ in case alone are one.
type column struct {
	field iceberg.NestedField
	name  string
	typ   string // as SQL writes it
	place int    // in the schema
}

// columnsOf are the columns of a schema. A name that another has taken gets a number.
func columnsOf(schema *iceberg.Schema) ([]column, error) {
	names := newNames()
	var out []column
	for i, field := range schema.Fields() {
		typ, err := sqlType(field.Type)
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", field.Name, err)
		}
		out = append(out, column{field: field, name: names.take(field.Name), typ: typ, place: i})
	}
	return out, nil
}

// names gives out names that differ in more than case.
type names struct{ taken map[string]bool }

func newNames() names { return names{taken: map[string]bool{}} }

func (n names) take(name string) string {
	free := name
	for i := 1; n.taken[strings.ToLower(free)]; i++ {
		free = name + "_" + strconv.Itoa(i)
	}
	n.taken[strings.ToLower(free)] = true
	return free
}

// sqlType is the type of SQL for a type of Iceberg. Fixed loses its length; a timestamp with zone in nanoseconds its
// last three digits, as DuckDB has no such type.
func sqlType(typ iceberg.Type) (string, error) {
	switch t := typ.(type) {
	case iceberg.BooleanType:
		return "BOOLEAN", nil
	case iceberg.Int32Type:
		return "INTEGER", nil
	case iceberg.Int64Type:
		return "BIGINT", nil
	case iceberg.Float32Type:
		return "FLOAT", nil
	case iceberg.Float64Type:
		return "DOUBLE", nil
	case iceberg.DateType:
		return "DATE", nil
	case iceberg.TimeType:
		return "TIME", nil
	case iceberg.TimestampType:
		return "TIMESTAMP", nil
	case iceberg.TimestampTzType:
		return "TIMESTAMPTZ", nil
	case iceberg.TimestampNsType:
		return "TIMESTAMP_NS", nil
	case iceberg.TimestampTzNsType:
		return "TIMESTAMPTZ", nil
	case iceberg.StringType:
		return "VARCHAR", nil
	case iceberg.UUIDType:
		return "UUID", nil
	case iceberg.BinaryType, iceberg.FixedType:
		return "BLOB", nil
	case iceberg.DecimalType:
		return fmt.Sprintf("DECIMAL(%d, %d)", t.Precision(), t.Scale()), nil
	case iceberg.NestedType:
		return nestedType(t)
	}
	return "", fmt.Errorf("type %s cannot be read by SQL", typ)
}

func nestedType(typ iceberg.NestedType) (string, error) {
	names, parts := newNames(), []string{}
	for _, field := range typ.Fields() {
		part, err := sqlType(field.Type)
		if err != nil {
			return "", fmt.Errorf("%s: %w", field.Name, err)
		}
		if _, isStruct := typ.(*iceberg.StructType); isStruct {
			part = quote(names.take(field.Name)) + " " + part
		}
		parts = append(parts, part)
	}
	switch typ.(type) {
	case *iceberg.StructType:
		return "STRUCT(" + strings.Join(parts, ", ") + ")", nil
	case *iceberg.ListType:
		return parts[0] + "[]", nil
	}
	return "MAP(" + strings.Join(parts, ", ") + ")", nil
}

// quote writes a name of SQL.
func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// quoteText writes a text of SQL.
func quoteText(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }
