package zstdframe

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"
)

func TestFixedStringsDecodeToPlainByteArrays(t *testing.T) {
	e, decoder := NewEncoder(), newDecoder(t)
	source := uniform(1<<20, "0123456789abcdef-")
	random := uniform(1<<20, everyByte())
	for width := 1; width <= 300; width += 1 + width/40 {
		for i, count := range []int{0, 1, 7, 8, 9, 127, 128, 129, 2000} {
			head := random[:[]int{0, 1, 6, 64, 65, 3000}[(width+i)%6]]
			for _, values := range [][]byte{source[:count*width], random[:count*width]} {
				checkFixed(t, e, decoder, head, width, values)
			}
		}
	}
}

func checkFixed(t testing.TB, e *Encoder, d *zstd.Decoder, head []byte, width int, values []byte) {
	t.Helper()
	content := plain(head, width, values)
	out, ok := e.FixedStrings([]byte(prefix), head, width, values)
	if ok {
		requireContent(t, d, out, content)
		return
	}
	require.Equal(t, prefix, string(out))
}

func TestFixedStringsDecodeAtBlockEdges(t *testing.T) {
	e, decoder := NewEncoder(), newDecoder(t)
	source := uniform(1<<21, "0123456789abcdef-")
	for _, width := range []int{1, 2, 3, 4, 12, 16, 36, 64, 1000, 4092, 8192, 16383, 16384} {
		perBlock := blockBytesMax / (4 + width)
		for blocks := range 3 {
			for d := -1; d <= 2; d++ {
				count := blocks*perBlock + d
				if count < 0 || count*width > len(source) {
					continue
				}
				for _, head := range []int{0, 5, 64, 65, 131072, 131073} {
					checkFixed(t, e, decoder, source[:head], width, source[:count*width])
				}
			}
		}
	}
}

func TestFixedStringsLeaveSharedEndsToTheMatches(t *testing.T) {
	e, decoder := NewEncoder(), newDecoder(t)
	middle := uniform(40_000, "0123456789abcdef")
	for _, front := range []int{0, 1, 26, 31, 40, 63, 127, 128, 8000} {
		for _, tail := range []int{0, 1, 200, 8000} {
			for _, width := range []int{1, 20} {
				var values []byte
				for at := 0; at+width <= len(middle)/(1+(front+tail)/50); at += width {
					values = append(values, bytes.Repeat([]byte{'<'}, front)...)
					values = append(values, middle[at:at+width]...)
					values = append(values, bytes.Repeat([]byte{'>'}, tail)...)
				}
				width := front + width + tail
				checkFixed(t, e, decoder, []byte("head"), width, values)
				equal := bytes.Repeat(values[:width], 50)
				checkFixed(t, e, decoder, nil, width, equal)
			}
		}
	}
	stamps := []byte{}
	for i := range 10_000 {
		stamps = fmt.Appendf(stamps, "2026-11-21T08:12:%02d.%06dZ", i/1000, i*7919%1_000_000)
	}
	out, ok := e.FixedStrings(nil, nil, 27, stamps)
	require.True(t, ok)
	require.Less(t, len(out), 10_000*4, "eight digits of 27 bytes are left")
}

func TestFixedStringsRefuseWhatTheyCannotWrite(t *testing.T) {
	e := NewEncoder()
	cases := []struct{ width, bytes int }{{0, 0}, {-1, 10}, {3, 10}, {widthMax + 1, widthMax + 1}}
	for _, c := range cases {
		out, ok := e.FixedStrings([]byte(prefix), nil, c.width, make([]byte, c.bytes))
		require.False(t, ok)
		require.Equal(t, prefix, string(out))
	}
}

func TestPrefixesOfFixedStringsCostNoMoreThanTheirExtraBits(t *testing.T) {
	e := NewEncoder()
	cases := []struct{ width, extra int }{{12, 0}, {15, 0}, {16, 1}, {31, 2}, {36, 3}, {64, 6}}
	for _, c := range cases {
		values := uniform(20_000*c.width, "0123456789abcdef")
		out, ok := e.FixedStrings(nil, []byte{2, 0, 0, 0, 3, 1}, c.width, values)
		require.True(t, ok)
		require.Less(t, len(out), len(values)/2+20_000*c.extra/8+500, fmt.Sprint(c.width))
	}
}
