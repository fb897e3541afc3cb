package columnchunk

import (
	"bytes"
	"fmt"
	"math"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/stretchr/testify/require"
)

// filters are the library's readers of the bloom filters of a column, by row group; nil where there
// is none.
func filters(t testing.TB, raw []byte, column int) []metadata.BloomFilter {
	t.Helper()
	reader := open(t, raw)
	out := make([]metadata.BloomFilter, reader.NumRowGroups())
	for i := range out {
		group, err := reader.GetBloomFilterReader().RowGroup(i)
		require.NoError(t, err)
		out[i], err = group.GetColumnBloomFilter(column)
		require.NoError(t, err)
	}
	return out
}

func filtered(encoding Encoding, bytesMax int) Encoding {
	encoding.Filter = Filter{BytesMax: bytesMax, FalsePositives: 0.01}
	return encoding
}

// TestFiltersHoldEveryValue writes random files with a filter for every column and asks the library for
// every value; and it compares the filters with the library's own of the same size.
func TestFiltersHoldEveryValue(t *testing.T) {
	asked, seeds := 0, 60
	if testing.Short() {
		seeds = 12
	}
	for seed := range uint64(seeds) {
		fields, opts, batches := newDice(seed+5000).file(t, memory.DefaultAllocator)
		for i := range opts.Columns {
			opts.Columns[i] = filtered(opts.Columns[i], 64<<10)
		}
		raw, _ := write(t, opts, batches...)
		reader := open(t, raw)
		for c := range opts.Columns {
			descr := opts.Schema.Column(c)
			for g, filter := range filters(t, raw, c) {
				values, _ := chunkEntries(t, reader.RowGroup(g), c)
				if descr.PhysicalType() == parquet.Types.Boolean {
					require.Nil(t, filter, "seed %d %s: %s", seed, descr.Path(), fields)
					continue
				}
				require.NotNil(t, filter, "seed %d %s: %s", seed, descr.Path(), fields)
				for _, v := range values {
					if v == nil {
						continue
					}
					if asked++; !filter.CheckHash(filter.Hasher().Sum64(v)) {
						t.Fatalf("seed %d: %s has %x, its filter has not", seed, descr.Path(), v)
					}
				}
			}
		}
	}
	require.Greater(t, asked, seeds*160)
}

// TestFiltersAreTheLibrarysOfTheirSize compares all bits with those that the library sets.
func TestFiltersAreTheLibrarysOfTheirSize(t *testing.T) {
	for _, values := range []int{0, 1, 20, 3000, 60_000} {
		batch := texts(values+1, func(row int) string { return fmt.Sprint("value ", row) })
		defer batch.Release()
		for _, encoding := range fitting(arrow.BinaryTypes.String) {
			opts := options(t, batch.Schema(), filtered(encoding, 100_000))
			opts.DictionaryBytes = 20_000 // the greater ones overflow it
			raw, _ := write(t, opts, batch)
			chunk, err := open(t, raw).MetaData().RowGroup(0).ColumnChunk(0)
			require.NoError(t, err)
			size := filters(t, raw, 0)[0].Size()
			require.Less(t, size, int64(100_000))
			library := metadata.NewBloomFilter(uint32(size), uint32(size), memory.DefaultAllocator)
			for row := range values + 1 {
				library.InsertHash(library.Hasher().Sum64([]byte(fmt.Sprint("value ", row))))
			}
			var want bytes.Buffer
			_, err = library.WriteTo(&want, nil)
			require.NoError(t, err)
			end := chunk.BloomFilterOffset() + int64(chunk.BloomFilterLength())
			require.True(t, bytes.Equal(want.Bytes(), raw[end-int64(want.Len()):end]), "%d values", values)
		}
	}
}

// TestFiltersAreAsSmallAsTheyMay asks for absent values: few pass, and with half of the size too many
// would.
func TestFiltersAreAsSmallAsTheyMay(t *testing.T) {
	for _, distinct := range []int{1, 10, 1000, 5000, 20_000} {
		batch := integers(40_000, func(row int) int64 { return int64(row % distinct) })
		defer batch.Release()
		for _, most := range []float64{0.2, 0.01, 0.0001} {
			encoding := Encoding{Values: parquet.Encodings.DeltaBinaryPacked,
				Filter: Filter{BytesMax: 1 << 20, FalsePositives: most}}
			raw, _ := write(t, options(t, batch.Schema(), encoding), batch)
			filter := filters(t, raw, 0)[0]
			const asked = 200_000
			passed := 0
			for i := range int64(asked) {
				if (&metadata.TypedBloomFilter[int64]{BloomFilter: filter}).Check(-1 - i) {
					passed++
				}
			}
			have := float64(passed) / asked
			require.Less(t, have, 1.3*most+0.0001, "%d values in %d bytes", distinct, filter.Size())
			bitsEach := 8 * float64(filter.Size()) / float64(distinct)
			ideal := -8 / math.Log(1-math.Pow(most, 1.0/8))
			require.LessOrEqual(t, bitsEach, max(2.5*ideal, 256/float64(distinct)), "%d values", distinct)
		}
	}
}

