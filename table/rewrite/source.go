package rewrite

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/parquet/metadata"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// ErrNotCopyable says that files have to be decoded: their chunks cannot become chunks of one file, or
// what is said about them is not enough to be sure. Nothing is wrong with the files as such.
var ErrNotCopyable = errors.New("column chunks cannot be copied")

func notCopyable(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrNotCopyable}, args...)...)
}

const (
	magic = "PAR1"
	// tailBytes is what is read of a file first: the footer and mostly the page index too.
	tailBytes = 256 << 10
	// tailEnd are the length of the footer and the magic.
	tailEnd = 8
	// footerBytesMax bounds the footer of one source: some 100,000 column chunks.
	footerBytesMax = 64 << 20
)

// source is a Parquet file whose chunks are to be copied.
type source struct {
	task     table.Task
	meta     *metadata.FileMetaData
	dataEnd  int64 // where the footer begins
	indexes  [][]chunkIndex
	location string
	size     int64
}

// chunkIndex is the page index of a chunk.
type chunkIndex struct {
	columns []byte // as it is; nil when there is none
	offsets metadata.OffsetIndex
	moved   int64 // how far the pages have moved since offsets was made
}

// openSource reads the footer and the page index of a task's file.
func openSource(ctx context.Context, store objstore.Store, task table.Task) (*source, error) {
	s := &source{task: task, location: task.File.FilePath(), size: task.File.FileSizeBytes()}
	if s.size < int64(len(magic)+tailEnd) {
		return nil, notCopyable("%s has %d bytes", s.location, s.size)
	}
	r := ranges{store: store, location: s.location}
	if err := s.open(ctx, &r); err != nil {
		return nil, fmt.Errorf("open %s: %w", s.location, err)
	}
	return s, nil
}

func (s *source) open(ctx context.Context, r *ranges) error {
	if err := r.load(ctx, max(0, s.size-tailBytes), s.size); err != nil {
		return err
	}
	end, err := r.read(ctx, s.size-tailEnd, s.size)
	if err != nil {
		return err
	}
	length := int64(binary.LittleEndian.Uint32(end))
	s.dataEnd = s.size - tailEnd - length
	switch {
	case string(end[4:]) != magic:
		return notCopyable("it ends with %q: it is encrypted or no Parquet file", end[4:])
	case length > footerBytesMax || s.dataEnd < int64(len(magic)):
		return notCopyable("its footer has %d bytes", length)
	}
	footer, err := r.read(ctx, s.dataEnd, s.size-tailEnd)
	if err != nil {
		return err
	}
	if s.meta, err = parseFooter(footer); err != nil {
		return err
	}
	if err := s.check(); err != nil {
		return err
	}
	return s.readIndexes(ctx, r)
}

// parseFooter decodes a footer, which has to be one that can be written again: a later version of the
// format has unions of more than is known here. The library panics over some that are damaged.
func parseFooter(footer []byte) (meta *metadata.FileMetaData, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			meta, err = nil, notCopyable("footer: %v", fault)
		}
	}()
	if meta, err = metadata.NewFileMetaData(footer, nil); err != nil {
		return nil, notCopyable("footer: %v", err)
	}
	if _, err := meta.WriteTo(io.Discard, nil); err != nil {
		return nil, notCopyable("footer: %v", err)
	}
	return meta, nil
}

