package decode

import (
	"context"
	"errors"
	"fmt"
	"unicode/utf8"
)

// rawDecoder puts the whole value into one column.
type rawDecoder struct{ column int }

// rawColumn is the one string or binary column that is not metadata.
func rawColumn(plan *Plan) (int, error) {
	found := skipColumn
	for i, n := range plan.columns {
		if plan.metadata[i] != "" {
			continue
		}
		if found != skipColumn {
			return 0, fmt.Errorf("format raw fills one column, and the schema has %s and %s",
				plan.columns[found].path, n.path)
		}
		if n.kind != kindString && n.kind != kindBinary {
			return 0, fmt.Errorf("format raw needs a string or binary column, and %s is %s", n.path, n.dataType)
		}
		found = i
	}
	if found == skipColumn {
		return 0, errors.New("format raw needs a string or binary column, and the schema has none")
	}
	return found, nil
}

func (d rawDecoder) decodeValue(_ context.Context, value []byte, out *rows) error {
	n := out.plan.columns[d.column]
	if n.kind == kindString && !utf8.Valid(value) {
		out.failColumn(d.column, ClassUTF8, n.path+": not UTF-8: "+shorten(value))
		return nil
	}
	out.columns[d.column].AppendBytes(value)
	return nil
}

func (rawDecoder) endChunk() error { return nil }
