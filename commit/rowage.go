package commit

import (
	"fmt"
	"strings"
	"time"

	"github.com/apache/iceberg-go"
)

// RowAge says when rows of a table are too old. The zero value is never.
type RowAge struct {
	// Column holds the time by which rows grow old: a date, a timestamp or a timestamptz, also of
	// nanoseconds. Timestamps without a zone are in UTC. A null is of no age.
	Column string
	// After is the age at which a row leaves; a date is over when its day is.
	After time.Duration
}

// Field is the column in schema; the error says what is wrong with it.
func (a RowAge) Field(schema *iceberg.Schema) (iceberg.NestedField, error) {
	for _, field := range schema.Fields() {
		if field.Name != a.Column {
			continue
		}
		switch field.Type.(type) {
		case iceberg.DateType, iceberg.TimestampType, iceberg.TimestampTzType, iceberg.TimestampNsType,
			iceberg.TimestampTzNsType:
			return field, nil
		}
		return field, fmt.Errorf("column %s is of type %s, which has no age: take a date, a timestamp or a timestamptz",
			a.Column, field.Type)
	}
	return iceberg.NestedField{}, fmt.Errorf("there is no column %s by which rows grow old", a.Column)
}

// Filters are predicates on rows at a cut-off: those that are too old, and those that stay.
func (a RowAge) Filters(field iceberg.NestedField, before time.Time) (old, stay string) {
	layout := "2006-01-02T15:04:05.999999999"
	before = before.UTC()
	switch field.Type.(type) {
	case iceberg.DateType:
		layout, before = time.DateOnly, before.Truncate(24*time.Hour)
	case iceberg.TimestampTzType, iceberg.TimestampTzNsType:
		layout += "Z07:00"
	}
	column := `"` + strings.ReplaceAll(a.Column, `"`, `""`) + `"`
	at := before.Format(layout)
	return fmt.Sprintf("%s < '%s'", column, at), fmt.Sprintf("%s >= '%s' OR %s IS NULL", column, at, column)
}
