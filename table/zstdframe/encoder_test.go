package zstdframe

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"
)

// prefix is what every dst of these tests holds before a call, to see that it is kept.
const prefix = "before"

func newDecoder(t testing.TB) *zstd.Decoder {
	t.Helper()
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	require.NoError(t, err)
	t.Cleanup(decoder.Close)
	return decoder
}

// requireContent decodes the frame behind prefix and compares.
func requireContent(t testing.TB, decoder *zstd.Decoder, out, content []byte) {
	t.Helper()
	require.Equal(t, prefix, string(out[:len(prefix)]))
	got, err := decoder.DecodeAll(out[len(prefix):], nil)
	require.NoError(t, err)
	require.True(t, bytes.Equal(content, got), "content of %d bytes differs", len(content))
}

// plain is the content that FixedStrings stands for.
func plain(head []byte, width int, values []byte) []byte {
	out := append([]byte{}, head...)
	for ; len(values) > 0; values = values[width:] {
		out = binary.LittleEndian.AppendUint32(out, uint32(width))
		out = append(out, values[:width]...)
	}
	return out
}

// entropyBytes is the size of src if every byte cost what its frequency says.
func entropyBytes(src []byte) float64 {
	var counts [256]float64
	for _, b := range src {
		counts[b]++
	}
	sum := 0.0
	for _, n := range counts {
		if n > 0 {
			sum -= n * math.Log2(n/float64(len(src)))
		}
	}
	return sum / 8
}

// fibonacci has byte frequencies whose unlimited Huffman code has one length per byte, so that the
// limit of 11 bits takes effect.
func fibonacci(symbols int) []byte {
	var out []byte
	a, b := 1, 1
	for symbol := range symbols {
		out = append(out, bytes.Repeat([]byte{byte(symbol * 7)}, a)...)
		a, b = b, a+b
	}
	return shuffled(out)
}

func shuffled(src []byte) []byte {
	random := rand.New(rand.NewPCG(1, uint64(len(src))))
	random.Shuffle(len(src), func(i, j int) { src[i], src[j] = src[j], src[i] })
	return src
}

// uniform is n random bytes out of alphabet.
func uniform(n int, alphabet string) []byte {
	random := rand.New(rand.NewPCG(2, uint64(n)))
	out := make([]byte, n)
	for i := range out {
		out[i] = alphabet[random.IntN(len(alphabet))]
	}
	return out
}

func everyByte() string {
	var out [256]byte
	for i := range out {
		out[i] = byte(i)
	}
	return string(out[:])
}

// geometric is n bytes of which each value is half as frequent as the one before.
func geometric(n int, mask uint64) []byte {
	random := rand.New(rand.NewPCG(3, uint64(n)))
	out := make([]byte, n)
	for i := range out {
		for random.Uint64()&mask == 0 && out[i] < 255 {
			out[i]++
		}
	}
	return out
}

func contents() map[string][]byte {
	all := everyByte()
	half := append(uniform(60_000, "0123456789abcdef"), uniform(200_000, "ABCDEFGH")...)
	gap := append(uniform(131_072, "01234567"), make([]byte, 131_072)...)
	gap = append(gap, uniform(100, "01234567")...)
	rare := append(uniform(200_000, "0123456789abcdef"), 0xff)
	rare = append(rare, uniform(100_000, "0123456789abcdef")...)
	out := map[string][]byte{
		"every byte once":         []byte(all),
		"hex":                     uniform(1_000_000, "0123456789abcdef"),
		"two bytes":               uniform(5000, "ab"),
		"two high bytes":          uniform(5000, "\xfe\xff"),
		"one high byte":           append(uniform(5000, "\x00\x01"), 0xff),
		"even code of 192":        append(uniform(19200, all[:192]), bytes.Repeat([]byte{192}, 6400)...),
		"129 bytes":               uniform(300_000, all[:129]),
		"130 bytes":               uniform(300_000, all[:130]),
		"200 bytes":               uniform(300_000, all[:200]),
		"fibonacci 12":            fibonacci(12),
		"fibonacci 24":            fibonacci(24),
		"geometric":               geometric(400_000, 1),
		"steep":                   geometric(400_000, 7),
		"flat":                    geometric(400_000, 0x8000_0000_0000_000f),
		"alphabet changes":        half,
		"hex, zeros, hex":         gap,
		"rare byte between":       rare,
		"random then hex":         append(uniform(200_000, all), uniform(300_000, "0123456789abcdef")...),
		"one rare byte":           append(uniform(500_000, "0123456789abcdef"), '-'),
		"one byte":                {7},
		"no bytes":                {},
		"three equal bytes":       {7, 7, 7},
		"a block of equal bytes":  make([]byte, 131072),
		"equal bytes over blocks": make([]byte, 500_000),
	}
	return out
}

