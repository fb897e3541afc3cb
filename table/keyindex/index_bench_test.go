package keyindex

import (
	"math"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
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

// BenchmarkRebuild builds an index of b.N keys (-benchtime 100000000x) on two goroutines, from entries in the
// order of their keys and in none, when all of them fit into memory afterwards and with the default limit.
func BenchmarkRebuild(b *testing.B) {
	sorted := func(i, n int) Key { return Key{uint64(i) * (math.MaxUint64 / uint64(n)), uint64(i)} }
	for _, c := range []struct {
		name   string
		memory int64
		key    func(i, n int) Key
	}{
		{"hot/unsorted", 4 << 30, func(i, _ int) Key { return benchKey(i) }},
		{"hot/sorted", 4 << 30, sorted},
		{"cold/unsorted", memoryDefault, func(i, _ int) Key { return benchKey(i) }},
		{"cold/sorted", memoryDefault, sorted},
	} {
		b.Run(c.name, func(b *testing.B) {
			random := rand.New(rand.NewPCG(1, 2))
			x, err := Open(b.Context(), Options{Dir: filepath.Join(b.TempDir(), "index"), Table: uuid.UUID{1},
				Identifier: "1 long", MemoryBytes: c.memory, Parallel: 2, Salt: random.Uint64})
			require.NoError(b, err)
			defer x.Close()
			fill, err := x.Rebuild()
			require.NoError(b, err)
			file := x.Number("file")
			var add errgroup.Group
			for part := range 2 {
				add.Go(func() error {
					entries := make([]Entry, 0, 100_000)
					for i, end := b.N*part/2, b.N*(part+1)/2; i < end; i++ {
						entries = append(entries, Entry{c.key(i, b.N), Place{file, uint32(i)}})
						if len(entries) < cap(entries) && i+1 < end {
							continue
						}
						if err := fill.Add(entries); err != nil {
							return err
						}
						entries = entries[:0]
					}
					return nil
				})
			}
			require.NoError(b, add.Wait())
			_, err = fill.Finish(b.Context(), Tag{1, 1})
			require.NoError(b, err)
			require.EqualValues(b, b.N, x.Keys())
			b.ReportMetric(float64(x.Bytes())/float64(b.N), "B/key")
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
