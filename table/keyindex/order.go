package keyindex

import (
	"context"
	"slices"
)

// batch brings the entries of a checkpoint into the order of their keys: first into segments, then each
// segment by itself. It keeps its memory for the next one.
type batch struct {
	given   []Entry // before
	entries []Entry // after
	starts  [segments + 1]int
}

// batchKept is how many entries of a batch stay allocated: what checkpoints of ten seconds have.
const batchKept = 1 << 20

// ask makes entries of keys that are looked up, with their place in the batch as the row.
func (b *batch) ask(keys []Key) {
	b.given = slices.Grow(b.given[:0], len(keys))[:len(keys)]
	for i, k := range keys {
		b.given[i] = Entry{k, Place{Row: uint32(i)}}
	}
	b.divide(b.given)
}

// divide puts entries into their segments.
func (b *batch) divide(entries []Entry) {
	b.entries = slices.Grow(b.entries[:0], len(entries))[:len(entries)]
	clear(b.starts[:])
	for i := range entries {
		b.starts[segmentOf(entries[i].Key)+1]++
	}
	for i := range segments {
		b.starts[i+1] += b.starts[i]
	}
	next := b.starts
	for i := range entries {
		segment := segmentOf(entries[i].Key)
		b.entries[next[segment]] = entries[i]
		next[segment]++
	}
}

// group are the entries of a group, in order of segments.
func (b *batch) group(i int) []Entry {
	return b.entries[b.starts[i*groupSegments]:b.starts[(i+1)*groupSegments]]
}

// sortGroup sorts what divide left: the entries within each segment of a group.
func (b *batch) sortGroup(s *sorter, group int) {
	for i := group * groupSegments; i < (group+1)*groupSegments; i++ {
		s.sort(b.entries[b.starts[i]:b.starts[i+1]], segmentBits)
	}
}

// shrink gives back the memory of a batch that was unusually large.
func (b *batch) shrink() {
	if cap(b.entries) > batchKept {
		b.given, b.entries = nil, nil
	}
}

// inOrder returns entries by key, and themselves when they are in order.
func (x *Index) inOrder(ctx context.Context, entries []Entry) ([]Entry, error) {
	if slices.IsSortedFunc(entries, compareKeys) {
		return entries, nil
	}
	x.batch.divide(entries)
	err := x.eachGroup(ctx, func(w *worker, i int) error {
		x.batch.sortGroup(&w.sorter, i)
		return nil
	})
	return x.batch.entries, err
}

func compareKeys(a, b Entry) int { return a.Key.Compare(b.Key) }

// sorter sorts entries by key; those of one key stay in their order. Keys are uniform, so that they are
// put where they belong among n with hardly a comparison; of others it is merely slower. It belongs to
// one goroutine.
type sorter struct {
	spare  []Entry
	counts []uint32
}

const (
	// insertionMax is how many entries are sorted by insertion at once.
	insertionMax = 16
	// spreadMax is how many entries are spread at once: they and their copy fit into the second cache.
	spreadMax = 8 << 10
	radixBits = 8
)

// sort sorts entries whose keys have the first `common` bits in common.
func (s *sorter) sort(entries []Entry, common int) {
	switch {
	case len(entries) <= insertionMax:
		insertionSort(entries)
	case common+radixBits > 32:
		slices.SortStableFunc(entries, compareKeys)
	case len(entries) <= spreadMax:
		s.spread(entries, common)
	default:
		s.split(entries, common)
	}
}

// split sorts by the next bits and then each part.
func (s *sorter) split(entries []Entry, common int) {
	var ends [1 << radixBits]int
	digit := func(k Key) int { return int(k.High << common >> (64 - radixBits)) }
	for i := range entries {
		ends[digit(entries[i].Key)]++
	}
	sum := 0
	for i, n := range ends {
		ends[i], sum = sum, sum+n
	}
	s.spare = append(s.spare[:0], entries...)
	for i := range s.spare {
		at := digit(s.spare[i].Key)
		entries[ends[at]] = s.spare[i]
		ends[at]++
	}
	start := 0
	for _, end := range ends {
		s.sort(entries[start:end], common+radixBits)
		start = end
	}
}

// spread puts each entry where a uniform key belongs among so many, and corrects that by insertion.
func (s *sorter) spread(entries []Entry, common int) {
	n := uint64(len(entries))
	place := func(k Key) int { return int((k.High << common >> 32) * n >> 32) }
	s.counts = slices.Grow(s.counts[:0], len(entries))[:len(entries)]
	clear(s.counts)
	for i := range entries {
		s.counts[place(entries[i].Key)]++
	}
	sum := uint32(0)
	for i, count := range s.counts {
		s.counts[i], sum = sum, sum+count
	}
	s.spare = append(s.spare[:0], entries...)
	for i := range s.spare {
		at := place(s.spare[i].Key)
		entries[s.counts[at]] = s.spare[i]
		s.counts[at]++
	}
	start := uint32(0)
	for _, end := range s.counts {
		if end-start > insertionMax {
			slices.SortStableFunc(entries[start:end], compareKeys)
		}
		start = end
	}
	insertionSort(entries)
}

func insertionSort(entries []Entry) {
	for i := 1; i < len(entries); i++ {
		e, at := entries[i], i
		for at > 0 && e.Key.less(entries[at-1].Key) {
			entries[at] = entries[at-1]
			at--
		}
		entries[at] = e
	}
}
