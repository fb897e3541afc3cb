package columnchunk

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/cespare/xxhash/v2"
)

// Filter says what bloom filter each chunk of a column gets. The zero value is none.
type Filter struct {
	// BytesMax is the largest filter, and what an open chunk holds in memory; it is rounded down to
	// a power of two.
	BytesMax int
	// FalsePositives is the share of absent values that may pass; the smallest filter that keeps to
	// it is written.
	FalsePositives float64
}

// FilterBytesMin and FilterBytesMax are what readers take.
const (
	FilterBytesMin = blockBytes
	FilterBytesMax = 128 << 20
)

const (
	// A block has eight words, and a value sets one bit in each.
	blockWords   = 8
	blockBytes   = 4 * blockWords
	passesAlways = 0.5 // a filter that lets so many pass is not worth reading

	javaNaN = 0x7ff8000000000000 // the NaN that other languages write
)

func (f Filter) check() error {
	if f.BytesMax != 0 && (f.BytesMax < FilterBytesMin || f.BytesMax > FilterBytesMax) {
		return fmt.Errorf("a bloom filter has %d to %d bytes, not %d", FilterBytesMin, FilterBytesMax, f.BytesMax)
	}
	if f.BytesMax != 0 && !(f.FalsePositives > 0 && f.FalsePositives < 1) {
		return fmt.Errorf("the false positives of a bloom filter are above 0 and below 1, not %v",
			f.FalsePositives)
	}
	return nil
}

// bloomFilter is Parquet's split block bloom filter: the upper half of a value's hash chooses a block,
// the lower half a bit in each of its words. It is filled at its greatest size. As the block is chosen
// by the hash's upper bits, two neighbours laid over each other are the block of a filter of half the
// size, so that it can be made smaller when all values are known.
type bloomFilter struct {
	words []uint32
}

// reset empties the filter and gives it size bytes, rounded down.
func (f *bloomFilter) reset(size int) {
	n := 1 << (bits.Len(uint(size)) - 1) / 4
	if cap(f.words) < n {
		f.words = make([]uint32, n)
	}
	f.words = f.words[:n]
	clear(f.words)
}

// add takes in a value as PLAIN has it, without a length.
func (f *bloomFilter) add(value []byte) { f.insert(xxhash.Sum64(value)) }

// insert takes in a value by its xxHash64.
func (f *bloomFilter) insert(hash uint64) {
	at := (hash >> 32) * uint64(len(f.words)/blockWords) >> 32 * blockWords
	block := f.words[at : at+blockWords : at+blockWords]
	low := uint32(hash)
	// The format's odd numbers.
	block[0] |= 1 << (low * 0x47b6137b >> 27)
	block[1] |= 1 << (low * 0x44974d91 >> 27)
	block[2] |= 1 << (low * 0x8824ad5b >> 27)
	block[3] |= 1 << (low * 0xa2b7289d >> 27)
	block[4] |= 1 << (low * 0x705495c7 >> 27)
	block[5] |= 1 << (low * 0x2df1424b >> 27)
	block[6] |= 1 << (low * 0x9efc4947 >> 27)
	block[7] |= 1 << (low * 0x5c6bfb31 >> 27)
}

// passes is the share of absent values that the filter lets pass.
func (f *bloomFilter) passes() float64 {
	var sum float64
	for at := 0; at < len(f.words); at += blockWords {
		sum += share(f.words[at:at+blockWords], f.words[at:at+blockWords])
	}
	return sum * blockWords / float64(len(f.words))
}

// passesHalved is passes after halve.
func (f *bloomFilter) passesHalved() float64 {
	var sum float64
	for at := 0; at < len(f.words); at += 2 * blockWords {
		sum += share(f.words[at:at+blockWords], f.words[at+blockWords:at+2*blockWords])
	}
	return sum * 2 * blockWords / float64(len(f.words))
}

