package spec

import (
	"fmt"
	"strings"

	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/table"
)

// ZOrder are the columns of the term "zorder(a, b)", which stands alone, or nil when there is none.
func (s *Spec) ZOrder() ([]string, error) {
	for _, text := range s.Sort {
		name, arguments, called := strings.Cut(strings.TrimSpace(text), "(")
		if !called || !strings.EqualFold(strings.TrimSpace(name), "zorder") {
			continue
		}
		arguments, closed := strings.CutSuffix(strings.TrimSpace(arguments), ")")
		if !closed || len(s.Sort) > 1 {
			return nil, fmt.Errorf("%q: write sort: [\"zorder(a, b)\"], and no other term", text)
		}
		columns := strings.Split(arguments, ",")
		for i := range columns {
			columns[i] = strings.TrimSpace(columns[i])
		}
		return columns, nil
	}
	return nil, nil
}

// zorderProperties are what the z-order of the spec makes of a table of some properties.
func (s *Spec) zorderProperties(have iceberg.Properties) iceberg.Properties {
	columns, err := s.ZOrder()
	if err == nil && columns != nil || have[table.PropertyZOrder] != "" {
		return iceberg.Properties{table.PropertyZOrder: strings.Join(columns, ",")}
	}
	return nil
}
