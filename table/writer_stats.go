package table

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/big"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/iceberg-go"
)

// columnStats are the statistics of a file's columns by field id, as Iceberg's manifests hold them.
type columnStats struct {
	sizes, values, nulls, nans map[int]int64
	lower, upper               map[int][]byte
	splits                     []int64
}

// describeDataFile makes the manifest entry of a finished file from its Parquet footer.
func describeDataFile(
	f *dataFile, meta *metadata.FileMetaData, partition partitionValue,
) (iceberg.DataFile, error) {
	stats, err := collectStats(f.layout.leaves, meta, f.parquet.NaNs())
	if err != nil {
		return nil, fmt.Errorf("statistics of %s: %w", f.location, err)
	}
	builder, err := iceberg.NewDataFileBuilder(*partition.spec, iceberg.EntryContentData,
		f.location, iceberg.ParquetFile, partition.values, partition.logicalTypes, nil,
		f.rows, f.sink.bytes)
	if err != nil {
		return nil, fmt.Errorf("describe %s: %w", f.location, err)
	}
	builder.ColumnSizes(stats.sizes).ValueCounts(stats.values).NullValueCounts(stats.nulls).
		NaNValueCounts(stats.nans).LowerBoundValues(stats.lower).UpperBoundValues(stats.upper).
		SplitOffsets(stats.splits)
	if partition.sortOrderID > 0 {
		builder.SortOrderID(partition.sortOrderID)
	}
	return builder.Build(), nil
}

// collectStats reads the column statistics out of a footer. Columns inside lists and maps get a
// size only, as Iceberg's metrics do not cover repeated values.
func collectStats(leaves []leaf, meta *metadata.FileMetaData, nans []int64) (columnStats, error) {
	s := columnStats{
		sizes: map[int]int64{}, values: map[int]int64{}, nulls: map[int]int64{},
		nans: map[int]int64{}, lower: map[int][]byte{}, upper: map[int][]byte{},
	}
	for i, leaf := range leaves {
		bounds := bounds{typ: leaf.typ, known: leaf.bounds}
		for group := range meta.NumRowGroups() {
			chunk, err := meta.RowGroup(group).ColumnChunk(i)
			if err != nil {
				return s, err
			}
			if i == 0 {
				s.splits = append(s.splits, chunkOffset(chunk))
			}
			s.sizes[leaf.fieldID] += chunk.TotalCompressedSize()
			if leaf.repeated {
				continue
			}
			nulls, err := bounds.add(chunk)
			if err != nil {
				return s, fmt.Errorf("column %s: %w", leaf.path, err)
			}
			s.values[leaf.fieldID] += chunk.NumValues()
			s.nulls[leaf.fieldID] += nulls
		}
		if isFloat(leaf.typ) && leaf.bounds {
			s.nans[leaf.fieldID] = nans[i]
		}
		bounds.store(&s, leaf.fieldID)
	}
	return s, nil
}

func chunkOffset(chunk *metadata.ColumnChunkMetaData) int64 {
	offset := chunk.DataPageOffset()
	if chunk.HasDictionaryPage() {
		offset = min(offset, chunk.DictionaryPageOffset())
	}
	return offset
}

// bounds gathers the least and greatest value of a column over its chunks, in Iceberg's single-value
// form, not yet shortened.
type bounds struct {
	typ        iceberg.PrimitiveType
	known      bool // false once a chunk with values has no bounds
	least, top []byte
}

// add takes in a chunk and returns its number of nulls.
func (b *bounds) add(chunk *metadata.ColumnChunkMetaData) (int64, error) {
	stats, err := chunk.Statistics()
	if err != nil {
		return 0, err
	}
	if stats == nil || !stats.HasNullCount() {
		return 0, fmt.Errorf("BUG: column chunk without statistics")
	}
	nulls := stats.NullCount()
	if !b.known || nulls == chunk.NumValues() {
		return nulls, nil
	}
	if !stats.HasMinMax() {
		// Floats lack bounds when all are NaN, which bounds leave out; others when a value is
		// too large for the footer.
		b.known = isFloat(b.typ)
		return nulls, nil
	}
	least := b.form(stats.EncodeMin(), chunk.Type())
	top := b.form(stats.EncodeMax(), chunk.Type())
	if b.least == nil || compareBound(b.typ, least, b.least) < 0 {
		b.least = least
	}
	if b.top == nil || compareBound(b.typ, top, b.top) > 0 {
		b.top = top
	}
	return nulls, nil
}

