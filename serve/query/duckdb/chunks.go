//go:build duckdb_arrow

package duckdb

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/apache/arrow-go/v18/parquet/metadata"

	"github.com/firthlake/firth/serve/query/filecache"
	"github.com/firthlake/firth/table"
)

const (
	// tailGuess is how many bytes of the end of a file are fetched for its footer, which is longer in files of hundreds
	// of columns or row groups only.
	tailGuess = 64 << 10
	// chunkSlack is added to the end of chunks: old writers left the header of the dictionary out of their length.
	chunkSlack = 128
	// footerEnd is the length of the footer, as a little-endian number, and the four letters behind it.
	footerEnd   = 8
	footerMagic = "PAR1"
)

// readParts finds the places of columns, whose ids are known by name.
func readParts(footer *metadata.FileMetaData, ids map[string]int, bytes int64) (parts, error) {
	out, end := parts{chunks: map[int][]filecache.Range{}}, int64(0)
	for i := range footer.NumRowGroups() {
		group := footer.RowGroup(i)
		for n := range group.NumColumns() {
			chunk, err := group.ColumnChunk(n)
			if err != nil {
				return parts{}, fmt.Errorf("parquet footer: column %d of row group %d: %w", n, i, err)
			}
			ranges, known := rangesOf(chunk)
			if !known {
				return parts{}, nil
			}
			end = max(end, ranges[0].Next-chunkSlack)
			if id, wanted := ids[chunk.PathInSchema()[0]]; wanted {
				out.chunks[id] = append(out.chunks[id], ranges...)
			}
		}
	}
	out.tail = filecache.Range{From: end, Next: bytes}
	return out, nil
}

// rangesOf are the bytes of a column in one row group and those of its filter, or not known.
func rangesOf(chunk *metadata.ColumnChunkMetaData) (ranges []filecache.Range, known bool) {
	from := chunk.DataPageOffset()
	if at := chunk.DictionaryPageOffset(); chunk.HasDictionaryPage() && at > 0 {
		from = min(from, at)
	}
	if chunk.FilePath() != "" || from <= 0 || chunk.CryptoMetadata() != nil {
		return nil, false
	}
	ranges = []filecache.Range{{From: from, Next: from + chunk.TotalCompressedSize() + chunkSlack}}
	if at := chunk.BloomFilterOffset(); at > 0 {
		if chunk.BloomFilterLength() <= 0 {
			return nil, false
		}
		ranges = append(ranges, filecache.Range{From: at, Next: at + int64(chunk.BloomFilterLength())})
	}
	return ranges, true
}

// of are the parts of a file that reading columns takes, or not known.
func (p parts) of(columns []column) (ranges []filecache.Range, known bool) {
	if p.chunks == nil {
		return nil, false
	}
	ranges = []filecache.Range{p.tail}
	for _, c := range columns {
		ranges = append(ranges, p.chunks[c.field.ID]...)
	}
	return ranges, true
}

// layouts are the layouts of files that were looked at, by location: a file never changes.
type layouts struct {
	mu    sync.Mutex
	known map[string]layout
	parts int // of all
}

// layoutPartsMax bounds what is known, at about 100 bytes a part. Beyond it everything is forgotten: that is 20,000
// files of 25 columns and a row group.
const layoutPartsMax = 500_000

func newLayouts() *layouts { return &layouts{known: map[string]layout{}} }

func (l *layouts) get(location string) (layout, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	found, known := l.known[location]
	return found, known
}

func (l *layouts) put(location string, found layout) {
	l.mu.Lock()
	defer l.mu.Unlock()
	count := 1 + len(found.columns)
	for _, ranges := range found.chunks {
		count += len(ranges)
	}
	if l.parts += count; l.parts > layoutPartsMax {
		clear(l.known)
		l.parts = count
	}
	l.known[location] = found
}

// layoutOf is the layout of a data file, of which only the end is fetched.
func (e *Engine) layoutOf(ctx context.Context, task table.Task) (layout, error) {
	location := task.File.FilePath()
	if found, known := e.layouts.get(location); known {
		return found, nil
	}
	found, err := e.fetchLayout(ctx, e.object(task))
	if err == nil {
		e.layouts.put(location, found)
	}
	return found, err
}

func (e *Engine) object(task table.Task) filecache.Object {
	return filecache.Object{Store: e.opts.Objects, Location: task.File.FilePath(), Bytes: task.File.FileSizeBytes()}
}

func (e *Engine) fetchLayout(ctx context.Context, of filecache.Object) (layout, error) {
	file, ended, err := e.fetchTail(ctx, of)
	switch {
	case err == nil && ended:
		defer file.Release()
		return readLayout(file.Path(), of.Bytes)
	case err == nil:
		file.Release()
	case ctx.Err() != nil || errors.Is(err, filecache.ErrFull):
		return layout{}, err
	}
	// The table may be wrong about the size: some writers are.
	whole, err := e.files.Whole(ctx, of.Store, of.Location)
	if err != nil {
		return layout{}, err
	}
	defer whole.Release()
	found, err := readLayout(whole.Path(), of.Bytes)
	found.parts = parts{}
	return found, err
}

// fetchTail fetches the footer of a file, and says whether the file ends with one.
func (e *Engine) fetchTail(ctx context.Context, of filecache.Object) (*filecache.File, bool, error) {
	if of.Bytes < footerEnd {
		file, err := e.files.Parts(ctx, of, filecache.Range{})
		return file, false, err
	}
	file, err := e.files.Parts(ctx, of, filecache.Range{From: of.Bytes - tailGuess, Next: of.Bytes})
	if err != nil {
		return nil, false, err
	}
	length, ended, err := footerLength(file.Path(), of.Bytes)
	if err == nil && (!ended || length <= tailGuess) {
		return file, ended, nil
	}
	defer file.Release()
	if err != nil {
		return nil, false, err
	}
	longer, err := e.files.Parts(ctx, of, filecache.Range{From: of.Bytes - length, Next: of.Bytes})
	return longer, true, err
}

// footerLength is the length of the footer with its end, in a local file of so many bytes.
func footerLength(path string, bytes int64) (length int64, ended bool, err error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, false, fmt.Errorf("parquet footer: %w", err)
	}
	defer func() { _ = file.Close() }() // nothing was written
	var end [footerEnd]byte
	if _, err := file.ReadAt(end[:], bytes-footerEnd); err != nil {
		return 0, false, fmt.Errorf("parquet footer: %w", err)
	}
	length = int64(binary.LittleEndian.Uint32(end[:])) + footerEnd
	return length, string(end[4:]) == footerMagic && length <= bytes, nil
}
