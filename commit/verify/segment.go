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

// segment is a stretch of offsets of one place whose rows the ledger counts together: one range, or
// several that share offsets because the place had several incarnations.
type segment struct {
	from, next commit.Offset
	tp         commit.TopicPartition
	snapshotID int64 // 0 for what expired snapshots held
	ranges     int
	// wantRows and wantChecksum are what the ledger says.
	wantRows     int64
	wantChecksum uint64

	// found is what files hold, tail the part of it from tailFrom on.
	found, tail tail
	tailFrom    commit.Offset
}

// tail is a sum of rows.
type tail struct {
	rows     int64
	checksum uint64
}

// doubled is an offset that was found again, in a file that a snapshot added.
type doubled struct {
	offset commit.Offset
	in     origin
}

// origin is the file that rows come from.
type origin struct {
	file       string
	snapshotID int64
}

// segments are the stretches of one place in order of offset, and the offsets seen in files: one bit an
// offset at most, and next to nothing where rows come in order.
type segments struct {
	list    []segment
	seen    *roaring64.Bitmap
	doubled []doubled // the first few
	times   int64     // how many there are
	last    int
}

// doubledMax bounds how many doubled offsets are named for each place.
const doubledMax = 10

// runMin is the length from which a run of offsets is put into the bitmap as a whole.
const runMin = 16

func newSegments() *segments { return &segments{seen: roaring64.New()} }

// add puts a range in; arrange follows when all are in.
func (s *segments) add(tp commit.TopicPartition, r commit.Range, snapshotID, rows int64) {
	s.list = append(s.list, segment{from: r.From, next: r.Next, tp: tp, snapshotID: snapshotID, ranges: 1,
		wantRows: rows, wantChecksum: r.Checksum, tailFrom: r.Next})
}

// arrange sorts the segments and joins those that share offsets, since a row does not say of which
// incarnation it is.
func (s *segments) arrange() {
	slices.SortStableFunc(s.list, func(a, b segment) int {
		return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.next, b.next))
	})
	var out []segment
	for _, seg := range s.list {
		if last := len(out) - 1; last >= 0 && seg.from < out[last].next {
			joined := &out[last]
			joined.next = max(joined.next, seg.next)
			joined.tailFrom = joined.next
			joined.ranges += seg.ranges
			joined.wantRows += seg.wantRows
			joined.wantChecksum += seg.wantChecksum
			continue
		}
		out = append(out, seg)
	}
	s.list = out
}

// mark makes the segment that holds offset keep a sum of its own of what lies from there on. It returns
// false when no segment of one range holds it.
func (s *segments) mark(offset commit.Offset) bool {
	seg := s.find(offset)
	if seg == nil || seg.ranges > 1 {
		return false
	}
	seg.tailFrom = offset
	return true
}

// run counts rows of a file with consecutive offsets from first on and returns how many of them lie in a
// segment.
func (s *segments) run(first commit.Offset, checksums []uint64, in origin) (placed int64) {
	for len(checksums) > 0 {
		seg := s.find(first)
		if seg == nil {
			first, checksums = first+1, checksums[1:]
			continue
		}
		n := min(int64(seg.next-first), int64(len(checksums)))
		seg.take(first, checksums[:n])
		if seg.ranges == 1 {
			s.see(first, commit.Offset(n), in)
		}
		placed += n
		first, checksums = first+commit.Offset(n), checksums[n:]
	}
	return placed
}

func (seg *segment) take(first commit.Offset, checksums []uint64) {
	for i, sum := range checksums {
		seg.found.checksum += sum
		if first+commit.Offset(i) >= seg.tailFrom {
			seg.tail.checksum += sum
			seg.tail.rows++
		}
	}
	seg.found.rows += int64(len(checksums))
}

// see remembers offsets and notes those that were seen before.
func (s *segments) see(first, n commit.Offset, in origin) {
	if n >= runMin && !s.any(first, first+n) {
		s.seen.AddRange(uint64(first), uint64(first+n))
		return
	}
	for offset := first; offset < first+n; offset++ {
		if s.seen.CheckedAdd(uint64(offset)) {
			continue
		}
		s.times++
		if len(s.doubled) < doubledMax {
			s.doubled = append(s.doubled, doubled{offset: offset, in: in})
		}
	}
}

// seeEach is see for offsets of several segments, of which those of several ranges are passed over.
func (s *segments) seeEach(first, n commit.Offset, in origin) {
	for offset := first; offset < first+n; offset++ {
		if seg := s.find(offset); seg != nil && seg.ranges == 1 {
			s.see(offset, 1, in)
		}
	}
}

// any says whether an offset of [first, next) was seen.
func (s *segments) any(first, next commit.Offset) bool {
	it := s.seen.Iterator()
	it.AdvanceIfNeeded(uint64(first))
	return it.HasNext() && it.PeekNext() < uint64(next)
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

func (seg *segment) holds(offset commit.Offset) bool { return seg.from <= offset && offset < seg.next }
