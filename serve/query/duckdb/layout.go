//go:build duckdb_arrow

package duckdb

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/serve/query/filecache"
)

// stored is a column of a file: its name there, and its shape.
type stored struct{ name, shape string }

// layout are the top-level columns of a file by field id.
type layout struct {
	columns map[int]stored
	// odd says that columns cannot be found by name: two differ in case alone, DuckDB has
	// columns of the names, or there are no ids.
	odd bool
	parts
}

// parts are the places of columns in a file.
type parts struct {
	// chunks are the bytes of columns by field id. It is nil where they are not known well enough to read
	// without the rest of the file.
	chunks map[int][]filecache.Range
	// tail is what lies behind the columns: indexes of pages, filters and the footer.
	tail filecache.Range
}

// selection is how the columns of a table are made of those of a file.
type selection struct {
	list string // of SELECT
	// key is the same for files that one SELECT reads right: they store the columns in the same types.
	key string
}

// readLayout reads the footer of a local file of so many bytes.
func readLayout(path string, bytes int64) (layout, error) {
	reader, err := file.OpenParquetFile(path, false)
	if err != nil {
		return layout{}, fmt.Errorf("parquet footer: %w", err)
	}
	defer func() { _ = reader.Close() }() // nothing was written
	manifest, err := pqarrow.NewSchemaManifest(reader.MetaData().Schema, nil, nil)
	if err != nil {
		return layout{}, fmt.Errorf("parquet schema: %w", err)
	}
	out, names := layout{columns: map[int]stored{}}, newNames()
	for _, name := range fileColumns() {
		names.take(name)
	}
	ids := map[string]int{}
	for i := range manifest.Fields {
		field := *manifest.Fields[i].Field
		if names.take(field.Name) != field.Name {
			out.odd = true
		}
		if id := fieldID(field); id > 0 {
			out.columns[id] = stored{name: field.Name, shape: storedShape(field.Type)}
			ids[field.Name] = id
		}
	}
	out.odd = out.odd || len(out.columns) == 0
	if !out.odd {
		out.parts, err = readParts(reader.MetaData(), ids, bytes)
	}
	return out, err
}

// fileColumns are what DuckDB says of a row of a file, unless the file has columns of these names.
func fileColumns() []string { return []string{"filename", "file_index", "file_row_number"} }

// fieldIDKey is where the Parquet reader puts the field id of a column.
const fieldIDKey = "PARQUET:field_id"

func fieldID(field arrow.Field) int {
	value, _ := field.Metadata.GetValue(fieldIDKey)
	id, err := strconv.Atoi(value)
	if err != nil {
		return 0
	}
	return id
}

// storedShape writes the type of a column of a file as shape does the types of Iceberg, or as something that is
// nothing of Iceberg's.
func storedShape(typ arrow.DataType) string {
	switch t := typ.(type) {
	case *arrow.BooleanType:
		return "boolean"
	case *arrow.Int32Type:
		return "int"
	case *arrow.Int64Type:
		return "long"
	case *arrow.Float32Type:
		return "float"
	case *arrow.Float64Type:
		return "double"
	case *arrow.StringType:
		return "string"
	case *arrow.BinaryType:
		return "binary"
	case *arrow.FixedSizeBinaryType:
		return fmt.Sprintf("fixed[%d]", t.ByteWidth)
	case *extensions.UUIDType:
		return "uuid"
	case *arrow.Date32Type:
		return "date"
	case *arrow.Time64Type:
		if t.Unit == arrow.Microsecond {
			return "time"
		}
	case *arrow.TimestampType:
		zone := map[string]string{"": "", "UTC": "tz"}
		if name, known := zone[t.TimeZone]; known && t.Unit == arrow.Microsecond {
			return "timestamp" + name
		}
	case *arrow.Decimal128Type:
		return decimalShape(int(t.Precision), int(t.Scale))
	case *arrow.StructType:
		parts := make([]string, t.NumFields())
		for i := range parts {
			parts[i] = t.Field(i).Name + ":" + storedField(t.Field(i))
		}
		return "struct<" + strings.Join(parts, ",") + ">"
	case *arrow.ListType:
		return "list<" + storedField(t.ElemField()) + ">"
	case *arrow.MapType:
		return "map<" + storedField(t.KeyField()) + "," + storedField(t.ItemField()) + ">"
	}
	return "?" + typ.String()
}

func storedField(field arrow.Field) string {
	return strconv.Itoa(fieldID(field)) + "=" + storedShape(field.Type)
}

func decimalShape(precision, scale int) string {
	return fmt.Sprintf("decimal(%d,%d)", precision, scale)
}

// shape writes a type with the ids and names inside: two types that give the same are read alike.
func shape(typ iceberg.Type) string {
	inside := func(f iceberg.NestedField) string { return strconv.Itoa(f.ID) + "=" + shape(f.Type) }
	switch t := typ.(type) {
	case iceberg.DecimalType:
		return decimalShape(t.Precision(), t.Scale())
	case *iceberg.StructType:
		parts, names := make([]string, len(t.FieldList)), newNames()
		for i, f := range t.FieldList {
			parts[i] = names.take(f.Name) + ":" + inside(f)
		}
		return "struct<" + strings.Join(parts, ",") + ">"
	case *iceberg.ListType:
		return "list<" + inside(t.ElementField()) + ">"
	case *iceberg.MapType:
		return "map<" + inside(t.KeyField()) + "," + inside(t.ValueField()) + ">"
	case iceberg.TimestampNsType, iceberg.TimestampTzNsType:
		return "nanoseconds" // copied by table.Read, as writers store them in several forms
	}
	return typ.String()
}

// selection makes the columns of a table of those of a file, or says that the file has to be copied.
func (l layout) selection(columns []column) (selection, bool) {
	if l.odd {
		return selection{}, false
	}
	parts, keys := make([]string, len(columns)), make([]string, len(columns))
	for i, c := range columns {
		from, exists := l.columns[c.field.ID]
		value, ok := missing(c.field)
		if exists {
			value, ok = "d."+quote(from.name), readsAs(from.shape, c.field.Type)
		}
		if !ok {
			return selection{}, false
		}
		// A cast to the type that a column has costs nothing; it makes sure that all files of a table agree.
		parts[i] = "CAST(" + value + " AS " + c.typ + ") AS " + quote(c.name)
		keys[i] = from.shape
	}
	list := strings.Join(parts, ", ")
	return selection{list: list, key: list + "\x00" + strings.Join(keys, "\x00")}, true
}

// readsAs says whether DuckDB's cast turns a stored column into the type, as table.Read would.
func readsAs(stored string, typ iceberg.Type) bool {
	if stored == shape(typ) {
		return true
	}
	switch t := typ.(type) {
	case iceberg.Int64Type:
		return stored == "int"
	case iceberg.Float64Type:
		return stored == "float"
	case iceberg.DecimalType:
		for precision := 1; precision < t.Precision(); precision++ {
			if stored == decimalShape(precision, t.Scale()) {
				return true
			}
		}
	}
	return false
}

// missing is the value of a column that a file lacks.
func missing(field iceberg.NestedField) (value string, ok bool) {
	switch v := field.InitialDefault.(type) {
	case nil:
		return "NULL", !field.Required
	case bool:
		return strconv.FormatBool(v), true
	case string:
		return quoteText(v), field.Type.Equals(iceberg.PrimitiveTypes.String)
	case int, int32, int64:
		_, isInt := field.Type.(iceberg.Int32Type)
		_, isLong := field.Type.(iceberg.Int64Type)
		return fmt.Sprint(v), isInt || isLong
	}
	return "", false
}
