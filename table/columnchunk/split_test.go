package columnchunk

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/stretchr/testify/require"
)

// dataEncodings are the encodings of the data pages of the only chunk, without that of levels.
func dataEncodings(t *testing.T, raw []byte) []parquet.Encoding {
	t.Helper()
	chunk, err := open(t, raw).MetaData().RowGroup(0).ColumnChunk(0)
	require.NoError(t, err)
	var out []parquet.Encoding
	for _, e := range chunk.Encodings() {
		if e != parquet.Encodings.RLE {
			out = append(out, e)
		}
	}
	return out
}

// TestBytesAreKeptApartWhereItPays has values of both sorts, and compares the sizes of the files.
func TestBytesAreKeptApartWhereItPays(t *testing.T) {
	const rows = 30_000
	split, lengths := parquet.Encodings.ByteStreamSplit, parquet.Encodings.DeltaLengthByteArray
	plain := parquet.Encodings.Plain
	r := rand.New(rand.NewPCG(1, 2))
	for name, one := range map[string]struct {
		batch       arrow.RecordBatch
		asked, want parquet.Encoding
	}{
		"noise": {doubles(rows, func(int) float64 { return r.NormFloat64() }), split, split},
		"two decimals": {doubles(rows, func(int) float64 {
			return math.Round(r.ExpFloat64()*2000) / 100
		}), split, plain},
		"single precision": {columnBatch(arrow.PrimitiveTypes.Float32, rows, func(b array.Builder, _ int) {
			b.(*array.Float32Builder).Append(r.Float32())
		}), split, split},
		"hex": {texts(rows, func(int) string { return fmt.Sprintf("%0*x", 4+r.IntN(12), r.Uint64()>>16) }),
			lengths, lengths},
		"urls": {texts(rows, func(int) string {
			return fmt.Sprintf("https://example.com/shop/item?id=%d&page=%d", r.IntN(9000), r.IntN(9))
		}), lengths, plain},
	} {
		raw, _ := write(t, options(t, one.batch.Schema(), Encoding{Values: one.asked}), one.batch)
		require.Equal(t, []parquet.Encoding{one.want}, dataEncodings(t, raw), name)
		require.Equal(t, linesOf(one.batch), readRows(t, raw), name)
		other, _ := write(t, options(t, one.batch.Schema(), Encoding{}), one.batch)
		require.LessOrEqual(t, len(raw), len(other)*1005/1000, name)
		one.batch.Release()
	}
}