// TestFiltersThatLetAllPassAreLeftOut gives a column more values than its largest filter can tell apart.
func TestFiltersThatLetAllPassAreLeftOut(t *testing.T) {
	batch := integers(5000, func(row int) int64 { return int64(row) })
	defer batch.Release()
	raw, _ := write(t, options(t, batch.Schema(), filtered(Encoding{}, 64)), batch)
	require.Nil(t, filters(t, raw, 0)[0])
}

// TestFiltersHoldWhatEqualsTheirFloats: a reader that looks for 0 looks for the bits of one zero.
func TestFiltersHoldWhatEqualsTheirFloats(t *testing.T) {
	for _, value := range []float64{0, math.Copysign(0, -1), math.Float64frombits(0x7ff0000000000123)} {
		batch := doubles(20, func(int) float64 { return value })
		defer batch.Release()
		for _, dictionary := range []bool{false, true} {
			raw, _ := write(t, options(t, batch.Schema(),
				filtered(Encoding{Dictionary: dictionary}, 1024)), batch)
			filter := &metadata.TypedBloomFilter[float64]{BloomFilter: filters(t, raw, 0)[0]}
			equals := []float64{value, 0, math.Copysign(0, -1)}
			if value != value {
				equals = []float64{value, math.Float64frombits(javaNaN)}
			}
			for _, equal := range equals {
				require.True(t, filter.Check(equal), "%v of %v", equal, value)
			}
			require.False(t, filter.Check(1))
		}
	}
}

// TestFiltersLieBehindTheirRowGroup also uses their memory for a second file.
func TestFiltersLieBehindTheirRowGroup(t *testing.T) {
	two := array.NewRecordBatch(arrow.NewSchema([]arrow.Field{
		{Name: "a", Type: arrow.PrimitiveTypes.Int64}, {Name: "b", Type: arrow.PrimitiveTypes.Int64}}, nil),
		[]arrow.Array{integers(300, func(row int) int64 { return int64(row) }).Column(0),
			integers(300, func(row int) int64 { return int64(-row) }).Column(0)}, 300)
	defer two.Release()
	opts := options(t, two.Schema(), Encoding{}, filtered(Encoding{}, 4096))
	opts.RowGroupRows, opts.Buffers = 100, new(Buffers)
	first, _ := write(t, opts, two)
	second, _ := write(t, opts, two)
	require.True(t, bytes.Equal(first, second))
	footer := open(t, first).MetaData()
	end := int64(len(magic))
	for g := range footer.RowGroups {
		plain, err := footer.RowGroup(g).ColumnChunk(0)
		require.NoError(t, err)
		require.Equal(t, end, plain.DataPageOffset())
		require.Zero(t, plain.BloomFilterOffset())
		with, err := footer.RowGroup(g).ColumnChunk(1)
		require.NoError(t, err)
		require.Equal(t, with.DataPageOffset()+with.TotalCompressedSize(), with.BloomFilterOffset())
		end = with.BloomFilterOffset() + int64(with.BloomFilterLength())
		filter := &metadata.TypedBloomFilter[int64]{BloomFilter: filters(t, first, 1)[g]}
		for row := range int64(300) {
			if row/100 == int64(g) {
				require.True(t, filter.Check(-row))
			}
		}
		require.False(t, filter.Check(1_000_000))
	}
}

func TestFiltersOfImpossibleSizeAreRefused(t *testing.T) {
	batch := integers(1, func(int) int64 { return 0 })
	defer batch.Release()
	for _, filter := range []Filter{{BytesMax: 31, FalsePositives: 0.1}, {BytesMax: 1 << 30,
		FalsePositives: 0.1}, {BytesMax: 64}, {BytesMax: 64, FalsePositives: 1}} {
		_, err := New(&bytes.Buffer{}, options(t, batch.Schema(), Encoding{Filter: filter}))
		require.ErrorContains(t, err, "column v: ")
		require.ErrorContains(t, err, "bloom filter")
	}
}
