package source

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// testBytesMax bounds what tests decompress to.
const testBytesMax = 16 << 20

func newTestDecompressor() *decompressor {
	return newDecompressor(&slabs[byte]{idleMax: idleBytesMax}, testBytesMax)
}

// plainText compresses well in parts and not at all in others.
func plainText(n int) []byte {
	random := rand.New(rand.NewPCG(1, uint64(n)))
	text := make([]byte, 0, n)
	for len(text) < n {
		if random.IntN(4) == 0 {
			for range 50 {
				text = append(text, byte(random.Uint32()))
			}
		}
		text = fmt.Appendf(text, `{"id":%d,"name":"visitor"}`, random.IntN(1000))
	}
	return text[:n]
}

// packed are forms of one text that producers write, by name.
func packed(t testing.TB, text []byte) map[string]packedBatch {
	t.Helper()
	all := map[string]packedBatch{}
	for name, codec := range map[string]kgo.CompressionCodec{
		"gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	} {
		compressor, err := kgo.DefaultCompressor(codec)
		require.NoError(t, err)
		out, kind := compressor.Compress(new(bytes.Buffer), text)
		all[name] = packedBatch{kind, bytes.Clone(out)}
	}
	for name, options := range map[string][]lz4.Option{
		"lz4 in 64 KiB blocks":  {lz4.BlockSizeOption(lz4.Block64Kb)},
		"lz4 with size":         {lz4.SizeOption(uint64(len(text)))},
		"lz4 with block sums":   {lz4.BlockChecksumOption(true), lz4.ChecksumOption(false)},
		"lz4 of the old format": {lz4.LegacyOption(true)},
	} {
		all[name] = packedBatch{kgo.CodecLz4, packLz4(t, text, options...)}
	}
	frame := packLz4(t, text)
	skip := append([]byte{0x5A, 0x2A, 0x4D, 0x18, 3, 0, 0, 0, 1, 2, 3}, frame...)
	all["lz4 behind a frame to skip"] = packedBatch{kgo.CodecLz4, skip}
	all["lz4 in two frames"] = packedBatch{kgo.CodecLz4, append(bytes.Clone(frame), frame...)}
	all["lz4 in linked blocks"] = packedBatch{kgo.CodecLz4, packLinked(t)}

	xerial := append([]byte(xerialMagic), 0, 0, 0, 1, 0, 0, 0, 1)
	for rest := text; len(rest) > 0; {
		n := min(len(rest), 32<<10)
		block := s2.EncodeSnappy(nil, rest[:n])
		xerial = append(binary.BigEndian.AppendUint32(xerial, uint32(len(block))), block...)
		rest = rest[n:]
	}
	all["snappy in Java's blocks"] = packedBatch{kgo.CodecSnappy, xerial}

	var stream bytes.Buffer
	w, err := zstd.NewWriter(&stream)
	require.NoError(t, err)
	_, err = w.Write(text)
	require.NoError(t, errors.Join(err, w.Close()))
	all["zstd without size"] = packedBatch{kgo.CodecZstd, stream.Bytes()}

	var members bytes.Buffer
	for _, part := range [][]byte{text[:len(text)/3], text[len(text)/3:]} {
		g := gzip.NewWriter(&members)
		_, err := g.Write(part)
		require.NoError(t, errors.Join(err, g.Close()))
	}
	all["gzip in two members"] = packedBatch{kgo.CodecGzip, members.Bytes()}
	return all
}

type packedBatch struct {
	codec kgo.CompressionCodecType
	bytes []byte
}

func packLz4(t testing.TB, text []byte, options ...lz4.Option) []byte {
	t.Helper()
	var out bytes.Buffer
	w := lz4.NewWriter(&out)
	require.NoError(t, w.Apply(options...))
	_, err := w.Write(text)
	require.NoError(t, errors.Join(err, w.Close()))
	return out.Bytes()
}

// packLinked writes a frame whose second block is one match into the first.
func packLinked(t testing.TB) []byte {
	t.Helper()
	frame := packLz4(t, plainText(1000), lz4.BlockSizeOption(lz4.Block64Kb), lz4.ChecksumOption(false))
	frame[4] &^= lz4Independent
	frame = frame[:len(frame)-4]
	// No literal, a match of 10 bytes from 100 bytes before, and the 5 literals that end each block.
	block := []byte{0x06, 100, 0, 0x50, 'l', 'a', 's', 't', '!'}
	frame = append(binary.LittleEndian.AppendUint32(frame, uint32(len(block))), block...)
	frame = append(frame, 0, 0, 0, 0)
	frame[6] = lz4HeaderSum(t, frame)
	return frame
}

// lz4HeaderSum finds the checksum of a descriptor, by trying.
func lz4HeaderSum(t testing.TB, frame []byte) byte {
	t.Helper()
	header := bytes.Clone(frame[:7])
	for sum := range 256 {
		header[6] = byte(sum)
		if ok, _ := lz4.ValidFrameHeader(header); ok {
			return byte(sum)
		}
	}
	t.Fatal("no checksum fits")
	return 0
}

