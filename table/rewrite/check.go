package rewrite

import (
	"slices"

	"github.com/apache/arrow-go/v18/parquet/metadata"
)

// part is bytes of a source that are copied as they are.
type part struct{ start, end int64 }

// check says why the chunks of a file cannot be copied, as far as its footer tells.
func (s *source) check() error {
	// Before 1.2.9 parquet-mr left the header of the dictionary out of a chunk's size.
	if s.meta.WriterVersion().LessThan(metadata.Parquet816FixedVersion) {
		return notCopyable("it is written by %s, which told wrong sizes", s.meta.GetCreatedBy())
	}
	rows := int64(0)
	for g, group := range s.meta.RowGroups {
		if len(group.Columns) != s.meta.Schema.NumColumns() {
			return notCopyable("row group %d has %d columns, the schema %d", g, len(group.Columns),
				s.meta.Schema.NumColumns())
		}
		rows += group.NumRows
		for i, chunk := range group.Columns {
			described := chunk.MetaData
			switch {
			case described == nil || chunk.CryptoMetadata != nil || chunk.EncryptedColumnMetadata != nil:
				return notCopyable("row group %d, column %d is encrypted", g, i)
			case chunk.GetFilePath() != "":
				return notCopyable("row group %d, column %d lies in another file", g, i)
			case described.IsSetIndexPageOffset():
				return notCopyable("row group %d, column %d has an index page", g, i)
			case described.IsSetBloomFilterOffset() && !described.IsSetBloomFilterLength():
				return notCopyable("row group %d, column %d has a bloom filter of unknown length", g, i)
			}
		}
	}
	if rows != s.task.File.Count() {
		return notCopyable("it has %d rows, its manifest says %d", rows, s.task.File.Count())
	}
	return s.checkParts()
}

// checkParts wants every chunk and filter by itself in front of the footer.
func (s *source) checkParts() error {
	last := int64(len(magic))
	for _, p := range s.parts() {
		if p.start < last || p.end <= p.start || p.end > s.dataEnd {
			return notCopyable("bytes %d to %d are no chunk: others end at %d, the footer begins at %d",
				p.start, p.end, last, s.dataEnd)
		}
		last = p.end
	}
	return nil
}

// parts are the chunks and bloom filters in the order in which they lie.
func (s *source) parts() []part {
	var parts []part
	for _, group := range s.meta.RowGroups {
		for _, chunk := range group.Columns {
			start, end := chunkRange(chunk.MetaData)
			parts = append(parts, part{start, end})
			if chunk.MetaData.IsSetBloomFilterOffset() {
				at := chunk.MetaData.GetBloomFilterOffset()
				parts = append(parts, part{at, at + int64(chunk.MetaData.GetBloomFilterLength())})
			}
		}
	}
	slices.SortFunc(parts, func(a, b part) int { return int(a.start - b.start) })
	return parts
}

// checkSame says why row groups of s cannot lie in a file with those of first. Names of columns may
// differ: they are known by their field ids.
func (s *source) checkSame(first *source) error {
	a, b := first.meta, s.meta
	switch {
	case a.GetCreatedBy() != b.GetCreatedBy():
		// Readers take statistics for what they are by the program in the footer.
		return notCopyable("%s is written by %q, %s by %q", first.location, a.GetCreatedBy(),
			s.location, b.GetCreatedBy())
	case len(a.FileMetaData.Schema) != len(b.FileMetaData.Schema) ||
		len(a.ColumnOrders) != len(b.ColumnOrders):
		return notCopyable("%s and %s differ in columns", first.location, s.location)
	}
	for i, element := range a.FileMetaData.Schema {
		mine, others := *element, *b.FileMetaData.Schema[i]
		others.Name = mine.Name
		if i == 0 { // the root's repetition and id mean nothing
			others.RepetitionType, others.FieldID = mine.RepetitionType, mine.FieldID
		}
		if mine.GetNumChildren() == 0 && mine.GetFieldID() <= 0 {
			return notCopyable("column %s of %s has no field id", mine.Name, first.location)
		}
		if !mine.Equals(&others) {
			return notCopyable("column %s of %s is not what it is in %s", mine.Name, first.location,
				s.location)
		}
	}
	for i, order := range a.ColumnOrders {
		if !order.Equals(b.ColumnOrders[i]) {
			return notCopyable("%s and %s differ in the order of column %d", first.location, s.location, i)
		}
	}
	return nil
}
