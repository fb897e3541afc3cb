package rewrite

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/apache/arrow-go/v18/parquet/metadata"

	"github.com/firthlake/firth/table/objstore"
)

const (
	// copyBytes is how much is read at a time.
	copyBytes = 1 << 20
	// skipBytesMax is how much that nobody asked for is read rather than asking anew.
	skipBytesMax = 128 << 10
	// rowGroupsMax is what the ordinal of a row group can count.
	rowGroupsMax = math.MaxInt16
)

// splicer writes a file of the row groups of other files.
type splicer struct {
	store   objstore.Store
	to      io.Writer
	at      int64
	buffer  []byte
	footer  *metadata.FileMetaData // of the first source, in the end of the whole
	paths   [][]string             // of its columns
	first   bool                   // no source is added yet
	lineage *lineage               // nil when what rows have is in their files
	indexes [][]chunkIndex         // of the row groups written
	splits  []int64                // where the row groups begin
}

// newSplicer begins a file with the columns of first, which is to be added first.
func newSplicer(store objstore.Store, to io.Writer, first *source, l *lineage) (*splicer, error) {
	w := &splicer{store: store, to: to, footer: first.meta, first: true, lineage: l,
		buffer: make([]byte, copyBytes)}
	for i := range first.meta.Schema.NumColumns() {
		w.paths = append(w.paths, first.meta.Schema.Column(i).ColumnPath())
	}
	return w, w.write([]byte(magic))
}

func (w *splicer) write(p []byte) error {
	n, err := w.to.Write(p)
	w.at += int64(n)
	return err
}

// add appends the row groups of a source.
func (w *splicer) add(ctx context.Context, s *source) error {
	groups := s.meta.RowGroups
	if len(w.indexes)+len(groups) > rowGroupsMax {
		return notCopyable("there are more than %d row groups", rowGroupsMax)
	}
	moved, inherited, err := w.copyParts(ctx, s)
	if err != nil {
		return fmt.Errorf("copy %s: %w", s.location, err)
	}
	for g := range groups {
		w.place(s, g, moved)
		if w.lineage != nil {
			groups[g].Columns = append(groups[g].Columns, inherited[g].meta.RowGroups[0].Columns...)
			groups[g].TotalByteSize += inherited[g].meta.RowGroups[0].TotalByteSize
			w.indexes[len(w.indexes)-1] = append(w.indexes[len(w.indexes)-1], inherited[g].indexes[0]...)
		}
		compressed := int64(0)
		for _, chunk := range groups[g].Columns {
			compressed += chunk.MetaData.TotalCompressedSize
		}
		groups[g].TotalCompressedSize = &compressed
	}
	if !w.first {
		w.footer.RowGroups = append(w.footer.RowGroups, groups...)
		w.footer.NumRows += s.meta.NumRows
		w.keepAgreed(s.meta.KeyValueMetadata())
	}
	w.first = false
	return nil
}

// copyParts copies the chunks and filters of a source in the order in which they lie. It returns by how
// much each moved, by where it began, and what it wrote about the lineage of each row group, right
// behind the last of its chunks.
func (w *splicer) copyParts(ctx context.Context, s *source) (map[int64]int64, []*source, error) {
	parts := s.parts()
	moved := make(map[int64]int64, len(parts))
	inherited := make([]*source, len(s.meta.RowGroups))
	ends, rows := groupEnds(s), rowStarts(s)
	from := stream{store: w.store, location: s.location}
	defer func() { _ = from.close() }() // all that was read is checked by its length
	for _, p := range parts {
		moved[p.start] = w.at - p.start
		if err := w.copy(ctx, &from, part{p.start, p.end}, parts[len(parts)-1].end); err != nil {
			return nil, nil, err
		}
		for _, g := range ends[p.end] {
			if w.lineage == nil {
				continue
			}
			var err error
			if inherited[g], err = w.addLineage(s, g, rows[g]); err != nil {
				return nil, nil, err
			}
		}
	}
	return moved, inherited, nil
}

// groupEnds are the row groups by where the last of their chunks ends.
func groupEnds(s *source) map[int64][]int {
	ends := map[int64][]int{}
	for g, group := range s.meta.RowGroups {
		last := int64(0)
		for _, chunk := range group.Columns {
			_, end := chunkRange(chunk.MetaData)
			last = max(last, end)
		}
		ends[last] = append(ends[last], g)
	}
	return ends
}

// rowStarts are the places of the first rows of the row groups in the file.
func rowStarts(s *source) []int64 {
	starts := make([]int64, len(s.meta.RowGroups))
	row := int64(0)
	for g, group := range s.meta.RowGroups {
		starts[g] = row
		row += group.NumRows
	}
	return starts
}