func TestLiteralsDecodeToTheSource(t *testing.T) {
	e, decoder := NewEncoder(), newDecoder(t)
	for name, src := range contents() {
		t.Run(name, func(t *testing.T) {
			out, ok := e.Literals([]byte(prefix), src)
			if !ok {
				require.Equal(t, prefix, string(out))
				require.Less(t, float64(len(src)), entropyBytes(src)*1.02+40)
				return
			}
			requireContent(t, decoder, out, src)
			again, _ := NewEncoder().Literals([]byte(prefix), src)
			require.True(t, bytes.Equal(out, again), "a used encoder writes the same")
			requireContent(t, decoder, Raw([]byte(prefix), src), src)
		})
	}
}

func TestLiteralsDecodeAtEverySmallSizeAndBlockEdge(t *testing.T) {
	e, decoder := NewEncoder(), newDecoder(t)
	var sizes []int
	for n := range 1100 {
		sizes = append(sizes, n)
	}
	for _, edge := range []int{1 << 12, 1 << 14, 32 << 10, 65536, 65536 + 256, 128 << 10, 256 << 10} {
		for d := -5; d <= 5; d++ {
			sizes = append(sizes, edge+d)
		}
	}
	source := uniform(300<<10, "abcdefgh")
	for _, n := range sizes {
		out, ok := e.Literals([]byte(prefix), source[:n])
		if !ok {
			require.Less(t, n, 64)
			out = Raw(out, source[:n])
		}
		requireContent(t, decoder, out, source[:n])
	}
}

func TestLiteralsComeCloseToTheEntropy(t *testing.T) {
	e := NewEncoder()
	for name, src := range contents() {
		if len(src) < 100_000 || name == "alphabet changes" || name == "random then hex" {
			continue
		}
		out, ok := e.Literals(nil, src)
		bound := entropyBytes(src)
		t.Logf("%-26s %8d -> %8d, entropy %8.0f, %v", name, len(src), len(out), bound, ok)
		// A code of whole bits cannot go below one bit; above, Huffman is within 5 % of these.
		if ok && bound > float64(len(src))/4 {
			require.Less(t, float64(len(out)), bound*1.05+200, name)
		}
	}
}

func TestLiteralsRefuseRandomBytes(t *testing.T) {
	out, ok := NewEncoder().Literals([]byte(prefix), uniform(500_000, everyByte()))
	require.False(t, ok)
	require.Equal(t, prefix, string(out))
}

// TestLiteralsSurviveASampleThatDeceives has a block that holds 16 bytes where it is sampled and
// the others elsewhere, so that it is stored after all: the tree of the sample is never written
// and must not be repeated by the next block.
func TestLiteralsSurviveASampleThatDeceives(t *testing.T) {
	e, decoder := NewEncoder(), newDecoder(t)
	all := everyByte()
	letters := bytes.Repeat([]byte(all[:16]), blockBytesMax/16)
	block := uniform(blockBytesMax, all[16:])
	for at := range sampleRuns(blockBytesMax) {
		copy(block[at:at+sampleRun], letters)
	}
	src := append(uniform(blockBytesMax, "0123456789abcdef"), block...)
	src = append(src, letters...)
	out, ok := e.Literals([]byte(prefix), src)
	require.True(t, ok)
	requireContent(t, decoder, out, src)
}

func TestCallsAllocateNothingOnceWarm(t *testing.T) {
	e := NewEncoder()
	hex := uniform(300_000, "0123456789abcdef")
	mixed := uniform(300_000, everyByte()[:200])
	head := make([]byte, 1000)
	dst := make([]byte, 0, Bound(len(head)+300_000/12*16))
	for name, call := range map[string]func(){
		"literals":     func() { _, _ = e.Literals(dst, hex) },
		"many symbols": func() { _, _ = e.Literals(dst, mixed) },
		"fixed":        func() { _, _ = e.FixedStrings(dst, head, 12, hex) },
		"raw":          func() { _ = Raw(dst, hex) },
	} {
		call()
		require.Zero(t, testing.AllocsPerRun(5, call), name)
	}
}

func TestHeadAndValueMakeOneFrame(t *testing.T) {
	decoder, e := newDecoder(t), NewEncoder()
	for name, content := range contents() {
		for _, at := range []int{1, 5, len(content) / 2} {
			if at == 0 || at >= len(content) {
				continue
			}
			head, src := content[:at], content[at:]
			requireContent(t, decoder, RawBehind([]byte(prefix), head, src), content)
			out, ok := e.LiteralsBehind([]byte(prefix), head, src)
			if !ok {
				require.Equal(t, prefix, string(out), name)
				continue
			}
			requireContent(t, decoder, out, content)
			require.Less(t, len(out)-len(prefix), len(content), name)
		}
	}
}
