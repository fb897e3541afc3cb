package ingest

import (
	"slices"
	"time"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/source"
)

// unit is a piece of work: a chunk small enough for one worker, and who wants it. Or it is an event
// of the source that must be handled after the chunks before it.
type unit struct {
	event *source.Event // nil for a chunk
	// polled is when it came from the source.
	polled time.Time

	chunk source.Chunk
	wants []want

	// taken is what Run took for it from the memory for what is under way.
	taken int64

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

// bytes is about what the unit holds until its rows are buffered: its records, and once for each group
// their values and the columns that most records leave out.
func (u *unit) bytes() int64 {
	records := chunkBytes(&u.chunk)
	bytes := records
	u.byGroup(func(g *group, _ []want) {
		bytes += records + int64(len(u.chunk.Records)*g.rowBytes)
	})
	return bytes
}

func chunkBytes(chunk *source.Chunk) int64 {
	bytes := 0
	for i := range chunk.Records {
		bytes += len(chunk.Records[i].Value) + len(chunk.Records[i].Key)
	}
	return int64(bytes)
}

// rowsOfUnit is how many rows of rowBytes a unit may have.
func rowsOfUnit(rowBytes int) int { return max(1, min(unitRows, unitBytes/max(1, rowBytes))) }

// split cuts a chunk into chunks of bounded size that touch.
func split(chunk source.Chunk, rowsMax int) []source.Chunk {
	var out []source.Chunk
	from := chunk.From
	for records := chunk.Records; ; {
		n, bytes := 0, 0
		for n < len(records) && n < rowsMax && bytes < unitBytes {
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
