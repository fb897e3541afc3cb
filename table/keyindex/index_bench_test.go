package keyindex

import (
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// BenchmarkCheckpoint looks a checkpoint's keys up and moves them, in an index of a million keys in memory
// and in one of four million of which a tenth fits.
func BenchmarkCheckpoint(b *testing.B) {
	for _, c := range []struct {
		name        string
		keys, moved int
		memory      int64
	}{
		{"hot", 1_000_000, 300_000, 1 << 30},
		{"cold", 4_000_000, 300_000, 12 << 20},
	} {
		b.Run(c.name, func(b *testing.B) {
			random := rand.New(rand.NewPCG(1, 2))
			x, err := Open(b.Context(), Options{Dir: filepath.Join(b.TempDir(), "index"), Table: uuid.UUID{1},
				Identifier: "1 long", MemoryBytes: c.memory, Parallel: 1, Salt: random.Uint64})
			require.NoError(b, err)
			defer x.Close()
			fill, err := x.Rebuild()
			require.NoError(b, err)
			file := x.Number("file")
			var entries []Entry
			for i := range c.keys {
				entries = append(entries, Entry{benchKey(i), Place{file, uint32(i)}})
			}
			require.NoError(b, fill.Add(entries))
			_, err = fill.Finish(b.Context(), Tag{1, 1})
			require.NoError(b, err)
			places := make([]Place, c.moved)
			b.ResetTimer()
			n := int64(1)
			for b.Loop() {
				b.StopTimer()
				chosen := map[int]bool{}
				for len(chosen) < c.moved {
					chosen[random.IntN(c.keys)] = true
				}
				var keys []Key
				for i := range chosen {
					keys = append(keys, benchKey(i))
				}
				slices.SortFunc(keys, Key.Compare)
				b.StartTimer()
				require.NoError(b, x.Lookup(b.Context(), keys, places))
				changes := Changes{Tag: Tag{n, n}, Entries: make([]Entry, len(keys))}
				for i, k := range keys {
					changes.Entries[i] = Entry{k, Place{file, uint32(i)}}
				}
				require.NoError(b, x.Apply(b.Context(), changes))
				require.NoError(b, x.Settle(b.Context()))
				n++
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*c.moved), "ns/key")
			b.ReportMetric(float64(x.Bytes())/float64(x.Keys()), "B/key")
		})
	}
}

func benchKey(i int) Key {
	n := uint64(i) + 1
	mix := func(v uint64) uint64 {
		v ^= v >> 32
		v *= 0xd6e8feb86659fd93
		v ^= v >> 32
		v *= 0xd6e8feb86659fd93
		return v ^ v>>32
	}
	return Key{mix(n * 0x9e3779b97f4a7c15), mix(n ^ 0x1234567)}
}
