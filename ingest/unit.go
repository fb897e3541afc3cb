package ingest

import (
	"slices"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/source"
)

// unit is a piece of work: a chunk small enough for one worker, and who wants it. Or it is an event
// of the source that must be handled after the chunks before it.
type unit struct {
	event *source.Event // nil for a chunk

	chunk source.Chunk
	wants []want

	// portions are what came of it, valid once done is closed.
	portions []*portion
	done     chan struct{}
}

// want is a table's wish for the part of a chunk from an offset on. The group is the one that the
// table belonged to when the chunk arrived.
type want struct {
	group *group
	shape *shape
	from  commit.Offset
}

// split cuts a chunk into chunks of bounded size that touch.
func split(chunk source.Chunk) []source.Chunk {
	var out []source.Chunk
	from := chunk.From
	for records := chunk.Records; ; {
		n, bytes := 0, 0
		for n < len(records) && n < unitRows && bytes < unitBytes {
			bytes += len(records[n].Value) + len(records[n].Key)
			n++
		}
		piece := chunk
		piece.From, piece.Records = from, records[:n:n]
		if n == len(records) {
			return append(out, piece)
		}
		piece.Next = records[n-1].Offset + 1
		from = piece.Next
		out = append(out, piece)
		records = records[n:]
	}
}

// byGroup calls fn once for each group that is wanted, with its wants, in their order.
func (u *unit) byGroup(fn func(g *group, wants []want)) {
	var seen []*group
	for _, w := range u.wants {
		if slices.Contains(seen, w.group) {
			continue
		}
		seen = append(seen, w.group)
		var wants []want
		for _, o := range u.wants {
			if o.group == w.group {
				wants = append(wants, o)
			}
		}
		fn(w.group, wants)
	}
}
