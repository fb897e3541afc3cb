package table

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/table/columnchunk"
)

// Table properties that writers follow, as Iceberg names them. Columns are named by their paths: a,
// a.b, list.element.
const (
	propertyFilterEnabled = "write.parquet.bloom-filter-enabled.column."
	propertyFilterPasses  = "write.parquet.bloom-filter-fpp.column."
	propertyFilterBytes   = "write.parquet.bloom-filter-max-bytes"

	filterPassesDefault = 0.01
	filterBytesDefault  = 1 << 20
)

// CheckProperties says what is wrong with properties that writers follow, by their names. Without a
// schema the columns that they name are not checked.
func CheckProperties(schema *iceberg.Schema, properties map[string]string) map[string]error {
	faults := map[string]error{}
	for name, value := range properties {
		column, ofColumn := strings.CutPrefix(name, propertyFilterEnabled)
		var err error
		switch {
		case ofColumn:
			_, err = filterEnabled(value)
		case strings.HasPrefix(name, propertyFilterPasses):
			column, ofColumn = strings.CutPrefix(name, propertyFilterPasses)
			_, err = filterPasses(value)
		case name == propertyFilterBytes:
			_, err = filterBytes(value)
		}
		if err == nil && ofColumn && schema != nil {
			err = checkFilterColumn(schema, column)
		}
		if err != nil {
			faults[name] = err
		}
	}
	return faults
}

func checkFilterColumn(schema *iceberg.Schema, column string) error {
	field, ok := schema.FindFieldByName(column)
	if !ok {
		return fmt.Errorf("the schema has no column %s", column)
	}
	if !filterable(field.Type) {
		return fmt.Errorf("column %s is a %s, which has no bloom filter", column, field.Type)
	}
	return nil
}

// filterable says which types may have bloom filters: not booleans, which gain nothing, and not binaries,
// of which DuckDB (1.5) hashes the text that it shows, so that it finds no row through a filter.
func filterable(typ iceberg.Type) bool {
	switch typ.(type) {
	case iceberg.BooleanType, iceberg.BinaryType, iceberg.FixedType:
		return false
	}
	_, primitive := typ.(iceberg.PrimitiveType)
	return primitive
}

func filterEnabled(value string) (bool, error) {
	on, err := strconv.ParseBool(strings.ToLower(value))
	if err != nil {
		return false, fmt.Errorf("%q is neither true nor false", value)
	}
	return on, nil
}

func filterPasses(value string) (float64, error) {
	share, err := strconv.ParseFloat(value, 64)
	if err != nil || !(share > 0 && share < 1) {
		return 0, fmt.Errorf("%q is not a number above 0 and below 1", value)
	}
	return share, nil
}

func filterBytes(value string) (int, error) {
	size, err := strconv.Atoi(value)
	if err != nil || size < columnchunk.FilterBytesMin || size > columnchunk.FilterBytesMax {
		return 0, fmt.Errorf("%q is not a number of bytes from %d to %d",
			value, columnchunk.FilterBytesMin, columnchunk.FilterBytesMax)
	}
	return size, nil
}

// filterOf is the bloom filter that properties ask for a column.
func filterOf(properties map[string]string, column string) (columnchunk.Filter, error) {
	none := columnchunk.Filter{}
	value, ok := properties[propertyFilterEnabled+column]
	if !ok {
		return none, nil
	}
	on, err := filterEnabled(value)
	if err != nil {
		return none, fmt.Errorf("property %s%s: %w", propertyFilterEnabled, column, err)
	}
	if !on {
		return none, nil
	}
	filter := columnchunk.Filter{BytesMax: filterBytesDefault, FalsePositives: filterPassesDefault}
	if value, ok := properties[propertyFilterPasses+column]; ok {
		if filter.FalsePositives, err = filterPasses(value); err != nil {
			return none, fmt.Errorf("property %s%s: %w", propertyFilterPasses, column, err)
		}
	}
	if value, ok := properties[propertyFilterBytes]; ok {
		if filter.BytesMax, err = filterBytes(value); err != nil {
			return none, fmt.Errorf("property %s: %w", propertyFilterBytes, err)
		}
	}
	return filter, nil
}
