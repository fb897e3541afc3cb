package tpch

import (
	"embed"
	"fmt"
)

//go:embed queries/*.sql
var texts embed.FS

// queryCount is how many queries there are.
const queryCount = 22

// Queries are the texts of the queries, in order: query n is Queries()[n-1].
func Queries() ([]string, error) {
	out := make([]string, queryCount)
	for i := range out {
		text, err := texts.ReadFile(fmt.Sprintf("queries/q%02d.sql", i+1))
		if err != nil {
			return nil, fmt.Errorf("query %d of TPC-H: %w", i+1, err)
		}
		out[i] = string(text)
	}
	return out, nil
}
