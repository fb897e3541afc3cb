package letters

import (
	"context"
	"fmt"
	"iter"

	"github.com/RoaringBitmap/roaring/v2/roaring64"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/filter"
	"github.com/firthlake/firth/table/objstore"
)

// Box is a dead-letter table at one version, and which of its letters are resolved: one bit each at most.
type Box struct {
	table    *table.Table
	store    objstore.Store
	resolved Set
}

// Set is a set of places of records.
type Set map[Place]*roaring64.Bitmap

// Add puts a record in, and says whether it was not there.
func (s Set) Add(at Place, offset commit.Offset) bool {
	bits := s[at]
	if bits == nil {
		bits = roaring64.New()
		s[at] = bits
	}
	return bits.CheckedAdd(uint64(offset))
}

// Has says whether a record is in.
func (s Set) Has(at Place, offset commit.Offset) bool {
	bits := s[at]
	return bits != nil && bits.Contains(uint64(offset))
}

// Open reads which letters of a dead-letter table are resolved.
func Open(ctx context.Context, store objstore.Store, t *table.Table) (*Box, error) {
	b := &Box{table: t, store: store, resolved: Set{}}
	only, err := filter.Parse("error_class = '" + string(Resolved) + "'")
	if err != nil {
		return nil, err
	}
	scan := table.Scan{Filter: only, Columns: []string{"topic", "partition", "offset"}}
	err = b.read(ctx, scan, func(c *columns, row int) bool {
		b.resolved.Add(c.place(row))
		return true
	})
	return b, err
}

// IsResolved says whether a replay has dealt with a letter.
func (b *Box) IsResolved(l *Letter) bool { return b.resolved.Has(l.Place, l.Record.Offset) }

// Query says which letters are wanted.
type Query struct {
	// Where is a predicate over the columns of the dead-letter table; nil is all.
	Where *filter.Expr
	// Columns are those that are filled; nil is all. Those of coordinates and class are always.
	Columns []string
}

// Letters yields the letters that a query asks for, resolved ones too, each once: the rows that say that a letter
// is resolved, and letters that somebody put in a second time, are left out.
func (b *Box) Letters(ctx context.Context, q Query) iter.Seq2[Letter, error] {
	return func(yield func(Letter, error) bool) {
		scan := table.Scan{Filter: q.Where}
		if q.Columns != nil {
			scan.Columns = append([]string{"topic", "partition", "offset", "error_class"}, q.Columns...)
		}
		seen := Set{}
		err := b.read(ctx, scan, func(c *columns, row int) bool {
			if c.class.Value(row) == string(Resolved) || !seen.Add(c.place(row)) {
				return true
			}
			return yield(c.letter(row), nil)
		})
		if err != nil {
			yield(Letter{}, err)
		}
	}
}

// read hands out rows until take wants no more.
func (b *Box) read(ctx context.Context, scan table.Scan, take func(c *columns, row int) bool) error {
	tasks, err := table.Plan(ctx, b.table, b.store, scan)
	if err != nil {
		return fmt.Errorf("read dead letters: %w", err)
	}
	for _, task := range tasks {
		for batch, err := range table.Read(ctx, b.store, task) {
			if err != nil {
				return fmt.Errorf("read dead letters: %w", err)
			}
			c := newColumns(batch)
			for row := range int(batch.NumRows()) {
				if !take(c, row) {
					return nil
				}
			}
		}
	}
	return nil
}