// readIndexes reads the page indexes of all chunks that have one, of a file at a time by one request at
// most, as writers put them together.
func (s *source) readIndexes(ctx context.Context, r *ranges) error {
	first, last := s.dataEnd, int64(0)
	for _, group := range s.meta.RowGroups {
		for _, chunk := range group.Columns {
			if chunk.IsSetColumnIndexOffset() {
				first = min(first, chunk.GetColumnIndexOffset())
				last = max(last, chunk.GetColumnIndexOffset()+int64(chunk.GetColumnIndexLength()))
			}
			if chunk.IsSetOffsetIndexOffset() {
				first = min(first, chunk.GetOffsetIndexOffset())
				last = max(last, chunk.GetOffsetIndexOffset()+int64(chunk.GetOffsetIndexLength()))
			}
		}
	}
	if last-first > footerBytesMax {
		return notCopyable("its page index lies over %d bytes", last-first)
	}
	if last > first && !r.has(first, last) {
		if err := r.load(ctx, first, last); err != nil {
			return err
		}
	}
	s.indexes = make([][]chunkIndex, len(s.meta.RowGroups))
	for g, group := range s.meta.RowGroups {
		s.indexes[g] = make([]chunkIndex, len(group.Columns))
		for i, chunk := range group.Columns {
			index := &s.indexes[g][i]
			if chunk.IsSetColumnIndexOffset() {
				at := chunk.GetColumnIndexOffset()
				found, err := r.read(ctx, at, at+int64(chunk.GetColumnIndexLength()))
				if err != nil {
					return err
				}
				index.columns = bytes.Clone(found)
			}
			if !chunk.IsSetOffsetIndexOffset() {
				continue
			}
			at := chunk.GetOffsetIndexOffset()
			found, err := r.read(ctx, at, at+int64(chunk.GetOffsetIndexLength()))
			if err != nil {
				return err
			}
			if index.offsets, err = parseOffsets(found); err != nil {
				return err
			}
			start, end := chunkRange(chunk.MetaData)
			for _, page := range index.offsets.GetPageLocations() {
				if page.Offset < start || page.Offset+int64(page.CompressedPageSize) > end {
					return notCopyable("a page of row group %d, column %d lies outside its chunk", g, i)
				}
			}
		}
	}
	return nil
}

func parseOffsets(index []byte) (offsets metadata.OffsetIndex, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			offsets, err = nil, notCopyable("offset index: %v", fault)
		}
	}()
	return metadata.NewOffsetIndex(index, nil, nil), nil
}

// placed is what is known of where a chunk lies.
type placed interface {
	GetDataPageOffset() int64
	IsSetDictionaryPageOffset() bool
	GetDictionaryPageOffset() int64
	GetTotalCompressedSize() int64
}

// chunkRange is where the pages of a chunk lie. Some writers give 0 as the place of a dictionary that
// there is not.
func chunkRange(chunk placed) (start, end int64) {
	start = chunk.GetDataPageOffset()
	if chunk.IsSetDictionaryPageOffset() && chunk.GetDictionaryPageOffset() > 0 {
		start = min(start, chunk.GetDictionaryPageOffset())
	}
	return start, start + chunk.GetTotalCompressedSize()
}

// ranges reads parts of an object, from memory where they have been loaded.
type ranges struct {
	store    objstore.Store
	location string
	start    int64
	content  []byte
}

func (r *ranges) has(start, end int64) bool {
	return start >= r.start && start <= end && end <= r.start+int64(len(r.content))
}

// load reads [start, end) and forgets what was loaded before.
func (r *ranges) load(ctx context.Context, start, end int64) error {
	content, err := readRange(ctx, r.store, r.location, start, end)
	r.start, r.content = start, content
	return err
}

// read returns [start, end), valid until the next load.
func (r *ranges) read(ctx context.Context, start, end int64) ([]byte, error) {
	if r.has(start, end) {
		return r.content[start-r.start : end-r.start], nil
	}
	return readRange(ctx, r.store, r.location, start, end)
}

func readRange(
	ctx context.Context, store objstore.Store, location string, start, end int64,
) ([]byte, error) {
	if start < 0 || end < start {
		return nil, notCopyable("bytes %d to %d are asked for", start, end)
	}
	body, err := store.Get(ctx, location, start, end-start)
	if err != nil {
		return nil, err
	}
	content := make([]byte, end-start)
	n, err := io.ReadFull(body, content)
	if err = errors.Join(err, body.Close()); err != nil {
		return nil, fmt.Errorf("read %d of %d bytes from byte %d: %w", n, end-start, start, err)
	}
	return content, nil
}
