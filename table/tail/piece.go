package tail

import (
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/google/uuid"

	"github.com/firthlake/firth/table"
)

// piecesMax is how many pieces an index holds; what comes beyond is seen once it is in a chunk. A look at the tail goes
// through all, which takes 0.1 ms then.
const piecesMax = 8192

// Piece is rows of one topic partition that are in memory and in no chunk yet. It is a value that does not change.
type Piece struct {
	// Change is the checkpoint that the piece is of.
	Change uuid.UUID
	// TopicPartition and Span are the offsets that it covers.
	TopicPartition table.TopicPartition
	Span           Span
	// SchemaID is the schema of the table that Rows were made for.
	SchemaID int
	// Rows are what came of the offsets, nil when no row did. Who gets them from a view may keep them.
	Rows arrow.RecordBatch
	// Versions are what a keyed table's Hider wants to know of the rows; nobody else looks at it.
	Versions any
	// Number tells the piece apart from all other pieces of its index.
	Number uint64
}

// heldPiece is a piece in the index.
type heldPiece struct {
	Piece
	feed *Feed
	// shown says that a view has the rows. They are left to the garbage collector then, since nobody knows when
	// the last reader is done.
	shown bool
}

// has says that the rows of the piece are in the chunk.
func (c *Chunk) has(p *Piece) bool {
	span, some := c.Spans[p.TopicPartition]
	return some && c.Change == p.Change && span.From <= p.Span.From && p.Span.Next <= span.Next
}

// Add hands over a piece, whose rows it retains. They are to come in a chunk of the same feed later.
func (f *Feed) Add(p Piece) {
	x := f.index
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.pieces) >= piecesMax {
		return
	}
	if p.Rows != nil {
		p.Rows.Retain()
	}
	p.Number = x.nextPiece
	x.nextPiece++
	x.pieces = append(x.pieces, heldPiece{Piece: p, feed: f})
	x.wake()
}

// dropPieces forgets pieces. The caller holds mu.
func (x *Index) dropPieces(which func(*heldPiece) bool) {
	x.pieces = slices.DeleteFunc(x.pieces, func(p heldPiece) bool {
		gone := which(&p)
		if gone && p.Rows != nil && !p.shown {
			p.Rows.Release()
		}
		return gone
	})
}

// Newest returns the tail behind a snapshot that stores position, with what is in memory alone. Rows are shown whose
// schema the reader knows.
func (x *Index) Newest(position table.Position, knows func(schemaID int) bool) View {
	return x.ResumeNewest(position, knows, View{})
}

// ResumeNewest is Newest that begins with what was shown, as Resume does.
func (x *Index) ResumeNewest(position table.Position, knows func(schemaID int) bool, shown View) View {
	view := newView(position)
	x.mu.Lock()
	defer x.mu.Unlock()
	view.addShown(&shown)
	x.addChunks(&view, knows)
	for i := range shown.Pieces {
		view.addPiece(&shown.Pieces[i], knows)
	}
	for i := range x.pieces {
		p := &x.pieces[i]
		p.shown = view.addPiece(&p.Piece, knows) || p.shown
	}
	return view
}

// addPiece goes on with a piece if it fits.
func (v *View) addPiece(p *Piece, knows func(schemaID int) bool) bool {
	if !p.Span.fits(p.TopicPartition, v.Cut) || !knows(p.SchemaID) {
		return false
	}
	v.Cut[p.TopicPartition] = p.Span.Next
	v.Pieces = append(v.Pieces, *p)
	if p.Rows != nil {
		v.Rows += p.Rows.NumRows()
	}
	return true
}

// Wake has something put into a channel with room for it whenever rows come, until Unwake.
func (x *Index) Wake(c chan<- struct{}) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.wakes[c] = struct{}{}
}

// Unwake ends Wake.
func (x *Index) Unwake(c chan<- struct{}) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.wakes, c)
}

// wake tells that rows have come. The caller holds mu.
func (x *Index) wake() {
	for c := range x.wakes {
		select {
		case c <- struct{}{}:
		default: // told already
		}
	}
}
