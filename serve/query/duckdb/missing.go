//go:build !duckdb_arrow

package duckdb

import (
	"fmt"

	"github.com/firthlake/firth/serve/query"
)

// Open returns ErrMissing, as the program was built without the tag duckdb_arrow.
func Open(Options, query.Views) (query.Engine, error) {
	return nil, fmt.Errorf("%w: %s", ErrMissing, Remedy)
}

// OpenTransforms returns ErrMissing, as the program was built without the tag duckdb_arrow.
func OpenTransforms() (Transforms, error) {
	return nil, fmt.Errorf("%w: %s", ErrMissing, Remedy)
}
