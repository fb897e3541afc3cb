package columnchunk

// valueList are values back to back, of width bytes each or of their own lengths.
type valueList struct {
	bytes   []byte
	lengths []uint32
	width   int
}

const (
	// repeatSlots values are remembered, so that only those within the reach of a match count.
	repeatSlots = 1 << 13
	// repeatPercent of values that come again pay for the search.
	repeatPercent = 10
)

// repeat says whether so many values come again that matches make frames much smaller.
func (l valueList) repeat(work *scratch) bool {
	seen := &work.seen
	clear(seen[:])
	again, n := 0, len(l.lengths)
	if l.width > 0 {
		n = len(l.bytes) / l.width
	}
	at := 0
	for i := range n {
		size := l.width
		if size == 0 {
			size = int(l.lengths[i])
		}
		h := hashBytes(l.bytes[at : at+size])
		at += size
		slot := &seen[h%repeatSlots]
		if mark := uint32(h>>32) | 1; *slot == mark {
			again++
		} else {
			*slot = mark
		}
	}
	return again*100 > n*repeatPercent
}
