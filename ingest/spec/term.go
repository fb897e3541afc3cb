package spec

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
)

// term is a transform of a column, as partition and sort terms write it.
type term struct {
	text      string
	column    string
	transform iceberg.Transform
}

// parseTerm reads "day(ts)", "bucket(16, user_id)", "truncate(8, url)", "identity(a)" or "a".
func parseTerm(text string) (term, error) {
	t := term{text: text}
	text = strings.TrimSpace(text)
	name, arguments, called := strings.Cut(text, "(")
	if !called {
		if t.column = text; t.column == "" || strings.ContainsAny(text, " ),") {
			return term{}, t.malformed()
		}
		t.transform = iceberg.IdentityTransform{}
		return t, nil
	}
	arguments, closed := strings.CutSuffix(strings.TrimSpace(arguments), ")")
	if !closed {
		return term{}, t.malformed()
	}
	parts := strings.Split(arguments, ",")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	t.column = parts[len(parts)-1]
	if t.column == "" || len(parts) > 2 || strings.ContainsAny(t.column, " ()") {
		return term{}, t.malformed()
	}
	err := t.pick(strings.ToLower(strings.TrimSpace(name)), parts[:len(parts)-1])
	return t, err
}

func (t *term) malformed() error {
	return fmt.Errorf("%q is not a transform of a column: write day(ts), bucket(16, id), "+
		"truncate(8, url) or a column name", t.text)
}

func (t *term) pick(name string, width []string) error {
	plain := map[string]iceberg.Transform{
		"identity": iceberg.IdentityTransform{}, "void": iceberg.VoidTransform{},
		"year": iceberg.YearTransform{}, "years": iceberg.YearTransform{},
		"month": iceberg.MonthTransform{}, "months": iceberg.MonthTransform{},
		"day": iceberg.DayTransform{}, "days": iceberg.DayTransform{},
		"hour": iceberg.HourTransform{}, "hours": iceberg.HourTransform{},
	}
	if transform, ok := plain[name]; ok {
		if len(width) > 0 {
			return fmt.Errorf("%q: %s takes one column and no number", t.text, name)
		}
		t.transform = transform
		return nil
	}
	if name != "bucket" && name != "truncate" {
		return fmt.Errorf("%q: unknown transform %s (known: identity, year, month, "+
			"day, hour, bucket, truncate, void)", t.text, name)
	}
	if len(width) == 0 {
		return fmt.Errorf("%q: %s needs a number: write %s(16, %s)", t.text, name, name, t.column)
	}
	n, err := strconv.ParseInt(width[0], 10, 32)
	if err != nil || n < 1 {
		return fmt.Errorf("%q: %q is not a number from 1 up", t.text, width[0])
	}
	t.transform = iceberg.TruncateTransform{Width: int(n)}
	if name == "bucket" {
		t.transform = iceberg.BucketTransform{NumBuckets: int(n)}
	}
	return nil
}

// bind finds the term's column in schema and checks that the transform takes its type.
func (t term) bind(schema *iceberg.Schema) (iceberg.NestedField, error) {
	field, ok := schema.FindFieldByName(t.column)
	if !ok {
		return field, fmt.Errorf("%q: there is no column %s", t.text, t.column)
	}
	if !t.transform.CanTransform(field.Type) {
		return field, fmt.Errorf("%q: %s does not take a column of type %s", t.text, t.transform, field.Type)
	}
	return field, nil
}

// suffix is what Iceberg's writers append to the column's name for the partition field.
func (t term) suffix() string {
	switch t.transform.(type) {
	case iceberg.YearTransform:
		return "_year"
	case iceberg.MonthTransform:
		return "_month"
	case iceberg.DayTransform:
		return "_day"
	case iceberg.HourTransform:
		return "_hour"
	case iceberg.BucketTransform:
		return "_bucket"
	case iceberg.TruncateTransform:
		return "_trunc"
	case iceberg.VoidTransform:
		return "_null"
	}
	return ""
}

// parseSortTerm reads "<term> [asc|desc] [nulls first|nulls last]". Nulls go first in ascending and
// last in descending order unless it says otherwise, as in the Iceberg spec.
func parseSortTerm(text string) (icetable.SortField, term, error) {
	rest := strings.ToLower(strings.Join(strings.Fields(text), " "))
	rest, nullsFirst := strings.CutSuffix(rest, " nulls first")
	rest, nullsLast := strings.CutSuffix(rest, " nulls last")
	rest, desc := strings.CutSuffix(rest, " desc")
	rest, _ = strings.CutSuffix(rest, " asc")
	// Columns keep their case: cut as much of the original as is left in lower case.
	original := strings.Join(strings.Fields(text), " ")[:len(rest)]
	t, err := parseTerm(original)
	if err != nil {
		return icetable.SortField{}, term{},
			fmt.Errorf("sort term %q: write it as \"ts desc nulls last\": %w", text, err)
	}
	field := icetable.SortField{Transform: t.transform, Direction: icetable.SortASC,
		NullOrder: icetable.NullsFirst}
	if desc {
		field.Direction, field.NullOrder = icetable.SortDESC, icetable.NullsLast
	}
	if nullsFirst {
		field.NullOrder = icetable.NullsFirst
	}
	if nullsLast {
		field.NullOrder = icetable.NullsLast
	}
	return field, t, nil
}
