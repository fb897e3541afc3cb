package columnchunk

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/stretchr/testify/require"
)

// columnBatch is a batch of one column, built by append.
func columnBatch(typ arrow.DataType, rows int, append func(b array.Builder, row int)) arrow.RecordBatch {
	fields := arrow.NewSchema([]arrow.Field{{Name: "v", Type: typ, Nullable: true}}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, fields)
	defer b.Release()
	for row := range rows {
		append(b.Field(0), row)
	}
	return b.NewRecordBatch()
}

func texts(rows int, value func(row int) string) arrow.RecordBatch {
	return columnBatch(arrow.BinaryTypes.String, rows, func(b array.Builder, row int) {
		b.(*array.StringBuilder).Append(value(row))
	})
}

func integers(rows int, value func(row int) int64) arrow.RecordBatch {
	return columnBatch(arrow.PrimitiveTypes.Int64, rows, func(b array.Builder, row int) {
		b.(*array.Int64Builder).Append(value(row))
	})
}

func shorts(rows int, value func(row int) int32) arrow.RecordBatch {
	return columnBatch(arrow.PrimitiveTypes.Int32, rows, func(b array.Builder, row int) {
		b.(*array.Int32Builder).Append(value(row))
	})
}

func doubles(rows int, value func(row int) float64) arrow.RecordBatch {
	return columnBatch(arrow.PrimitiveTypes.Float64, rows, func(b array.Builder, row int) {
		b.(*array.Float64Builder).Append(value(row))
	})
}

// TestEdgesReadBackEqual writes single columns in every encoding that fits them, with small pages and
// large ones.
func TestEdgesReadBackEqual(t *testing.T) {
	huge := strings.Repeat("0123456789abcdef", 20_000)
	edges := map[string]arrow.RecordBatch{
		"no rows":  integers(0, nil),
		"one row":  integers(1, func(int) int64 { return -1 }),
		"constant": integers(3000, func(int) int64 { return 7 }),
		"extremes": integers(1001, func(row int) int64 { return math.MinInt64 + int64(row%2)*-1 }),
		"least and greatest": integers(129, func(row int) int64 {
			return []int64{math.MinInt64, math.MaxInt64, 0}[row%3]
		}),
		"greatest steps": integers(300, func(row int) int64 { return int64(uint64(row) << 57) }),
		"small extremes": shorts(300, func(row int) int32 {
			return []int32{math.MinInt32, math.MaxInt32, -1}[row%3]
		}),
		"nulls": columnBatch(arrow.BinaryTypes.String, 5000, func(b array.Builder, _ int) {
			b.AppendNull()
		}),
		"nulls, then values": columnBatch(arrow.PrimitiveTypes.Int64, 5000, func(b array.Builder, row int) {
			if row < 3000 {
				b.AppendNull()
			} else {
				b.(*array.Int64Builder).Append(int64(row))
			}
		}),
		"values, then a null": columnBatch(arrow.PrimitiveTypes.Int32, 5000, func(b array.Builder, row int) {
			if row == 4999 {
				b.AppendNull()
			} else {
				b.(*array.Int32Builder).Append(int32(row))
			}
		}),
		"NaNs": doubles(2000, func(int) float64 { return math.NaN() }),
		"NaNs of many kinds": doubles(50, func(row int) float64 {
			return math.Float64frombits(0x7ff0000000000001 + uint64(row))
		}),
		"zeros":       doubles(100, func(row int) float64 { return math.Copysign(0, float64(row%2)-0.5) }),
		"infinities":  doubles(100, func(row int) float64 { return math.Inf(row%2*2 - 1) }),
		"empty texts": texts(3000, func(int) string { return "" }),
		"empty and not": texts(3000, func(row int) string {
			return strings.Repeat("x", row%2)
		}),
		"texts of one length": texts(3000, func(row int) string { return fmt.Sprintf("%08x", row*2654435761) }),
		"almost one length":   texts(3001, func(row int) string { return strings.Repeat("y", 8+row/3000) }),
		"huge texts":          texts(7, func(row int) string { return huge[:len(huge)-row] }),
		"a huge text between": texts(3000, func(row int) string {
			return map[bool]string{true: huge, false: "small"}[row == 1500]
		}),
		"late distinct texts": texts(6000, func(row int) string {
			return fmt.Sprint("value ", row%10+max(0, row-4000)*1000)
		}),
		"unlike heads": texts(400, func(row int) string {
			return []string{"\x00", "", "\x00\x00", "zzzzzzzzz", "zzzzzzzz"}[row%5]
		}),
		"booleans": columnBatch(arrow.FixedWidthTypes.Boolean, 4001, func(b array.Builder, row int) {
			if row%7 == 0 {
				b.AppendNull()
			} else {
				b.(*array.BooleanBuilder).Append(row%3 == 0)
			}
		}),
	}
	for steps := range 64 { // every width of a delta, or one in seven
		if testing.Short() && steps%7 > 0 {
			continue
		}
		edges[fmt.Sprintf("steps of %d bits", steps)] = integers(300, func(row int) int64 {
			return int64(uint64(row*row*2654435761) << 1 >> 1 >> uint(steps))
		})
		if steps < 32 {
			edges[fmt.Sprintf("short steps of %d bits", steps)] = shorts(300, func(row int) int32 {
				return int32(uint32(row*row*40503) >> uint(steps))
			})
		}
	}
	for name, batch := range edges {
		t.Run(name, func(t *testing.T) {
			defer batch.Release()
			for _, encoding := range fitting(batch.Column(0).DataType()) {
				for _, pageBytes := range []int{64, 1 << 20} {
					opts := options(t, batch.Schema(), encoding)
					opts.PageBytes, opts.DictionaryBytes = pageBytes, 4096
					raw, _ := write(t, opts, batch)
					if batch.NumRows() == 0 {
						require.Zero(t, open(t, raw).NumRows())
						continue
					}
					require.Equal(t, linesOf(batch), readRows(t, raw), "%+v", encoding)
					library := writeLibrary(t, batch.Schema(), opts.RowGroupRows, batch)
					checkFooters(t, open(t, library).MetaData(), open(t, raw).MetaData())
				}
			}
		})
	}
}

