package table

import (
	"context"
	"errors"
)

// sortBytesMax is how much a sorting writer holds before it turns to files or runs: enough for files
// of full size, and far from the 2 GiB that offsets of strings reach.
const sortBytesMax = 256 << 20

type sorter struct{}

func newSorter(w *Writer) (*sorter, error) {
	if !w.opts.Spec.IsUnpartitioned() || w.opts.Sort.Len() > 0 {
		return nil, errors.New("partitions and sort orders are not there")
	}
	return nil, nil
}

func (s *sorter) flush(ctx context.Context) error  { return nil }
func (s *sorter) finish(ctx context.Context) error { return nil }
func (s *sorter) drop()                            {}