func TestDecompressGivesWhatTheClientsOwnGives(t *testing.T) {
	d := newTestDecompressor()
	for _, n := range []int{1, 20, 5000, 100_000, 700_000} {
		text := plainText(n)
		for name, p := range packed(t, text) {
			want, err := kgo.DefaultDecompressor().Decompress(p.bytes, p.codec)
			require.NoError(t, err, "%s of %d bytes", name, n)
			got, err := d.Decompress(p.bytes, p.codec)
			require.NoError(t, err, "%s of %d bytes", name, n)
			require.True(t, bytes.Equal(want, got), "%s of %d bytes", name, n)
			d.slabs.put(got)
		}
	}
}

func TestDecompressRefusesBatchesThatAreCutShort(t *testing.T) {
	d := newTestDecompressor()
	for name, p := range packed(t, plainText(3000)) {
		reference := kgo.DefaultDecompressor()
		for n := 1; n < len(p.bytes); n += 1 + n/20 {
			want, refused := reference.Decompress(p.bytes[:n], p.codec)
			got, err := d.Decompress(p.bytes[:n], p.codec)
			require.Equal(t, refused == nil, err == nil, "%s cut at %d: %v, %v", name, n, refused, err)
			require.True(t, err != nil || bytes.Equal(want, got), "%s cut at %d", name, n)
		}
	}
}

func TestDecompressRefusesBombs(t *testing.T) {
	d := newTestDecompressor()
	for name, p := range packed(t, make([]byte, testBytesMax+1)) {
		if name == "lz4 in linked blocks" {
			continue // only the head of the text
		}
		_, err := d.Decompress(p.bytes, p.codec)
		require.ErrorIs(t, err, kgo.ErrMaxDecompress, name)
	}
	for name, p := range packed(t, make([]byte, testBytesMax/2)) {
		_, err := d.Decompress(p.bytes, p.codec)
		require.NoError(t, err, name)
	}
}

// A topic of many partitions has small batches: they must not take slabs of large ones.
func TestDecompressTakesSlabsOfTheBatchsSize(t *testing.T) {
	d := newTestDecompressor()
	for name, p := range packed(t, plainText(10_000)) {
		if strings.Contains(name, "old format") {
			continue // read as a stream
		}
		for range 3 { // the first ones tell how much a batch expands
			out, err := d.Decompress(p.bytes, p.codec)
			require.NoError(t, err, name)
			d.slabs.put(out)
		}
		out, err := d.Decompress(p.bytes, p.codec)
		require.NoError(t, err, name)
		require.LessOrEqual(t, cap(out), 4*len(out), name)
	}
}

func TestDecompressUsesSlabsAgain(t *testing.T) {
	for name, p := range packed(t, plainText(100_000)) {
		d := newTestDecompressor()
		idle := 0
		for round := range 100 {
			out, err := d.Decompress(p.bytes, p.codec)
			require.NoError(t, err, name)
			d.slabs.put(out)
			if round == 70 { // the first ones tell how much a batch expands
				idle = d.slabs.idleLen
			}
		}
		require.NotZero(t, idle, name)
		require.Equal(t, idle, d.slabs.idleLen, name)
	}
}

func FuzzDecompress(f *testing.F) {
	for _, n := range []int{20, 3000} {
		for _, p := range packed(f, plainText(n)) {
			f.Add(p.bytes, byte(p.codec))
		}
	}
	d, reference := newTestDecompressor(), kgo.DefaultDecompressor()
	f.Fuzz(func(t *testing.T, src []byte, codec byte) {
		kind := kgo.CompressionCodecType(codec % 6)
		if kind == kgo.CodecLz4 {
			reference = kgo.DefaultDecompressor() // it keeps a dictionary from one batch to the next
		}
		want, refused := reference.Decompress(src, kind)
		got, err := d.Decompress(src, kind)
		for _, sum := range []error{lz4.ErrInvalidHeaderChecksum, lz4.ErrInvalidBlockChecksum,
			lz4.ErrInvalidFrameChecksum} {
			if errors.Is(refused, sum) {
				return // not checked here
			}
		}
		if errors.Is(err, kgo.ErrMaxDecompress) {
			require.True(t, refused != nil || len(want) > testBytesMax, "%v", refused)
			return
		}
		require.Equal(t, refused == nil, err == nil, "%v, %v", refused, err)
		require.True(t, err != nil || bytes.Equal(want, got))
		if err == nil && kind != kgo.CodecNone {
			d.slabs.put(got)
		}
	})
}

func BenchmarkDecompress(b *testing.B) {
	text := plainText(1 << 20)
	for name, p := range packed(b, text) {
		b.Run(name, func(b *testing.B) {
			d := newTestDecompressor()
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				out, err := d.Decompress(p.bytes, p.codec)
				if err != nil {
					b.Fatal(err)
				}
				d.slabs.put(out)
			}
		})
	}
}
