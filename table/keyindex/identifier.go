package keyindex

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/apache/iceberg-go"
)

// identifierVersion is part of every fingerprint. It changes when keys of the same values do, so that an
// index of older keys is built anew.
const identifierVersion = "1"

// Identifier is the fingerprint of the identifier of a schema: of which fields, by id, and of what class
// of types keys are made. Renamed, moved and promoted columns leave it as it is; with another identifier
// it is another text.
func Identifier(schema *iceberg.Schema) (string, error) {
	fields, err := identifierFields(schema)
	if err != nil {
		return "", err
	}
	return fingerprint(fields), nil
}

func fingerprint(fields []keyField) string {
	var b strings.Builder
	b.WriteString(identifierVersion)
	for _, f := range fields {
		b.WriteString(", " + strconv.Itoa(f.id) + " " + f.class)
	}
	return b.String()
}

// keyField is an identifier field: its id, its path in the schema, and how its values are hashed.
type keyField struct {
	id    int
	name  string
	class string
	add   adder
}

// identifierFields are the identifier fields of a schema, by id: their order in the schema is none.
func identifierFields(schema *iceberg.Schema) ([]keyField, error) {
	ids := slices.Clone(schema.IdentifierFieldIDs)
	slices.Sort(ids)
	ids = slices.Compact(ids)
	if len(ids) == 0 {
		return nil, fmt.Errorf("identifier: the schema has no identifier fields: declare them")
	}
	found := map[int]keyField{}
	if err := collectFields(found, "", schema.Fields(), ids); err != nil {
		return nil, err
	}
	fields := make([]keyField, len(ids))
	for i, id := range ids {
		f, ok := found[id]
		if !ok {
			return nil, fmt.Errorf("identifier: field %d is not a column and not in structs only: "+
				"Iceberg identifies rows by required columns outside of lists and maps", id)
		}
		fields[i] = f
	}
	return fields, nil
}

// collectFields looks for ids among fields and in the structs below them. What Iceberg does not
// take as an identifier is an error: optional fields, structs that are optional above one, floats.
func collectFields(found map[int]keyField, path string, fields []iceberg.NestedField, ids []int) error {
	for _, f := range fields {
		name := path + f.Name
		if nested, ok := f.Type.(*iceberg.StructType); ok {
			before := len(found)
			if err := collectFields(found, name+".", nested.FieldList, ids); err != nil {
				return err
			}
			if len(found) > before && !f.Required {
				return fmt.Errorf("identifier: struct %s is optional and holds an identifier field: "+
					"make it required", name)
			}
		}
		if !slices.Contains(ids, f.ID) {
			continue
		}
		if !f.Required {
			return fmt.Errorf("identifier: column %s is optional: make it required", name)
		}
		class, add := classOf(f.Type)
		if add == nil {
			return fmt.Errorf("identifier: column %s of type %s cannot identify rows: choose columns "+
				"of integers, decimals, strings, bytes, dates, times or booleans", name, f.Type)
		}
		found[f.ID] = keyField{id: f.ID, name: name, class: class, add: add}
	}
	return nil
}

// classOf names the types among which a column can be promoted, and the way their values are hashed; nil
// when a type is none of an identifier.
func classOf(typ iceberg.Type) (string, adder) {
	switch t := typ.(type) {
	case iceberg.BooleanType:
		return "boolean", addBooleans
	case iceberg.Int32Type, iceberg.Int64Type:
		return "integer", addIntegers
	case iceberg.TimeType:
		return "time", addIntegers
	case iceberg.DateType, iceberg.TimestampType, iceberg.TimestampNsType:
		return "instant", addInstants
	case iceberg.TimestampTzType, iceberg.TimestampTzNsType:
		return "instant-utc", addInstants
	case iceberg.DecimalType:
		return "decimal." + strconv.Itoa(t.Scale()), addDecimals
	case iceberg.UUIDType:
		return "uuid", addUUIDs
	case iceberg.StringType:
		return "string", addBytes
	case iceberg.BinaryType:
		return "binary", addBytes
	case iceberg.FixedType:
		return "fixed." + strconv.Itoa(t.Len()), addBytes
	}
	return "", nil
}
