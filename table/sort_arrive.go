package table

import (
	"bytes"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/firthlake/firth/table/gather"
)

const (
	// arriveBytes is how much comes in before it is put in order: several rows for each of a
	// few hundred partitions, and little enough to be in the processor's cache still.
	arriveBytes = 1 << 20
	// arriveBytesMax is where a sample of encodings is not waited for any longer.
	arriveBytesMax = 8 << 20
	// Rows that lie by partition in stretches of this length already stay where they are.
	stretchRowsMin = 64
)

// place is where an ordered batch has rows of one partition.
type place struct {
	ordinal uint32
	run     gather.Run
}

// arrivals is what putting batches in order needs, kept from one time to the next.
type arrivals struct {
	rows     int // of the batches that are not in order yet
	bytes    int64
	ordinals []uint32 // of their rows; nil without partitions
	keys     []sortKeys
	items    [2][]sortItem
	rowLists [3][]uint32 // rows, spare, and ordinals in order
	starts   []uint32    // numbers of the batches' first rows
	batches  []uint32    // of the rows
	runs     []gather.Run
}

// sortItem is a row while it is sorted: the head of its key and its number.
type sortItem struct {
	low         uint64
	marker, row uint32
}

// arrive takes note of the batch that became pending last. Without a sorter there is nothing to do.
func (s *sorter) arrive(bytes int64) error {
	if s == nil {
		return nil
	}
	s.work.rows += int(s.w.pending[len(s.w.pending)-1].NumRows())
	s.work.bytes += bytes
	sampled := s.w.layout.encodings != nil || s.work.rows >= sampleRows
	if s.work.bytes < arriveBytes || !sampled && s.work.bytes < arriveBytesMax {
		return nil
	}
	return s.arrange()
}

// arrange puts the batches that came since the last time in order: all become one, unless its rows
// are where they should be.
func (s *sorter) arrange() error {
	fresh := s.w.pending[s.ordered:]
	if len(fresh) == 0 {
		return nil
	}
	if s.w.layout.encodings == nil { // in the order of their coming they are a better sample
		s.w.layout.chooseEncodings(fresh)
	}
	s.work.rows, s.work.bytes = 0, 0
	for _, batch := range fresh {
		s.work.rows += int(batch.NumRows())
		s.work.bytes += batchBytes(batch)
	}
	if err := s.locate(fresh); err != nil {
		return err
	}
	if s.order == nil && s.keep(fresh) {
		s.settled()
		return nil
	}
	rows, err := s.sortArrivals(fresh)
	if err != nil {
		return err
	}
	if len(fresh) > 1 || !inOrder(rows) {
		s.w.charge(s.work.bytes) // the rows are there twice for a moment
		batch := s.move(fresh, rows)
		s.w.settle(s.w.charged - s.work.bytes)
		for _, old := range fresh {
			old.Release()
		}
		s.w.pending = append(s.w.pending[:s.ordered], batch)
	}
	if s.partitions == nil {
		s.places = append(s.places, place{run: gather.Run{
			Batch: uint32(s.ordered), Rows: uint32(len(rows))}})
	} else {
		ordinals := s.work.rowLists[2]
		for i, row := range rows {
			ordinals[i] = s.work.ordinals[row]
		}
		s.addPlaces(uint32(s.ordered), ordinals)
	}
	s.settled()
	return nil
}

// settled notes that all pending batches are in order.
func (s *sorter) settled() { s.ordered, s.work.rows, s.work.bytes = len(s.w.pending), 0, 0 }

// locate finds the partitions of all rows of fresh.
func (s *sorter) locate(fresh []arrow.RecordBatch) error {
	if s.partitions == nil {
		return nil
	}
	s.work.ordinals = slices.Grow(s.work.ordinals[:0], s.work.rows)
	for _, batch := range fresh {
		at := len(s.work.ordinals)
		s.work.ordinals = s.work.ordinals[:at+int(batch.NumRows())]
		if _, err := s.partitions.ordinals(s.work.ordinals[at:], batch); err != nil {
			return err
		}
	}
	s.w.opts.Metrics.partitionsOpen(s.partitions.count() - s.counted)
	s.counted = s.partitions.count()
	return nil
}

// keep leaves rows without sort order where they are, if they lie in long stretches.
func (s *sorter) keep(fresh []arrow.RecordBatch) bool {
	stretches := 0
	for i, ordinal := range s.work.ordinals {
		if i == 0 || ordinal != s.work.ordinals[i-1] {
			stretches++
		}
	}
	if max(stretches, len(fresh))*stretchRowsMin > s.work.rows {
		return false
	}
	ordinals := s.work.ordinals
	for i, batch := range fresh {
		s.addPlaces(uint32(s.ordered+i), ordinals[:batch.NumRows()])
		ordinals = ordinals[batch.NumRows():]
	}
	return true
}

// addPlaces notes where a batch has rows of which partition, given those of all its rows.
func (s *sorter) addPlaces(batch uint32, ordinals []uint32) {
	for first := 0; first < len(ordinals); {
		end := first + 1
		for end < len(ordinals) && ordinals[end] == ordinals[first] {
			end++
		}
		s.places = append(s.places, place{ordinals[first],
			gather.Run{Batch: batch, Row: uint32(first), Rows: uint32(end - first)}})
		first = end
	}
}

