package tail

import (
	"context"
	"errors"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/table"
)

// ErrMoved says that a base is not the newest state of its table: load it again.
var ErrMoved = errors.New("the table has moved on")

// ErrUnresolved says that it cannot be told now which rows are hidden. What wraps it says why.
var ErrUnresolved = errors.New("hidden rows are not known")

// Hidden are rows of a data file that a reader of a keyed table must not see: newer versions of them, or deletes, lie
// further on.
type Hidden struct {
	// File is one of the base or, with OfTail, of a chunk in the view.
	File   iceberg.DataFile
	OfTail bool
	// Before are the delete files that hold for a file of the base already.
	Before []iceberg.DataFile
	// Rows are positions in the file, some or all. Nobody changes them; while they are the same, so is the bitmap.
	Rows *roaring.Bitmap
}

// Hider finds what a view hides. Several goroutines may use it.
type Hider interface {
	// Hide returns the rows of base and of the view's chunks that are hidden, where base is the table that the view
	// begins behind. Its error is ErrMoved, ErrUnresolved or that of ctx.
	Hide(ctx context.Context, base *table.Table, view View) ([]Hidden, error)
	// HideNewest returns the view that look returns, with pieces and what is Unseen. Its errors are those of Hide.
	HideNewest(ctx context.Context, base *table.Table, look func() View) (View, error)
}

// Unseen are the rows of a base and of a view of its tail that are hidden. Nobody changes them.
type Unseen struct {
	// Files are positions in data files of both, by location.
	Files map[string]*roaring.Bitmap
	// Pieces are rows of the view's pieces, in their order, with those that delete; nil is none.
	Pieces []*roaring.Bitmap
}

// FeedKeyed is Feed for a table that has one row a key; h knows the Versions of the chunks that are handed over.
func (x *Index) FeedKeyed(h Hider) *Feed {
	f := x.Feed()
	x.mu.Lock()
	defer x.mu.Unlock()
	x.hider = h
	return f
}

// Hider is who finds what views hide; nil when there is none, or when chunks come from several feeds, of which
// nobody knows before they are committed whose versions are newer.
func (x *Index) Hider() Hider {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.feeds) != 1 {
		return nil
	}
	return x.hider
}

// Numbers tell the chunks of a view apart from all others of the index, in order.
func (v *View) Numbers() []uint64 { return v.numbers }
