package table

import (
	"slices"

	"github.com/apache/arrow-go/v18/parquet/metadata"
)

const (
	// fetchBytesMax is how much one request for several column chunks may bring. Above it the time of
	// a request hides behind that of its bytes, so larger chunks gain nothing by company.
	fetchBytesMax = 8 << 20
	// fetchGapMax is how many bytes that nobody asked for may lie between two chunks of one request.
	fetchGapMax = 128 << 10
)

// byteRange is part of a file.
type byteRange struct{ start, end int64 }

// fetchRanges are the requests that bring the column chunks of a row group, where one can bring
// several.
func fetchRanges(group *metadata.RowGroupMetaData, leaves []int) ([]byteRange, error) {
	chunks := make([]byteRange, 0, len(leaves))
	for _, leaf := range leaves {
		chunk, err := group.ColumnChunk(leaf)
		if err != nil {
			return nil, err
		}
		start := chunk.DataPageOffset()
		if chunk.HasDictionaryPage() && chunk.DictionaryPageOffset() > 0 {
			start = min(start, chunk.DictionaryPageOffset())
		}
		chunks = append(chunks, byteRange{start, start + chunk.TotalCompressedSize()})
	}
	return mergeRanges(chunks), nil
}

// mergeRanges joins ranges that lie close together and leaves out those that stay alone.
func mergeRanges(chunks []byteRange) []byteRange {
	slices.SortFunc(chunks, func(a, b byteRange) int { return int(a.start - b.start) })
	var merged []byteRange
	for at := 0; at < len(chunks); {
		whole, next := chunks[at], at+1
		for ; next < len(chunks); next++ {
			joined := byteRange{whole.start, max(whole.end, chunks[next].end)}
			if chunks[next].start-whole.end > fetchGapMax || joined.end-joined.start > fetchBytesMax {
				break
			}
			whole = joined
		}
		if next-at > 1 {
			merged = append(merged, whole)
		}
		at = next
	}
	return merged
}

// preload fetches ranges and drops those fetched before. Reads inside of them need no request.
func (f *storeFile) preload(ranges []byteRange) error {
	clear(f.loaded)
	f.loaded = f.loaded[:0]
	for _, r := range ranges {
		end := min(r.end, f.object.Size)
		if r.start < 0 || r.start >= end {
			continue // the metadata of the file are wrong, which the reader will say
		}
		content := make([]byte, end-r.start)
		if err := f.fetch(content, r.start); err != nil {
			return err
		}
		f.loaded = append(f.loaded, loadedRange{start: r.start, content: content})
	}
	return nil
}

// loadedRange is part of a file in memory.
type loadedRange struct {
	start   int64
	content []byte
}

// copyTo fills p from offset when the range holds all of it.
func (r loadedRange) copyTo(p []byte, offset int64) bool {
	from := offset - r.start
	if from < 0 || from+int64(len(p)) > int64(len(r.content)) {
		return false
	}
	copy(p, r.content[from:])
	return true
}