// sortArrivals numbers the rows of fresh in their order: by partition, then by key, then as they
// came.
func (s *sorter) sortArrivals(fresh []arrow.RecordBatch) ([]uint32, error) {
	for i := range s.work.rowLists {
		s.work.rowLists[i] = slices.Grow(s.work.rowLists[i][:0], s.work.rows)[:s.work.rows]
	}
	s.work.number(fresh)
	rows, spare := s.work.rowLists[0], s.work.rowLists[1]
	for i := range rows {
		rows[i] = uint32(i)
	}
	if s.order != nil {
		if err := s.sortByKey(fresh, rows); err != nil {
			return nil, err
		}
	}
	if s.partitions != nil {
		return sortByOrdinal(rows, spare, s.work.ordinals, s.partitions.count()), nil
	}
	return rows, nil
}

// sortByOrdinal sorts rows by their ordinals, which are below count; equal ones keep their order. It
// goes through them once for each byte of an ordinal, so its cost hardly depends on how many
// partitions there are. It returns rows or spare.
func sortByOrdinal(rows, spare, ordinals []uint32, count int) []uint32 {
	for shift := 0; (count-1)>>shift > 0; shift += 8 {
		var ends [257]uint32
		for _, row := range rows {
			ends[ordinals[row]>>shift&0xff+1]++
		}
		for i := range 256 {
			ends[i+1] += ends[i]
		}
		for _, row := range rows {
			digit := ordinals[row] >> shift & 0xff
			spare[ends[digit]] = row
			ends[digit]++
		}
		rows, spare = spare, rows
	}
	return rows
}

// sortByKey sets rows to the rows of fresh in order of their keys.
func (s *sorter) sortByKey(fresh []arrow.RecordBatch, rows []uint32) error {
	work := &s.work
	for i := range work.items {
		work.items[i] = slices.Grow(work.items[i][:0], len(rows))[:len(rows)]
	}
	items := work.items[0]
	for len(work.keys) < len(fresh) {
		work.keys = append(work.keys, sortKeys{})
	}
	at := 0
	for i, batch := range fresh {
		if err := s.order.encode(&work.keys[i], batch); err != nil {
			return err
		}
		for row := range int(batch.NumRows()) {
			marker, low := work.keys[i].head(row)
			items[at] = sortItem{low: low, marker: marker, row: uint32(at)}
			at++
		}
	}
	items = sortItems(items, work.items[1])
	if !s.order.exact() {
		sortTies(items, work.key)
	}
	for i := range items {
		rows[i] = items[i].row
	}
	return nil
}

// number sets starts to the numbers of the batches' first rows, and batches to the batch of each row.
func (a *arrivals) number(fresh []arrow.RecordBatch) {
	a.starts, a.batches = a.starts[:0], slices.Grow(a.batches[:0], a.rows)
	for i, batch := range fresh {
		a.starts = append(a.starts, uint32(len(a.batches)))
		for range batch.NumRows() {
			a.batches = append(a.batches, uint32(i))
		}
	}
}

// key is that of row number row.
func (a *arrivals) key(row uint32) []byte {
	batch := a.batches[row]
	return a.keys[batch].at(int(row - a.starts[batch]))
}

// sortItems sorts by head, byte for byte from the last one; equal ones keep their order. Bytes that
// are the same everywhere cost nothing. It returns items or spare.
func sortItems(items, spare []sortItem) []sortItem {
	const bytesOfHead = 9
	var counts [bytesOfHead][256]uint32
	for _, item := range items {
		for i := range 8 {
			counts[i][item.low>>(8*i)&0xff]++
		}
		counts[8][item.marker&0xff]++
	}
	for i := range bytesOfHead {
		ends := &counts[i]
		if slices.Contains(ends[:], uint32(len(items))) {
			continue
		}
		var sum uint32
		for digit, n := range ends {
			ends[digit] = sum
			sum += n
		}
		for _, item := range items {
			digit := item.marker
			if i < 8 {
				digit = uint32(item.low >> (8 * i) & 0xff)
			}
			spare[ends[digit&0xff]] = item
			ends[digit&0xff]++
		}
		items, spare = spare, items
	}
	return items
}

// sortTies sorts rows with equal heads by their whole keys.
func sortTies(items []sortItem, key func(row uint32) []byte) {
	for first := 0; first < len(items); {
		end := first + 1
		for end < len(items) && items[end].low == items[first].low &&
			items[end].marker == items[first].marker {
			end++
		}
		if end-first > 1 {
			slices.SortStableFunc(items[first:end], func(a, b sortItem) int {
				return bytes.Compare(key(a.row), key(b.row))
			})
		}
		first = end
	}
}

func inOrder(rows []uint32) bool {
	for i, row := range rows {
		if row != uint32(i) {
			return false
		}
	}
	return true
}

// move copies the rows of fresh into one batch.
func (s *sorter) move(fresh []arrow.RecordBatch, rows []uint32) arrow.RecordBatch {
	mem := s.w.opts.Allocator
	if len(fresh) == 1 {
		return gather.Rows(mem, fresh[0], rows)
	}
	work := &s.work
	work.runs = work.runs[:0]
	for _, row := range rows {
		batch := work.batches[row]
		work.runs = gather.AppendRun(work.runs,
			gather.Run{Batch: batch, Row: row - work.starts[batch], Rows: 1})
	}
	return gather.New(fresh).Runs(mem, work.runs)
}