func (w *splicer) copy(ctx context.Context, from *stream, p part, end int64) error {
	if err := from.seek(ctx, p.start, end, w.buffer); err != nil {
		return err
	}
	for left := p.end - p.start; left > 0; {
		piece := w.buffer[:min(left, copyBytes)]
		if err := from.read(piece); err != nil {
			return err
		}
		if err := w.write(piece); err != nil {
			return err
		}
		left -= int64(len(piece))
	}
	return nil
}

// place tells where the chunks of row group g of a source are now.
func (w *splicer) place(s *source, g int, moved map[int64]int64) {
	group := s.meta.RowGroups[g]
	begin := w.at
	for i, chunk := range group.Columns {
		start, _ := chunkRange(chunk.MetaData)
		by := moved[start]
		begin = min(begin, start+by)
		described := chunk.MetaData
		if described.IsSetDictionaryPageOffset() && described.GetDictionaryPageOffset() > 0 {
			at := described.GetDictionaryPageOffset() + by
			described.DictionaryPageOffset = &at
		}
		described.DataPageOffset += by
		if described.IsSetBloomFilterOffset() {
			at := described.GetBloomFilterOffset()
			at += moved[at]
			described.BloomFilterOffset = &at
		}
		if chunk.FileOffset > 0 {
			chunk.FileOffset += by
		}
		described.PathInSchema = w.paths[i]
		s.indexes[g][i].moved = by
	}
	ordinal := int16(len(w.indexes))
	group.FileOffset, group.Ordinal = &begin, &ordinal
	w.indexes = append(w.indexes, s.indexes[g])
	w.splits = append(w.splits, begin)
}

// keepAgreed keeps what all sources say alike in key-value metadata.
func (w *splicer) keepAgreed(others metadata.KeyValueMetadata) {
	said := w.footer.FileMetaData.KeyValueMetadata
	kept := said[:0]
	for _, pair := range said {
		for _, other := range others {
			if pair.Equals(other) {
				kept = append(kept, pair)
				break
			}
		}
	}
	w.footer.FileMetaData.KeyValueMetadata = kept
}

// finish writes page indexes and footer.
func (w *splicer) finish() error {
	if w.lineage != nil {
		w.addLineageColumns()
	}
	if err := w.writeIndexes(); err != nil {
		return err
	}
	start := w.at
	written, err := w.footer.WriteTo(w.to, nil)
	w.at += written
	if err != nil {
		return err
	}
	end := binary.LittleEndian.AppendUint32(nil, uint32(w.at-start))
	return w.write(append(end, magic...))
}

// writeIndexes writes the column indexes of all chunks, then the offset indexes, and tells where.
func (w *splicer) writeIndexes() error {
	for g, group := range w.footer.RowGroups {
		for i, chunk := range group.Columns {
			chunk.ColumnIndexOffset, chunk.ColumnIndexLength = nil, nil
			if index := w.indexes[g][i].columns; index != nil {
				at, length := w.at, int32(len(index))
				chunk.ColumnIndexOffset, chunk.ColumnIndexLength = &at, &length
				if err := w.write(index); err != nil {
					return err
				}
			}
		}
	}
	for g, group := range w.footer.RowGroups {
		for i, chunk := range group.Columns {
			chunk.OffsetIndexOffset, chunk.OffsetIndexLength = nil, nil
			if index := w.indexes[g][i]; index.offsets != nil {
				w.buffer = appendOffsets(w.buffer[:0], index.offsets, index.moved)
				at, length := w.at, int32(len(w.buffer))
				chunk.OffsetIndexOffset, chunk.OffsetIndexLength = &at, &length
				if err := w.write(w.buffer); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// stream reads an object forwards.
type stream struct {
	store    objstore.Store
	location string
	body     io.ReadCloser
	at       int64
}

// seek goes on to a byte behind the last one read. The object is read up to end.
func (f *stream) seek(ctx context.Context, to, end int64, buffer []byte) error {
	if f.body != nil && to-f.at <= skipBytesMax {
		return f.read(buffer[:to-f.at])
	}
	if err := f.close(); err != nil {
		return err
	}
	body, err := f.store.Get(ctx, f.location, to, end-to)
	f.body, f.at = body, to
	return err
}

func (f *stream) read(p []byte) error {
	n, err := io.ReadFull(f.body, p)
	f.at += int64(n)
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("read %d of %d bytes: %w", n, len(p), err)
	}
	return nil
}

func (f *stream) close() error {
	if f.body == nil {
		return nil
	}
	body := f.body
	f.body = nil
	return body.Close()
}
