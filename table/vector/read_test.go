package vector_test

import (
	"encoding/binary"
	"hash/crc32"
	"math"
	"runtime"
	"testing"

	"github.com/apache/iceberg-go/table/dv"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table/vector"
)

func blobOf(t testing.TB, positions ...uint64) []byte {
	set := dv.NewRoaringPositionBitmap()
	for _, pos := range positions {
		set.Set(pos)
	}
	blob, err := dv.SerializeDV(set)
	require.NoError(t, err)
	return blob
}

// signed completes a body with length, magic and checksum, as a writer that is up to no good can.
func signed(body []byte) []byte {
	blob := binary.BigEndian.AppendUint32(nil, uint32(len(body)+4))
	blob = append(binary.LittleEndian.AppendUint32(blob, dv.DVMagicNumber), body...)
	return binary.BigEndian.AppendUint32(blob, crc32.ChecksumIEEE(blob[4:]))
}

func TestEveryFlippedBitOfAVectorIsFound(t *testing.T) {
	blob := blobOf(t, 0, 1, 2, 70_000, 1<<33)
	_, err := vector.Decode(blob, 5)
	require.NoError(t, err)
	for i := range blob {
		for bit := range 8 {
			bad := append([]byte(nil), blob...)
			bad[i] ^= 1 << bit
			_, err := vector.Decode(bad, 5)
			require.ErrorIs(t, err, vector.ErrDamaged, "byte %d bit %d", i, bit)
		}
		_, err := vector.Decode(blob[:i], 5)
		require.ErrorIs(t, err, vector.ErrDamaged, "cut at %d", i)
	}
	for _, count := range []int64{0, 4, 6, -1, math.MaxInt64} {
		_, err := vector.Decode(blob, count)
		require.ErrorIs(t, err, vector.ErrDamaged)
	}
}

// An announcement of a hundred million bitmaps takes no memory for them.
func TestAnnouncedBitmapsTakeNoMemory(t *testing.T) {
	body := binary.LittleEndian.AppendUint64(nil, 30_000_000)
	body = append(body, make([]byte, 1000)...)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := vector.Decode(signed(body), 1)
	runtime.ReadMemStats(&after)
	require.ErrorIs(t, err, vector.ErrDamaged)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20))
}

func FuzzDecode(f *testing.F) {
	for _, positions := range [][]uint64{{}, {0}, {1, 2, 3, 1 << 20}, {1 << 32, 1<<40 + 5}} {
		blob := blobOf(f, positions...)
		f.Add(blob[8:len(blob)-4], int64(len(positions)))
	}
	f.Fuzz(func(t *testing.T, body []byte, count int64) {
		blob := signed(body)
		set, err := vector.Decode(blob, count)
		if err != nil {
			require.ErrorIs(t, err, vector.ErrDamaged)
			_, _ = vector.Decode(body, count) // with an envelope that is as wild
			return
		}
		require.Equal(t, count, set.Cardinality())
		var last uint64
		n := int64(0)
		for pos := range set.Positions() {
			if n > 0 && pos <= last {
				t.Fatalf("%d behind %d", pos, last)
			}
			last = pos
			if n++; n > 1<<14 { // a run of a few bytes may hold billions
				return
			}
		}
		require.Equal(t, count, n)
		again, err := dv.SerializeDV(set)
		require.NoError(t, err)
		_, err = vector.Decode(again, count)
		require.NoError(t, err)
	})
}
