package tail

import (
	"maps"
	"slices"
	"strings"

	"github.com/apache/iceberg-go"
	"github.com/google/uuid"

	"github.com/firthlake/firth/table"
)

// Folder is where the tail of a table lies, below the table's location: chunks, and what is made of them for readers.
// What lies there is for a while only, and no snapshot of the table names it.
const Folder = "_live"

// FolderOf is the folder of the tail of a table that lies at location, with a slash.
func FolderOf(location string) string { return strings.TrimSuffix(location, "/") + "/" + Folder + "/" }

// Span is the half-open interval [From, Next) of offsets of one topic partition.
type Span struct {
	From, Next table.Offset
	// First says that the table knew nothing of the topic partition when From was read, so that its rows
	// begin there.
	First bool
}

// Chunk is a piece of a table's tail. It is a value that does not change.
type Chunk struct {
	// Change is the checkpoint that the chunk is of.
	Change uuid.UUID
	// Spans are the offsets that it covers.
	Spans map[table.TopicPartition]Span
	// Files hold the rows that came of them; none when no row did.
	Files []iceberg.DataFile
	// SchemaID is the schema of the table that they were written with.
	SchemaID int
	// Rows are those in Files.
	Rows int64
	// Versions are what a keyed table's Hider wants to know of the rows; nobody else looks at it. It is nil once a
	// commit has come to the chunk.
	Versions any
	// Keys are those of a keyed table's rows and deletes, as numbers that all processes make alike: by them it is told
	// whether two have versions of one key.
	Keys []uint64
}

// behind says that the position has come to or beyond what the chunk begins with, in any topic partition: then it is
// never shown at this position or a later one.
func (c *Chunk) behind(position table.Position) bool {
	for id, span := range c.Spans {
		if next, known := position[id]; known && span.From < next {
			return true
		}
	}
	return false
}

// fits says that each of the chunk's spans begins at the cut.
func (c *Chunk) fits(cut table.Position) bool {
	for id, span := range c.Spans {
		if !span.fits(id, cut) {
			return false
		}
	}
	return true
}

// fits says that the span of a topic partition begins at the cut.
func (s Span) fits(id table.TopicPartition, cut table.Position) bool {
	next, known := cut[id]
	return known && s.From == next || !known && s.First
}

// View is the tail of a table behind one snapshot.
type View struct {
	// Chunks go on from the snapshot, in the order in which they were read.
	Chunks []Chunk
	// Pieces go on from the chunks, in the order in which they were read; At shows none.
	Pieces []Piece
	// Cut is where the snapshot, the chunks and the pieces end together.
	Cut table.Position
	// Rows are those of all chunks and pieces.
	Rows int64
	// Unseen are those that are hidden, where a Hider has told.
	Unseen Unseen

	numbers []uint64 // of the chunks in their index
	begin   table.Position
}

func newView(position table.Position) View {
	view := View{Cut: maps.Clone(position), begin: position}
	if view.Cut == nil {
		view.Cut = table.Position{}
	}
	return view
}

// add goes on with a chunk that fits.
func (v *View) add(c *Chunk, number uint64) {
	for id, span := range c.Spans {
		v.Cut[id] = span.Next
	}
	v.Chunks = append(v.Chunks, *c)
	v.numbers = append(v.numbers, number)
	v.Rows += c.Rows
}

// addShown goes on with the chunks of another view that fit.
func (v *View) addShown(shown *View) {
	for i := range shown.Chunks {
		if c := &shown.Chunks[i]; c.fits(v.Cut) {
			v.add(c, shown.numbers[i])
		}
	}
}

// Begin is the view without its chunks.
func (v *View) Begin() View { return View{Cut: v.begin, begin: v.begin} }

// Same says that both are made of the same chunks and pieces.
func (v *View) Same(o *View) bool {
	return slices.Equal(v.numbers, o.numbers) &&
		slices.EqualFunc(v.Pieces, o.Pieces, func(a, b Piece) bool { return a.Number == b.Number })
}