// form turns a bound as Parquet has it (plain encoding) into Iceberg's single-value form.
func (b *bounds) form(plain []byte, physical parquet.Type) []byte {
	plain = append(make([]byte, 0, len(plain)), plain...) // never nil, and ours
	if _, ok := b.typ.(iceberg.DecimalType); !ok {
		return plain
	}
	if physical == parquet.Types.Int32 || physical == parquet.Types.Int64 {
		for i, j := 0, len(plain)-1; i < j; i, j = i+1, j-1 {
			plain[i], plain[j] = plain[j], plain[i]
		}
	}
	return shortestTwosComplement(plain)
}

// shortestTwosComplement drops leading bytes that repeat the sign.
func shortestTwosComplement(b []byte) []byte {
	for len(b) > 1 && (b[0] == 0 && b[1] < 0x80 || b[0] == 0xff && b[1] >= 0x80) {
		b = b[1:]
	}
	return b
}

// compareBound orders two values in single-value form.
func compareBound(typ iceberg.PrimitiveType, a, b []byte) int {
	switch typ.(type) {
	case iceberg.Int32Type, iceberg.DateType:
		return compareOrdered(
			int32(binary.LittleEndian.Uint32(a)), int32(binary.LittleEndian.Uint32(b)))
	case iceberg.Int64Type, iceberg.TimeType, iceberg.TimestampType, iceberg.TimestampTzType,
		iceberg.TimestampNsType, iceberg.TimestampTzNsType:
		return compareOrdered(
			int64(binary.LittleEndian.Uint64(a)), int64(binary.LittleEndian.Uint64(b)))
	case iceberg.Float32Type:
		return compareOrdered(math.Float32frombits(binary.LittleEndian.Uint32(a)),
			math.Float32frombits(binary.LittleEndian.Uint32(b)))
	case iceberg.Float64Type:
		return compareOrdered(math.Float64frombits(binary.LittleEndian.Uint64(a)),
			math.Float64frombits(binary.LittleEndian.Uint64(b)))
	case iceberg.DecimalType:
		return signedInt(a).Cmp(signedInt(b))
	}
	return bytes.Compare(a, b)
}

func compareOrdered[T int32 | int64 | float32 | float64](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func signedInt(b []byte) *big.Int {
	v := new(big.Int).SetBytes(b)
	if len(b) > 0 && b[0] >= 0x80 {
		v.Sub(v, new(big.Int).Lsh(big.NewInt(1), uint(len(b))*8))
	}
	return v
}

// boundLengthMax is how many characters or bytes of a bound are kept: Iceberg's truncate(16).
const boundLengthMax = 16

// store puts the bounds into s, shortened. A bound that cannot be given is left out.
func (b *bounds) store(s *columnStats, id int) {
	if !b.known || b.least == nil {
		return
	}
	least, top := b.least, b.top
	switch b.typ.(type) {
	case iceberg.StringType:
		if !utf8.Valid(least) || !utf8.Valid(top) {
			return
		}
		least, top = truncateText(least), truncateTextUp(top)
	case iceberg.BinaryType:
		least, top = least[:min(len(least), boundLengthMax)], truncateBinaryUp(top)
	case iceberg.Float32Type, iceberg.Float64Type:
		least, top = widenZero(least, 0x80), widenZero(top, 0)
	}
	s.lower[id] = least
	if top != nil {
		s.upper[id] = top
	}
}

// widenZero gives a bound that is zero the sign that holds for both zeros: negative zero sorts
// before positive zero.
func widenZero(bound []byte, sign byte) []byte {
	last := len(bound) - 1
	for i, v := range bound {
		if i < last && v != 0 || i == last && v&0x7f != 0 {
			return bound
		}
	}
	bound[last] = sign
	return bound
}

func truncateText(text []byte) []byte {
	end := 0
	for range boundLengthMax {
		if end == len(text) {
			return text
		}
		_, size := utf8.DecodeRune(text[end:])
		end += size
	}
	return text[:end]
}

// truncateTextUp is the least text of at most 16 characters that is not below text, or nil when
// there is none: the last character that can be raised is raised.
func truncateTextUp(text []byte) []byte {
	short := truncateText(text)
	if len(short) == len(text) {
		return text
	}
	for len(short) > 0 {
		r, size := utf8.DecodeLastRune(short)
		short = short[:len(short)-size]
		if r == utf8.MaxRune {
			continue
		}
		if r++; r == 0xd800 { // surrogates are no characters
			r = 0xe000
		}
		return utf8.AppendRune(short, r)
	}
	return nil
}

// truncateBinaryUp is truncateTextUp for bytes.
func truncateBinaryUp(b []byte) []byte {
	if len(b) <= boundLengthMax {
		return b
	}
	for end := boundLengthMax; end > 0; end-- {
		if b[end-1] != 0xff {
			short := b[:end]
			short[end-1]++
			return short
		}
	}
	return nil
}

func isFloat(typ iceberg.Type) bool {
	switch typ.(type) {
	case iceberg.Float32Type, iceberg.Float64Type:
		return true
	}
	return false
}
