package backfill

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/apache/iceberg-go"
)

// Mapping says where the columns of a table come from.
type Mapping struct {
	// sources are the names in the source by column of the table.
	sources map[string]string
	// dropped are columns of the source that nothing takes, rest says that all others are too.
	dropped map[string]bool
	rest    bool
}

// reserved begins the names of columns that firth fills itself.
const reserved = "_kafka_"

// ParseMap reads the parts of a mapping: "column=source" takes a column of the table from one of another name,
// "-source" leaves a column of the source out, and "-*" all that the table does not have.
func ParseMap(parts []string) (Mapping, error) {
	m := Mapping{sources: map[string]string{}, dropped: map[string]bool{}}
	for _, part := range parts {
		part = strings.TrimSpace(part)
		if name, ok := strings.CutPrefix(part, "-"); ok && name != "" {
			m.rest = m.rest || name == "*"
			m.dropped[name] = name != "*"
			continue
		}
		column, from, ok := strings.Cut(part, "=")
		if !ok || column == "" || from == "" {
			return m, fmt.Errorf("map %q: write column=source, -source or -*", part)
		}
		if _, twice := m.sources[column]; twice {
			return m, fmt.Errorf("map %q: column %s is mapped twice", part, column)
		}
		m.sources[column] = from
	}
	return m, nil
}

// fit finds for each column of schema its place among the columns of a source, or -1 where the source has none.
func (m Mapping) fit(schema *iceberg.Schema, names []string) ([]int, error) {
	places, taken := make([]int, schema.NumFields()), map[string]bool{}
	mapped := maps.Clone(m.sources)
	for i, field := range schema.Fields() {
		from, named := mapped[field.Name]
		delete(mapped, field.Name)
		if !named {
			from = field.Name
		}
		places[i] = -1
		if strings.HasPrefix(field.Name, reserved) {
			if named {
				return nil, fmt.Errorf("--map %s=%s: firth fills that column itself: %w", field.Name, from, ErrSource)
			}
			continue
		}
		if places[i] = slices.Index(names, from); places[i] >= 0 && !m.dropped[from] {
			taken[from] = true
			continue
		}
		places[i] = -1
		switch {
		case named:
			return nil, fmt.Errorf("--map %s=%s: the file has no column %s, it has %s: %w", field.Name, from, from,
				strings.Join(names, ", "), ErrSource)
		case field.Required:
			return nil, fmt.Errorf("column %s is required and the file has none of that name, it has %s;"+
				" say with --map %s=SOURCE where it comes from: %w", field.Name, strings.Join(names, ", "), field.Name,
				ErrSource)
		}
	}
	for column := range mapped {
		return nil, fmt.Errorf("--map %s=%s: the table has no column %s: %w", column, mapped[column], column, ErrSource)
	}
	return places, m.leftOver(names, taken)
}

// leftOver names the columns of the source that nothing takes.
func (m Mapping) leftOver(names []string, taken map[string]bool) error {
	var unknown []string
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			return fmt.Errorf("the file has column %s twice: %w", name, ErrSource)
		}
		if !taken[name] && !m.dropped[name] && !m.rest {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	return fmt.Errorf("the table has no column for %s; say with --map COLUMN=%s where it goes, or leave it out"+
		" with --map -%s (all such: --map '-*'): %w", strings.Join(unknown, ", "), unknown[0], unknown[0], ErrSource)
}
