package tail

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

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
	// Path is where a file lies that is one of the base or, with OfTail, of a chunk in the view. File is that file, nil
	// for one of the base of which another process has told.
	Path   string
	File   iceberg.DataFile
	OfTail bool
	// Before are the delete files that hold for a file of the base already.
	Before []iceberg.DataFile
	// Rows are positions in the file, some or all. Nobody changes them; while they are the same, so is the bitmap.
	Rows *roaring.Bitmap
}

// Hider finds what a view hides. Several goroutines may use it.
type Hider interface {
	// Hide returns the rows of the base and of the view's chunks that are hidden. The view begins behind the base, the
	// table whose metadata lies at this location. The error is ErrMoved, ErrUnresolved or that of ctx.
	Hide(ctx context.Context, base string, view View) ([]Hidden, error)
}

// NewestHider is a Hider of what is read in this process.
type NewestHider interface {
	Hider
	// HideNewest returns the view that look returns, with pieces and what is Unseen, where all of it was read in this
	// process. Its errors are those of Hide.
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
func (x *Index) FeedKeyed(h NewestHider) *Feed {
	f := x.Feed()
	x.mu.Lock()
	defer x.mu.Unlock()
	x.hider = h
	return f
}

// Hider is who finds what views hide of which all was read in this process; nil when there is none, when the table has
// several sources here, and when another process reads some of it.
func (x *Index) Hider() NewestHider {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.feeds) != 1 || x.mirrored() {
		return nil
	}
	return x.hider
}

// mirrored says that another process reads some of the table.
func (x *Index) mirrored() bool {
	for m := range x.mirrors {
		if len(m.reads) > 0 {
			return true
		}
	}
	return false
}

// Share is the part of a view whose chunks one process has read. Who finds what it hides knows its chunks by the
// numbers of its view.
type Share struct {
	Hider Hider
	View  View
}

// Ordered says that it can be told what chunks of the table hide: it has one source here at most. Of versions from
// several nobody knows before they are committed which are newer.
func (x *Index) Ordered() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.ordered()
}

func (x *Index) ordered() bool { return len(x.feeds) <= 1 }

// Shares divides a view by who has read its chunks. It is ErrMoved when one of them is not in the index any more, and
// ErrUnresolved when nobody tells what it hides.
func (x *Index) Shares(view View) ([]Share, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	var shares []Share
	at := map[*Mirror]int{}
	for i, number := range view.numbers {
		c := x.numbered(number)
		if c == nil {
			return nil, ErrMoved
		}
		hider := Hider(x.hider)
		if number = c.number; c.mirror != nil {
			hider, number = c.mirror.hider, c.there
		}
		if hider == nil {
			return nil, fmt.Errorf("%w: nobody tells what a chunk of another process hides", ErrUnresolved)
		}
		of, some := at[c.mirror]
		if !some {
			of = len(shares)
			at[c.mirror] = of
			shares = append(shares, Share{Hider: hider, View: View{Cut: view.Cut, begin: view.begin}})
		}
		share := &shares[of].View
		share.Chunks, share.numbers = append(share.Chunks, view.Chunks[i]), append(share.numbers, number)
		share.Rows += view.Chunks[i].Rows
	}
	return shares, nil
}

// Pick is a view of chunks that this process has read itself, by their numbers. It is ErrMoved when it has not all of
// them any more, and ErrUnresolved when nobody here tells what they hide. Its cut is not known.
func (x *Index) Pick(numbers []uint64) (Share, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.hider == nil || !x.ordered() {
		return Share{}, fmt.Errorf("%w: this process does not ingest the table", ErrUnresolved)
	}
	share := Share{Hider: x.hider, View: newView(nil)}
	for _, number := range numbers {
		c := x.numbered(number)
		if c == nil || c.mirror != nil {
			return Share{}, ErrMoved
		}
		share.View.Chunks = append(share.View.Chunks, c.Chunk)
		share.View.numbers = append(share.View.numbers, number)
	}
	return share, nil
}

// numbered is the chunk of a number, nil when it is gone. Later chunks have greater numbers.
func (x *Index) numbered(number uint64) *held {
	at, found := slices.BinarySearchFunc(x.chunks, number, func(c held, number uint64) int {
		return cmp.Compare(c.number, number)
	})
	if !found || x.chunks[at].withdrawn {
		return nil
	}
	return &x.chunks[at]
}

// ShareKeys says that two of the shares have versions of one key.
func ShareKeys(shares []Share) bool {
	if len(shares) < 2 {
		return false
	}
	of := map[uint64]int{}
	for i := range shares {
		for j := range shares[i].View.Chunks {
			for _, key := range shares[i].View.Chunks[j].Keys {
				if other, some := of[key]; some && other != i {
					return true
				}
				of[key] = i
			}
		}
	}
	return false
}

// Numbers tell the chunks of a view apart from all others of the index, in order.
func (v *View) Numbers() []uint64 { return v.numbers }