// fitting are the ways to store a type.
func fitting(typ arrow.DataType) []Encoding {
	plain := parquet.Encodings.Plain
	out := []Encoding{{Values: plain}, {Values: plain, Dictionary: true}}
	switch typ.ID() {
	case arrow.INT32, arrow.INT64:
		delta := parquet.Encodings.DeltaBinaryPacked
		out = append(out, Encoding{Values: delta}, Encoding{Values: delta, Dictionary: true})
	case arrow.STRING:
		out = append(out, Encoding{Values: parquet.Encodings.DeltaLengthByteArray})
	case arrow.FLOAT32, arrow.FLOAT64:
		split := parquet.Encodings.ByteStreamSplit
		out = append(out, Encoding{Values: split}, Encoding{Values: split, Dictionary: true})
	}
	return out
}

// TestManyColumnsTakeLittleMemory writes a file of 2,000 columns, whose pages of full size would take
// 2 GB.
func TestManyColumnsTakeLittleMemory(t *testing.T) {
	const columns, rows = 2000, 500
	one := texts(rows, func(row int) string { return fmt.Sprintf("%0200d", row*row) })
	defer one.Release()
	var fields []arrow.Field
	var values []arrow.Array
	for i := range columns {
		fields = append(fields, arrow.Field{Name: fmt.Sprint("c", i), Type: arrow.BinaryTypes.String})
		values = append(values, one.Column(0))
	}
	batch := array.NewRecordBatch(arrow.NewSchema(fields, nil), values, rows)
	defer batch.Release()
	var out bytes.Buffer
	w, err := New(&out, options(t, batch.Schema()))
	require.NoError(t, err)
	for range 3 {
		require.NoError(t, w.Write(batch))
		// Room grows by a quarter at a time.
		require.Less(t, w.HeldBytes()-w.GroupBytes(), int64(openBytesMax)*5/4)
	}
	_, err = w.Close()
	require.NoError(t, err)
	group := open(t, out.Bytes()).RowGroup(0)
	for _, i := range []int{0, columns - 1} {
		got := chunkRows(t, group, i)
		for row := range 3 * rows {
			require.Equal(t, one.Column(0).(*array.String).Value(row%rows), string(got[row]))
		}
	}
}

func TestPageTooLargeForItsHeaderIsRefused(t *testing.T) {
	c := column{name: "v"}
	require.NoError(t, c.checkSize(math.MaxInt32))
	require.ErrorContains(t, c.checkSize(math.MaxInt32+1), "keep its values below 2 GiB")
}

func TestWhatDoesNotFitIsRefused(t *testing.T) {
	whole := integers(3, func(row int) int64 { return int64(row) })
	defer whole.Release()
	opts := options(t, whole.Schema(), Encoding{Values: parquet.Encodings.DeltaLengthByteArray})
	_, err := New(&bytes.Buffer{}, opts)
	require.ErrorContains(t, err, "INT64 cannot be stored as DELTA_LENGTH_BYTE_ARRAY")
	w, err := New(&bytes.Buffer{}, options(t, whole.Schema()))
	require.NoError(t, err)
	defer w.Discard()
	other := texts(3, func(int) string { return "" })
	defer other.Release()
	require.ErrorContains(t, w.Write(other), "batch holds utf8, the file INT64")
}

type fullDisk struct{ left int }

var errFull = errors.New("full")

func (d *fullDisk) Write(p []byte) (int, error) {
	if d.left -= len(p); d.left < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestErrorsOfTheSinkComeBack(t *testing.T) {
	batch := integers(5000, func(row int) int64 { return int64(row * row) })
	defer batch.Release()
	raw, _ := write(t, options(t, batch.Schema()), batch)
	for left := range len(raw) {
		if left%97 != 0 && left > 10 && left < len(raw)-10 {
			continue
		}
		w, err := New(&fullDisk{left: left}, options(t, batch.Schema()))
		if err == nil {
			require.NoError(t, w.Write(batch))
			_, err = w.Close()
			w.Discard()
		}
		require.ErrorIs(t, err, errFull)
	}
}
