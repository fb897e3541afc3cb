package verify

import (
	"cmp"
	"slices"

	"github.com/RoaringBitmap/roaring/v2/roaring64"

	"github.com/firthlake/firth/commit"
)

// place is where rows say they come from: a topic partition by the name in their columns. Incarnations
// of one topic share it.
type place struct {
	topic     string
	partition int32
}

// segment is a stretch of offsets of one place whose rows the ledger counts together.
type segment struct {
	from, next commit.Offset
	snapshotID int64 // 0 for what is folded
	rows       int64 // found in files
	checksum   uint64
	// want is what the ledger says; nil for a part of a range, whose counts are not known.
	want *commit.Range
	// retained says that the log still has these offsets.
	retained bool
}

// segments are the stretches of one place in order of offset, and the offsets seen in files.
type segments struct {
	list    []segment
	seen    *roaring64.Bitmap
	doubled []commit.Offset // the first few
	astray  int64           // rows outside every segment
	last    int
}

// doubledMax bounds how many doubled offsets are named for each place.
const doubledMax = 10

// newSegments makes one segment of each range.
func newSegments() *segments { return &segments{seen: roaring64.New()} }

// add appends a segment; sort puts them into order.
func (s *segments) add(r commit.Range, snapshotID int64) {
	s.list = append(s.list, segment{from: r.From, next: r.Next, snapshotID: snapshotID, want: &r})
}

func (s *segments) sort() {
	slices.SortStableFunc(s.list, func(a, b segment) int {
		return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.next, b.next))
	})
}

// cut splits the segment that holds offset there and marks what lies behind as retained.
func (s *segments) cut(offset commit.Offset) {
	var out []segment
	for _, seg := range s.list {
		if seg.from >= offset {
			seg.retained = true
			out = append(out, seg)
			continue
		}
		if seg.next <= offset {
			out = append(out, seg)
			continue
		}
		older, newer := seg, seg
		older.next, newer.from = offset, offset
		newer.want, newer.retained = nil, true
		// The older half keeps the range's figures: both halves together are held against them.
		out = append(out, older, newer)
	}
	s.list = out
}

// row counts one row of a file.
func (s *segments) row(offset commit.Offset, checksum uint64) {
	if !s.seen.CheckedAdd(uint64(offset)) && len(s.doubled) < doubledMax {
		s.doubled = append(s.doubled, offset)
	}
	if seg := s.find(offset); seg != nil {
		seg.rows++
		seg.checksum += checksum
		return
	}
	s.astray++
}

// find returns the segment that holds the offset; rows come mostly in order, so the last is tried first.
func (s *segments) find(offset commit.Offset) *segment {
	if s.last < len(s.list) && s.list[s.last].holds(offset) {
		return &s.list[s.last]
	}
	i, found := slices.BinarySearchFunc(s.list, offset, func(seg segment, o commit.Offset) int {
		switch {
		case seg.next <= o:
			return -1
		case seg.from > o:
			return 1
		}
		return 0
	})
	if !found {
		return nil
	}
	s.last = i
	return &s.list[i]
}

func (s segment) holds(offset commit.Offset) bool { return s.from <= offset && offset < s.next }

// whole joins the halves that cut made, so that each comes with what the ledger says.
func (s *segments) whole() []segment {
	var out []segment
	for _, seg := range s.list {
		if seg.want == nil && len(out) > 0 {
			joined := &out[len(out)-1]
			joined.next, joined.rows, joined.checksum = seg.next, joined.rows+seg.rows, joined.checksum+seg.checksum
			continue
		}
		out = append(out, seg)
	}
	return out
}
