package zstdframe

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"
)

const benchValues = 24_576

// column is benchValues strings back to back; width is 0 where they differ in length.
type column struct {
	name  string
	width int
	bytes []byte
	plain []byte
}

func benchColumns() []column {
	random := rand.New(rand.NewPCG(4, 4))
	raw := make([]byte, 16)
	var uuids, sessions, binaries, urls, urlsPlain []byte
	for range benchValues {
		for i := range raw {
			raw[i] = byte(random.Uint32())
		}
		raw[6], raw[8] = raw[6]&15|0x40, raw[8]&0x3f|0x80
		h := hex.EncodeToString(raw)
		uuids = fmt.Appendf(uuids, "%s-%s-%s-%s-%s", h[:8], h[8:12], h[12:16], h[16:20], h[20:])
		sessions = append(sessions, h...)
		binaries = append(binaries, raw...)
		u := fmt.Sprintf("https://shop.example.com/%s/item/%d?ref=%s",
			[]string{"shoes", "books", "garden", "music"}[random.IntN(4)], random.IntN(100_000),
			[]string{"mail", "search", "home"}[random.IntN(3)])
		urls = append(urls, u...)
		urlsPlain = append(urlsPlain, plain(nil, len(u), []byte(u))...)
	}
	return []column{
		{"uuid", 36, uuids, plain(nil, 36, uuids)},
		{"session", 32, sessions, plain(nil, 32, sessions)},
		{"binary", 16, binaries, plain(nil, 16, binaries)},
		{"url", 0, urls, urlsPlain},
	}
}

// BenchmarkColumns counts bytes of the PLAIN page for every coder.
func BenchmarkColumns(b *testing.B) {
	for _, c := range benchColumns() {
		e := NewEncoder()
		coder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest),
			zstd.WithAllLitEntropyCompression(true), zstd.WithEncoderConcurrency(1))
		require.NoError(b, err)
		run := func(name string, encode func(dst []byte) []byte) {
			b.Run(c.name+"/"+name, func(b *testing.B) {
				dst := make([]byte, 0, Bound(len(c.plain)))
				b.SetBytes(int64(len(c.plain)))
				b.ReportAllocs()
				n := 0
				for b.Loop() {
					n = len(encode(dst))
				}
				b.ReportMetric(float64(n)/float64(len(c.plain)), "ratio")
			})
		}
		if c.width > 0 {
			run("fixed", func(dst []byte) []byte {
				out, _ := e.FixedStrings(dst, nil, c.width, c.bytes)
				return out
			})
		}
		run("literals", func(dst []byte) []byte {
			out, _ := e.Literals(dst, c.plain)
			return out
		})
		run("klauspost", func(dst []byte) []byte { return coder.EncodeAll(c.plain, dst) })
		run("raw", func(dst []byte) []byte { return Raw(dst, c.plain) })
	}
}