// share is the chance that all bits of an absent value are set in two blocks laid over each other.
func share(a, b []uint32) float64 {
	a, b = a[:blockWords], b[:blockWords]
	product := uint64(1)
	for i, word := range a {
		product *= uint64(bits.OnesCount32(word | b[i]))
	}
	return float64(product) / (1 << 40) // 32 to the power of eight
}

// halve lays neighbouring blocks over each other.
func (f *bloomFilter) halve() {
	for at := 0; at < len(f.words); at += 2 * blockWords {
		for i := range blockWords {
			f.words[at/2+i] = f.words[at+i] | f.words[at+blockWords+i]
		}
	}
	f.words = f.words[:len(f.words)/2]
}

// shrink halves the filter as often as at most the given share of absent values pass.
func (f *bloomFilter) shrink(passing float64) {
	for len(f.words) > blockWords && f.passesHalved() <= passing {
		f.halve()
	}
}

// filterPage adds the values of the open page, unless they are numbers of the dictionary.
func (c *column) filterPage() {
	if c.filter == nil || c.indexing {
		return
	}
	switch {
	case c.kind == kindBytes:
		at := 0
		for _, n := range c.lengths {
			c.filter.add(c.values[at : at+int(n)])
			at += int(n)
		}
	case c.kind.isFloat():
		for at := 0; at < len(c.values); at += c.width {
			c.filterFloat(c.values[at : at+c.width])
		}
	default:
		for at := 0; at < len(c.values); at += c.width {
			c.filter.add(c.values[at : at+c.width])
		}
	}
}

// filterFloat adds a value and all that equal it to readers, who look for the bits of one: zeros have
// two signs, and NaNs are many.
func (c *column) filterFloat(value []byte) {
	v := c.float(value)
	if v != 0 && v == v {
		c.filter.add(value)
		return
	}
	same := []float64{0, math.Copysign(0, -1)}
	if v != v {
		c.filter.add(value)
		same = []float64{math.Float64frombits(javaNaN)}
	}
	var word [8]byte
	for _, v := range same {
		if c.kind == kindFloat {
			binary.LittleEndian.PutUint32(word[:], math.Float32bits(float32(v)))
		} else {
			binary.LittleEndian.PutUint64(word[:], math.Float64bits(v))
		}
		c.filter.add(word[:c.width])
	}
}

// filterDictionary adds the entries of the dictionary, each once.
func (c *column) filterDictionary() {
	if c.filter == nil {
		return
	}
	for i := range c.dictionary.entries() {
		if c.kind.isFloat() {
			c.filterFloat(c.dictionary.entry(i))
		} else {
			c.filter.add(c.dictionary.entry(i))
		}
	}
}

// writeFilter writes the filter of a chunk and tells where it is. Filters lie behind the chunks of
// their row group.
func (w *Writer) writeFilter(c *column, described *metadata.ColumnChunkMetaDataBuilder) error {
	c.filter.shrink(c.encoding.Filter.FalsePositives)
	if c.filter.passes() <= passesAlways {
		start := w.sink.at
		w.work.header = appendFilterHeader(w.work.header[:0], 4*len(c.filter.words))
		if _, err := w.sink.Write(w.work.header); err != nil {
			return err
		}
		if _, err := w.sink.Write(arrow.Uint32Traits.CastToBytes(c.filter.words)); err != nil {
			return err
		}
		size := int32(w.sink.at - start)
		chunk := described.Contents().MetaData
		chunk.BloomFilterOffset, chunk.BloomFilterLength = &start, &size
	}
	c.filter.reset(c.encoding.Filter.BytesMax)
	return nil
}

// appendFilterHeader says, each as the only field of a struct of its own: blocks, xxHash, uncompressed.
func appendFilterHeader(dst []byte, size int) []byte {
	dst = appendI32(dst, size)
	for range 3 {
		dst = append(dst, 1<<4|thriftStruct, 1<<4|thriftStruct, thriftEnd, thriftEnd)
	}
	return append(dst, thriftEnd)
}
