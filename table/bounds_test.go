package table

import (
	"encoding/binary"
	"math"
	"testing"

	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"
)

func TestCompareBoundsOrdersValuesOfAType(t *testing.T) {
	int4 := func(v int32) []byte { return binary.LittleEndian.AppendUint32(nil, uint32(v)) }
	int8 := func(v int64) []byte { return binary.LittleEndian.AppendUint64(nil, uint64(v)) }
	real4 := func(v float32) []byte { return int4(int32(math.Float32bits(v))) }
	real8 := func(v float64) []byte { return int8(int64(math.Float64bits(v))) }
	minusZero := math.Copysign(0, -1)
	types := iceberg.PrimitiveTypes
	for name, c := range map[string]struct {
		typ        iceberg.PrimitiveType
		less, more []byte
	}{
		"integers":          {types.Int32, int4(-3), int4(2)},
		"longs":             {types.Int64, int8(-300), int8(-2)},
		"promoted integers": {types.Int64, int4(-3), int4(2)},
		"one promoted":      {types.Int64, int4(-3), int8(2)},
		"floats":            {types.Float32, real4(-1.5), real4(2)},
		"promoted floats":   {types.Float64, real4(-1.5), real8(2)},
		"zeros":             {types.Float64, real8(minusZero), real8(0)},
		"dates":             {types.Date, int4(-1), int4(1)},
		"times":             {types.TimestampTz, int8(-1), int8(1 << 40)},
		"decimals":          {iceberg.DecimalTypeOf(9, 2), []byte{0xff, 0x00}, []byte{0x01}},
		"texts":             {types.String, []byte("a"), []byte("aa")},
		"binaries":          {types.Binary, []byte{}, []byte{0xff}},
	} {
		order, ok := CompareBounds(c.typ, c.less, c.more)
		require.True(t, ok, name)
		require.Negative(t, order, name)
		order, ok = CompareBounds(c.typ, c.more, c.less)
		require.True(t, ok, name)
		require.Positive(t, order, name)
		order, ok = CompareBounds(c.typ, c.more, c.more)
		require.True(t, ok, name)
		require.Zero(t, order, name)
	}
}

func TestCompareBoundsRefusesWhatIsNoValue(t *testing.T) {
	nan := binary.LittleEndian.AppendUint64(nil, math.Float64bits(math.NaN()))
	for name, c := range map[string]struct {
		typ   iceberg.PrimitiveType
		bound []byte
	}{
		"short integer": {iceberg.PrimitiveTypes.Int32, []byte{1}},
		"short long":    {iceberg.PrimitiveTypes.Int64, []byte{1, 2, 3}},
		"short time":    {iceberg.PrimitiveTypes.Time, make([]byte, 4)},
		"no float":      {iceberg.PrimitiveTypes.Float32, nil},
		"NaN":           {iceberg.PrimitiveTypes.Float64, nan},
		"no decimal":    {iceberg.DecimalTypeOf(9, 2), nil},
	} {
		_, ok := CompareBounds(c.typ, c.bound, c.bound)
		require.False(t, ok, name)
	}
}
