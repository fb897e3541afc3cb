package zstdframe

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// grow makes a long source out of a short one: shuffled copies of its bytes, so that short inputs
// of the fuzzer reach block edges and repeated trees.
func grow(seed []byte, times uint16) []byte {
	random := rand.New(rand.NewPCG(uint64(len(seed)), uint64(times)))
	out := bytes.Repeat(seed, int(times)%1024+1)
	out = out[:min(len(out), 600_000)]
	for i := range out {
		j := random.IntN(min(i+1, 4096))
		out[i], out[i-j] = out[i-j], out[i]
	}
	return out
}

func FuzzLiterals(f *testing.F) {
	f.Add([]byte("0123456789abcdef"), uint16(9000))
	f.Add([]byte(everyByte()), uint16(3))
	f.Add(fibonacci(16), uint16(40))
	f.Add([]byte{}, uint16(0))
	e, decoder := NewEncoder(), newDecoder(f)
	f.Fuzz(func(t *testing.T, seed []byte, times uint16) {
		src := grow(seed, times)
		if out, ok := e.Literals([]byte(prefix), src); ok {
			requireContent(t, decoder, out, src)
			require.True(t, len(src) == 0 || len(out)-len(prefix) < len(src))
		}
		out := Raw([]byte(prefix), src)
		requireContent(t, decoder, out, src)
		require.LessOrEqual(t, len(out)-len(prefix), Bound(len(src)))
	})
}

// fixed is values of width bytes whose first front and last tail bytes are all the same.
func fixed(values []byte, width, front, tail int) []byte {
	values = values[:len(values)-len(values)%width]
	for at := width; at < len(values); at += width {
		value := values[at : at+width]
		copy(value[:min(front, width)], values)
		tail := min(tail, width)
		copy(value[width-tail:], values[width-tail:width])
	}
	return values
}

func FuzzFixedStrings(f *testing.F) {
	uuids := []byte("0123456789abcdef-")
	f.Add([]byte{2, 0, 0, 0, 3, 1}, 36, uuids, uint16(60_000), uint8(0), uint8(0))
	f.Add([]byte{}, 1, []byte(everyByte()), uint16(500), uint8(0), uint8(0))
	f.Add(bytes.Repeat([]byte{7}, 65), 16_384, []byte("ab"), uint16(1023), uint8(100), uint8(1))
	f.Add([]byte{}, 300, []byte{}, uint16(0), uint8(1), uint8(0))
	f.Add([]byte{9}, 27, uuids, uint16(1000), uint8(17), uint8(1))
	e, decoder := NewEncoder(), newDecoder(f)
	f.Fuzz(func(t *testing.T, head []byte, width int, seed []byte, times uint16,
		front, tail uint8,
	) {
		values := grow(seed, times)
		if width > 0 {
			values = fixed(values, width, int(front), int(tail))
		}
		if out, ok := e.FixedStrings([]byte(prefix), head, width, values); ok {
			requireContent(t, decoder, out, plain(head, width, values))
		} else {
			require.Equal(t, prefix, string(out))
		}
	})
}
