package spec

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/apache/iceberg-go"
)

// InputFields are the columns that a source decodes for its transform alone, with field ids of 0.
func (src Source) InputFields() ([]iceberg.NestedField, error) {
	var fields []iceberg.NestedField
	for _, c := range src.Input {
		t, err := ParseType(c.Type)
		if err != nil {
			return nil, fmt.Errorf("input column %s: %w", c.Name, err)
		}
		fields = append(fields, iceberg.NestedField{Name: c.Name, Type: t})
	}
	return fields, nil
}

// input checks the columns of a source's transform. The transform itself is checked by who can run it.
func (c *check) input(key string, src Source) {
	if len(src.Input) > 0 && src.Transform == "" {
		c.fault(key+".input", "write transform: select *, ... from rows",
			"is for a transform, and the source has none")
	}
	taken := map[string]bool{}
	for _, col := range c.spec.Schema.Columns {
		taken[strings.ToLower(col.Name)] = true
	}
	for i, col := range src.Input {
		at := key + ".input[" + strconv.Itoa(i) + "]"
		c.column(at, col)
		if col.Required || len(col.Previous) > 0 {
			c.fault(at, "remove required: and previous:", "input column %s is no column of the table", col.Name)
		}
		if folded := strings.ToLower(col.Name); taken[folded] {
			c.fault(at, "leave it out: the transform reads the table's columns too",
				"name %q is used already", col.Name)
		} else {
			taken[folded] = true
		}
	}
}
